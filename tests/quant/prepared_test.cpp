#include "quant/prepared.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

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
  EXPECT_EQ(h.tokens, 50);
  for (int64_t i = 0; i < in; i += 13) {
    for (int64_t j = 0; j < in; j += 7) {
      double expected = 0, magnitude = 0;
      for (int64_t t = 0; t < 50; ++t) {
        expected += double{x(t, i)} * x(t, j);
        magnitude += std::abs(double{x(t, i)} * x(t, j));
      }
      // Products and sums of a chunk in float32: at most 51 roundings of the sum of magnitudes.
      ASSERT_NEAR(h(i, j), expected, 51 * 0x1p-24 * magnitude);
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
  const PreparedHessian p = prepare_hessian(std::move(h), {.damping = 0.05, .order = ColumnOrder::kActivation});
  ASSERT_TRUE(p.factored());
  EXPECT_EQ(p.factorizations, 1);
  EXPECT_EQ(p.failed_minor, 0);
  const SymmetricView sum = p.h();
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += sum(i, i) / static_cast<double>(n);
  for (int64_t r = 0; r < n; ++r) {
    if (r > 0) {
      EXPECT_GE(sum(p.order[r - 1], p.order[r - 1]), sum(p.order[r], p.order[r]));
    }
    for (int64_t c = r; c < n; ++c) {
      double product = 0;
      for (int64_t k = c; k < n; ++k) product += p.factor()(r, k) * p.factor()(c, k);
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

// Eigenvalues -1e9 and 1e9 for a mean diagonal of 1: no lambda within bounds outweighs them.
TEST(Prepared, RaisesSmallEigenvaluesWhenNoDampingHelps) {
  Hessian h(2);
  h.sum(0, 0) = h.sum(1, 1) = 1;
  h.sum(0, 1) = h.sum(1, 0) = 1e9;
  const PreparedHessian p = prepare_hessian(std::move(h), {.damping = 0.01});
  ASSERT_TRUE(p.factored());
  EXPECT_EQ(p.factorizations, kMaxFactorizations);
  EXPECT_EQ(p.failed_minor, 2);
  EXPECT_EQ(p.raised_to_floor, 1);
  EXPECT_DOUBLE_EQ(p.lambda, 0.01);
  // Eigenvalues lambda and 1 + 1e9 with eigenvectors (1, -1) and (1, 1): the product of the pivots is that of them.
  const double determinant = std::pow(p.factor()(0, 0) * p.factor()(1, 1), 2);
  EXPECT_NEAR(determinant / (0.01 * (1 + 1e9)), 1.0, 1e-4);  // lambda is known to 1e9 eps, about 2e-5 of it
}

TEST(Prepared, HasNoFactorOfWhatIsNotFinite) {
  for (const bool diagonal : {true, false}) {
    Hessian h(2);
    h.sum(0, 0) = h.sum(1, 1) = 1;
    h.sum(0, diagonal ? 0 : 1) = h.sum(diagonal ? 0 : 1, 0) = std::numeric_limits<double>::quiet_NaN();
    const PreparedHessian p = prepare_hessian(std::move(h), {});
    EXPECT_FALSE(p.factored());
    EXPECT_LE(p.factorizations, kMaxFactorizations);
    for (const float w : p.importance) EXPECT_TRUE(w >= 0 && w <= 1);
  }
}

TEST(Prepared, HessianOfZerosMeansRounding) {
  const PreparedHessian p = prepare_hessian(Hessian(4), {});
  EXPECT_TRUE(p.factored());
  EXPECT_EQ(p.facts.dead_channels, 4);
  EXPECT_EQ(p.facts.effective_rank, 0);
  for (const float w : p.importance) EXPECT_EQ(w, 1.0f);
}

// Four channels: one live alone, one dead, two equal; eight tokens.
TEST(Prepared, FactsNameWhatIsWrongWithTheData) {
  Rng rng(kSeed);
  Matrix<float> x(8, 4);
  for (int64_t t = 0; t < 8; ++t) {
    x(t, 0) = static_cast<float>(rng.normal());
    x(t, 1) = 0;
    x(t, 2) = x(t, 3) = static_cast<float>(3 * rng.normal());
  }
  Hessian h(4);
  h.add(x.view());
  const PreparedHessian p = prepare_hessian(std::move(h), {.damping = 1e-6});
  const SymmetricView sum = p.h();
  EXPECT_EQ(p.facts.dead_channels, 1);
  EXPECT_EQ(p.facts.duplicate_channels, 1);
  EXPECT_EQ(p.facts.effective_rank, 2);
  EXPECT_DOUBLE_EQ(p.facts.peak, sum(2, 2) * 4 / (sum(0, 0) + 2 * sum(2, 2)));
  EXPECT_GT(p.facts.condition, 1e5);  // the dead channel has lambda alone
}

// Groups by their mean, columns inside a group by themselves, and never a column of another group between.
TEST(Prepared, GroupsAreSolvedWhole) {
  Hessian h(7);
  const double diagonal[] = {1, 9, 2, 6, 7, 3, 100};
  for (int64_t i = 0; i < 7; ++i) h.sum(i, i) = diagonal[i];
  const PreparedHessian p = prepare_hessian(std::move(h), {0.01, ColumnOrder::kGroups, 3});
  EXPECT_EQ(p.order, (std::vector<int32_t>{6, 4, 3, 5, 1, 2, 0}));
}

// Values whose squares leave the range of float32 on either side give the Hessian that float64 gives.
TEST(Hessian, TakesInputsOfAnyMagnitude) {
  Rng rng(kSeed);
  for (const double magnitude : {1e-30, 1e-20, 1.0, 1e20, 1e30}) {
    Matrix<float> x(5, 3);
    for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(magnitude * rng.normal());
    Hessian h(3);
    h.add(x.view());
    for (int64_t i = 0; i < 3; ++i) {
      for (int64_t j = 0; j < 3; ++j) {
        double expected = 0, sizes = 0;
        for (int64_t t = 0; t < 5; ++t) {
          expected += double{x(t, i)} * x(t, j);
          sizes += std::abs(double{x(t, i)} * x(t, j));
        }
        EXPECT_NEAR(h(i, j), expected, 8 * 0x1p-24 * sizes) << magnitude;
      }
    }
  }
}

}  // namespace
}  // namespace hesse
