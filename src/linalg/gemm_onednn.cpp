#include <dnnl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"
#include "linalg/gemm_bf16.h"

namespace hesse {
namespace {

constexpr int64_t kPanel = 512;  // columns of a product at a time

// Side of the blocks of a Gram matrix. p blocks a side need (p + 1) / 2p of the products of the full square; a multiple
// of 48 fits the register blocks of oneDNN's kernels on AVX2 and AVX-512 alike (docs/PERFORMANCE.md, "Gram matrix").
constexpr int64_t kGramBlock = 96;

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
  const int64_t chunk = ceil_div(rows, std::max<int64_t>(1, ceil_div(rows, kGramChunkRows)));  // all alike
  for (int64_t first = 0; first < rows; first += chunk) body(first, std::min(chunk, rows - first));
}

// a[t, m]^T * b[t, n] in float32.
Matrix<float> product_tn(MatrixView<const float> a, MatrixView<const float> b) {
  Matrix<float> product(a.cols, b.cols);
  require(dnnl_sgemm('T', 'N', a.cols, b.cols, a.rows, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, product.data(),
                     product.cols()),
          "product_tn");
  return product;
}

void add_rows(const Matrix<float>& from, MatrixView<double> to) {
  constexpr int64_t kRows = 64;
  parallel_for(ceil_div(from.rows(), kRows), [&](int64_t tile) {
    for (int64_t r = tile * kRows; r < std::min(from.rows(), tile * kRows + kRows); ++r) {
      for (int64_t c = 0; c < from.cols(); ++c) to(r, c) += static_cast<double>(from(r, c));
    }
  });
}

bool both_bf16(ConstComputeView a, ConstComputeView b) {
  return a.type == ComputeType::kBF16 && b.type == ComputeType::kBF16;
}

}  // namespace

void gemm_nt(ConstComputeView a, ConstComputeView b, MatrixView<float> c, Output output) {
  if (a.cols != b.cols || a.rows != c.rows || b.rows != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[gemm_nt] [{}, {}] x [{}, {}]^T into [{}, {}]", a.rows, a.cols,
                                                  b.rows, b.cols, c.rows, c.cols));
  }
  if (c.rows == 0 || c.cols == 0) return;
  if (both_bf16(a, b)) return bf16::gemm_nt(a.bf16(), b.bf16(), c, output);
  const float beta = (output == Output::kAdd) ? 1.0f : 0.0f;
  require(dnnl_sgemm('N', 'T', a.rows, b.rows, a.cols, 1.0f, a.f32().data, a.stride, b.f32().data, b.stride, beta,
                     c.data, c.stride),
          "gemm_nt");
}

void gemm_nn(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c) {
  if (a.cols != b.rows || a.rows != c.rows || b.cols != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[gemm_nn] [{}, {}] x [{}, {}] into [{}, {}]", a.rows, a.cols, b.rows,
                                                  b.cols, c.rows, c.cols));
  }
  if (c.rows == 0 || c.cols == 0) return;
  require(
      dnnl_sgemm('N', 'N', a.rows, b.cols, a.cols, 1.0f, a.data, a.stride, b.data, b.stride, 0.0f, c.data, c.stride),
      "gemm_nn");
}

namespace {

// The columns of x cut into panels [rows, kGramBlock], one behind the other, each contiguous: sgemm reads them without
// long strides.
class Panels {
 public:
  explicit Panels(MatrixView<const float> x) : rows_(x.rows), cols_(x.cols), packed_(x.cols, x.rows) {
    parallel_for(count(), [&](int64_t p) {
      for (int64_t r = 0; r < rows_; ++r) std::copy_n(x.row(r) + p * kGramBlock, width(p), data(p) + r * width(p));
    });
  }
  int64_t count() const { return ceil_div(cols_, kGramBlock); }
  int64_t width(int64_t panel) const { return std::min(kGramBlock, cols_ - panel * kGramBlock); }
  MatrixView<const float> panel(int64_t p) const { return {packed_.row(p * kGramBlock), rows_, width(p)}; }

 private:
  float* data(int64_t p) { return packed_.row(p * kGramBlock); }

  int64_t rows_, cols_;
  Matrix<float> packed_;  // [cols, rows] as memory only
};

// h[i-th block, j-th block] += the product of two panels, of a diagonal block the lower triangle only.
void add_block(const Panels& panels, int64_t i, int64_t j, MatrixView<double> h) {
  const Matrix<float> product = product_tn(panels.panel(i), panels.panel(j));
  const auto to = h.block(i * kGramBlock, j * kGramBlock, product.rows(), product.cols());
  for (int64_t r = 0; r < product.rows(); ++r) {
    const int64_t cols = i == j ? r + 1 : product.cols();
    for (int64_t c = 0; c < cols; ++c) to(r, c) += static_cast<double>(product(r, c));
  }
}

}  // namespace

void add_gram(ConstComputeView inputs, MatrixView<double> h) {
  if (inputs.type == ComputeType::kBF16) return bf16::add_gram(inputs.bf16(), h);
  const MatrixView<const float> x = inputs.f32();
  for_each_chunk(x.rows, [&](int64_t first, int64_t count) {
    const Panels panels(x.row_range(first, count));
    parallel_for(panels.count() * (panels.count() + 1) / 2, [&](int64_t task) {
      int64_t i = 0;
      while ((i + 1) * (i + 2) / 2 <= task) ++i;
      add_block(panels, i, task - i * (i + 1) / 2, h);
    });
  });
}

void add_product_tn(ConstComputeView x, ConstComputeView y, MatrixView<double> c) {
  if (x.rows != y.rows || x.cols != c.rows || y.cols != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[product_tn] [{}, {}]^T x [{}, {}] into [{}, {}]", x.rows, x.cols,
                                                  y.rows, y.cols, c.rows, c.cols));
  }
  if (both_bf16(x, y)) return bf16::add_product_tn(x.bf16(), y.bf16(), c);
  for_each_chunk(x.rows, [&](int64_t first, int64_t count) {
    for (int64_t column = 0; column < y.cols; column += kPanel) {
      const auto right = columns(y.f32().row_range(first, count), column, std::min(kPanel, y.cols - column));
      const Matrix<float> product = product_tn(x.f32().row_range(first, count), right);
      add_rows(product, c.block(0, column, c.rows, right.cols));
    }
  });
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace hesse
