// The factor of a Hessian.
#pragma once

#include <cstdint>

#include "base/matrix.h"

namespace hesse {

// What the factorization says of itself. A matrix that is not positive definite is an outcome, not an error.
struct FactorOutcome {
  // 0: done. Else the order of the trailing principal minor that is not positive: 1 means that the last diagonal
  // element is zero, negative or not a number, n that only the whole matrix is not positive definite.
  int64_t failed_minor = 0;
  bool ok() const { return failed_minor == 0; }
};

// h[n, n] = R R^T with R upper triangular, in float64. Reads the upper triangle of h (row-major, diagonal included) and
// leaves R there; the strict lower triangle is neither read nor changed. h must be contiguous. On failure the upper
// triangle holds nothing useful.
FactorOutcome factor_upper(MatrixView<double> h);

// Each row z of `rows` [m, n] becomes z (R R^T)^-1, with the R that factor_upper left in the upper triangle of `r`.
// `rows` must be contiguous. On one thread when called from inside parallel_for.
void solve_rows(MatrixView<const double> r, MatrixView<double> rows);

}  // namespace hesse
