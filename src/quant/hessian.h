// The Hessian of a linear's squared output error: H = sum over tokens of x x^T (the factor 2 of the literature
// cancels).
#pragma once

#include <cstdint>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"

namespace hesse {

// max |x| of each row; infinity for a row with a value that is not finite.
std::vector<float> row_peaks(ConstComputeView x);

struct Hessian {
  Matrix<double> sum;  // [in, in] H on and below the diagonal; nothing is said of what stands above it
  int64_t tokens = 0;

  explicit Hessian(int64_t in) : sum(Matrix<double>::zeros(in, in)) {}
  int64_t in() const { return sum.rows(); }
  double operator()(int64_t i, int64_t j) const { return i >= j ? sum(i, j) : sum(j, i); }
  std::vector<double> diagonal() const;

  // x [tokens, in], finite. Any magnitude: where float32 products might overflow or vanish they are made in float64.
  void add(ConstComputeView x);
  void add(const Hessian& other);
  // The tokens of `other` do not count.
  void add_scaled(const Hessian& other, double factor);
};

// A symmetric matrix of which the strict lower triangle and the diagonal lie apart: the place on and above the diagonal
// may hold something else, as a factor.
struct SymmetricView {
  MatrixView<const double> lower;  // [n, n]
  std::vector<double> diagonal;    // [n]

  double operator()(int64_t i, int64_t j) const { return i == j ? diagonal[static_cast<size_t>(i)] : at(i, j); }

 private:
  double at(int64_t i, int64_t j) const { return i > j ? lower(i, j) : lower(j, i); }
};
SymmetricView view_of(const Hessian& hessian);

// y[rows, m] += H[first_row : first_row + rows, first_column : first_column + columns] x[columns, m]. The columns lie
// within the rows. On one thread when called from inside parallel_for.
void add_product(const SymmetricView& h, int64_t first_row, int64_t first_column, MatrixView<const double> x,
                 MatrixView<double> y);

// tr(E H E^T) for E [out, in], in float64.
double quadratic_loss(MatrixView<const float> error, const SymmetricView& h);

// The same from float32 products, several times as fast and good to half a per cent: in float64 where float32 does not
// reach, or where the terms cancel to less than kQuickLossLeast of (sum over i of |e_i| H_ii^1/2)^2, which bounds the
// sum of their magnitudes; rounding moves it by about 1e-7 of that. Not for use inside parallel_for.
constexpr double kQuickLossLeast = 2e-5;
double quick_quadratic_loss(MatrixView<const float> error, const SymmetricView& h);

}  // namespace hesse
