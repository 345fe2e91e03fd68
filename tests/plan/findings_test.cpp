#include "plan/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "plan/published.h"

namespace hesse {
namespace {

using testing::HasSubstr;

TEST(Findings, OfMemory) {
  const ModelShapes model = published("llama-2-7b");
  const MemorySettings settings{.size = {.sequences = 128, .length = 512}};
  const int64_t peak = plan_memory(model, settings).peak_bytes();
  EXPECT_EQ(memory_finding(model, settings, peak, Spilling::kNever).check, "memory.fits");
  const Finding little = memory_finding(model, settings, peak / 3, Spilling::kNever);
  EXPECT_EQ(little.check, "memory.too-little");
  EXPECT_THAT(little.todo, HasSubstr("--hessian-memory"));
  const Finding impossible = memory_finding(model, settings, 1000000, Spilling::kNever);
  EXPECT_EQ(impossible.severity, Severity::kError);
  EXPECT_THAT(impossible.todo, HasSubstr("--samples 16"));
  EXPECT_THAT(impossible.why, HasSubstr("activations"));
}

TEST(Findings, OfDisk) {
  const DiskPlan plan{4000000000, 3500000000, 0};
  EXPECT_EQ(disk_finding(plan, 7500000000).severity, Severity::kGood);
  EXPECT_EQ(disk_finding(plan, 7499999999).check, "disk.too-little");
  EXPECT_EQ(disk_finding(plan, 1).what, "7.5 GB of disk, 0.0 GB free");
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
