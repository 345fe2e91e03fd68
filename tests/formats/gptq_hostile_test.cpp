// Files and configurations that a reader must refuse, one damage at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "formats/gptq_reading.h"
#include "formats/random_linear.h"
#include "formats/stored_tensors.h"
#include "hesse/error.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class GptqHostile : public testing::Test {
 protected:
  GptqHostile() : linear_(make()), stored_(kV1, kModule, linear_), config_(config_of(kV1, linear_.spec)) {}
  std::string refused() const { return refusal(kV1, stored_, config_); }
  std::string refused_with(std::string_view key, Json value) const {
    return refusal(kV1, stored_, with(config_, key, std::move(value)));
  }
  std::string refused_as(std::string_view suffix, DType dtype, std::vector<int64_t> shape) const {
    StoredTensors damaged = stored_;
    damaged.at(suffix).reshape(dtype, std::move(shape));
    return refusal(kV1, damaged, config_);
  }

  QuantizedLinear linear_;  // [32, 64], 4 bits, groups of 32
  StoredTensors stored_;
  Json config_;

 private:
  static QuantizedLinear make() {
    Rng rng(12);
    return random_linear(32, 64, {.bits = 4, .group_size = 32}, rng);
  }
};

TEST_F(GptqHostile, NothingIsRefusedBeforeItIsDamaged) { EXPECT_EQ(refused(), "no error"); }

TEST_F(GptqHostile, MissingTensors) {
  for (const std::string suffix : {"qweight", "qzeros", "scales", "g_idx"}) {
    StoredTensors damaged = stored_;
    damaged.erase(suffix);
    EXPECT_THAT(refusal(kV1, damaged, config_), HasSubstr(fmt::format("[gptq] {}: there is no tensor", kModule)));
    EXPECT_THAT(refusal(kV1, damaged, config_), HasSubstr(kModule + ("." + suffix)));
  }
}

TEST_F(GptqHostile, WrongTypes) {
  EXPECT_THAT(refused_as("qweight", DType::kU8, {8, 32}), HasSubstr("qweight is U8, must be I32"));
  EXPECT_THAT(refused_as("qzeros", DType::kF32, {2, 4}), HasSubstr("qzeros is F32, must be I32"));
  EXPECT_THAT(refused_as("scales", DType::kI32, {2, 32}), HasSubstr("scales is I32, must be F16, BF16 or F32"));
  EXPECT_THAT(refused_as("scales", DType::kF64, {2, 32}), HasSubstr("scales is F64"));
  EXPECT_THAT(refused_as("g_idx", DType::kI64, {64}), HasSubstr("g_idx is I64, must be I32"));
}

TEST_F(GptqHostile, WrongShapes) {
  EXPECT_THAT(refused_as("qweight", DType::kI32, {7, 32}), AllOf(HasSubstr("7 rows"), HasSubstr("needs 8")));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {8, 40}), HasSubstr("scales is [2, 32], must be [2, 40]"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {256}), HasSubstr("1 dimensions, must have 2"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {8, 32, 1}), HasSubstr("3 dimensions"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {0, 32}), HasSubstr("qweight [0, 32] is empty"));
  EXPECT_THAT(refused_as("qweight", DType::kI32, {0, int64_t{1} << 60}), HasSubstr("is empty"));
  EXPECT_THAT(refused_as("qzeros", DType::kI32, {1, 4}), HasSubstr("qzeros is [1, 4], must be [2, 4]"));
  EXPECT_THAT(refused_as("qzeros", DType::kI32, {2, 5}), HasSubstr("qzeros is [2, 5], must be [2, 4]"));
  EXPECT_THAT(refused_as("scales", DType::kF16, {2, 31}), HasSubstr("scales is [2, 31], must be [2, 32]"));
  EXPECT_THAT(refused_as("scales", DType::kF16, {64}), HasSubstr("scales has 1 dimensions"));
  EXPECT_THAT(refused_as("g_idx", DType::kI32, {65}), HasSubstr("in = 65"));
  EXPECT_THAT(refused_as("g_idx", DType::kI32, {64, 1}), HasSubstr("2 dimensions, must have 1"));
  StoredTensors ragged = stored_;
  ragged.at("qweight").reshape(DType::kI32, {8, 36});
  ragged.at("scales").reshape(DType::kF16, {2, 36});
  EXPECT_THAT(refusal(kV1, ragged, config_), HasSubstr("out = 36 zero points of 4 bits do not fill whole words"));
  StoredTensors damaged = stored_;
  damaged.at("scales").reshape(DType::kF16, {3, 32});
  damaged.at("qzeros").reshape(DType::kI32, {3, 4});
  EXPECT_NE(refusal(kV1, damaged, config_), "no error");
  damaged.at("g_idx").set<int32_t>(63, 2);
  EXPECT_THAT(refusal(kV1, damaged, config_), HasSubstr("scales have 3 groups, in = 64 with group_size 32 has 2"));
}

TEST_F(GptqHostile, GroupIndices) {
  for (const int32_t index : {2, -1, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    StoredTensors damaged = stored_;
    damaged.at("g_idx").set(17, index);
    EXPECT_THAT(refusal(kV1, damaged, config_),
                HasSubstr(fmt::format("g_idx of input 17 is {}, must be in 0...1", index)));
  }
  for (int64_t i = 0; i < 64; ++i) stored_.at("g_idx").set<int32_t>(i, 0);
  EXPECT_THAT(refused(), HasSubstr("g_idx gives group 1 of 2 no input"));
}

TEST_F(GptqHostile, ScalesThatAreNotFinite) {
  for (const int bits : {0x7E00, 0x7C00, 0xFC00}) {
    StoredTensors damaged = stored_;
    damaged.at("scales").set(33, static_cast<uint16_t>(bits));
    EXPECT_THAT(refusal(kV1, damaged, config_), HasSubstr("the scale of group 1, output 1 is"));
  }
}

TEST_F(GptqHostile, ConfigurationValues) {
  EXPECT_THAT(refused_with("bits", 5), HasSubstr("bits = 5"));
  EXPECT_THAT(refused_with("bits", int64_t{1} << 40), HasSubstr("bits = 1099511627776"));
  EXPECT_THAT(refused_with("bits", 8), AllOf(HasSubstr("8 rows"), HasSubstr("needs 16")));
  EXPECT_THAT(refused_with("group_size", 0), HasSubstr("group_size = 0"));
  EXPECT_THAT(refused_with("group_size", -2), HasSubstr("group_size = -2"));
  EXPECT_THAT(refused_with("group_size", 128), HasSubstr("group_size = 128 is larger than in = 64"));
  EXPECT_THAT(refused_with("group_size", std::numeric_limits<int64_t>::max()), HasSubstr("is larger than in = 64"));
  EXPECT_THAT(refused_with("group_size", 16), HasSubstr("scales have 2 groups, in = 64 with group_size 16 has 4"));
  EXPECT_THAT(refused_with("group_size", -1), HasSubstr("has 1"));
  EXPECT_THAT(refused_with("pack_dtype", "int64"), HasSubstr("\"int64\""));
  EXPECT_THAT(refused_with("rotation", "hadamard"), HasSubstr("\"hadamard\""));
}

TEST_F(GptqHostile, ConfigurationTypes) {
  const char* const wrong[] = {R"("4")", "true", "4.5", "[4]", "{}"};
  for (const char* text : wrong) {
    EXPECT_THAT(refused_with("bits", Json::parse(text, "t")), HasSubstr("quantization_config.bits")) << text;
    EXPECT_THAT(refused_with("group_size", Json::parse(text, "t")), HasSubstr("quantization_config.group_size"))
        << text;
  }
  EXPECT_THAT(refused_with("bits", nullptr), HasSubstr("'bits' is missing"));
  EXPECT_THAT(refused_with("group_size", nullptr), HasSubstr("'group_size' is missing"));
  EXPECT_THAT(refused_with("sym", 1), HasSubstr("quantization_config.sym"));
  EXPECT_THAT(refused_with("desc_act", "false"), HasSubstr("quantization_config.desc_act"));
  EXPECT_THAT(refused_with("dynamic", Json::array()), HasSubstr("quantization_config.dynamic"));
  EXPECT_THAT(refused_with("pack_dtype", 32), HasSubstr("quantization_config.pack_dtype"));
}

// No change of a single byte of a tensor may do more than change values or be refused.
TEST_F(GptqHostile, DamagedBytesAreRefusedOrDecoded) {
  const uint64_t seed = 20240604u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const char* suffix : {"qweight", "qzeros", "scales", "g_idx"}) {
    for (int round = 0; round < 12; ++round) {
      StoredTensors damaged = stored_;
      StoredTensor& tensor = damaged.at(suffix);
      tensor.bytes[rng.below(tensor.bytes.size())] ^= std::byte{static_cast<uint8_t>(1 + rng.below(255))};
      try {
        const QuantizedLinear linear = read_stored(kV1, damaged, config_);
        dequantize(linear);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
        EXPECT_THAT(error.what(), HasSubstr(kModule));
      }
    }
  }
}

}  // namespace
}  // namespace hesse
