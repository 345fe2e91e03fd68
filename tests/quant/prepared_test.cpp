#include "quant/prepared.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 7;

TEST(Hessian, IsTheSumOfOuterProductsWhateverTheChunks) {
  Rng rng(kSeed);
  const int64_t in = 700;  // more than one column panel
  Matrix<float> x(50, in);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(rng.normal());
  Hessian h(in);
  h.add(x.view().row_range(0, 20));
  h.add(x.view().row_range(20, 30));
  h.finish();
  EXPECT_EQ(h.tokens, 50);
  for (int64_t i = 0; i < in; i += 13) {
    for (int64_t j = 0; j < in; j += 7) {
      double expected = 0, magnitude = 0;
      for (int64_t t = 0; t < 50; ++t) {
        expected += double{x(t, i)} * x(t, j);
        magnitude += std::abs(double{x(t, i)} * x(t, j));
      }
      // Products and sums of a chunk in float32: at most 51 roundings of the sum of magnitudes.
      ASSERT_NEAR(h.sum(i, j), expected, 51 * 0x1p-24 * magnitude);
      ASSERT_EQ(h.sum(i, j), h.sum(j, i));
    }
  }
}

TEST(Prepared, FactorReproducesTheDampedHessianInSolvingOrder) {
  Rng rng(kSeed);
  const int64_t n = 90;
  Hessian h(n);
  Matrix<float> x(200, n);
  for (int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<float>(rng.normal() * static_cast<double>(1 + i % n));
  h.add(x.view());
  h.finish();
  const PreparedHessian p = prepare_hessian(std::move(h), {.damping = 0.05, .act_order = true});
  ASSERT_TRUE(p.factored());
  EXPECT_EQ(p.factorizations, 1);
  EXPECT_EQ(p.failed_minor, 0);
  const Matrix<double>& sum = p.hessian.sum;
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += sum(i, i) / static_cast<double>(n);
  for (int64_t r = 0; r < n; ++r) {
    if (r > 0) {
      EXPECT_GE(sum(p.order[r - 1], p.order[r - 1]), sum(p.order[r], p.order[r]));
    }
    for (int64_t c = r; c < n; ++c) {
      double product = 0;
      for (int64_t k = c; k < n; ++k) product += p.factor(r, k) * p.factor(c, k);
      const double expected = sum(p.order[r], p.order[c]) + (r == c ? 0.05 * mean : 0.0);
      // Backward error of Cholesky: (n + 1) eps sqrt(a_rr a_cc), Higham 2002, theorem 10.3.
      const double scale = std::sqrt(sum(p.order[r], p.order[r]) * sum(p.order[c], p.order[c])) + 0.05 * mean;
      ASSERT_NEAR(product, expected, static_cast<double>(n + 1) * 0x1p-52 * scale);
    }
  }
  EXPECT_FLOAT_EQ(*std::max_element(p.importance.begin(), p.importance.end()), 1.0f);
}

TEST(Prepared, RaisesTheDampingWhenTheMatrixIsNotPositiveDefinite) {
  Hessian h(3);
  for (int64_t i = 0; i < 3; ++i) h.sum(i, i) = 1;
  h.sum(0, 1) = h.sum(1, 0) = 1.5;  // eigenvalues 2.5, -0.5, 1
  const PreparedHessian p = prepare_hessian(std::move(h), {.damping = 0.01});
  ASSERT_TRUE(p.factored());
  EXPECT_EQ(p.factorizations, 3);  // .01, .1, 1
  EXPECT_DOUBLE_EQ(p.damping, 1.0);
  EXPECT_EQ(p.failed_minor, 3);
}

TEST(Prepared, GivesUpWithinAHandfulOfFactorizations) {
  Hessian h(2);
  h.sum(0, 0) = h.sum(1, 1) = std::numeric_limits<double>::quiet_NaN();
  const PreparedHessian p = prepare_hessian(std::move(h), {});
  EXPECT_FALSE(p.factored());
  EXPECT_EQ(p.factorizations, kMaxFactorizations);
  EXPECT_EQ(p.failed_minor, 1);
}

TEST(Prepared, HessianOfZerosMeansRounding) {
  const PreparedHessian p = prepare_hessian(Hessian(4), {});
  EXPECT_TRUE(p.factored());
  EXPECT_EQ(p.dead_channels, 4);
  for (const float w : p.importance) EXPECT_EQ(w, 1.0f);
}

}  // namespace
}  // namespace hesse
