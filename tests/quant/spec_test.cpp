#include "quant/spec.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace hesse {
namespace {

TEST(Spec, GroupsAreCountedWithTheShorterLastOne) {
  EXPECT_EQ((LinearSpec{.group_size = 128}.groups(256)), 2);
  EXPECT_EQ((LinearSpec{.group_size = 128}.groups(257)), 3);
  EXPECT_EQ((LinearSpec{.group_size = 128}.groups(100)), 1);
  EXPECT_EQ((LinearSpec{.group_size = -1}.groups(4544)), 1);
  EXPECT_EQ((LinearSpec{.group_size = -1}.group_width(4544)), 4544);
}

TEST(Spec, CodeRangeAndSymmetricZeroOfEveryWidth) {
  for (const int bits : {2, 3, 4, 8}) {
    const LinearSpec spec{.bits = bits};
    EXPECT_EQ(spec.max_code(), 2 * spec.symmetric_zero() - 1);
  }
  EXPECT_EQ(LinearSpec{.bits = 8}.max_code(), 255);
}

TEST(Spec, ContiguousGroupsHaveTheirWidthAndTheLastIsShorter) {
  EXPECT_EQ(contiguous_groups(7, 3), (std::vector<int32_t>{0, 0, 0, 1, 1, 1, 2}));
  EXPECT_EQ(contiguous_groups(4, 4), (std::vector<int32_t>{0, 0, 0, 0}));
  EXPECT_EQ(contiguous_groups(2, 5), (std::vector<int32_t>{0, 0}));
  EXPECT_TRUE(contiguous_groups(0, 4).empty());
  for (const int64_t width : {1, 2, 31, 32, 33, 100}) {
    const LinearSpec spec{.group_size = width};
    EXPECT_EQ(contiguous_groups(100, width).back() + 1, spec.groups(100)) << width;
  }
}

// scale * (code - zero) in the order of the formula; the difference is a small integer, so both sides round once.
TEST(Spec, DequantizeEqualsThePlainLoop) {
  const uint64_t seed = 20240602u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const int bits : {2, 3, 4, 8}) {
    QuantizedLinear linear;
    linear.spec = {.bits = bits, .group_size = 12, .symmetric = false};
    linear.codes = Matrix<uint8_t>(9, 40);
    linear.scales = Matrix<float>(4, 9);
    linear.zeros = Matrix<uint8_t>(4, 9);
    for (int64_t i = 0; i < 9 * 40; ++i) linear.codes.data()[i] = static_cast<uint8_t>(rng.below(1u << bits));
    for (int64_t i = 0; i < 4 * 9; ++i) {
      linear.scales.data()[i] = static_cast<float>(rng.normal());
      linear.zeros.data()[i] = static_cast<uint8_t>(rng.below(1u << bits));
    }
    linear.group_of = contiguous_groups(40, 12);
    rng.shuffle(linear.group_of);

    const Matrix<float> weight = dequantize(linear);
    ASSERT_EQ(weight.rows(), 9);
    ASSERT_EQ(weight.cols(), 40);
    for (int64_t o = 0; o < 9; ++o) {
      for (int64_t i = 0; i < 40; ++i) {
        const int32_t g = linear.group_of[static_cast<size_t>(i)];
        const int level = static_cast<int>(linear.codes(o, i)) - static_cast<int>(linear.zeros(g, o));
        ASSERT_EQ(weight(o, i), linear.scales(g, o) * static_cast<float>(level));
      }
    }
  }
}

// The half 0.1 with zero point 8, from docs/FORMATS.md.
TEST(Spec, DequantizeOfAWorkedExample) {
  QuantizedLinear linear;
  linear.spec = {.bits = 4, .group_size = -1, .symmetric = true};
  linear.codes = Matrix<uint8_t>(1, 4);
  const uint8_t codes[] = {0, 7, 8, 15};
  std::copy_n(codes, 4, linear.codes.data());
  linear.scales = Matrix<float>(1, 1);
  linear.scales(0, 0) = 0.0999755859375f;
  linear.zeros = Matrix<uint8_t>(1, 1);
  linear.zeros(0, 0) = 8;
  linear.group_of = contiguous_groups(4, 4);
  const Matrix<float> weight = dequantize(linear);
  EXPECT_EQ(weight(0, 0), -0.7998046875f);
  EXPECT_EQ(weight(0, 1), -0.0999755859375f);
  EXPECT_EQ(weight(0, 2), 0.0f);
  EXPECT_EQ(weight(0, 3), 0.6998291015625f);
}

}  // namespace
}  // namespace hesse
