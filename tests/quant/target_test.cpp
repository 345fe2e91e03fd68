#include "quant/target.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/dtype.h"
#include "base/rng.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 17;
constexpr int64_t kTokens = 300, kIn = 40, kOut = 25;

Matrix<float> random_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
  return m;
}

// Inputs of the original and of a slightly different model, with the Hessian of the latter.
struct Drifted {
  Matrix<float> x, x_quantized;
  PreparedHessian prepared;
};

Drifted make_drifted(Rng& rng, double damping) {
  Matrix<float> x = random_matrix(rng, kTokens, kIn);
  Matrix<float> moved = x.clone();
  for (int64_t i = 0; i < moved.size(); ++i) moved.data()[i] += static_cast<float>(0.3 * rng.normal());
  Hessian h(kIn);
  h.add(moved.view());
  return {std::move(x), std::move(moved), prepare_hessian(std::move(h), {.damping = damping})};
}

// sum over tokens of |W x - T x~|^2
double output_error(const Drifted& d, const Matrix<float>& weight, const Matrix<float>& target) {
  double sum = 0;
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t o = 0; o < kOut; ++o) {
      double y = 0;
      for (int64_t i = 0; i < kIn; ++i)
        y += double{weight(o, i)} * d.x(t, i) - double{target(o, i)} * d.x_quantized(t, i);
      sum += y * y;
    }
  }
  return sum;
}

Matrix<float> target_by_input(const Drifted& d, const Matrix<float>& weight, const ShiftOptions& options) {
  InputDrift drift(kIn);
  drift.add(d.x.view().row_range(0, 100), d.x_quantized.view().row_range(0, 100));
  drift.add(d.x.view().row_range(100, 200), d.x_quantized.view().row_range(100, 200));
  return shifted_target(weight.view(), drift.correction(weight.view(), options).view(), d.prepared);
}

// shift = 1 without damping is the least-squares answer: every small change of it makes the output error larger.
TEST(Target, FullShiftIsTheLeastSquaresAnswer) {
  Rng rng(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const Drifted d = make_drifted(rng, 1e-9);
  const Matrix<float> weight = random_matrix(rng, kOut, kIn);
  const Matrix<float> best = target_by_input(d, weight, {.shift = 1});
  const double least = output_error(d, weight, best);
  EXPECT_LT(least, output_error(d, weight, weight));
  for (int trial = 0; trial < 20; ++trial) {
    Matrix<float> other = best.clone();
    for (int64_t i = 0; i < other.size(); ++i) other.data()[i] += static_cast<float>(1e-2 * rng.normal());
    EXPECT_GT(output_error(d, weight, other), least);
  }
  const double half = output_error(d, weight, target_by_input(d, weight, {.shift = 0.5}));
  EXPECT_GT(half, least);
  EXPECT_LT(half, output_error(d, weight, weight));
}

// Both forms of the first term are the same sum.
TEST(Target, OutputFormEqualsInputFormWithoutAResidual) {
  Rng rng(kSeed);
  const Drifted d = make_drifted(rng, 0.01);
  const Matrix<float> weight = random_matrix(rng, kOut, kIn);
  const ShiftOptions options{.shift = 0.7, .residual = 0};
  const Matrix<float> h = random_matrix(rng, kTokens, kOut);
  OutputDrift drift(weight.view(), options);
  drift.add(d.x.view(), d.x_quantized.view(), h.view(), h.view());
  const Matrix<float> a = shifted_target(weight.view(), drift.correction().view(), d.prepared);
  const Matrix<float> b = target_by_input(d, weight, options);
  // Sums of 300 float32 products, through a well-conditioned solve.
  for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data()[i], b.data()[i], 1e-4);
}

// Behind the linear, with a bias: the same N, but for roundings of sums some ten times as large.
TEST(Target, ResidualFormEqualsTheOutputForm) {
  Rng rng(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const Drifted d = make_drifted(rng, 0.01);
  const Matrix<float> weight = random_matrix(rng, kOut, kIn);
  const ShiftOptions options{.shift = 0.8, .residual = 0.8};
  const Matrix<float> h = random_matrix(rng, kTokens, kOut), h_quantized = random_matrix(rng, kTokens, kOut);
  std::vector<float> bias;
  for (int64_t o = 0; o < kOut; ++o) bias.push_back(static_cast<float>(rng.normal()));
  OutputDrift output(weight.view(), options);
  output.add(d.x.view(), d.x_quantized.view(), h.view(), h_quantized.view());
  ResidualDrift residual(kOut, kIn, bias);
  Matrix<float> behind(kTokens, kOut);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t o = 0; o < kOut; ++o) {
      double y = double{h(t, o)} + bias[static_cast<size_t>(o)];
      for (int64_t i = 0; i < kIn; ++i) y += double{weight(o, i)} * d.x(t, i);
      behind(t, o) = static_cast<float>(y);
    }
  }
  residual.add(behind.view(), h_quantized.view(), d.x_quantized.view());
  Hessian hessian(kIn);
  hessian.add(d.x_quantized.view());
  const Matrix<double> a = output.correction().clone(), b = residual.correction(weight.view(), hessian, options);
  double largest = 0;
  for (int64_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a.data()[i]));
  EXPECT_GT(largest, 1);
  for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data()[i], b.data()[i], 1e-4 * largest);
}

TEST(Target, TheResidualFormNeedsEqualSharesAndEnoughTokens) {
  EXPECT_TRUE(can_sum_behind({.shift = 0.8, .residual = 0.8}, 1536, 4 * 1536));
  EXPECT_FALSE(can_sum_behind({.shift = 0.8, .residual = 0.8}, 1536, 4 * 1536 - 1));
  EXPECT_FALSE(can_sum_behind({.shift = 0.8, .residual = 0.7}, 1536, 1 << 20));
  EXPECT_FALSE(can_sum_behind({.shift = 0, .residual = 0}, 1536, 1 << 20));
}

Matrix<uint16_t> rounded(const Matrix<float>& m) {
  Matrix<uint16_t> bits(m.rows(), m.cols());
  for (int64_t i = 0; i < m.size(); ++i) bits.data()[i] = float_to_bf16(m.data()[i]);
  return bits;
}

// What bfloat16 adds to N is noise: every factor is off by up to 2^-9 of itself, with random signs, so that a sum over
// the tokens is off by some 2^-9 of its root mean square.
TEST(Target, DriftOfBfloat16InputsIsThatOfFloatInputsUpToRounding) {
  Rng rng(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const Matrix<float> x = random_matrix(rng, kTokens, kIn), moved = random_matrix(rng, kTokens, kIn);
  const Matrix<float> weight = random_matrix(rng, kOut, kIn);
  const Matrix<float> h = random_matrix(rng, kTokens, kOut), h_moved = random_matrix(rng, kTokens, kOut);
  const Matrix<uint16_t> x_bits = rounded(x), moved_bits = rounded(moved), weight_bits = rounded(weight);
  const ShiftOptions options{.shift = 0.8, .residual = 0.6};
  InputDrift input(kIn), input_bits(kIn);
  input.add(x.view(), moved.view());
  input_bits.add(x_bits.view(), moved_bits.view());
  OutputDrift output(weight.view(), options), output_bits(weight_bits.view(), options);
  output.add(x.view(), moved.view(), h.view(), h_moved.view());
  output_bits.add(x_bits.view(), moved_bits.view(), h.view(), h_moved.view());
  const auto expect_close = [](const Matrix<double>& a, const Matrix<double>& b) {
    double errors = 0, squares = 0;
    for (int64_t i = 0; i < a.size(); ++i) {
      errors += std::pow(a.data()[i] - b.data()[i], 2);
      squares += a.data()[i] * a.data()[i];
    }
    EXPECT_LE(std::sqrt(errors / squares), 4 * 0x1p-9);
    EXPECT_GT(errors, 0);
  };
  expect_close(input.correction(weight.view(), options), input_bits.correction(weight.view(), options));
  expect_close(output.correction(), output_bits.correction());
}

// With W = 0 only the residual is left: the target reproduces a drift that is linear in the input.
TEST(Target, ResidualDriftThatIsLinearInTheInputIsTakenBack) {
  Rng rng(kSeed);
  const Drifted d = make_drifted(rng, 1e-9);
  const Matrix<float> zero = Matrix<float>::zeros(kOut, kIn);
  const Matrix<float> map = random_matrix(rng, kOut, kIn);
  Matrix<float> h(kTokens, kOut);
  const Matrix<float> h_quantized = Matrix<float>::zeros(kTokens, kOut);
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t o = 0; o < kOut; ++o) {
      double y = 0;
      for (int64_t i = 0; i < kIn; ++i) y += double{map(o, i)} * d.x_quantized(t, i);
      h(t, o) = static_cast<float>(y);
    }
  }
  OutputDrift drift(zero.view(), {.shift = 0, .residual = 0.5});
  drift.add(d.x.view(), d.x_quantized.view(), h.view(), h_quantized.view());
  const Matrix<float> target = shifted_target(zero.view(), drift.correction().view(), d.prepared);
  for (int64_t i = 0; i < target.size(); ++i) ASSERT_NEAR(target.data()[i], 0.5 * map.data()[i], 1e-4);
}

TEST(Target, RidgeGrowsWithChannelsPerTokenAndNeverFallsBelowTheDamping) {
  EXPECT_DOUBLE_EQ(target_damping({.ridge = 10}, 0.01, 1536, 32768), 10 * 1536.0 / 32768);
  EXPECT_DOUBLE_EQ(target_damping({.ridge = 10}, 0.01, 128, 1 << 20), 0.01);
  EXPECT_DOUBLE_EQ(target_damping({.ridge = 0}, 0.02, 1536, 64), 0.02);
  EXPECT_DOUBLE_EQ(target_damping({.ridge = 1}, 0.01, 64, 0), 64);
}

// A drift of the residual stream that has nothing to do with the input should leave the target alone; what a regression
// finds in it is chance, and spoils other tokens. Expected error on those: |move|^2, which shrinks by
// (1 + lambda)^2 = (1 + ridge * in / tokens)^2 = 5.4 where all eigenvalues are alike; they spread by
// (1 +- (in / tokens)^1/2)^2, so a factor of 3 is safe.
TEST(Target, RidgeKeepsChanceOut) {
  Rng rng(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const ShiftOptions options{.shift = 0, .residual = 1, .ridge = 10};
  const auto chance = [&](const ShiftOptions& o) {
    const Drifted d = make_drifted(rng, target_damping(o, 0.01, kIn, kTokens));
    const Matrix<float> zero = Matrix<float>::zeros(kOut, kIn);
    const Matrix<float> h = random_matrix(rng, kTokens, kOut), none = Matrix<float>::zeros(kTokens, kOut);
    OutputDrift drift(zero.view(), o);
    drift.add(d.x.view(), d.x_quantized.view(), h.view(), none.view());
    const Matrix<float> move = shifted_target(zero.view(), drift.correction().view(), d.prepared);
    return std::inner_product(move.data(), move.data() + move.size(), move.data(), 0.0);
  };
  EXPECT_LT(chance(options), chance({.shift = 0, .residual = 1, .ridge = 0}) / 3);
}

TEST(Target, WithoutDriftOrFactorTheWeightStays) {
  Rng rng(kSeed);
  Drifted d = make_drifted(rng, 0.01);
  const Matrix<float> weight = random_matrix(rng, kOut, kIn);
  InputDrift none(kIn);
  none.add(d.x.view(), d.x.view());
  const Matrix<float> same = shifted_target(weight.view(), none.correction(weight.view(), {}).view(), d.prepared);
  Hessian broken(kIn);
  broken.sum(0, 0) = std::numeric_limits<double>::quiet_NaN();
  d.prepared = prepare_hessian(std::move(broken), {});
  ASSERT_FALSE(d.prepared.factored());
  const Matrix<float> unfactored = target_by_input(d, weight, {});
  for (int64_t i = 0; i < weight.size(); ++i) {
    ASSERT_EQ(same.data()[i], weight.data()[i]);
    ASSERT_EQ(unfactored.data()[i], weight.data()[i]);
  }
}

}  // namespace
}  // namespace hesse
