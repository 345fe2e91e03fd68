// 16-bit floats: all 65536 of them, by bits.
#include <bit>

#include "base/dtype.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Convert : public KernelTest {};
HESSE_FOR_EACH_TARGET(Convert);

using Conversion = void(const uint16_t*, float*, int64_t);

// From every value, in an order that changes its neighbours, and at an odd place.
void expect_all_bits(Conversion* convert, float (*expected)(uint16_t)) {
  std::vector<uint16_t> in(65537);
  for (size_t i = 0; i < 65536; ++i) in[i + 1] = static_cast<uint16_t>(i * 40503u);
  Floats out(65536);
  convert(in.data() + 1, out.data(), 65536);
  int64_t wrong = 0;
  for (size_t i = 0; i < 65536; ++i) {
    wrong += std::bit_cast<uint32_t>(out[i]) != std::bit_cast<uint32_t>(expected(in[i + 1]));
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(Convert, HalfIsExact) { expect_all_bits(f16_to_f32, f16_to_float); }
TEST_P(Convert, BfloatIsExact) { expect_all_bits(bf16_to_f32, bf16_to_float); }
TEST(ScalarTwin, HalfIsExact) { expect_all_bits(scalar::f16_to_f32, f16_to_float); }
TEST(ScalarTwin, BfloatIsExact) { expect_all_bits(scalar::bf16_to_f32, bf16_to_float); }

using Rounding = void(const float*, uint16_t*, int64_t);

// Every upper half, each with lower halves around the tie; and random bits.
Floats values_to_round() {
  std::vector<uint32_t> bits;
  for (uint32_t upper = 0; upper < 65536; ++upper) {
    for (const uint32_t lower : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      bits.push_back(upper << 16 | lower);
  }
  Rng rng(test_seed());
  for (int i = 0; i < 100000; ++i) bits.push_back(static_cast<uint32_t>(rng.next()));
  Floats values;
  for (const uint32_t b : bits) values.push_back(std::bit_cast<float>(b));
  return values;
}

// No other bfloat16 lies nearer, and of two that are as near the even one is taken; in double, where all differences of
// neighbours are exact.
void expect_nearest_bf16(float value, uint16_t rounded) {
  const float result = bf16_to_float(rounded);
  if (std::isnan(value)) {
    ASSERT_TRUE(std::isnan(result));
    ASSERT_EQ(std::signbit(value), std::signbit(result));
    return;
  }
  ASSERT_EQ(std::signbit(value), std::signbit(result));
  // Infinity counts as the number that would follow the largest one.
  const auto number = [](uint16_t magnitude) {
    return magnitude == 0x7F80u ? 0x1p+128 : static_cast<double>(bf16_to_float(magnitude));
  };
  const uint16_t magnitude = rounded & 0x7FFFu;
  if (std::isinf(value)) {
    ASSERT_EQ(magnitude, 0x7F80u);
    return;
  }
  ASSERT_LE(magnitude, 0x7F80u);
  const double distance = std::fabs(std::fabs(double{value}) - number(magnitude));
  for (const int step : {-1, 1}) {
    const int neighbour = magnitude + step;
    if (neighbour < 0 || neighbour > 0x7F80) continue;
    const double other = std::fabs(std::fabs(double{value}) - number(static_cast<uint16_t>(neighbour)));
    ASSERT_LE(distance, other) << value;
    ASSERT_TRUE(distance < other || magnitude % 2 == 0) << value;
  }
}

TEST(ScalarTwin, BfloatIsTheNearestAndTiesGoToEven) {
  HESSE_PRINT_SEED();
  const Floats in = values_to_round();
  std::vector<uint16_t> out(in.size());
  scalar::f32_to_bf16(in.data(), out.data(), static_cast<int64_t>(in.size()));
  for (size_t i = 0; i < in.size(); ++i) ASSERT_NO_FATAL_FAILURE(expect_nearest_bf16(in[i], out[i]));
}

TEST_P(Convert, RoundingToBfloatEqualsTheTwin) {
  HESSE_PRINT_SEED();
  const Floats in = values_to_round();
  std::vector<uint16_t> out(in.size()), expected(in.size());
  f32_to_bf16(in.data(), out.data(), static_cast<int64_t>(in.size()));
  scalar::f32_to_bf16(in.data(), expected.data(), static_cast<int64_t>(in.size()));
  EXPECT_TRUE(out == expected);
  for (const int64_t n : sizes()) {
    for (size_t offset = 0; offset < 3; ++offset) {
      // Ends with its allocation, and with a mark behind the last element that is written.
      const Floats some(in.begin(), in.begin() + n + static_cast<int64_t>(offset));
      std::vector<uint16_t> rounded(static_cast<size_t>(n) + offset + 1, 0xABCDu);
      f32_to_bf16(some.data() + offset, rounded.data() + offset, n);
      for (size_t i = offset; i < some.size(); ++i) ASSERT_EQ(rounded[i], float_to_bf16(some[i]));
      ASSERT_EQ(rounded.back(), 0xABCDu);
    }
  }
}

TEST_P(Convert, NothingBeyondTheEndIsWritten) {
  for (Conversion* convert : {f16_to_f32, bf16_to_f32}) {
    for (const int64_t n : sizes()) {
      for (int64_t offset = 0; offset < kOffsets; ++offset) {
        const std::vector<uint16_t> in(static_cast<size_t>(n + offset), uint16_t{0x3C00});
        Row out(n + 1, offset, -7.0f);
        convert(in.data() + offset, out.data(), n);
        EXPECT_EQ(out[n], -7.0f);
        for (int64_t i = 0; i < n; ++i) ASSERT_NE(out[i], -7.0f);
      }
    }
  }
}

}  // namespace
}  // namespace hesse
