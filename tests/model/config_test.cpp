#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(Config, RefusesWhatItCannotRun) {
  using testing::HasSubstr;
  EXPECT_THAT(message(config_with("model_type", "\"mamba\"")),
              HasSubstr("architecture 'mamba' is not supported; known"));
  EXPECT_THAT(message(config_with("hidden_size", "0")), HasSubstr("'hidden_size' is 0"));
  EXPECT_THAT(message(config_with("hidden_size", "\"64\"")), HasSubstr("expected an integer"));
  EXPECT_THAT(message(config_with("num_hidden_layers", "99999999999")), HasSubstr("99999999999"));
  EXPECT_THAT(message(config_with("num_key_value_heads", "3")), HasSubstr("4 query heads cannot share 3"));
  EXPECT_THAT(message(config_with("head_dim", "15")), HasSubstr("even number"));
  EXPECT_THAT(message(config_with("hidden_act", "\"gelu\"")), HasSubstr("activation 'gelu'"));
  EXPECT_THAT(message(config_with("rope_scaling", R"({"rope_type": "yarn"})")), HasSubstr("RoPE type 'yarn'"));
  EXPECT_THAT(message(config_with("rope_scaling", R"({"rope_type": "llama3"})")), HasSubstr("needs 'factor'"));
  EXPECT_THAT(message(config_with("rms_norm_eps", "-1")), HasSubstr("positive number"));
  EXPECT_THAT(message(config_with("vocab_size", "null")), HasSubstr("'vocab_size' is missing"));
  EXPECT_THAT(message(Json::parse("[]", "t")), HasSubstr("not a JSON object"));
}

}  // namespace
}  // namespace hesse
