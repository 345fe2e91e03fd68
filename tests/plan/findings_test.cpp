#include "plan/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "plan/published.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Findings, OfMemory) {
  const ModelShapes model = published("llama-2-7b");
  MemorySettings settings{.size = {.sequences = 128, .length = 512}};
  const int64_t peak = with_margin(plan_memory(model, settings).peak_bytes());
  EXPECT_EQ(memory_finding(model, settings, peak).check, "memory.fits");
  const Finding spill = memory_finding(model, settings, peak - 1);
  EXPECT_EQ(spill.check, "memory.spill");
  EXPECT_EQ(spill.severity, Severity::kNote);
  settings.spill = true;
  const int64_t least = with_margin(plan_memory(model, settings).peak_bytes());
  settings.spill = false;
  EXPECT_EQ(memory_finding(model, settings, least).check, "memory.spill");
  const Finding little = memory_finding(model, settings, least - 1);
  EXPECT_EQ(little.check, "memory.too-little");
  EXPECT_EQ(little.severity, Severity::kError);
  EXPECT_THAT(little.remedy, AllOf(HasSubstr("--memory "), HasSubstr("--hessian-memory")));
  const Finding impossible = memory_finding(model, settings, 1000000);
  EXPECT_EQ(impossible.check, "memory.impossible");
  EXPECT_THAT(impossible.remedy, HasSubstr("--shift 0 --residual 0"));
}

// What the advice names is enough.
TEST(Findings, TheLeastMemoryThatIsNamedIsEnough) {
  for (const char* name : {"smollm2-135m", "llama-2-7b", "qwen1.5-110b"}) {
    const ModelShapes model = published(name);
    const MemorySettings settings{.size = {.sequences = 128, .length = 512}};
    const Finding refused = memory_finding(model, settings, 1000000);
    const size_t at = refused.remedy.find("--memory ");
    ASSERT_NE(at, std::string::npos);
    const double least = std::stod(refused.remedy.substr(at + 9));
    EXPECT_EQ(memory_finding(model, settings, static_cast<int64_t>(least * 1e9)).check, "memory.spill")
        << refused.remedy;
  }
}

TEST(Findings, OfDisk) {
  const DiskPlan plan{4000000000, 3500000000, 0};
  EXPECT_EQ(disk_finding(plan, 7500000000).severity, Severity::kGood);
  EXPECT_EQ(disk_finding(plan, 7499999999).check, "disk.too-little");
  EXPECT_EQ(disk_finding(plan, 1).what, "7.5 GB of disk, 1e-09 GB free");
}

Finding of_engine(const std::vector<Finding>& findings, const std::string& check) {
  for (const Finding& finding : findings) {
    if (finding.check == check) return finding;
  }
  ADD_FAILURE() << check;
  return {};
}

TEST(Findings, OneForEachEngine) {
  const std::vector<Finding> findings = loader_findings(loader_table(published("llama-2-7b"), {}));
  std::set<std::string> checks;
  for (const Finding& finding : findings) EXPECT_TRUE(checks.insert(finding.check).second) << finding.check;
  EXPECT_EQ(of_engine(findings, "loader.vllm").what, "vLLM loads it (Marlin) on 1, 2 devices");
  EXPECT_EQ(of_engine(findings, "loader.transformers").severity, Severity::kGood);
  const auto ragged = loader_findings(loader_table(published("smollm2-135m"), {}));
  EXPECT_EQ(of_engine(ragged, "loader.sglang").severity, Severity::kWarning);
  EXPECT_THAT(of_engine(ragged, "loader.sglang").why, HasSubstr("576 inputs"));
}

}  // namespace
}  // namespace hesse
