#include "formats/plain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/gptq_reading.h"
#include "formats/random_linear.h"

namespace hesse {
namespace {

using testing::HasSubstr;

const PlainFormat kHalf(DType::kF16);
const PlainFormat kBrain(DType::kBF16);

QuantizedLinear moderate_linear(uint64_t seed) {
  Rng rng(seed);
  QuantizedLinear linear = random_linear(32, 64, {.bits = 8, .group_size = 32, .symmetric = false}, rng);
  for (int64_t i = 0; i < linear.scales.size(); ++i)
    linear.scales.data()[i] = f16_to_float(static_cast<uint16_t>(0x2000 + rng.below(0x1000)));
  return linear;
}

// Every weight is the nearest number of its type: bit for bit the rounding of the dequantized one.
TEST(Plain, WeightsAreTheNearestOfTheirType) {
  const QuantizedLinear linear = moderate_linear(1);
  const Matrix<float> weight = dequantize(linear);
  for (const PlainFormat* format : {&kHalf, &kBrain}) {
    StoredTensors stored(*format, kModule, linear);
    ASSERT_EQ(stored.all().size(), 1u);
    EXPECT_EQ(stored.at("weight").spec.shape, (std::vector<int64_t>{32, 64}));
    for (int64_t i = 0; i < weight.size(); ++i) {
      const uint16_t bits = stored.at("weight").get<uint16_t>(i);
      const float value = weight.data()[i];
      ASSERT_EQ(bits, format == &kHalf ? float_to_f16(value) : float_to_bf16(value)) << i;
    }
  }
}

// Families whose plain weights lie [in, out].
TEST(Plain, WrittenTheOtherWayRound) {
  const QuantizedLinear linear = moderate_linear(2);
  StoredTensors straight(kHalf, kModule, linear);
  const auto specs = kHalf.layout(kModule, {.out = 32, .in = 64, .spec = linear.spec, .in_out = true});
  EXPECT_EQ(specs.at(0).shape, (std::vector<int64_t>{64, 32}));
  int calls = 0;
  write_form(kHalf, kModule, linear, true, [&](std::string_view name, std::span<const std::byte> bytes) {
    ++calls;
    EXPECT_EQ(name, specs[0].name);
    ASSERT_EQ(static_cast<int64_t>(bytes.size()), specs[0].bytes());
    for (const auto& [o, i] : {std::pair<int64_t, int64_t>{0, 0}, {31, 0}, {5, 63}, {31, 63}, {7, 13}}) {
      uint16_t bits = 0;
      std::memcpy(&bits, bytes.data() + (i * 32 + o) * 2, 2);
      EXPECT_EQ(bits, straight.at("weight").get<uint16_t>(o * 64 + i));
    }
  });
  EXPECT_EQ(calls, 1);
}

TEST(Plain, WhatAHalfCannotHoldIsRefused) {
  QuantizedLinear linear = moderate_linear(3);
  EXPECT_EQ(kHalf.why_not(linear), "");
  linear.scales(1, 5) = 32768.0f;
  linear.zeros(1, 5) = 1;
  linear.codes(5, 40) = 255;
  EXPECT_THAT(kHalf.why_not(linear), HasSubstr("the weight of output 5"));
  EXPECT_EQ(kBrain.why_not(linear), "");
  EXPECT_THROW(kHalf.write(kModule, linear, [](std::string_view, std::span<const std::byte>) {}), Error);
}

TEST(Plain, OthersKeepWhatIsSolved) {
  EXPECT_EQ(working_format(kHalf).name(), "gptq_v2");
  EXPECT_EQ(&working_format(export_format("awq")), &export_format("awq"));
}

}  // namespace
}  // namespace hesse
