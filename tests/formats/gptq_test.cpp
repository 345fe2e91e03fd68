#include "formats/gptq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "formats/golden_linear.h"
#include "formats/gptq_reading.h"
#include "formats/random_linear.h"
#include "formats/stored_tensors.h"
#include "hesse/error.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Golden {
  int bits;
  std::vector<uint32_t> qweight;  // the first four words
  std::vector<uint32_t> v2, v1;   // all words of qzeros
};

const Golden kGolden[] = {
    {4,
     {0x1A3C5E70, 0x6E63B3B3, 0xB295C8F6, 0xB6C72839},
     {0x61B61B61, 0x1B61B61B, 0xB61B61B6, 0x61B61B61, 0x2C72C72C, 0xC72C72C7, 0x72C72C72, 0x2C72C72C},
     {0x50A50A50, 0x0A50A50A, 0xA50A50A5, 0x50A50A50, 0x1B61B61B, 0xB61B61B6, 0x61B61B61, 0x1B61B61B}},
    {8,
     {0x150E0700, 0x1B130B03, 0x1C180F06, 0x22181309},
     {0x100B0601, 0x241F1A15, 0x38332E29, 0x4C47423D, 0x605B5651, 0x746F6A65, 0x88837E79, 0x9C97928D,  //
      0x1B16110C, 0x2F2A2520, 0x433E3934, 0x57524D48, 0x6B66615C, 0x7F7A7570, 0x938E8984, 0xA7A29D98},
     {0x0F0A0500, 0x231E1914, 0x37322D28, 0x4B46413C, 0x5F5A5550, 0x736E6964, 0x87827D78, 0x9B96918C,  //
      0x1A15100B, 0x2E29241F, 0x423D3833, 0x56514C47, 0x6A65605B, 0x7E79746F, 0x928D8883, 0xA6A19C97}},
    {3,
     {0xB829CBB8, 0x76DB36DB, 0x0768D83E, 0xD57A7419},
     {0xA62EF531, 0xBBD4C5DE, 0x53177A98, 0x8BBD4C5D, 0xF53177A9, 0xC5DEA62E},
     {0x5D0A62E8, 0x298BA14C, 0x2E853174, 0x4298BA14, 0x62E85317, 0xA14C5D0A}},
    {2,
     {0x6C6C6C6C, 0x155AABFF, 0xFA43E50E, 0x9279E38D},
     {0x6DB6DB6D, 0xDB6DB6DB, 0xDB6DB6DB, 0xB6DB6DB6},
     {0x18618618, 0x86186186, 0x86186186, 0x61861861}},
};

TEST(Gptq, GoldenTensorsOfVersionTwo) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.bits);
    StoredTensors stored(kV2, kModule, golden_linear(golden.bits));
    EXPECT_EQ(stored.at("qweight").spec.shape, (std::vector<int64_t>{2 * golden.bits, 32}));
    EXPECT_EQ(stored.at("qzeros").spec.shape, (std::vector<int64_t>{2, golden.bits}));
    EXPECT_EQ(stored.at("scales").spec.shape, (std::vector<int64_t>{2, 32}));
    EXPECT_EQ(stored.at("scales").spec.dtype, DType::kF16);
    EXPECT_EQ(stored.at("g_idx").spec.shape, (std::vector<int64_t>{64}));
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(stored.at("qweight").get<uint32_t>(i), golden.qweight[size_t(i)]);
    for (size_t i = 0; i < golden.v2.size(); ++i) {
      EXPECT_EQ(stored.at("qzeros").get<uint32_t>(static_cast<int64_t>(i)), golden.v2[i]);
    }
    EXPECT_EQ(stored.at("g_idx").get<int32_t>(31), 0);
    EXPECT_EQ(stored.at("g_idx").get<int32_t>(32), 1);
  }
}

// Asymmetric files of version 1 are not written, but other tools have written many.
TEST(Gptq, GoldenZeroPointsOfVersionOneAreRead) {
  for (const Golden& golden : kGolden) {
    SCOPED_TRACE(golden.bits);
    const QuantizedLinear linear = golden_linear(golden.bits);
    StoredTensors stored(kV2, kModule, linear);
    for (size_t i = 0; i < golden.v1.size(); ++i) stored.at("qzeros").set(static_cast<int64_t>(i), golden.v1[i]);
    expect_same(read_stored(kV1, stored, config_of(kV1, linear.spec)), linear);
  }
}

TEST(Gptq, SymmetricZeroPointsOfVersionOne) {
  const std::pair<int, uint32_t> first_words[] = {{2, 0x55555555}, {3, 0xDB6DB6DB}, {4, 0x77777777}, {8, 0x7F7F7F7F}};
  Rng rng(3);
  for (const auto& [bits, word] : first_words) {
    StoredTensors stored(kV1, kModule, random_linear(32, 32, {.bits = bits, .group_size = -1}, rng));
    EXPECT_EQ(stored.at("qzeros").get<uint32_t>(0), word);
  }
}

TEST(Gptq, ConfigurationHasTheMembersThatEnginesRead) {
  FormatConfig config{.spec = {.bits = 4, .group_size = 128, .symmetric = true},
                      .damping = 0.01,
                      .tool_version = "hesse:0.1.0",
                      .meta = Json::parse(R"({"loss": 0.5})", "t")};
  EXPECT_EQ(kV1.config(config).dump(),
            R"({"quant_method": "gptq", "method": "gptq", "checkpoint_format": "gptq", "format": "gptq", "bits": 4, )"
            R"("group_size": 128, "sym": true, "desc_act": false, "lm_head": false, "static_groups": false, )"
            R"("true_sequential": true, "damp_percent": 0.01, "pack_dtype": "int32", )"
            R"("meta": {"quantizer": ["hesse:0.1.0"], "loss": 0.5}})");
  config.act_order = true;
  config.head = "lm_head";
  config.spec.symmetric = false;
  const Json second = kV2.config(config);
  EXPECT_EQ(second.find("checkpoint_format")->as_string("t"), "gptq_v2");
  EXPECT_TRUE(second.find("desc_act")->as_bool("t"));
  EXPECT_TRUE(second.find("lm_head")->as_bool("t"));
  EXPECT_FALSE(second.find("sym")->as_bool("t"));
  config.spec.group_size = -1;
  EXPECT_FALSE(kV2.config(config).find("desc_act")->as_bool("t")) << "one group has no order";
  EXPECT_EQ(kV1.config_file(), "quantize_config.json");
}

// Engines that fuse linears ask by the name of the whole, GPTQModel by those of the parts, transformers reads the list.
TEST(Gptq, ConfigurationNamesWhatStaysAsItIs) {
  const Json config = kV1.config(
      {.packed = {{"model.layers.0.mlp.up_proj", {}}, {"model.layers.1.self_attn.q_proj", {}}},
       .skipped = {"model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                   "model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.o_proj", "model.layers.0.mlp.gate_proj",
                   "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj", "lm_head"}});
  EXPECT_EQ(config.find("dynamic")->dump(),
            R"({"-:^model\\.layers\\.0\\.self_attn\\.(q_proj|k_proj|v_proj|o_proj|qkv_proj)$": {}, )"
            R"("-:^model\\.layers\\.0\\.mlp\\.gate_proj$": {}, )"
            R"("-:^model\\.layers\\.1\\.mlp\\.(gate_proj|up_proj|gate_up_proj)$": {}, "-:^lm_head$": {}})");
  EXPECT_THAT(kV1.listed_as_plain(config),
              testing::IsSupersetOf({"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.gate_proj",
                                     "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj", "lm_head"}));
  EXPECT_THAT(kV1.listed_as_plain(config), testing::Not(testing::Contains("model.layers.0.mlp.up_proj")));
  EXPECT_EQ(config.find("modules_in_block_to_quantize")->dump(),
            R"([["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.q_proj"]])");
  EXPECT_EQ(kV1.config({.packed = {{"model.layers.0.mlp.up_proj", {}}}}).find("modules_in_block_to_quantize"), nullptr);
}

// Engines ask by fused names, GPTQModel by those of the parts; the first rule that matches decides.
TEST(Gptq, ConfigurationNamesWhatIsPackedOtherwise) {
  const LinearSpec more{.bits = 8, .group_size = 32};
  const Json config = kV1.config({.packed = {{"model.layers.0.self_attn.q_proj", more},
                                             {"model.layers.0.self_attn.k_proj", more},
                                             {"model.layers.0.self_attn.v_proj", more},
                                             {"model.layers.0.mlp.up_proj", {}},
                                             {"model.layers.0.mlp.down_proj", more},
                                             {"model.layers.1.mlp.experts.0.up_proj", more},
                                             {"model.layers.1.mlp.experts.1.up_proj", more}},
                                  .skipped = {"model.layers.0.mlp.gate_proj"}});
  const std::string values = R"({"bits": 8, "group_size": 32, "sym": true})";
  EXPECT_EQ(config.find("dynamic")->dump(),
            R"({"-:^model\\.layers\\.0\\.mlp\\.gate_proj$": {}, )"
            R"("+:^model\\.layers\\.1\\.mlp\\.experts(\\..*)?$": )" +
                values + R"(, "+:^model\\.layers\\.0\\.self_attn\\.(q_proj|k_proj|v_proj|qkv_proj)$": )" + values +
                R"(, "+:^model\\.layers\\.0\\.mlp\\.down_proj$": )" + values + "}");
  EXPECT_EQ(kV1.listed_as_plain(config), std::vector<std::string>{"model.layers.0.mlp.gate_proj"});
}

TEST(Gptq, DampingInTheConfigurationLiesInsideZeroAndOne) {
  for (const double damping : {-1.0, 0.0, 1e-30, 0.5, 1.0, 7.0, std::numeric_limits<double>::quiet_NaN()}) {
    const double stored = kV1.config({.damping = damping}).find("damp_percent")->as_double("t");
    EXPECT_GT(stored, 0.0) << damping;
    EXPECT_LT(stored, 1.0) << damping;
  }
}

TEST(Gptq, RecognisesVersionsAndNewerNames) {
  const auto recognised = [](const char* text) -> std::string_view {
    const Json config = Json::parse(text, "t");
    return kV1.recognises(config) ? "v1" : kV2.recognises(config) ? "v2" : "none";
  };
  EXPECT_EQ(recognised(R"({"quant_method": "gptq"})"), "v1");
  EXPECT_EQ(recognised(R"({"method": "gptq", "format": "gptq_v2"})"), "v2");
  EXPECT_EQ(recognised(R"({"quant_method": "gptq", "checkpoint_format": "gptq_v2"})"), "v2");
  EXPECT_EQ(recognised(R"({"quant_method": "gptq", "checkpoint_format": null, "format": null})"), "v1");
  EXPECT_EQ(recognised(R"({"quant_method": "awq", "checkpoint_format": "gemm"})"), "none");
  EXPECT_EQ(recognised("{}"), "none");
}

TEST(Gptq, RelativesThatCannotBeReadAreNamed) {
  const auto message = [](const char* text) -> std::string {
    try {
      kV1.recognises(Json::parse(text, "t"));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
      return error.what();
    }
    return "no error";
  };
  for (const std::string name : {"marlin", "bitblas", "gptq_p", ""}) {
    EXPECT_THAT(message((R"({"quant_method": "gptq", "checkpoint_format": ")" + name + "\"}").c_str()),
                HasSubstr("\"" + name + "\""));
  }
  EXPECT_THAT(message(R"({"quant_method": "gptq", "is_marlin_format": true})"), HasSubstr("Marlin"));
  EXPECT_THAT(message(R"({"quant_method": "gptq", "checkpoint_format": "gptq", "format": "gptq_v2"})"),
              AllOf(HasSubstr("\"gptq\""), HasSubstr("\"gptq_v2\"")));
  EXPECT_THAT(message(R"({"quant_method": 4})"), HasSubstr("quant_method"));
  EXPECT_THAT(message(R"({"quant_method": "gptq", "format": {}})"), HasSubstr("format"));
}

TEST(Gptq, WhyNotNamesTheNumbersAndWhatWouldDo) {
  EXPECT_EQ(kV1.why_not(32, 100, {.bits = 2, .group_size = -1}),
            "in = 100 is not a multiple of 16 (32 / 2 bits); bits that fit: 8");
  EXPECT_EQ(kV1.why_not(40, 32, {.bits = 3, .group_size = 16}),
            "out = 40 is not a multiple of 32, as 3 bits need; bits that fit: 4, 8");
  EXPECT_EQ(kV1.why_not(32, 33, {.bits = 4, .group_size = 16}),
            "in = 33 is not a multiple of 8 (32 / 4 bits); no width fits, leave it unquantized");
  EXPECT_EQ(kV1.why_not(64, 64, {.group_size = 128}),
            "group_size = 128 is larger than in = 64; use -1 (whole row) or at most 64");
  const LinearSpec asymmetric{.group_size = 32, .symmetric = false};
  EXPECT_THAT(kV1.why_not(64, 64, asymmetric), AllOf(HasSubstr("symmetric"), HasSubstr("gptq_v2")));
  EXPECT_EQ(kV2.why_not(64, 64, asymmetric), "");
  EXPECT_EQ(kV1.why_not(4544, 4544, {.group_size = 128}), "") << "a shorter last group is fine";
}

TEST(Gptq, BrokenPromisesAreNotWritten) {
  const auto message = [](const GptqFormat& format, const QuantizedLinear& linear) -> std::string {
    try {
      format.write(kModule, linear, [](std::string_view, std::span<const std::byte>) {});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kInternal);
      return error.what();
    }
    return "no error";
  };
  const auto fresh = [](bool symmetric = true) {
    Rng rng(4);
    return random_linear(32, 64, {.bits = 4, .group_size = 32, .symmetric = symmetric}, rng);
  };
  EXPECT_EQ(message(kV1, fresh()), "no error");
  for (const int zero : {0, 16}) {
    QuantizedLinear linear = fresh(false);
    linear.zeros(1, 5) = static_cast<uint8_t>(zero);
    EXPECT_THAT(message(kV2, linear), HasSubstr(fmt::format("zero point {} of group 1, output 5", zero)));
  }
  QuantizedLinear linear = fresh();
  linear.zeros(1, 5) = 7;
  EXPECT_THAT(message(kV1, linear), HasSubstr("zero point 7")) << "a symmetric grid has 8 everywhere";
  for (const float scale : {0.0f, -0.0f, 0.1f, 65536.0f, 1e-9f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    linear = fresh();
    linear.scales(1, 6) = scale;
    EXPECT_THAT(message(kV1, linear), HasSubstr("of group 1, output 6")) << scale;
  }
  linear = fresh();
  linear.codes(7, 63) = 16;
  EXPECT_THAT(message(kV1, linear), HasSubstr("code 16 in row 7"));
  linear = fresh();
  linear.group_of[3] = 2;
  EXPECT_THAT(message(kV1, linear), HasSubstr("g_idx of input 3 is 2"));
  linear = fresh();
  linear.group_of.pop_back();
  EXPECT_THAT(message(kV1, linear), HasSubstr("63 entries for 64 inputs"));
  linear = fresh();
  linear.scales = Matrix<float>::zeros(1, 32);
  EXPECT_THAT(message(kV1, linear), HasSubstr("scales are [1, 32], must be [2, 32]"));
  linear = fresh(false);
  EXPECT_THAT(message(kV1, linear), HasSubstr("gptq_v2"));
}

TEST(Gptq, ActivationOrderOfOtherToolsIsRead) {
  Rng rng(5);
  QuantizedLinear linear = random_linear(32, 72, {.bits = 4, .group_size = 32, .symmetric = false}, rng);
  rng.shuffle(linear.group_of);
  const StoredTensors stored(kV2, kModule, linear);
  expect_same(read_stored(kV2, stored, with(config_of(kV2, linear.spec), "desc_act", true)), linear);
}

TEST(Gptq, ScalesOfOtherTypesAreConvertedExactly) {
  Rng rng(6);
  const QuantizedLinear linear = random_linear(32, 64, {.bits = 4, .group_size = 32}, rng);
  StoredTensors stored(kV1, kModule, linear);
  stored.at("scales").reshape(DType::kF32, {2, 32});
  for (int64_t i = 0; i < 64; ++i) stored.at("scales").set(i, 0.1f + static_cast<float>(i));
  EXPECT_EQ(read_stored(kV1, stored, config_of(kV1, linear.spec)).scales(1, 31), 63.1f);
  stored.at("scales").reshape(DType::kBF16, {2, 32});
  for (int64_t i = 0; i < 64; ++i) stored.at("scales").set(i, static_cast<uint16_t>(0x3DCD));
  EXPECT_EQ(read_stored(kV1, stored, config_of(kV1, linear.spec)).scales(1, 31), 0.10009765625f);
}

TEST(Gptq, ExtremeZeroPointsOfOtherTools) {
  Rng rng(7);
  const QuantizedLinear four = random_linear(32, 64, {.bits = 4, .group_size = 32, .symmetric = false}, rng);
  StoredTensors stored(kV2, kModule, four);
  stored.at("qzeros").set<uint32_t>(0, 0x7777777F);
  EXPECT_EQ(read_stored(kV1, stored, config_of(kV1, four.spec)).zeros(0, 0), 16) << "15 + 1 does not wrap";
  stored.at("qzeros").set<uint32_t>(0, 0x88888880);
  EXPECT_EQ(read_stored(kV2, stored, config_of(kV2, four.spec)).zeros(0, 0), 0);

  QuantizedLinear eight = random_linear(32, 64, {.bits = 8, .group_size = 32, .symmetric = false}, rng);
  std::fill_n(eight.zeros.data(), eight.zeros.size(), uint8_t{100});
  StoredTensors wide(kV2, kModule, eight);
  wide.at("qzeros").set<uint32_t>(8, 0x7F7FFF7F);
  EXPECT_THAT(refusal(kV1, wide, config_of(kV1, eight.spec)),
              AllOf(HasSubstr(kModule), HasSubstr("group 1, output 1 is 256")));
  EXPECT_EQ(read_stored(kV2, wide, config_of(kV2, eight.spec)).zeros(1, 1), 255);
}

// Published files say version 1 and hold zero points of version 2; kernels that look at them compute another model.
TEST(Gptq, SymmetricFilesOfTheWrongVersionAreRefused) {
  Rng rng(8);
  const QuantizedLinear linear = random_linear(32, 64, {.bits = 4, .group_size = 32}, rng);
  const StoredTensors second(kV2, kModule, linear);
  EXPECT_THAT(refusal(kV1, second, config_of(kV1, linear.spec)),
              AllOf(HasSubstr("is 9 instead of 8"), HasSubstr("checkpoint_format")));
  const StoredTensors first(kV1, kModule, linear);
  EXPECT_THAT(refusal(kV2, first, config_of(kV2, linear.spec)), HasSubstr("is 7 instead of 8"));
}

TEST(Gptq, WithoutSymTheZeroPointsTell) {
  Rng rng(9);
  for (const bool symmetric : {true, false}) {
    const QuantizedLinear linear = random_linear(32, 64, {.bits = 4, .group_size = 32, .symmetric = symmetric}, rng);
    const StoredTensors stored(kV2, kModule, linear);
    expect_same(read_stored(kV2, stored, with(config_of(kV2, linear.spec), "sym", nullptr)), linear);
  }
}

// "dynamic" changes bits and group size of some linears; shapes and g_idx say what this one has.
TEST(Gptq, OverriddenLinearsAreReadFromTheirShapes) {
  Rng rng(10);
  const Json rules = Json::parse(R"({"-:.*gate$": {}, "+:.*up_proj": {"bits": 8}})", "t");
  const Json config = with(config_of(kV2, {.bits = 4, .group_size = 64}), "dynamic", rules);
  for (const int bits : {2, 3, 4, 8}) {
    for (const int64_t group_size : {-1, 16, 40, 48, 64}) {
      SCOPED_TRACE(testing::Message() << bits << " bits, group size " << group_size);
      const LinearSpec spec{.bits = bits, .group_size = group_size, .symmetric = bits != 3};
      const QuantizedLinear linear = random_linear(32, 96, spec, rng);
      expect_same(read_stored(kV2, StoredTensors(kV2, kModule, linear), config), linear);
    }
  }
  StoredTensors stored(kV2, kModule, random_linear(32, 96, {.bits = 4, .group_size = 32}, rng));
  stored.at("g_idx").reshape(DType::kI32, {95});
  EXPECT_THAT(refusal(kV2, stored, config), AllOf(HasSubstr("12 rows"), HasSubstr("in = 95")));
}

TEST(Gptq, RulesThatOnlySkipLeaveTheConfigurationInForce) {
  Rng rng(11);
  const QuantizedLinear linear = random_linear(32, 64, {.bits = 4, .group_size = 32}, rng);
  const StoredTensors stored(kV1, kModule, linear);
  const Json rules = Json::parse(R"({"-:.*lm_head": {}})", "t");
  expect_same(read_stored(kV1, stored, with(config_of(kV1, linear.spec), "dynamic", rules)), linear);
  const Json wrong = with(config_of(kV1, {.bits = 8, .group_size = 32}), "dynamic", rules);
  EXPECT_THAT(refusal(kV1, stored, wrong), HasSubstr("8 bits"));
}

}  // namespace
}  // namespace hesse
