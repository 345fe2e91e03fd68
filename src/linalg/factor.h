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

// Replaces h[n, n], of which the upper triangle is read, by the symmetric matrix with the same eigenvectors whose
// eigenvalues below `floor` > 0 are `floor`. Returns how many were raised; -1 when the eigenvalues cannot be computed
// (h holds values that are not finite), and h then holds nothing useful. h must be contiguous. Costs about 10 n^3.
int64_t raise_eigenvalues(MatrixView<double> h, double floor);

// Each row z of `rows` [m, n] becomes z (R R^T)^-1, with the R that factor_upper left in the upper triangle of `r`.
// `rows` must be contiguous. On one thread when called from inside parallel_for.
void solve_rows(MatrixView<const double> r, MatrixView<double> rows);

// Each column z of `columns` [n, m] becomes (R R^T)^-1 z, with R in the upper triangle of `r` [n, n]. On one thread
// when called from inside parallel_for.
void solve_columns(MatrixView<const double> r, MatrixView<double> columns);

// Each column z of `columns` [n, m] becomes R^-T z, with R in the upper triangle of `r` [n, n]. On one thread when
// called from inside parallel_for.
void solve_transposed(MatrixView<const double> r, MatrixView<double> columns);

}  // namespace hesse
