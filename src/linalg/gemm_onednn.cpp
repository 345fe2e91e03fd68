#include <dnnl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

// Width of the column panels of a product. p panels of a Gram matrix need (p + 1) / 2p of the products of the full
// square; panels below some 200 columns lose more to sgemm's edges than they save.
constexpr int64_t kPanel = 512;
int64_t gram_panel(int64_t n) { return std::clamp<int64_t>(ceil_div(n, 4 * 32) * 32, 192, kPanel); }

void require(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return;
  if (status == dnnl_out_of_memory)
    throw Error(ErrorKind::kEnvironment, fmt::format("[{}] oneDNN ran out of memory", what));
  throw Error(ErrorKind::kInternal, fmt::format("[{}] oneDNN returned status {}", what, static_cast<int>(status)));
}

MatrixView<const float> columns(MatrixView<const float> m, int64_t first, int64_t count) {
  return m.block(0, first, m.rows, count);
}

template <class Body>
void for_each_chunk(int64_t rows, Body body) {
  for (int64_t first = 0; first < rows; first += kGramChunkRows) body(first, std::min(kGramChunkRows, rows - first));
}

// a[t, m]^T * b[t, n] in float32.
Matrix<float> product_tn(MatrixView<const float> a, MatrixView<const float> b) {
  Matrix<float> product(a.cols, b.cols);
  require(dnnl_sgemm('T', 'N', a.cols, b.cols, a.rows, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, product.data(),
                     product.cols()),
          "product_tn");
  return product;
}

// to(r, c) += from(r, c) for the first count(r) columns of each row.
template <class Count>
void add_rows(const Matrix<float>& from, MatrixView<double> to, Count count) {
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(from.rows(), kRows), [&](int64_t tile) {
    for (int64_t r = tile * kRows; r < std::min(from.rows(), tile * kRows + kRows); ++r) {
      const int64_t cols = std::min(from.cols(), count(r));
      for (int64_t c = 0; c < cols; ++c) to(r, c) += static_cast<double>(from(r, c));
    }
  });
}

}  // namespace

void gemm_nt(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Output output) {
  if (a.cols != b.cols || a.rows != c.rows || b.rows != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[gemm_nt] [{}, {}] x [{}, {}]^T into [{}, {}]", a.rows, a.cols,
                                                  b.rows, b.cols, c.rows, c.cols));
  }
  if (c.rows == 0 || c.cols == 0) return;
  const float beta = (output == Output::kAdd) ? 1.0f : 0.0f;
  require(
      dnnl_sgemm('N', 'T', a.rows, b.rows, a.cols, 1.0f, a.data, a.stride, b.data, b.stride, beta, c.data, c.stride),
      "gemm_nt");
}

void add_gram(MatrixView<const float> x, MatrixView<double> h) {
  const int64_t panel = gram_panel(x.cols);
  for_each_chunk(x.rows, [&](int64_t first, int64_t count) {
    const auto chunk = x.row_range(first, count);
    for (int64_t column = 0; column < x.cols; column += panel) {
      const auto right = columns(chunk, column, std::min(panel, x.cols - column));
      const auto left = columns(chunk, column, x.cols - column);  // on and below the diagonal block
      const Matrix<float> product = product_tn(left, right);
      add_rows(product, h.block(column, column, left.cols, right.cols), [](int64_t row) { return row + 1; });
    }
  });
}

void add_product_tn(MatrixView<const float> x, MatrixView<const float> y, MatrixView<double> c) {
  if (x.rows != y.rows || x.cols != c.rows || y.cols != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[product_tn] [{}, {}]^T x [{}, {}] into [{}, {}]", x.rows, x.cols,
                                                  y.rows, y.cols, c.rows, c.cols));
  }
  for_each_chunk(x.rows, [&](int64_t first, int64_t count) {
    for (int64_t column = 0; column < y.cols; column += kPanel) {
      const auto right = columns(y.row_range(first, count), column, std::min(kPanel, y.cols - column));
      const Matrix<float> product = product_tn(x.row_range(first, count), right);
      add_rows(product, c.block(0, column, c.rows, right.cols), [&](int64_t) { return right.cols; });
    }
  });
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace hesse
