#include "plan/shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hesse/error.h"
#include "model/model.h"
#include "plan/published.h"
#include "plan/small_config.h"
#include "plan/work.h"

namespace hesse {
namespace {

using testing::HasSubstr;

// The totals that the authors name: tests/data/configs/README.md.
TEST(Shapes, ParametersOfPublishedModels) {
  const struct {
    const char* name;
    double parameters;
  } models[] = {{"smollm2-135m", 134.5e6}, {"falcon-7b", 6.92e9},     {"llama-2-7b", 6.738e9},
                {"qwen2-72b", 72.7e9},     {"qwen1.5-110b", 111.2e9}, {"llama-3.1-405b", 405.9e9},
                {"mixtral-8x7b", 46.7e9},  {"deepseek-v3", 671e9}};
  for (const auto& [name, parameters] : models) {
    const ModelShapes model = published(name);
    EXPECT_NEAR(model.parameters() / parameters, 1, 0.002) << name;
    EXPECT_EQ(family_finding(model).severity, Severity::kGood);
  }
}

// To the last parameter, where the total is known that well.
TEST(Shapes, ParametersToTheLastOne) {
  EXPECT_EQ(published("llama-2-7b").parameters(), 6738415616.0);
  EXPECT_EQ(published("mixtral-8x7b").parameters(), 46702792704.0);
  EXPECT_EQ(published("smollm2-135m").parameters(), 134515008.0);
}

TEST(Shapes, OfARunFamilyAreThoseOfTheRun) {
  const ModelConfig config = tiny_config();
  const ModelShapes model = config;
  ASSERT_EQ(model.layers.size(), 1u);
  const std::vector<StageShape> stages = model_stages(config);
  ASSERT_EQ(model.layers[0].stages.size(), stages.size());
  for (size_t s = 0; s < stages.size(); ++s) {
    const PlannedStage& planned = model.layers[0].stages[s];
    EXPECT_EQ(planned.name, stages[s].name);
    EXPECT_EQ(planned.linears.size(), stages[s].linears.size());
    EXPECT_EQ(planned.linears[0].name, stages[s].linears[0].name);
    EXPECT_EQ(planned.token_share, 1);
    EXPECT_EQ(planned.split == Split::kInputs, planned.name == "o" || planned.name == "down");
  }
}

TEST(Shapes, AMixtralOfOneExpertIsLlamaWithARouter) {
  Json config = published_config("llama-2-7b");
  const ModelShapes run = shapes_of_config(config, "test");
  config.set("model_type", Json("mixtral"));
  config.set("num_key_value_heads", Json(32));
  config.set("num_local_experts", Json(1));
  config.set("num_experts_per_tok", Json(1));
  const ModelShapes planned = shapes_of_config(config, "test");
  EXPECT_EQ(run.parameters(), planned.parameters() - 32 * 4096.0);
  EXPECT_EQ(evaluation_work(run, 4, 128).total(), evaluation_work(planned, 4, 128).total());
}

TEST(Shapes, ExpertsSeeTheirShareOfTheTokens) {
  const ModelShapes model = published("mixtral-8x7b");
  const PlannedStage& experts = model.layers[5].stages[2];
  EXPECT_EQ(experts.linears[0].name, "model.layers.5.block_sparse_moe.experts.0.w1");
  EXPECT_EQ(model.layers[5].stages.size(), 2 + 2 * 8u);
  EXPECT_EQ(experts.expert, 0);
  EXPECT_EQ(experts.token_share, 0.25);
  EXPECT_EQ(planned_weights(experts), 2 * 14336.0 * 4096.0);
  // Work counts the two experts that a token meets.
  const Work work = evaluation_work(model, 1, 1);
  const double active = 32 * (2 * 4096.0 * 4096 + 2 * 1024.0 * 4096 + 2 * 3 * 14336.0 * 4096) + 32000 * 4096.0;
  EXPECT_EQ(work.linears, 2 * active);
}

TEST(Shapes, TheFirstLayersOfDeepSeekAreDense) {
  const ModelShapes model = published("deepseek-v3");
  EXPECT_EQ(model.layers[2].stages.size(), 6u);            // qkv_a, q_b, kv_b, o, gate_up, down
  EXPECT_EQ(model.layers[3].stages.size(), 4 + 2 * 257u);  // the last expert is the shared one
  EXPECT_EQ(model.layers[3].stages[4].token_share, 8.0 / 256);
  EXPECT_EQ(model.layers[3].stages.back().token_share, 1);
  EXPECT_EQ(model.layers[3].stages[2].input_width(), 512 + 64 + 128 * 192);
  EXPECT_EQ(model.layers[0].stages[0].linears[1].out, 576);  // kv_a_proj_with_mqa
  EXPECT_EQ(model.widest_in(), 18432);
}

TEST(Shapes, FalconSevenReadsOneInputInAttentionAndMlp) {
  const ModelShapes model = published("falcon-7b");
  ASSERT_EQ(model.layers[0].stages.size(), 3u);
  EXPECT_EQ(model.layers[0].stages[0].linears.size(), 2u);
  EXPECT_EQ(model.layers[0].stages[0].linears[0].out, 4672);
  EXPECT_FALSE(model.layers[0].stages[0].fused);
}

std::string refusal(const std::string& config) {
  try {
    shapes_of_config(Json::parse(config, "test"), "test");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "no error";
}

TEST(Shapes, RefusesWhatCannotBePlanned) {
  EXPECT_THAT(refusal("{}"), HasSubstr("'model_type' is missing; known architectures: llama"));
  EXPECT_THAT(refusal(R"({"model_type": "mamba"})"), HasSubstr("architecture 'mamba' is not supported; known"));
  EXPECT_THAT(refusal(R"({"model_type": "mixtral"})"), HasSubstr("'hidden_size' is missing"));
  EXPECT_THAT(refusal(R"({"model_type": "mixtral", "hidden_size": 0})"), HasSubstr("'hidden_size' is 0"));
  EXPECT_THAT(refusal(R"({"model_type": "mixtral", "hidden_size": 99999999999})"), HasSubstr("99999999999"));
  EXPECT_THAT(refusal(R"({"model_type": "mixtral", "hidden_size": "x"})"), HasSubstr("hidden_size"));
}

// Every field in turn missing, 0, negative, huge or of another type: an error or a finite plan.
TEST(Shapes, DamagedConfigsAreRefusedOrPlanned) {
  for (const char* name : {"qwen2-72b", "mixtral-8x7b", "deepseek-v3", "falcon-7b"}) {
    const Json whole = published_config(name);
    for (const Json::Member& member : whole.as_object(name)) {
      for (const Json& value :
           {Json(), Json(0), Json(-1), Json(int64_t{1} << 40), Json(3), Json("x"), Json(true), Json::array()}) {
        Json damaged = whole;
        damaged.set(member.first, value);
        try {
          const ModelShapes model = shapes_of_config(damaged, name);
          EXPECT_GT(model.parameters(), 0) << name << ' ' << member.first << ' ' << value.dump();
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
        }
      }
    }
  }
}

}  // namespace
}  // namespace hesse
