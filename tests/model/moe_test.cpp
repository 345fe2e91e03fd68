// Who goes to which expert.
#include "model/moe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "base/rng.h"
#include "model/block.h"
#include "model/reference.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 11;

// A router whose logits are the rows of x themselves.
class Identity : public WeightSource {
 public:
  explicit Identity(int64_t count) : count_(count) {}
  Shape linear_shape(std::string_view, WeightLayout) const override { return {count_, count_}; }
  ComputeMatrix linear_as(ComputeType, std::string_view, WeightLayout) const override {
    Matrix<float> one = Matrix<float>::zeros(count_, count_);
    for (int64_t i = 0; i < count_; ++i) one(i, i) = 1;
    return one;
  }
  std::vector<float> vector(std::string_view, int64_t) const override { return bias; }
  bool has(std::string_view) const override { return true; }
  Matrix<float> rows(std::string_view, std::span<const int32_t>, int64_t) const override { return {}; }
  void prefetch(std::string_view) const override {}
  void release(std::string_view) const override {}
  std::vector<float> bias;

 private:
  int64_t count_;
};

struct RouterCase {
  Family family;
  ModelConfig config;
  Identity source;

  RouterCase(RouterScores scores, ExpertsConfig experts) : source(experts.count) {
    family.experts = {.router = "r", .scores = scores, .group_best = 2};
    config.family = &family;
    config.schemes = {{"", ""}};
    config.hidden = experts.count;
    config.experts = experts;
    config.experts.layers = {true};
  }
  // Experts and weights of one token.
  std::map<int64_t, float> route(std::vector<float> logits) const {
    Matrix<float> x(1, config.hidden);
    std::copy(logits.begin(), logits.end(), x.data());
    const Router router(config, source, 0, ComputeType::kF32);
    Routing routing = router.none();
    router.route(x.view(), 0, routing);
    std::map<int64_t, float> found;
    for (size_t e = 0; e < routing.size(); ++e) {
      if (routing[e].count() > 0) found[static_cast<int64_t>(e)] = routing[e].weight(0);
    }
    return found;
  }
};

TEST(Router, SoftmaxOfAllThenTheLargest) {
  const RouterCase plain(RouterScores::kSoftmax, {.count = 4, .per_token = 2, .layers = {}});
  const std::vector<float> logits = {std::log(1.0f), std::log(4.0f), std::log(2.0f), std::log(3.0f)};
  auto chosen = plain.route(logits);
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_NEAR(chosen[1], 0.4, 1e-6);
  EXPECT_NEAR(chosen[3], 0.3, 1e-6);
  const RouterCase normalised(RouterScores::kSoftmax,
                              {.count = 4, .per_token = 2, .normalised = true, .scale = 3, .layers = {}});
  chosen = normalised.route(logits);
  EXPECT_NEAR(chosen[1], 3 * 4 / 7.0, 1e-6);
  EXPECT_NEAR(chosen[3], 3 * 3 / 7.0, 1e-6);
}

TEST(Router, ABiasChoosesAndDoesNotWeigh) {
  RouterCase one(RouterScores::kSigmoid, {.count = 4, .per_token = 1, .layers = {}});
  one.family.experts.choice_bias = "b";
  one.source.bias = {0, 0, 1, 0};
  auto chosen = one.route({0, 2, 1, 0});
  ASSERT_EQ(chosen.size(), 1u);
  EXPECT_NEAR(chosen[2], 1 / (1 + std::exp(-1.0)), 1e-6);
}

// Of two groups of three the one whose two best are larger in sum, though the other has the best of all.
TEST(Router, GroupsAreComparedByTheirBest) {
  const RouterCase one(RouterScores::kSigmoid,
                       {.count = 6, .per_token = 2, .groups = 2, .kept_groups = 1, .layers = {}});
  const auto chosen = one.route({3, -3, -3, 1, 0.5f, -1});
  EXPECT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen.count(3), 1u);
  EXPECT_EQ(chosen.count(4), 1u);
}

TEST(Router, ValuesThatAreNotFiniteGoSomewhere) {
  const RouterCase one(RouterScores::kSoftmax, {.count = 4, .per_token = 2, .normalised = true, .layers = {}});
  EXPECT_EQ(one.route(std::vector<float>(4, std::numeric_limits<float>::quiet_NaN())).size(), 2u);
}

// Each row goes to per_token different experts, in rising order of rows, and the shared one gets all.
TEST(Router, RowsArePartitioned) {
  const Loaded loaded(kReferences / "qwen2_moe", 80);
  const Block block = loaded.model.block(0);
  ASSERT_TRUE(block.has_experts());
  Rng rng(kSeed);
  Matrix<float> x(50, loaded.model.config().hidden);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.normal());
  Routing routing = block.no_routing();
  block.route(x.view().row_range(0, 20), 0, routing);
  block.route(x.view().row_range(20, 30), 20, routing);
  ASSERT_EQ(routing.size(), 5u);
  std::map<int64_t, int64_t> times;
  for (size_t e = 0; e < 4; ++e) {
    EXPECT_TRUE(std::is_sorted(routing[e].rows.begin(), routing[e].rows.end()));
    for (const int64_t row : routing[e].rows) ++times[row];
  }
  EXPECT_EQ(times.size(), 50u);
  for (const auto& [row, count] : times) EXPECT_EQ(count, 2) << row;
  EXPECT_EQ(routing[4].count(), 50);
}

// An expert's weights, read when they are needed, give what those of a whole block do.
TEST(Experts, ReadWhenNeededAreTheSame) {
  for (const char* name : {"mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v3", "gpt_oss", "qwen3_vl_moe"}) {
    const Loaded loaded(kReferences / name, 80);
    const std::vector<int32_t> ids = read_reference(kReferences / name / "reference.safetensors").ids;
    Matrix<float> a = loaded.model.embed(ids), b = loaded.model.embed(ids);
    for (int64_t layer = 0; layer < loaded.model.config().layers; ++layer) {
      loaded.model.block(layer).forward({.sequences = 1, .length = a.rows()}, a.view());
      loaded.model.block(layer, ReadExperts::kWhenNeeded).forward({.sequences = 1, .length = a.rows()}, b.view());
    }
    for (int64_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << name;
  }
}

TEST(Experts, StagesOfALayerStandByExpert) {
  const ModelConfig config = parse_model_config(read_config_json(kReferences / "qwen2_moe"), "t");
  std::vector<std::string> names;
  for (const StageShape& stage : layer_stages(config, 0)) names.emplace_back(stage.name);
  ASSERT_EQ(names.size(), 12u);
  EXPECT_THAT(std::vector(names.begin(), names.begin() + 4),
              testing::ElementsAre("qkv", "o", "experts_gate_up", "experts_down"));
  EXPECT_THAT(std::vector(names.end() - 2, names.end()), testing::ElementsAre("shared_gate_up", "shared_down"));
  const ModelConfig mixed = parse_model_config(read_config_json(kReferences / "qwen3_moe"), "t");
  EXPECT_EQ(layer_stages(mixed, 0).size(), 4u);
  EXPECT_EQ(layer_stages(mixed, 1).size(), 12u);
  EXPECT_EQ(layer_stages(mixed, 3).size(), 4u);
}

TEST(Experts, ConfigsThatCannotBeAreRefused) {
  const auto problem = [](const char* key, const char* value, const char* family = "mixtral") {
    Json json = read_config_json(kReferences / family);
    json.set(key, Json::parse(value, "t"));
    const std::vector<Error> problems = config_problems(json, "t");
    return problems.empty() ? std::string() : std::string(problems.front().what());
  };
  EXPECT_THAT(problem("num_local_experts", "0"), testing::HasSubstr("'num_local_experts' is 0"));
  EXPECT_THAT(problem("num_local_experts", "99999999"), testing::HasSubstr("99999999"));
  EXPECT_THAT(problem("num_experts_per_tok", "5"), testing::HasSubstr("'num_experts_per_tok' is 5; expected 1 to 4"));
  EXPECT_THAT(problem("swiglu_limit", "-1", "gpt_oss"), testing::HasSubstr("'swiglu_limit' is -1; expected positive"));
  EXPECT_THAT(problem("swiglu_alpha", "null", "gpt_oss"), testing::HasSubstr("'swiglu_alpha' is 0"));
  EXPECT_THAT(problem("rope_scaling", "null", "gpt_oss"), testing::HasSubstr("'gpt_oss' needs 'rope_scaling'"));
}

}  // namespace
}  // namespace hesse
