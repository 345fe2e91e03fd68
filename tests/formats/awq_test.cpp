#include "formats/awq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/golden_linear.h"
#include "formats/gptq_reading.h"

namespace hesse {
namespace {

using testing::HasSubstr;

const AwqFormat kFormat;

// Outputs 0 ... 7 with codes 0 ... 7: the slots hold the outputs 0 2 4 6 1 3 5 7.
TEST(Awq, GoldenWords) {
  Rng rng(1);
  QuantizedLinear linear = random_linear(16, 32, {.group_size = 32, .symmetric = false}, rng);
  for (int64_t o = 0; o < 16; ++o) {
    for (int64_t i = 0; i < 32; ++i) linear.codes(o, i) = static_cast<uint8_t>((o % 8 + i) % 16);
    linear.zeros(0, o) = static_cast<uint8_t>(o);
  }
  StoredTensors stored(kFormat, kModule, linear);
  EXPECT_EQ(stored.at("qweight").spec.shape, (std::vector<int64_t>{32, 2}));
  EXPECT_EQ(stored.at("qweight").get<uint32_t>(0), 0x75316420u);
  EXPECT_EQ(stored.at("qweight").get<uint32_t>(1), 0x75316420u);
  EXPECT_EQ(stored.at("qweight").get<uint32_t>(2), 0x86427531u) << "the next input";
  EXPECT_EQ(stored.at("qzeros").get<uint32_t>(0), 0x75316420u) << "no minus one";
  EXPECT_EQ(stored.at("qzeros").get<uint32_t>(1), 0xFDB9ECA8u);
  EXPECT_EQ(stored.at("scales").spec.shape, (std::vector<int64_t>{1, 16}));
}

TEST(Awq, GoldenLinearComesBack) {
  const QuantizedLinear linear = golden_linear(4);
  expect_same(read_stored(kFormat, StoredTensors(kFormat, kModule, linear), config_of(kFormat, linear.spec)), linear);
}

TEST(Awq, FilesWithoutSymAreJudgedByTheirZeroPoints) {
  Rng rng(2);
  for (const bool symmetric : {true, false}) {
    const QuantizedLinear linear = random_linear(32, 64, {.group_size = 32, .symmetric = symmetric}, rng);
    const StoredTensors stored(kFormat, kModule, linear);
    for (const Json& config :
         {Json::parse(R"({"quant_method": "awq", "bits": 4, "group_size": 32, "version": "GEMM"})", "t"),
          Json::parse(R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 32})", "t")}) {
      EXPECT_TRUE(kFormat.recognises(config));
      expect_same(read_stored(kFormat, stored, config), linear);
    }
  }
}

TEST(Awq, WhyNotNamesTheNumbers) {
  EXPECT_THAT(kFormat.why_not(32, 32, {.bits = 8, .group_size = 32}), HasSubstr("bits = 8, the layout has 4 only"));
  EXPECT_THAT(kFormat.why_not(36, 32, {.group_size = 32}), HasSubstr("out = 36 is not a multiple of 8"));
  EXPECT_THAT(kFormat.why_not(32, 96, {.group_size = 64}), HasSubstr("in = 96 is not a multiple of group_size = 64"));
  Rng rng(3);
  QuantizedLinear linear = random_linear(32, 64, {.group_size = 32}, rng);
  EXPECT_EQ(kFormat.why_not(linear), "");
  std::swap(linear.group_of[3], linear.group_of[40]);
  EXPECT_EQ(kFormat.why_not(linear), "act-order groups: g_idx of input 3 is 1, must be 0");
}

TEST(Awq, HostileFilesAreRefused) {
  Rng rng(4);
  const LinearSpec spec{.group_size = 32, .symmetric = false};
  const StoredTensors stored(kFormat, kModule, random_linear(32, 64, spec, rng));
  const Json config = config_of(kFormat, spec);
  EXPECT_EQ(refusal(kFormat, stored, config), "no error");
  for (const std::string suffix : {"qweight", "qzeros", "scales"}) {
    StoredTensors damaged = stored;
    damaged.erase(suffix);
    EXPECT_THAT(refusal(kFormat, damaged, config), HasSubstr(kModule + ("." + suffix)));
  }
  const auto refused_as = [&](std::string_view suffix, DType dtype, std::vector<int64_t> shape) {
    StoredTensors damaged = stored;
    damaged.at(suffix).reshape(dtype, std::move(shape));
    return refusal(kFormat, damaged, config);
  };
  EXPECT_THAT(refused_as("qweight", DType::kF32, {64, 4}), HasSubstr("qweight is F32, must be I32"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {64, 5}), HasSubstr("qzeros is [2, 4], must be [2, 5]"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {16, 4}), HasSubstr("group_size = 32 is larger than in = 16"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {72, 4}), HasSubstr("in = 72 is not a multiple"));
  EXPECT_THAT(refused_as("qzeros", DType::kI32, {2, 3}), HasSubstr("qzeros is [2, 3]"));
  EXPECT_THAT(refused_as("scales", DType::kF16, {2, 31}), HasSubstr("scales is [2, 31], must be [2, 32]"));
  EXPECT_THAT(refused_as("scales", DType::kI32, {2, 32}), HasSubstr("scales is I32"));
  StoredTensors infinite = stored;
  infinite.at("scales").set<uint16_t>(33, 0x7C00);
  EXPECT_THAT(refusal(kFormat, infinite, config), HasSubstr("the scale of group 1, output 1 is inf"));

  EXPECT_THAT(refusal(kFormat, stored, with(config, "bits", 8)), HasSubstr("bits = 8"));
  EXPECT_THAT(refusal(kFormat, stored, with(config, "bits", nullptr)), HasSubstr("'bits' is missing"));
  EXPECT_THAT(refusal(kFormat, stored, with(config, "group_size", 0)), HasSubstr("group_size = 0"));
  EXPECT_THAT(refusal(kFormat, stored, with(config, "group_size", "32")), HasSubstr("group_size"));
  EXPECT_THAT(refusal(kFormat, stored, with(config, "sym", 1)), HasSubstr("sym"));
  for (const char* version : {"gemv", "gemv_fast", "marlin", ""})
    EXPECT_THROW(kFormat.recognises(with(config, "version", version)), Error) << version;
}

}  // namespace
}  // namespace hesse
