#include <dnnl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"
#include "base/threads.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

// Width of the column panels of a Gram matrix: (n + 1) / 2n of the products of the full square for n panels.
constexpr int64_t kPanel = 512;

void require(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return;
  if (status == dnnl_out_of_memory) throw Error(ErrorKind::kEnvironment, fmt::format("[{}] oneDNN ran out of memory", what));
  throw Error(ErrorKind::kInternal, fmt::format("[{}] oneDNN returned status {}", what, static_cast<int>(status)));
}

}  // namespace

void gemm_nt(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Output output) {
  if (a.cols != b.cols || a.rows != c.rows || b.rows != c.cols) {
    throw Error(ErrorKind::kInternal, fmt::format("[gemm_nt] [{}, {}] x [{}, {}]^T into [{}, {}]", a.rows, a.cols, b.rows,
                                                  b.cols, c.rows, c.cols));
  }
  if (c.rows == 0 || c.cols == 0) return;
  const float beta = (output == Output::kAdd) ? 1.0f : 0.0f;
  require(dnnl_sgemm('N', 'T', a.rows, b.rows, a.cols, 1.0f, a.data, a.stride, b.data, b.stride, beta, c.data, c.stride),
          "gemm_nt");
}

void add_gram(MatrixView<const float> x, MatrixView<double> h) {
  const int64_t n = x.cols;
  Matrix<float> product(n, std::min(kPanel, n));
  for (int64_t first = 0; first < x.rows; first += kGramChunkRows) {
    const auto chunk = x.row_range(first, std::min(kGramChunkRows, x.rows - first));
    for (int64_t column = 0; column < n; column += kPanel) {
      const int64_t width = std::min(kPanel, n - column);
      const int64_t rows = n - column;  // on and below the diagonal block
      require(dnnl_sgemm('T', 'N', rows, width, chunk.rows, 1.0f, chunk.data + column, chunk.stride, chunk.data + column,
                         chunk.stride, 0.0f, product.data(), width),
              "gram");
      parallel_for(ceil_div(rows, 64), [&](int64_t tile) {
        for (int64_t r = tile * 64; r < std::min(rows, tile * 64 + 64); ++r) {
          const float* from = product.data() + r * width;
          double* to = h.row(column + r) + column;
          const int64_t count = std::min(width, r + 1);
          for (int64_t c = 0; c < count; ++c) to[c] += static_cast<double>(from[c]);
        }
      });
    }
  }
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace hesse
