#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "hesse/error.h"

namespace hesse {
namespace {

const char* kPlain = R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
  "num_attention_heads": 4, "vocab_size": 100})";

Json config_with(const std::string& key, const std::string& value) {
  Json json = Json::parse(kPlain, "t");
  json.set(key, Json::parse(value, "t"));
  return json;
}

std::string message(const Json& json) {
  try {
    parse_model_config(json, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "no error";
}

TEST(Config, EveryProblemIsFound) {
  EXPECT_TRUE(config_problems(Json::parse(kPlain, "t"), "t").empty());
  Json json = config_with("hidden_size", "-1");
  json.set("num_key_value_heads", Json(int64_t{3}));
  json.set("hidden_act", Json("relu"));
  json.set("rope_scaling", Json::parse(R"({"type": "linear"})", "t"));
  std::vector<std::string> found;
  for (const Error& problem : config_problems(json, "t")) found.emplace_back(problem.what());
  using testing::HasSubstr;
  EXPECT_THAT(found, testing::ElementsAre(HasSubstr("'hidden_size' is -1"), HasSubstr("3 key/value heads"),
                                          HasSubstr("activation 'relu'"), HasSubstr("needs 'factor'")));
  EXPECT_EQ(message(json), found.front().replace(9, 1, "config.json"));  // what is thrown is the first
}

TEST(Config, AHeadDimThatIsMissingMustFollow) {
  EXPECT_THAT(message(config_with("num_attention_heads", "6")),
              testing::HasSubstr("'hidden_size' 64 is no multiple of 'num_attention_heads' 6"));
  Json json = config_with("num_attention_heads", "6");
  json.set("head_dim", Json(int64_t{10}));
  EXPECT_EQ(parse_model_config(json, "t").head_dim, 10);
}

TEST(Config, FillsInWhatTheFamilySays) {
  const ModelConfig c = parse_model_config(Json::parse(kPlain, "t"), "t");
  EXPECT_EQ(c.kv_heads, 4);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.norm_eps, 1e-6f);
  EXPECT_EQ(c.rope.kind, RopeKind::kDefault);
  EXPECT_EQ(c.rope.theta, 10000);
  EXPECT_FALSE(c.tied_head);
  EXPECT_FALSE(c.qkv_bias);
}

TEST(Config, BothSpellingsOfRopeMeanTheSame) {
  Json old = config_with("rope_scaling", R"({"type": "linear", "factor": 4.0})");
  old.set("rope_theta", Json(5e5));
  const ModelConfig a = parse_model_config(old, "t");
  const ModelConfig b = parse_model_config(
      config_with("rope_parameters", R"({"rope_type": "linear", "factor": 4.0, "rope_theta": 500000.0})"), "t");
  EXPECT_EQ(a.rope.kind, RopeKind::kLinear);
  EXPECT_EQ(b.rope.kind, RopeKind::kLinear);
  EXPECT_EQ(a.rope.theta, b.rope.theta);
  EXPECT_EQ(a.rope.factor, b.rope.factor);
  EXPECT_EQ(parse_model_config(config_with("rope_scaling", "null"), "t").rope.kind, RopeKind::kDefault);
}

const char* kGemma3 = R"({"model_type": "gemma3_text", "hidden_size": 640, "intermediate_size": 2048,
  "num_hidden_layers": 7, "num_attention_heads": 4, "vocab_size": 100})";

Json gemma3_with(const std::string& key, const std::string& value) {
  Json json = Json::parse(kGemma3, "t");
  json.set(key, Json::parse(value, "t"));
  return json;
}

std::vector<int64_t> windows(const ModelConfig& config) {
  std::vector<int64_t> result;
  for (const LayerAttention& layer : config.layer_attention) result.push_back(layer.window);
  return result;
}
using Sizes = std::vector<int64_t>;

TEST(Config, FillsInWhatGemma3Says) {
  const ModelConfig c = parse_model_config(Json::parse(kGemma3, "t"), "t");
  EXPECT_EQ(c.kv_heads, 4);
  EXPECT_EQ(c.head_dim, 256);
  EXPECT_EQ(c.max_positions, 131072);
  EXPECT_EQ(c.attention_scale, 0.0625f);
  EXPECT_EQ(c.embedding_scale, 25.298221f);
  EXPECT_EQ(c.activation, Activation::kGeluTanh);
  EXPECT_TRUE(c.tied_head);
  EXPECT_EQ(c.rope.theta, 1e6);
  EXPECT_EQ(c.local_rope.theta, 1e4);
  EXPECT_EQ(windows(c), (Sizes{4096, 4096, 4096, 4096, 4096, 0, 4096}));
  for (const LayerAttention& layer : c.layer_attention) EXPECT_EQ(layer.local_rope, layer.window > 0);
  EXPECT_EQ(describe_rope(c), "default, theta 1000000; layers with a window of 4096: default, theta 10000");
}

TEST(Config, LlamaHasNoneOfTheSwitchesOfGemma3) {
  const ModelConfig c = parse_model_config(config_with("sliding_window", "4096"), "t");
  EXPECT_EQ(c.attention_scale, 0.25f);
  EXPECT_EQ(c.embedding_scale, 1.0f);
  EXPECT_EQ(c.activation, Activation::kSilu);
  EXPECT_EQ(windows(c), (Sizes{0, 0}));
  EXPECT_EQ(describe_rope(c), "default, theta 10000");
}

TEST(Config, TheListOfLayersWinsOverThePattern) {
  Json json = gemma3_with("sliding_window_pattern", "2");
  json.set("sliding_window", Json(int64_t{8}));
  EXPECT_EQ(windows(parse_model_config(json, "t")), (Sizes{8, 0, 8, 0, 8, 0, 8}));
  const std::string full = "\"full_attention\", ", sliding = "\"sliding_attention\", ";
  json.set("layer_types",
           Json::parse("[" + full + sliding + full + full + full + full + "\"sliding_attention\"]", "t"));
  EXPECT_EQ(windows(parse_model_config(json, "t")), (Sizes{0, 8, 0, 0, 0, 0, 8}));
}

// Other rules for windows than Gemma's, as rows of the table would state them.
TEST(Config, RulesForWindows) {
  Family family = *find_family(Json::parse(kPlain, "t"), "t");
  const auto of = [&](const Json& json) { return windows(parse_model_config(json, family, "t")); };
  family.windows = {.size = 4096};
  EXPECT_EQ(of(Json::parse(kPlain, "t")), (Sizes{4096, 4096}));
  EXPECT_EQ(of(config_with("sliding_window", "null")), (Sizes{0, 0}));
  EXPECT_EQ(of(config_with("sliding_window", "7")), (Sizes{7, 7}));
  family.windows = {.size = 4096, .switch_key = "use_windows", .first_key = "full_layers", .first = 28};
  EXPECT_EQ(of(config_with("full_layers", "0")), (Sizes{0, 0}));
  EXPECT_EQ(of(config_with("use_windows", "true")), (Sizes{0, 0}));
  Json json = config_with("use_windows", "true");
  json.set("full_layers", Json(1));
  EXPECT_EQ(of(json), (Sizes{0, 4096}));
  json.set("full_layers", Json(0));
  EXPECT_EQ(of(json), (Sizes{4096, 4096}));
}

TEST(Config, BothSpellingsOfTheTwoRotationsMeanTheSame) {
  Json old = gemma3_with("rope_scaling", R"({"rope_type": "linear", "factor": 8.0})");
  old.set("rope_theta", Json(5e5));
  old.set("rope_local_base_freq", Json(2e4));
  const Json recent = gemma3_with("rope_parameters", R"({
      "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 20000.0}})");
  for (const Json& json : {old, recent}) {
    const ModelConfig c = parse_model_config(json, "t");
    EXPECT_EQ(c.rope.kind, RopeKind::kLinear);
    EXPECT_EQ(c.rope.factor, 8);
    EXPECT_EQ(c.rope.theta, 5e5);
    EXPECT_EQ(c.local_rope.kind, RopeKind::kDefault);
    EXPECT_EQ(c.local_rope.theta, 2e4);
  }
  const ModelConfig half =
      parse_model_config(gemma3_with("rope_parameters", R"({"sliding_attention": {"rope_theta": 300.0}})"), "t");
  EXPECT_EQ(half.rope.theta, 1e6);
  EXPECT_EQ(half.local_rope.theta, 300);
}

TEST(Config, RefusesWhatItCannotRunOfGemma3) {
  using testing::HasSubstr;
  EXPECT_THAT(message(gemma3_with("attn_logit_softcapping", "50.0")),
              HasSubstr("'attn_logit_softcapping' is 50.0; that is not supported for 'gemma3_text'"));
  EXPECT_THAT(message(gemma3_with("use_bidirectional_attention", "true")),
              HasSubstr("bidirectional_attention' is true"));
  EXPECT_EQ(message(gemma3_with("use_bidirectional_attention", "false")), "no error");
  EXPECT_EQ(message(gemma3_with("final_logit_softcapping", "null")), "no error");
  EXPECT_THAT(message(gemma3_with("hidden_activation", "\"silu\"")),
              HasSubstr("activation 'silu' is not supported for 'gemma3_text'; known: gelu_pytorch_tanh, gelu_new"));
  EXPECT_THAT(message(gemma3_with("query_pre_attn_scalar", "0")), HasSubstr("'query_pre_attn_scalar' is 0"));
  EXPECT_THAT(message(gemma3_with("sliding_window", "0")), HasSubstr("'sliding_window' is 0"));
  EXPECT_THAT(message(gemma3_with("sliding_window", "null")), HasSubstr("'sliding_window' is null"));
  EXPECT_THAT(message(gemma3_with("sliding_window_pattern", "0")), HasSubstr("'sliding_window_pattern' is 0"));
  EXPECT_THAT(message(gemma3_with("layer_types", R"(["full_attention"])")), HasSubstr("1 entries for 7 layers"));
  EXPECT_THAT(message(gemma3_with("layer_types", R"(["linear_attention"])")),
              HasSubstr("'layer_types' has 'linear_attention'; known: full_attention, sliding_attention"));
  EXPECT_THAT(message(gemma3_with("layer_types", "6")), HasSubstr("expected an array"));
  EXPECT_THAT(message(gemma3_with("rope_parameters", R"({"rope_type": "default", "rope_theta": 1e4})")),
              HasSubstr("'rope_parameters' is one set for all layers; expected 'full_attention'"));
  EXPECT_THAT(message(gemma3_with("rope_parameters", R"({"sliding_attention": 3})")), HasSubstr("not an object"));
  EXPECT_THAT(message(gemma3_with("rope_local_base_freq", "-1")), HasSubstr("'rope_local_base_freq' is -1"));
}

std::string family_of(const std::string& members) {
  return std::string(parse_model_config(Json::parse("{" + members + R"(, "hidden_size": 64, "intermediate_size": 128,
      "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100})",
                                                    "t"),
                                        "t")
                         .family->name);
}

TEST(Config, RowsOfOneTypeAreToldApartByTheirConditions) {
  EXPECT_EQ(family_of(R"("model_type": "falcon")"), "falcon");
  EXPECT_EQ(family_of(R"("model_type": "falcon", "parallel_attn": false)"), "falcon_rw");
  EXPECT_EQ(family_of(R"("model_type": "falcon", "new_decoder_architecture": true)"), "falcon_40b");
  EXPECT_EQ(family_of(R"("model_type": "falcon", "new_decoder_architecture": true, "num_ln_in_parallel_attn": null)"),
            "falcon_40b");
  EXPECT_EQ(family_of(R"("model_type": "falcon", "new_decoder_architecture": true, "num_ln_in_parallel_attn": 1)"),
            "falcon_11b");
  EXPECT_EQ(family_of(R"("model_type": "gpt_neox")"), "gpt_neox");
  EXPECT_EQ(family_of(R"("model_type": "gpt_neox", "use_parallel_residual": false)"), "gpt_neox_sequential");
  EXPECT_EQ(family_of(R"("model_type": "stablelm")"), "stablelm");
  EXPECT_EQ(family_of(R"("model_type": "stablelm", "use_parallel_residual": true)"), "stablelm_parallel");
  EXPECT_EQ(family_of(R"("model_type": "baichuan", "max_position_embeddings": 4096)"), "baichuan");
  EXPECT_EQ(family_of(R"("model_type": "baichuan", "model_max_length": 4096)"), "baichuan_13b");
}

// The text of a larger model: its own fields come before those of the whole.
TEST(Config, TheTextOfALargerModel) {
  Json json = Json::parse(R"({"model_type": "llava", "vision_config": {"hidden_size": 7}, "vocab_size": 50})", "t");
  json.set("text_config", Json::parse(kPlain, "t"));
  const ModelConfig c = parse_model_config(json, "t");
  EXPECT_EQ(c.family->name, "llama");
  EXPECT_EQ(c.vocab, 100);
  EXPECT_TRUE(c.is_part);
  EXPECT_EQ(c.schemes.size(), 2u);
  json.set("text_config", Json::parse(R"({"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
      "num_attention_heads": 4})",
                                      "t"));
  EXPECT_EQ(parse_model_config(json, "t").vocab, 50);  // and the type is that of LLaVA's first models
  json.set("model_type", Json("mamba_vision"));
  EXPECT_THAT(message(json), testing::HasSubstr("architecture 'mamba_vision' is not supported"));
}

TEST(Config, YarnAndLongRopeSayTheirScale) {
  const ModelConfig yarn = parse_model_config(
      config_with("rope_scaling", R"({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512})"),
      "t");
  EXPECT_NEAR(yarn.rope.attention_factor, 1.1386294361, 1e-9);  // 0.1 ln 4 + 1
  EXPECT_EQ(yarn.rope.original_positions, 512);
  Json json = config_with("rope_scaling", R"({"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
                                              "long_factor": [1, 1, 2, 2, 3, 3, 4, 4]})");
  json.set("original_max_position_embeddings", Json(256));
  const ModelConfig longrope = parse_model_config(json, "t");
  EXPECT_EQ(longrope.rope.factor, 8);                               // 2048 / 256
  EXPECT_NEAR(longrope.rope.attention_factor, 1.1726039400, 1e-9);  // sqrt(1 + ln 8 / ln 256)
  json.set("head_dim", Json(32));
  EXPECT_THAT(message(json), testing::HasSubstr("'short_factor' has 8 numbers for 16 pairs"));
  EXPECT_THAT(message(config_with("rope_scaling", R"({"type": "longrope"})")),
              testing::HasSubstr("needs 'short_factor'"));
  EXPECT_THAT(message(config_with("partial_rotary_factor", "0.2")), testing::HasSubstr("3 of 16 elements"));
  EXPECT_THAT(message(config_with("partial_rotary_factor", "1.5")),
              testing::HasSubstr("'partial_rotary_factor' is 1.5"));
}

TEST(Config, RefusesWhatItCannotRun) {
  using testing::HasSubstr;
  EXPECT_THAT(message(config_with("model_type", "\"mamba\"")),
              HasSubstr("architecture 'mamba' is not supported; known"));
  EXPECT_THAT(message(config_with("hidden_size", "0")), HasSubstr("'hidden_size' is 0"));
  EXPECT_THAT(message(config_with("hidden_size", "\"64\"")), HasSubstr("expected an integer"));
  EXPECT_THAT(message(config_with("num_hidden_layers", "99999999999")), HasSubstr("99999999999"));
  EXPECT_THAT(message(config_with("num_hidden_layers", "2147483647")), HasSubstr("expected 1 to 65536"));
  EXPECT_THAT(message(config_with("num_key_value_heads", "3")), HasSubstr("4 query heads cannot share 3"));
  EXPECT_THAT(message(config_with("head_dim", "15")), HasSubstr("even number"));
  EXPECT_THAT(message(config_with("hidden_act", "\"gelu\"")), HasSubstr("activation 'gelu'"));
  EXPECT_THAT(message(config_with("rope_scaling", R"({"rope_type": "xpos"})")), HasSubstr("RoPE type 'xpos'"));
  EXPECT_THAT(message(config_with("rope_scaling", R"({"rope_type": "llama3"})")), HasSubstr("needs 'factor'"));
  EXPECT_THAT(message(config_with("rms_norm_eps", "-1")), HasSubstr("positive number"));
  EXPECT_THAT(message(config_with("vocab_size", "null")), HasSubstr("'vocab_size' is missing"));
  EXPECT_THAT(message(Json::parse("[]", "t")), HasSubstr("not a JSON object"));
}

}  // namespace
}  // namespace hesse
