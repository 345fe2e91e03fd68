// Rotations and biases of positions: what must hold of each, whatever the library says.
#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/alibi.h"

namespace hesse {
namespace {

constexpr int64_t kPositions = 64;

RopeConfig plain_rope(int64_t dim, double theta) {
  RopeConfig rope;
  rope.dim = dim;
  rope.theta = theta;
  return rope;
}

double angle(const RopeTable& table, int64_t position, int64_t pair) {
  return std::atan2(table.sin(position, pair), table.cos(position, pair));
}

TEST(Rope, PlainAnglesAreThoseOfTheFormula) {
  const RopeTable table = make_rope_table(plain_rope(8, 100), kPositions);
  ASSERT_EQ(table.cos.cols(), 4);
  for (int64_t i = 0; i < 4; ++i) {
    const double expected = 1 / std::pow(100.0, 2.0 * static_cast<double>(i) / 8);
    EXPECT_NEAR(angle(table, 1, i), expected, 1e-6);
  }
}

// Up to the length that the model was made for nothing changes; beyond it all but the fastest pair turn more slowly.
TEST(Rope, DynamicChangesWithTheLengthOnly) {
  const RopeConfig plain = plain_rope(8, 100);
  RopeConfig dynamic = plain;
  dynamic.kind = RopeKind::kDynamic;
  dynamic.factor = 4;
  dynamic.max_positions = 64;
  const RopeTable same = make_rope_table(dynamic, 64), longer = make_rope_table(dynamic, 65);
  const RopeTable expected = make_rope_table(plain, 64);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(same.cos(63, i), expected.cos(63, i));
    if (i > 0) {
      EXPECT_LT(angle(longer, 1, i), angle(same, 1, i));
    }
  }
  EXPECT_EQ(longer.sin(1, 0), same.sin(1, 0));
}

// The fastest pairs keep their frequency, the slowest are divided by the factor, and none lies outside of both.
TEST(Rope, YarnStretchesSlowPairsOnly) {
  const RopeConfig plain = plain_rope(32, 10000);
  RopeConfig yarn = plain;
  yarn.kind = RopeKind::kYarn;
  yarn.factor = 4;
  yarn.original_positions = 2048;
  yarn.attention_factor = 1.5;
  const RopeTable a = make_rope_table(plain, 2), b = make_rope_table(yarn, 2);
  EXPECT_NEAR(angle(b, 1, 0), angle(a, 1, 0), 1e-6);
  EXPECT_NEAR(angle(b, 1, 15), angle(a, 1, 15) / 4, 1e-6 * angle(a, 1, 15));
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_LE(angle(b, 1, i), angle(a, 1, i) * (1 + 1e-6));
    EXPECT_GE(angle(b, 1, i), angle(a, 1, i) / 4 * (1 - 1e-6));
    EXPECT_NEAR(std::hypot(b.cos(1, i), b.sin(1, i)), 1.5, 1e-6);
  }
}

TEST(Rope, LongRopeTakesItsListByTheLength) {
  RopeConfig rope = plain_rope(4, 100);
  rope.kind = RopeKind::kLongRope;
  rope.original_positions = 32;
  rope.short_factor = {1, 2};
  rope.long_factor = {3, 5};
  rope.attention_factor = 1;
  const RopeTable shorter = make_rope_table(rope, 32), longer = make_rope_table(rope, 33);
  EXPECT_NEAR(angle(shorter, 1, 0), 1.0, 1e-6);
  EXPECT_NEAR(angle(shorter, 1, 1), 0.1 / 2, 1e-7);
  EXPECT_NEAR(angle(longer, 1, 0), 1.0 / 3, 1e-6);
  EXPECT_NEAR(angle(longer, 1, 1), 0.1 / 5, 1e-7);
}

// Press, Smith and Lewis 2021: 8 heads have slopes 1/2 ... 1/256; between powers of two every other one of twice as
// many.
TEST(Alibi, SlopesArePowersOfTwo) {
  const std::vector<float> eight = alibi_slopes(8);
  for (int k = 0; k < 8; ++k) EXPECT_FLOAT_EQ(eight[static_cast<size_t>(k)], std::exp2f(static_cast<float>(-k - 1)));
  const std::vector<float> six = alibi_slopes(6);
  ASSERT_EQ(six.size(), 6u);
  EXPECT_FLOAT_EQ(six[0], 0.25f);
  EXPECT_FLOAT_EQ(six[3], 0.25f * 0.25f * 0.25f * 0.25f);
  EXPECT_FLOAT_EQ(six[4], 0.5f);
  EXPECT_FLOAT_EQ(six[5], 0.125f);
  EXPECT_EQ(alibi_slopes(1).size(), 1u);
}

TEST(Alibi, Bfloat16RoundsEveryStep) {
  EXPECT_EQ(key_biases(AlibiKind::kNone, {}, 1, 5).size(), 0);
  const std::vector<float> slopes = {0.5f, 0.7f};
  const Matrix<float> exact = key_biases(AlibiKind::kFloat32, slopes, 2, 300);
  const Matrix<float> rounded = key_biases(AlibiKind::kBfloat16, slopes, 2, 300);
  EXPECT_EQ(exact(0, 257), 257.0f);
  EXPECT_EQ(rounded(0, 257), 256.0f);  // 257 lies between 256 and 258; the even one is taken
  EXPECT_EQ(exact(1, 1), 1.4f);
  EXPECT_EQ(rounded(1, 1), 1.3984375f);
}

}  // namespace
}  // namespace hesse
