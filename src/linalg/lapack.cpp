// The only file that calls BLAS and LAPACK. Debian's OpenBLAS has no LAPACKE: the Fortran symbols are declared here.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"

extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k, const double* alpha,
            const double* a, const int* lda, const double* b, const int* ldb, const double* beta, double* c,
            const int* ldc);
void dtrsm_(const char* side, const char* uplo, const char* transa, const char* diag, const int* m, const int* n,
            const double* alpha, const double* a, const int* lda, double* b, const int* ldb);
char* openblas_get_config(void);
char* openblas_get_corename(void);
}

namespace hesse {

namespace {

// OpenBLAS compares pivots with <= 0 and so lets NaN pass. Minors grow from the last element.
int64_t first_bad_pivot(MatrixView<const double> r) {
  for (int64_t order = 1; order <= r.rows; ++order) {
    const double pivot = r(r.rows - order, r.rows - order);
    if (!(pivot > 0) || !std::isfinite(pivot)) return order;
  }
  return 0;
}

}  // namespace

FactorOutcome factor_upper(MatrixView<double> h) {
  if (h.rows != h.cols || h.stride != h.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[factor] [{}, {}], stride {}", h.rows, h.cols, h.stride));
  }
  if (h.rows == 0) return {};
  // With J the reversal of rows and columns, J H J = L L^T gives H = (J L J)(J L J)^T, and J L J is upper. Reversing
  // the flat array is J . J; LAPACK's column-major upper triangle is then our lower one.
  const int n = narrow<int>(h.rows, "width of a Hessian");
  const auto reverse = [&] { std::reverse(h.data, h.data + h.rows * h.cols); };
  int info = 0;
  reverse();
  dpotrf_("U", &n, h.data, &n, &info);
  reverse();
  if (info < 0) throw Error(ErrorKind::kInternal, fmt::format("[factor] dpotrf: argument {}", -info));
  return {.failed_minor = info > 0 ? info : first_bad_pivot(h)};
}

void solve_rows(MatrixView<const double> r, MatrixView<double> rows) {
  if (r.rows != r.cols || rows.cols != r.cols || rows.stride != rows.cols) {
    throw Error(ErrorKind::kInternal,
                fmt::format("[solve] rows [{}, {}] with a factor [{}, {}]", rows.rows, rows.cols, r.rows, r.cols));
  }
  if (rows.rows == 0 || rows.cols == 0) return;
  // Column-major, `rows` is its transpose and r is R^T, a lower triangle: solve R u = z, then R^T v = u.
  const int n = narrow<int>(r.rows, "width of a factor");
  const int count = narrow<int>(rows.rows, "rows to solve");
  const int lda = narrow<int>(r.stride, "stride of a factor");
  const double one = 1.0;
  dtrsm_("L", "L", "T", "N", &n, &count, &one, r.data, &lda, rows.data, &n);
  dtrsm_("L", "L", "N", "N", &n, &count, &one, r.data, &lda, rows.data, &n);
}

void gemm_tn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c) {
  if (a.rows != b.rows || a.cols != c.rows || b.cols != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[gemm_tn] [{}, {}]^T x [{}, {}] into [{}, {}]", a.rows, a.cols,
                                                  b.rows, b.cols, c.rows, c.cols));
  }
  if (a.rows == 0 || c.rows == 0 || c.cols == 0) return;
  // Row-major c = a^T b is column-major c^T = b^T a, whose operands lie as b and as a transposed.
  const int m = narrow<int>(c.cols, "columns of a product");
  const int n = narrow<int>(c.rows, "rows of a product");
  const int k = narrow<int>(a.rows, "depth of a product");
  const int lda = narrow<int>(a.stride, "stride of a product");
  const int ldb = narrow<int>(b.stride, "stride of a product");
  const int ldc = narrow<int>(c.stride, "stride of a product");
  const double one = 1.0;
  dgemm_("N", "T", &m, &n, &k, &one, b.data, &ldb, a.data, &lda, &one, c.data, &ldc);
}

std::string lapack_version() {
  // openblas_get_config() reads "OpenBLAS 0.3.21 NO_AFFINITY USE_OPENMP ..."
  const std::string config = openblas_get_config();
  const size_t end = config.find(' ', config.find(' ') + 1);
  return fmt::format("{} ({})", config.substr(0, end), openblas_get_corename());
}

}  // namespace hesse
