// The only file that calls BLAS and LAPACK. Debian's OpenBLAS has no LAPACKE: the Fortran symbols are declared here.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <vector>

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
void dsyev_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
            const int* lwork, int* info);
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

int64_t raise_eigenvalues(MatrixView<double> h, double floor) {
  if (h.rows != h.cols || h.stride != h.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[eigenvalues] [{}, {}], stride {}", h.rows, h.cols, h.stride));
  }
  const int n = narrow<int>(h.rows, "width of a Hessian");
  for (int64_t r = 0; r < h.rows; ++r) {
    for (int64_t c = r; c < h.cols; ++c) {
      if (!std::isfinite(h(r, c))) return -1;  // LAPACK may never come back from these
    }
  }
  std::vector<double> values(static_cast<size_t>(n)), work(static_cast<size_t>(n) * 34 + 1);
  const int size = narrow<int>(static_cast<int64_t>(work.size()), "work space");
  int info = 0;
  dsyev_("V", "L", &n, h.data, &n, values.data(), work.data(), &size, &info);  // our upper triangle is its lower one
  if (info != 0) return -1;
  // Row k of h is now the k-th eigenvector v: the sum of value * v v^T, as a product of rows scaled by value^1/2.
  int64_t raised = 0;
  for (int64_t k = 0; k < h.rows; ++k) {
    double& value = values[static_cast<size_t>(k)];
    if (!(value >= floor)) ++raised;
    value = std::sqrt(std::max(value, floor));
    for (int64_t c = 0; c < h.cols; ++c) h(k, c) *= value;
  }
  Matrix<double> product = Matrix<double>::zeros(h.rows, h.cols);
  gemm_tn_add(h, h, product.view());
  std::copy_n(product.data(), product.size(), h.data);
  return raised;
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

namespace {

// Column-major, `columns` is its transpose Z^T and r is R^T, a lower triangle: Z^T becomes Z^T op(R^T)^-1 for each op.
void solve_from_the_right(MatrixView<const double> r, MatrixView<double> columns,
                          std::initializer_list<const char*> ops) {
  if (r.rows != r.cols || columns.rows != r.rows) {
    throw Error(ErrorKind::kInternal, fmt::format("[solve] columns [{}, {}] with a factor [{}, {}]", columns.rows,
                                                  columns.cols, r.rows, r.cols));
  }
  if (columns.rows == 0 || columns.cols == 0) return;
  const int m = narrow<int>(columns.cols, "columns to solve");
  const int n = narrow<int>(columns.rows, "width of a factor");
  const int lda = narrow<int>(r.stride, "stride of a factor");
  const int ldb = narrow<int>(columns.stride, "stride of columns");
  const double one = 1.0;
  for (const char* op : ops) dtrsm_("R", "L", op, "N", &m, &n, &one, r.data, &lda, columns.data, &ldb);
}

}  // namespace

void solve_columns(MatrixView<const double> r, MatrixView<double> columns) {
  solve_from_the_right(r, columns, {"N", "T"});
}

void solve_transposed(MatrixView<const double> r, MatrixView<double> columns) {
  solve_from_the_right(r, columns, {"T"});
}

namespace {

// Row-major c = op(a) b is column-major c^T = b^T op(a)^T, whose operands lie as b and as a.
void gemm_add(const char* op, int64_t depth, MatrixView<const double> a, MatrixView<const double> b,
              MatrixView<double> c) {
  if (depth == 0 || c.rows == 0 || c.cols == 0) return;
  const int m = narrow<int>(c.cols, "columns of a product");
  const int n = narrow<int>(c.rows, "rows of a product");
  const int k = narrow<int>(depth, "depth of a product");
  const int lda = narrow<int>(a.stride, "stride of a product");
  const int ldb = narrow<int>(b.stride, "stride of a product");
  const int ldc = narrow<int>(c.stride, "stride of a product");
  const double one = 1.0;
  dgemm_("N", op, &m, &n, &k, &one, b.data, &ldb, a.data, &lda, &one, c.data, &ldc);
}

[[noreturn]] void refuse_shapes(const char* what, MatrixView<const double> a, MatrixView<const double> b,
                                MatrixView<double> c) {
  throw Error(ErrorKind::kInternal, fmt::format("[{}] [{}, {}] and [{}, {}] into [{}, {}]", what, a.rows, a.cols,
                                                b.rows, b.cols, c.rows, c.cols));
}

}  // namespace

void gemm_tn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c) {
  if (a.rows != b.rows || a.cols != c.rows || b.cols != c.cols) refuse_shapes("gemm_tn", a, b, c);
  gemm_add("T", a.rows, a, b, c);
}

void gemm_nn_add(MatrixView<const double> a, MatrixView<const double> b, MatrixView<double> c) {
  if (a.cols != b.rows || a.rows != c.rows || b.cols != c.cols) refuse_shapes("gemm_nn", a, b, c);
  gemm_add("N", a.cols, a, b, c);
}

std::string lapack_version() {
  // openblas_get_config() reads "OpenBLAS 0.3.21 NO_AFFINITY USE_OPENMP ..."
  const std::string config = openblas_get_config();
  const size_t end = config.find(' ', config.find(' ') + 1);
  return fmt::format("{} ({})", config.substr(0, end), openblas_get_corename());
}

}  // namespace hesse
