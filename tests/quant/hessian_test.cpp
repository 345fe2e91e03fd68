// Losses under a Hessian.
#include "quant/hessian.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "linalg/gemm.h"
#include "quant/solver_testing.h"

namespace hesse {
namespace {

// tr(E H E^T) word by word.
long double textbook(const Matrix<float>& error, const Hessian& h) {
  long double sum = 0;
  for (int64_t r = 0; r < error.rows(); ++r) {
    for (int64_t i = 0; i < h.in(); ++i) {
      for (int64_t j = 0; j < h.in(); ++j)
        sum += static_cast<long double>(error(r, i)) * static_cast<long double>(h(i, j)) * error(r, j);
    }
  }
  return sum;
}

TEST(QuadraticLoss, BothWaysEqualTheTextbook) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t in : {1, 2, 63, 128, 129, 256, 257, 300, 513}) {
    for (const int64_t out : {1, 3, 65}) {
      for (const double size : {1e-12, 1.0, 1e12}) {
        SCOPED_TRACE(testing::Message() << out << " x " << in << ", inputs of size " << size);
        Matrix<float> x = correlated_inputs(rng, 2 * in + 3, in);
        for (int64_t i = 0; i < x.size(); ++i) x.data()[i] *= static_cast<float>(size);
        const Hessian h = hessian_of(x.view());
        const Matrix<float> error = normal_matrix(rng, out, in);
        const double expected = static_cast<double>(textbook(error, h));
        EXPECT_NEAR(quadratic_loss(error.view(), view_of(h)), expected, 1e-9 * expected);
        EXPECT_NEAR(quick_quadratic_loss(error.view(), view_of(h)), expected, 5e-3 * expected);
      }
    }
  }
}

// Where nearly everything cancels float32 knows nothing, and the quick way must not pretend to.
TEST(QuadraticLoss, TheQuickWayTurnsToFloat64WhereTermsCancel) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const int64_t in = 200;
  const Matrix<float> x = normal_matrix(rng, 1, in);  // rank 1
  const Hessian h = hessian_of(x.view());
  Matrix<float> error = normal_matrix(rng, 1, in);
  double along = 0, square = 0;
  for (int64_t i = 0; i < in; ++i) {
    along += static_cast<double>(error(0, i)) * static_cast<double>(x(0, i));
    square += static_cast<double>(x(0, i)) * static_cast<double>(x(0, i));
  }
  for (int64_t i = 0; i < in; ++i) error(0, i) -= static_cast<float>(along / square) * x(0, i);
  EXPECT_EQ(quick_quadratic_loss(error.view(), view_of(h)), quadratic_loss(error.view(), view_of(h)));
}

TEST(QuadraticLoss, NothingAndWhatIsNoNumber) {
  const Matrix<float> zero = Matrix<float>::zeros(3, 20);
  Hessian h(20);
  EXPECT_EQ(quick_quadratic_loss(zero.view(), view_of(h)), 0.0);
  for (int64_t i = 0; i < 20; ++i) h.sum(i, i) = 1e300;
  Matrix<float> large = zero.clone();
  large(1, 7) = 1e30f;
  EXPECT_EQ(quick_quadratic_loss(large.view(), view_of(h)), quadratic_loss(large.view(), view_of(h)));
  h.sum(3, 3) = std::numeric_limits<double>::quiet_NaN();
  large(0, 3) = 1;
  EXPECT_TRUE(std::isnan(quick_quadratic_loss(large.view(), view_of(h))));
}

}  // namespace
}  // namespace hesse
