// The product of small matrices.
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class GemmTile : public KernelTest {};
HESSE_FOR_EACH_TARGET(GemmTile);

// A matrix with unused elements between its rows. Inputs hold NaN there, to be poisoned when they are read; outputs
// are compared there as well.
struct Padded {
  Padded(int64_t rows_, int64_t columns, int64_t stride_, Rng& rng)
      : rows(rows_),
        cols(columns),
        stride(stride_),
        values(rows * stride, static_cast<int64_t>(rng.below(kOffsets)), kNaN) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) at(i, j) = static_cast<float>(rng.normal());
    }
  }
  float& at(int64_t i, int64_t j) { return values[i * stride + j]; }
  float at(int64_t i, int64_t j) const { return values[i * stride + j]; }
  Padded absolute() const {
    Padded result = *this;
    for (float& value : result.values.storage) value = std::fabs(value);
    return result;
  }

  int64_t rows, cols, stride;
  Row values;
};

void multiply(decltype(gemm_tile)* kernel, const Padded& a, const Padded& b, Padded& c, int accumulate) {
  kernel(a.values.data(), a.stride, b.values.data(), b.stride, c.values.data(), c.stride, a.rows, b.cols, a.cols,
         accumulate);
}

// The error of a sum of k products, in any order, is below (k + 2) units of the sum of their magnitudes; plus one
// rounding of the twin. (Higham 2002, section 3.1.)
void expect_like_twin(const Padded& a, const Padded& b, const Padded& c, int accumulate) {
  Padded out = c, twin = c, size = c.absolute();
  multiply(gemm_tile, a, b, out, accumulate);
  multiply(scalar::gemm_tile, a, b, twin, accumulate);
  multiply(scalar::gemm_tile, a.absolute(), b.absolute(), size, accumulate);
  const double units = static_cast<double>(a.cols) + 3.01;
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.stride; ++j) {
      ASSERT_TRUE(within(out.at(i, j), twin.at(i, j), units * kUnit * size.at(i, j) + kSmallest))
          << i << "," << j << ": " << out.at(i, j) << " for " << twin.at(i, j) << " on " << simd_target();
    }
  }
}

void check_shape(int64_t m, int64_t n, int64_t k, Rng& rng) {
  SCOPED_TRACE("m " + std::to_string(m) + ", n " + std::to_string(n) + ", k " + std::to_string(k));
  const auto pad = [&] { return static_cast<int64_t>(rng.below(5)); };
  const Padded a(m, k, k + pad(), rng), b(k, n, n + pad(), rng), c(m, n, n + pad(), rng);
  expect_like_twin(a, b, c, 0);
  expect_like_twin(a, b, c, 1);
}

TEST_P(GemmTile, EqualsItsTwinAtRandomShapes) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const std::vector<int64_t> ms{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 32, 64};
  const std::vector<int64_t> ns{1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65};
  const std::vector<int64_t> ks{1, 2, 3, 16, 63, 64, 65, 128};
  for (const int64_t n : ns) {
    for (const int64_t m : ms) check_shape(m, n, ks[rng.below(ks.size())], rng);
    if (HasFatalFailure()) return;
  }
}

TEST_P(GemmTile, EqualsItsTwinWhenDeep) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t k : {127, 128, 129, 255, 256, 257, 511, 513, 600, 2049}) {
    for (const int64_t n : {5, 16, 37}) check_shape(7, n, k, rng);
  }
}

TEST_P(GemmTile, EmptySizes) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  check_shape(0, 5, 3, rng);
  check_shape(5, 0, 3, rng);
  check_shape(5, 19, 0, rng);  // sets c to zero, or leaves it
}

TEST_P(GemmTile, OldValuesAreNotReadUnlessAsked) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t k : {0, 3, 700}) {
    const Padded a(7, k, k + 1, rng), b(k, 21, 21, rng);
    Padded c(7, 21, 21, rng);
    for (float& value : c.values.storage) value = kNaN;
    multiply(gemm_tile, a, b, c, 0);
    EXPECT_LT(max_abs(c.values.data(), 7 * 21), kInf);
  }
}

// Small integers leave no room for rounding.
TEST_P(GemmTile, IntegersAreExact) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  Padded a(13, 70, 70, rng), b(70, 43, 43, rng), c(13, 43, 43, rng);
  for (float& value : a.values.storage) value = static_cast<float>(rng.below(200)) - 100.0f;
  for (float& value : b.values.storage) value = static_cast<float>(rng.below(200)) - 100.0f;
  Padded twin = c;
  multiply(gemm_tile, a, b, c, 0);
  multiply(scalar::gemm_tile, a, b, twin, 0);
  for (int64_t i = 0; i < 13; ++i) {
    for (int64_t j = 0; j < 43; ++j) EXPECT_EQ(c.at(i, j), twin.at(i, j));
  }
}

// Cutting rows and columns differently changes no bit: attention may choose its tiles by speed alone.
TEST_P(GemmTile, TilesOfRowsAndColumnsChangeNothing) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const int64_t m = 23, n = 61, k = 300;
  const Padded a(m, k, k, rng), b(k, n, n, rng);
  Padded whole(m, n, n, rng), cut = whole;
  for (const int accumulate : {0, 1}) {
    multiply(gemm_tile, a, b, whole, accumulate);
    for (int64_t i = 0, rows = 0; i < m; i += rows) {
      rows = std::min<int64_t>(m - i, 1 + static_cast<int64_t>(rng.below(9)));
      for (int64_t j = 0, columns = 0; j < n; j += columns) {
        columns = std::min<int64_t>(n - j, 1 + static_cast<int64_t>(rng.below(33)));
        gemm_tile(&a.values.data()[i * k], k, &b.values.data()[j], n, &cut.at(i, j), n, rows, columns, k, accumulate);
      }
    }
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) ASSERT_EQ(cut.at(i, j), whole.at(i, j)) << i << "," << j;
    }
  }
}

TEST_P(GemmTile, NaNSpoilsItsRowOrColumnAndNothingElse) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  Padded a(9, 20, 20, rng), b(20, 19, 19, rng), c(9, 19, 19, rng);
  a.at(4, 11) = kNaN;
  b.at(3, 17) = kNaN;
  for (int64_t i = 0; i < 9; ++i) a.at(i, 3) = 0.0f;  // 0 * NaN is NaN
  multiply(gemm_tile, a, b, c, 0);
  for (int64_t i = 0; i < 9; ++i) {
    for (int64_t j = 0; j < 19; ++j) EXPECT_EQ(std::isnan(c.at(i, j)), i == 4 || j == 17) << i << "," << j;
  }
}

}  // namespace
}  // namespace hesse
