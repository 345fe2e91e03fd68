#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/rng.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 31;

template <class T>
Matrix<T> random_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<T> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<T>(rng.normal());
  return m;
}

// The classic bound: |error| <= (k + 2) eps sum |a||b| for any order of the sum.
TEST(Gemm, EqualsPlainLoopsWithinTheBoundOfSummation) {
  Rng rng(kSeed);
  for (const auto& [m, n, k] :
       {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {64, 33, 129}, {130, 70, 1}, {3, 200, 64}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << ", seed " << kSeed);
    const Matrix<float> a = random_matrix<float>(rng, m, k);
    const Matrix<float> b = random_matrix<float>(rng, n, k);
    const Matrix<float> before = random_matrix<float>(rng, m, n);
    Matrix<float> set(m, n);
    Matrix<float> added = before.clone();
    gemm_nt(a.view(), b.view(), set.view(), Output::kSet);
    gemm_nt(a.view(), b.view(), added.view(), Output::kAdd);
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t c = 0; c < n; ++c) {
        double sum = 0, magnitude = std::abs(double{before(r, c)});
        for (int64_t i = 0; i < k; ++i) {
          sum += double{a(r, i)} * b(c, i);
          magnitude += std::abs(double{a(r, i)} * b(c, i));
        }
        const double bound = static_cast<double>(k + 2) * 0x1p-24 * magnitude;
        ASSERT_NEAR(set(r, c), sum, bound);
        ASSERT_NEAR(added(r, c), sum + before(r, c), bound);
      }
    }
  }
}

TEST(Gemm, TransposedFloat64ProductWorksOnBlocksAndInsideParallelLoops) {
  Rng rng(kSeed);
  const Matrix<double> a = random_matrix<double>(rng, 40, 30);
  const Matrix<double> b = random_matrix<double>(rng, 40, 20);
  Matrix<double> c = Matrix<double>::zeros(4 * 10, 20);
  parallel_for(4, [&](int64_t i) {
    gemm_tn_add(a.view().block(3, 7, 25, 10), b.view().block(3, 0, 25, 20), c.view().row_range(i * 10, 10));
  });
  for (int64_t r = 0; r < 40; ++r) {
    for (int64_t col = 0; col < 20; ++col) {
      double sum = 0;
      for (int64_t i = 0; i < 25; ++i) sum += a(3 + i, 7 + r % 10) * b(3 + i, col);
      ASSERT_NEAR(c(r, col), sum, 1e-13 * 25);
    }
  }
}

TEST(Gemm, ShapesThatDoNotFitAreAnInternalError) {
  Matrix<float> a(2, 3), b(2, 4), c(2, 2);
  EXPECT_THROW(gemm_nt(a.view(), b.view(), c.view(), Output::kSet), Error);
}

TEST(Factor, LeavesTheLowerTriangleAlone) {
  Rng rng(kSeed);
  const int64_t n = 50;
  Matrix<double> h(n, n);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < n; ++c) h(r, c) = (r == c) ? 100.0 + static_cast<double>(r) : (r > c ? -7.0 : rng.normal());
  }
  const Matrix<double> before = h.clone();
  ASSERT_TRUE(factor_upper(h.view()).ok());
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < r; ++c) ASSERT_EQ(h(r, c), -7.0);
    for (int64_t c = r; c < n; ++c) {
      double sum = 0;
      for (int64_t k = c; k < n; ++k) sum += h(r, k) * h(c, k);
      ASSERT_NEAR(sum, before(r, c), static_cast<double>(n + 1) * 0x1p-52 * 150);
    }
  }
}

// The minors are counted from the end: the factor begins at the last row and column.
TEST(Factor, NamesTheMinorThatFails) {
  const auto outcome = [](std::initializer_list<double> diagonal) {
    Matrix<double> h =
        Matrix<double>::zeros(static_cast<int64_t>(diagonal.size()), static_cast<int64_t>(diagonal.size()));
    int64_t i = 0;
    for (const double d : diagonal) h(i, i) = d, ++i;
    return factor_upper(h.view()).failed_minor;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(outcome({1, 2, 3}), 0);
  EXPECT_EQ(outcome({1, 2, 0}), 1);
  EXPECT_EQ(outcome({1, -2, 3}), 2);
  EXPECT_EQ(outcome({nan, 2, 3}), 3);
  EXPECT_EQ(outcome({1, 2, nan}), 1);
  EXPECT_EQ(outcome({}), 0);
}

}  // namespace
}  // namespace hesse
