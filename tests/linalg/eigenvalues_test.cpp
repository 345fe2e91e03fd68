// Raising eigenvalues, and solving with one triangle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "linalg/factor.h"

namespace hesse {
namespace {

uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }
#define HESSE_PRINT_SEED() SCOPED_TRACE("seed " + std::to_string(test_seed()))

constexpr double kUnit = 0x1p-53;
const double kNaN = std::numeric_limits<double>::quiet_NaN();

Matrix<double> normal_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<double> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = rng.normal();
  return m;
}

// Q diag(values) Q with Q = I - 2 v v^T / v^T v: the eigenvectors are known.
Matrix<double> with_eigenvalues(const std::vector<double>& values, const std::vector<double>& v) {
  const int64_t n = static_cast<int64_t>(values.size());
  double square = 0;
  for (const double x : v) square += x * x;
  const auto q = [&](int64_t r, int64_t c) {
    return (r == c ? 1.0 : 0.0) - 2 * v[static_cast<size_t>(r)] * v[static_cast<size_t>(c)] / square;
  };
  Matrix<double> m = Matrix<double>::zeros(n, n);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      for (int64_t k = 0; k < n; ++k) m(r, c) += q(r, k) * values[static_cast<size_t>(k)] * q(c, k);
    }
  }
  return m;
}

// The eigenvectors of a symmetric matrix are found with a backward error of about n units of its norm.
TEST(Eigenvalues, ThoseBelowTheFloorAreRaisedAndNoOthers) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : {1, 2, 3, 10, 64, 65}) {
    SCOPED_TRACE(n);
    constexpr double kFloor = 0.5;
    std::vector<double> values, v;
    int64_t below = 0;
    for (int64_t i = 0; i < n; ++i) {
      values.push_back(3 * rng.normal());
      v.push_back(rng.normal());
      below += values.back() < kFloor ? 1 : 0;
    }
    Matrix<double> h = with_eigenvalues(values, v);
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < r; ++c) h(r, c) = kNaN;  // is not read
    }
    EXPECT_EQ(raise_eigenvalues(h.view(), kFloor), below);
    double norm = kFloor;
    for (double& value : values) {
      norm = std::max(norm, std::fabs(value));
      value = std::max(value, kFloor);
    }
    const Matrix<double> expected = with_eigenvalues(values, v);
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < n; ++c)
        ASSERT_NEAR(h(r, c), expected(r, c), static_cast<double>(20 * n + 20) * kUnit * norm) << r << ", " << c;
    }
  }
}

TEST(Eigenvalues, OneAndTwo) {
  double one = -3;
  EXPECT_EQ(raise_eigenvalues({&one, 1, 1}, 0.25), 1);
  EXPECT_DOUBLE_EQ(one, 0.25);
  one = 3;
  EXPECT_EQ(raise_eigenvalues({&one, 1, 1}, 0.25), 0);
  EXPECT_DOUBLE_EQ(one, 3);
  // Eigenvalues 3 for (1, 1) and -1 for (1, -1); the second becomes 1/2.
  double two[] = {1, 2, kNaN, 1};
  EXPECT_EQ(raise_eigenvalues({two, 2, 2}, 0.5), 1);
  for (const int i : {0, 3}) EXPECT_NEAR(two[i], 1.75, 40 * kUnit);
  for (const int i : {1, 2}) EXPECT_NEAR(two[i], 1.25, 40 * kUnit);
}

TEST(Eigenvalues, AreNotComputedOfWhatIsNotFinite) {
  for (const double bad : {kNaN, HUGE_VAL, -HUGE_VAL}) {
    for (int64_t n = 1; n <= 3; ++n) {
      for (int64_t r = 0; r < n; ++r) {
        for (int64_t c = r; c < n; ++c) {
          Matrix<double> h = Matrix<double>::zeros(n, n);
          for (int64_t i = 0; i < n; ++i) h(i, i) = 1;
          h(r, c) = bad;
          EXPECT_EQ(raise_eigenvalues(h.view(), 0.1), -1) << bad << " at " << r << ", " << c << " of " << n;
        }
      }
    }
  }
}

TEST(Eigenvalues, ShapesThatDoNotFitAreAnInternalError) {
  Matrix<double> h = Matrix<double>::zeros(3, 4);
  EXPECT_THROW(raise_eigenvalues(h.view(), 1), Error);
  EXPECT_THROW(raise_eigenvalues(h.view().block(0, 0, 3, 3), 1), Error);
}

// An upper triangle that is a block of something larger, NaN in all that is not to be read.
Matrix<double> upper_in_a_larger_one(Rng& rng, int64_t n) {
  Matrix<double> r(n + 2, n + 5);
  std::fill_n(r.data(), r.size(), kNaN);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) r(i + 1, j + 3) = rng.normal() / std::sqrt(static_cast<double>(n));
    r(i + 1, i + 3) = 1 + rng.uniform();
  }
  return r;
}

// |R^T y - z| <= n units of |R^T| |y|, element by element (Higham 2002, theorem 8.5). `before` and `after` hold
// columns.
void expect_solves_transposed(MatrixView<const double> r, MatrixView<const double> before,
                              MatrixView<const double> after) {
  for (int64_t c = 0; c < before.cols; ++c) {
    for (int64_t k = 0; k < r.rows; ++k) {
      long double sum = 0, size = 0;
      for (int64_t i = 0; i <= k; ++i) {
        sum += static_cast<long double>(r(i, k)) * after(i, c);
        size += std::fabs(static_cast<long double>(r(i, k)) * after(i, c));
      }
      ASSERT_NEAR(static_cast<double>(sum), before(k, c),
                  static_cast<double>(r.rows + 2) * kUnit * 2 * static_cast<double>(size))
          << "row " << k << ", column " << c;
    }
  }
}

TEST(Triangle, SolveTransposedOfBlocksOfAnySize) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : {0, 1, 2, 3, 17, 64, 65, 130}) {
    for (const int64_t m : {0, 1, 2, 64}) {
      SCOPED_TRACE(testing::Message() << n << " rows, " << m << " columns");
      const Matrix<double> large = upper_in_a_larger_one(rng, n);
      const auto r = large.view().block(1, 3, n, n);
      const Matrix<double> before = normal_matrix(rng, n, m + 3);
      Matrix<double> after = before.clone();
      solve_transposed(r, after.view().block(0, 1, n, m));
      expect_solves_transposed(r, before.view().block(0, 1, n, m), after.view().block(0, 1, n, m));
      for (int64_t k = 0; k < n; ++k) {  // the columns beside it
        for (const int64_t c : {int64_t{0}, m + 1, m + 2}) ASSERT_EQ(after(k, c), before(k, c));
      }
    }
  }
}

TEST(Triangle, SolveTransposedInsideParallelLoops) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Matrix<double> large = upper_in_a_larger_one(rng, 40);
  const auto r = large.view().block(1, 3, 40, 40);
  const Matrix<double> before = normal_matrix(rng, 40, 4 * 8);
  Matrix<double> after = before.clone();
  parallel_for(4, [&](int64_t i) { solve_transposed(r, after.view().block(0, 8 * i, 40, 8)); });
  expect_solves_transposed(r, before.view(), after.view());
}

// z (R R^T)^-1 = (R^-T R^-1 z^T)^T: R^T y = u is the second half of it, and columns are rows that lie otherwise.
TEST(Triangle, SolveRowsColumnsAndTransposedAgree) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : {1, 2, 33}) {
    const Matrix<double> large = upper_in_a_larger_one(rng, n);
    const auto r = large.view().block(1, 3, n, n);
    const Matrix<double> z = normal_matrix(rng, 3, n);
    Matrix<double> rows = z.clone();
    solve_rows(r, rows.view());
    Matrix<double> transposed(n, 3);
    for (int64_t k = 0; k < n; ++k) {
      for (int64_t c = 0; c < 3; ++c) transposed(k, c) = z(c, k);
    }
    solve_columns(r, transposed.view());
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t k = 0; k < n; ++k) ASSERT_NEAR(rows(c, k), transposed(k, c), 1e-12 * (1 + std::fabs(rows(c, k))));
    }
    Matrix<double> columns(n, 3);  // R^-1 z^T, by plain back substitution
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t k = n - 1; k >= 0; --k) {
        double sum = z(c, k);
        for (int64_t i = k + 1; i < n; ++i) sum -= r(k, i) * columns(i, c);
        columns(k, c) = sum / r(k, k);
      }
    }
    solve_transposed(r, columns.view());
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t k = 0; k < n; ++k) ASSERT_NEAR(rows(c, k), columns(k, c), 1e-12 * (1 + std::fabs(rows(c, k))));
    }
  }
}

TEST(Triangle, ShapesThatDoNotFitAreAnInternalError) {
  Matrix<double> r = Matrix<double>::zeros(3, 3), columns(4, 2);
  EXPECT_THROW(solve_transposed(r.view(), columns.view()), Error);
  EXPECT_THROW(solve_transposed(columns.view(), columns.view()), Error);
  EXPECT_THROW(solve_rows(r.view(), columns.view()), Error);
  EXPECT_THROW(solve_columns(r.view(), columns.view()), Error);
}

}  // namespace
}  // namespace hesse
