#include "base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hesse {
namespace {

TEST(Dtype, EveryHalfSurvivesTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float value = f16_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(value)))) << bits;
    } else {
      ASSERT_EQ(float_to_f16(value), bits);
    }
  }
}

// The nearest half, found by search, is the oracle; ties must go to the even mantissa.
TEST(Dtype, FloatToHalfRoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const float low = f16_to_float(static_cast<uint16_t>(bits));
    const float high = f16_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;  // exact: a half has 11 bits of mantissa
    ASSERT_EQ(float_to_f16(std::nextafter(middle, low)), bits);
    ASSERT_EQ(float_to_f16(std::nextafter(middle, high)), bits + 1);
    ASSERT_EQ(float_to_f16(middle), (bits % 2 == 0) ? bits : bits + 1);
  }
}

// Values of formats: 65504 is the largest half, 65520 overflows, 2.9e-8 becomes 0, 0.1 is 0x2E66.
TEST(Dtype, HalfLimits) {
  EXPECT_EQ(float_to_f16(65504.0f), 0x7BFF);
  EXPECT_EQ(float_to_f16(65519.996f), 0x7BFF);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_f16(2.9e-8f), 0);
  EXPECT_EQ(float_to_f16(0.1f), 0x2E66);
  EXPECT_EQ(float_to_f16(-std::numeric_limits<float>::infinity()), 0xFC00);
}

TEST(Dtype, BrainFloatRoundsToNearestEven) {
  EXPECT_EQ(float_to_bf16(0.1f), 0x3DCD);
  for (uint32_t bits = 0x0080; bits < 0x7F7F; ++bits) {
    const uint32_t middle = bits << 16 | 0x8000u;
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>(middle - 1)), bits);
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>(middle + 1)), bits + 1);
    ASSERT_EQ(float_to_bf16(std::bit_cast<float>(middle)), (bits % 2 == 0) ? bits : bits + 1);
  }
}

TEST(Dtype, NamesAndSizesAgree) {
  EXPECT_EQ(dtype_from_name("BF16"), DType::kBF16);
  EXPECT_EQ(dtype_size(DType::kBF16), 2);
  EXPECT_EQ(dtype_from_name("F8_E4M3"), DType::kF8E4M3);
  EXPECT_EQ(dtype_from_name("f16"), std::nullopt);
}

}  // namespace
}  // namespace hesse
