#include "quant/hessian.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"

namespace hesse {

namespace {

// Squares of values within these bounds, and sums of many of them, are ordinary float32 numbers.
constexpr float kLargestSquare = 0x1p+50f;
constexpr float kSmallestSquare = 0x1p-50f;

void add_gram_in_double(MatrixView<const float> x, MatrixView<double> sum) {
  Matrix<double> wide(x.rows, x.cols);
  for (int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row(r), x.cols, wide.row(r));
  gemm_tn_add(wide.view(), wide.view(), sum);
}

}  // namespace

std::vector<float> row_peaks(MatrixView<const float> x) {
  std::vector<float> peaks(static_cast<size_t>(x.rows));
  parallel_for(x.rows, [&](int64_t r) { peaks[static_cast<size_t>(r)] = max_abs(x.row(r), x.cols); });
  return peaks;
}

void Hessian::add(MatrixView<const float> x) {
  if (x.rows == 0) return;
  const std::vector<float> peaks = row_peaks(x);
  const float largest = *std::max_element(peaks.begin(), peaks.end());
  if (largest == 0 || (largest > kSmallestSquare && largest < kLargestSquare)) {
    add_gram(x, sum.view());
  } else {
    add_gram_in_double(x, sum.view());
  }
  tokens += x.rows;
}

void Hessian::add(const Hessian& other) {
  parallel_for(in(), [&](int64_t r) {
    for (int64_t c = 0; c < in(); ++c) sum(r, c) += other.sum(r, c);
  });
  tokens += other.tokens;
}

void Hessian::finish() {
  constexpr int64_t kTile = 64;  // both sides of a tile stay in cache
  const int64_t n = in();
  parallel_for(ceil_div(n, kTile), [&](int64_t tile) {
    const int64_t first = tile * kTile;
    for (int64_t column = 0; column <= first; column += kTile) {
      for (int64_t r = first; r < std::min(n, first + kTile); ++r) {
        for (int64_t c = column; c < std::min(r, column + kTile); ++c) sum(c, r) = sum(r, c);
      }
    }
  });
}

}  // namespace hesse
