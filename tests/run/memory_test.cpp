// A run keeps its budget, and its result does not depend on it. Through the tool: memory is that of a process.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "tool_process.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kDemo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";

class Memory : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer)
    GTEST_SKIP() << "a sanitizer takes memory of its own";
#endif
    folder_ = fs::path(testing::TempDir()) / ("hesse-memory-" + std::to_string(::getpid()));
    fs::remove_all(folder_);  // of a process with this number that was killed
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Both streams of the tool; with --json --quiet a finished run prints its record alone.
  ToolOutcome quantize(const std::string& output, const std::string& flags) const {
    return run_tool("quantize '" + kDemo.string() + "' -o '" + (folder_ / output).string() + "' --calib '" +
                        (kDemo / "calibration.txt").string() +
                        "' --samples 32 --length 256 --threads 2 --json --quiet " + flags,
                    "2>&1");
  }
  static double peak_gb(const ToolOutcome& run) {
    const Json record = Json::parse(run.out, "the record");
    return record.find("cost")->find("peak_memory_bytes")->as_double("the record") / 1e9;
  }

  fs::path folder_;
};

TEST_F(Memory, TheSmallestBudgetThatIsNamedIsKeptAndGivesTheSameTensors) {
  const ToolOutcome refused = quantize("small", "--memory 0.02");
  ASSERT_EQ(refused.code, 2) << refused.out;
  EXPECT_TRUE(fs::is_empty(folder_));
  const std::string flag = "--memory ";
  const size_t at = refused.out.find(flag, refused.out.find("[memory]"));
  ASSERT_NE(at, std::string::npos) << refused.out;
  const double least = std::stod(refused.out.substr(at + flag.size()));

  const ToolOutcome small = quantize("small", flag + std::to_string(least));
  ASSERT_EQ(small.code, 0) << small.out;
  EXPECT_LE(peak_gb(small), least);
  const ToolOutcome large = quantize("large", "");
  ASSERT_EQ(large.code, 0) << large.out;
  EXPECT_GT(peak_gb(large), least) << "the budget was none";
  for (const char* name : {"model.safetensors", "config.json"})
    EXPECT_EQ(read_text_file(folder_ / "small" / name), read_text_file(folder_ / "large" / name)) << name;
  EXPECT_FALSE(fs::exists(folder_ / "small.hesse-work"));
}

// A model of one layer whose 20 experts of [2048, 128] and [128, 1024] lie in two tensors, with random weights.
void make_packed_experts(const fs::path& directory) {
  fs::create_directories(directory);
  write_text_file(directory / "config.json", R"({"model_type": "gpt_oss", "dtype": "bfloat16", "hidden_size": 128,
    "intermediate_size": 1024, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "vocab_size": 96, "num_local_experts": 20, "num_experts_per_tok": 2, "attention_bias": false,
    "tie_word_embeddings": true, "rope_scaling": {"rope_type": "default"}})");
  const std::string layer = "model.layers.0.", experts = layer + "mlp.experts.";
  const std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {
      {"model.embed_tokens.weight", {96, 128}},
      {"model.norm.weight", {128}},
      {layer + "input_layernorm.weight", {128}},
      {layer + "post_attention_layernorm.weight", {128}},
      {layer + "self_attn.q_proj.weight", {128, 128}},
      {layer + "self_attn.k_proj.weight", {64, 128}},
      {layer + "self_attn.v_proj.weight", {64, 128}},
      {layer + "self_attn.o_proj.weight", {128, 128}},
      {layer + "self_attn.sinks", {4}},
      {layer + "mlp.router.weight", {20, 128}},
      {layer + "mlp.router.bias", {20}},
      {experts + "gate_up_proj", {20, 128, 2048}},
      {experts + "gate_up_proj_bias", {20, 2048}},
      {experts + "down_proj", {20, 1024, 128}},
      {experts + "down_proj_bias", {20, 128}}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, shape] : tensors) specs.push_back({name, DType::kBF16, shape});
  SafetensorsWriter writer(directory / "model.safetensors", layout_safetensors(specs));
  Rng rng(5);
  for (const TensorSpec& spec : specs) {
    std::vector<uint16_t> values(static_cast<size_t>(spec.elements()));
    for (uint16_t& value : values) value = float_to_bf16(static_cast<float>(0.05 * rng.normal()));
    writer.write(spec.name, std::as_bytes(std::span(values)));
  }
  writer.finish();
}

// The two tensors of a layer, in memory while its experts come one by one, are most of what such a run needs.
TEST_F(Memory, ThePlanCountsExpertsThatArePutTogether) {
  make_packed_experts(folder_ / "model");
  const std::string flags = " --format bf16 --method rtn --group-size 128 --threads 2 --json ";
  const std::string model = "'" + (folder_ / "model").string() + "'";
  const ToolOutcome check = run_tool("check " + model + flags + "--config-only", "2>/dev/null");
  const Json plan = Json::parse(check.out, "the plan");
  const double planned = static_cast<double>(plan.find("plan")->find("peak_memory_bytes")->as_int("the plan")) / 1e9;
  const ToolOutcome run =
      run_tool("quantize " + model + " -o '" + (folder_ / "out").string() + "' --no-check --quiet" + flags, "2>&1");
  ASSERT_EQ(run.code, 0) << run.out;
  EXPECT_GE(planned, peak_gb(run));
}

// Room for libraries and stacks is needed besides, so the plan counts on less; then it either fits or says why not.
TEST_F(Memory, ALimitOnTheAddressSpaceIsKeptInMind) {
  const std::string limit = "ulimit -v 3000000; ";
  const ToolOutcome check =
      run_tool("check '" + kDemo.string() + "' --config-only --json --threads 2", "2>/dev/null", limit);
  const Json plan = Json::parse(check.out, "the plan");
  EXPECT_LT(plan.find("plan")->find("available_memory_bytes")->as_int("available"), 3'000'000ll * 1024 - (320 << 20));
  const ToolOutcome run =
      run_tool("quantize '" + kDemo.string() + "' -o '" + (folder_ / "limited").string() + "' --calib '" +
                   (kDemo / "calibration.txt").string() + "' --samples 8 --length 256 --threads 2 --quiet",
               "2>&1", limit);
  EXPECT_EQ(run.code, 0) << run.out;
}

// A control group of this test, where the system lets it have one.
class Group {
 public:
  explicit Group(int64_t bytes) {
    const std::string name = "hesse-test-" + std::to_string(getpid());
    for (const auto& [root, limit] :
         {std::pair("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), std::pair("/sys/fs/cgroup", "memory.max")}) {
      std::error_code error;
      path_ = fs::path(root) / name;
      if (!fs::is_directory(root, error) || !fs::create_directory(path_, error)) continue;
      std::ofstream file(path_ / limit);
      if (file << bytes << std::flush) return;
      fs::remove(path_, error);
    }
    path_.clear();
  }
  ~Group() {
    std::error_code error;
    if (!path_.empty()) fs::remove(path_, error);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  const fs::path& path() const { return path_; }  // empty: there is none

 private:
  fs::path path_;
};

TEST_F(Memory, AControlGroupIsNotOverrun) {
  const Group group(160'000'000);
  if (group.path().empty()) GTEST_SKIP() << "no control group can be made here";
  const std::string enter = "echo $$ >'" + (group.path() / "cgroup.procs").string() + "' || exit 99; ";
  const auto run = [&](const std::string& name, const std::string& before) {
    return run_tool("quantize '" + kDemo.string() + "' -o '" + (folder_ / name).string() + "' --calib '" +
                        (kDemo / "calibration.txt").string() +
                        "' --samples 40 --length 512 --preset fast --threads 2 --quiet --json",
                    "2>/dev/null", before);
  };
  const ToolOutcome limited = run("limited", enter);
  if (limited.code == 99) GTEST_SKIP() << "the control group cannot be entered";
  ASSERT_EQ(limited.code, 0);
  EXPECT_LE(peak_gb(limited), 0.128);  // four fifths
  EXPECT_NE(limited.out.find("activations in files"), std::string::npos) << limited.out.substr(0, 4000);
  ASSERT_EQ(run("free", "").code, 0);
  EXPECT_EQ(read_text_file(folder_ / "limited/model.safetensors"), read_text_file(folder_ / "free/model.safetensors"));
}

}  // namespace
}  // namespace hesse
