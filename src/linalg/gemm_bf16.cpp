// Products of bfloat16 with sums in float32: by the processor where it has them, else of pieces converted to float32.
// A product of two bfloat16 is exact in float32, so both ways differ by the order of the sums alone.
#include "linalg/gemm_bf16.h"

#include <dnnl.h>

#include <algorithm>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/threads.h"
#include "linalg/matmul.h"

namespace hesse {

bool native_bf16() {
  const int effective = static_cast<int>(dnnl_get_effective_cpu_isa());
  const auto has = [&](dnnl_cpu_isa_t isa) { return (effective & static_cast<int>(isa)) == static_cast<int>(isa); };
#if DNNL_VERSION_MAJOR >= 3
  if (has(dnnl_cpu_isa_avx2_vnni_2)) return true;
#endif
  return has(dnnl_cpu_isa_avx512_core_bf16);  // AMX contains it
}

namespace bf16 {
namespace {

using Bits = MatrixView<const uint16_t>;

constexpr int64_t kPiece = 512;    // rows or columns of one product: of float32, 512 x 4096 are 8 MB
constexpr int64_t kTileRows = 64;  // of parallel loops

// a[m, k] * b[n, k]^T, or a[k, m]^T * b[k, n]: the inner index runs along rows or along columns of both.
enum class Form { kNT, kTN };

template <class T>
int64_t outer_size(MatrixView<const T> m, Form form) {
  return form == Form::kNT ? m.rows : m.cols;
}
template <class T>
int64_t inner_size(MatrixView<const T> m, Form form) {
  return form == Form::kNT ? m.cols : m.rows;
}

// `count` of the outer indices.
Bits piece(Bits m, Form form, int64_t first, int64_t count) {
  return form == Form::kNT ? m.row_range(first, count) : m.block(0, first, m.rows, count);
}

template <class T>
bool multiply_by_onednn(MatrixView<const T> a, MatrixView<const T> b, MatrixView<float> c, Form form, Output output) {
  const bool nt = form == Form::kNT;
  return matmul({.type = ConstComputeView(a).type,
                 .m = c.rows,
                 .n = c.cols,
                 .k = inner_size(a, form),
                 .a_row = nt ? a.stride : 1,
                 .a_col = nt ? 1 : a.stride,
                 .b_row = nt ? 1 : b.stride,
                 .b_col = nt ? b.stride : 1,
                 .c_row = c.stride,
                 .add = output == Output::kAdd},
                a.data, b.data, c.data);
}

Matrix<float> to_float(Bits m) {
  Matrix<float> wide(m.rows, m.cols);
  parallel_for(ceil_div(m.rows, kTileRows), [&](int64_t tile) {
    for (int64_t r = tile * kTileRows; r < std::min(m.rows, tile * kTileRows + kTileRows); ++r) {
      const uint16_t* from = m.row(r);
      float* to = wide.row(r);
      for (int64_t c = 0; c < m.cols; ++c) to[c] = bf16_to_float(from[c]);
    }
  });
  return wide;
}

void multiply_converted(Bits a, Bits b, MatrixView<float> c, Form form, Output output) {
  for (int64_t column = 0; column < c.cols; column += kPiece) {
    const Matrix<float> right = to_float(piece(b, form, column, std::min(kPiece, c.cols - column)));
    for (int64_t row = 0; row < c.rows; row += kPiece) {
      const Matrix<float> left = to_float(piece(a, form, row, std::min(kPiece, c.rows - row)));
      const auto part = c.block(row, column, outer_size(left.view(), form), outer_size(right.view(), form));
      multiply_by_onednn(left.view(), right.view(), part, form, output);  // float32 is never refused
    }
  }
}

void multiply(Bits a, Bits b, MatrixView<float> c, Form form, Output output) {
  if (c.rows == 0 || c.cols == 0) return;
  if (inner_size(a, form) == 0) {
    for (int64_t r = 0; output == Output::kSet && r < c.rows; ++r) std::fill_n(c.row(r), c.cols, 0.0f);
    return;
  }
  // Without instructions for it, oneDNN refuses bfloat16 or emulates it slowly.
  if (native_bf16() && multiply_by_onednn(a, b, c, form, output)) return;
  multiply_converted(a, b, c, form, output);
}

// to(r, c) += sum over the rows t of left(t, r) * right(t, c), for c < count(r).
template <class Count>
void add_product(Bits left, Bits right, MatrixView<double> to, Count count) {
  Matrix<float> product(left.cols, right.cols);
  multiply(left, right, product.view(), Form::kTN, Output::kSet);
  parallel_for(ceil_div(product.rows(), kTileRows), [&](int64_t tile) {
    for (int64_t r = tile * kTileRows; r < std::min(product.rows(), tile * kTileRows + kTileRows); ++r) {
      const int64_t cols = std::min(product.cols(), count(r));
      for (int64_t c = 0; c < cols; ++c) to(r, c) += static_cast<double>(product(r, c));
    }
  });
}

// Calls body(first row, rows, first column, columns) for chunks of rows and panels of columns.
template <class Body>
void for_each_panel(int64_t rows, int64_t cols, Body body) {
  for (int64_t first = 0; first < rows; first += kGramChunkRows) {
    const int64_t count = std::min(kGramChunkRows, rows - first);
    for (int64_t column = 0; column < cols; column += kPiece)
      body(first, count, column, std::min(kPiece, cols - column));
  }
}

}  // namespace

void gemm_nt(Bits a, Bits b, MatrixView<float> c, Output output) { multiply(a, b, c, Form::kNT, output); }

void add_gram(Bits x, MatrixView<double> h) {
  for_each_panel(x.rows, x.cols, [&](int64_t first, int64_t rows, int64_t column, int64_t cols) {
    const Bits below = x.block(first, column, rows, x.cols - column);  // and the diagonal block
    add_product(below, below.block(0, 0, rows, cols), h.block(column, column, below.cols, cols),
                [](int64_t row) { return row + 1; });
  });
}

void add_product_tn(Bits x, Bits y, MatrixView<double> c) {
  for_each_panel(x.rows, y.cols, [&](int64_t first, int64_t rows, int64_t column, int64_t cols) {
    add_product(x.row_range(first, rows), y.block(first, column, rows, cols), c.block(0, column, c.rows, cols),
                [&](int64_t) { return cols; });
  });
}

}  // namespace bf16
}  // namespace hesse
