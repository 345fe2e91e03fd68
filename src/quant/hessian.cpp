#include "quant/hessian.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/compute_row.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"

namespace hesse {
namespace {

// Squares of values within these bounds, and sums of many of them, are ordinary float32 numbers.
constexpr float kLargestSquare = 0x1p+50f;
constexpr float kSmallestSquare = 0x1p-50f;

void add_gram_in_double(ConstComputeView x, MatrixView<double> sum) {
  Matrix<double> wide(x.rows, x.cols);
  std::vector<float> scratch(static_cast<size_t>(x.cols));
  for (int64_t r = 0; r < x.rows; ++r) std::copy_n(read_row(x, r, scratch.data()), x.cols, wide.row(r));
  gemm_tn_add(wide.view(), wide.view(), sum);
}

}  // namespace

std::vector<float> row_peaks(ConstComputeView x) {
  constexpr int64_t kRows = 16;
  std::vector<float> peaks(static_cast<size_t>(x.rows));
  parallel_for(ceil_div(x.rows, kRows), [&](int64_t tile) {
    std::vector<float> scratch(static_cast<size_t>(x.cols));
    for (int64_t r = tile * kRows; r < std::min(x.rows, tile * kRows + kRows); ++r)
      peaks[static_cast<size_t>(r)] = max_abs(read_row(x, r, scratch.data()), x.cols);
  });
  return peaks;
}

void Hessian::add(ConstComputeView x) {
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
    for (int64_t c = 0; c <= r; ++c) sum(r, c) += other.sum(r, c);
  });
  tokens += other.tokens;
}

void Hessian::add_scaled(const Hessian& other, double factor) {
  parallel_for(in(), [&](int64_t r) {
    for (int64_t c = 0; c <= r; ++c) sum(r, c) += factor * other.sum(r, c);
  });
}

std::vector<double> Hessian::diagonal() const {
  std::vector<double> diagonal(static_cast<size_t>(in()));
  for (int64_t i = 0; i < in(); ++i) diagonal[static_cast<size_t>(i)] = sum(i, i);
  return diagonal;
}

SymmetricView view_of(const Hessian& hessian) { return {hessian.sum.view(), hessian.diagonal()}; }

namespace {

// Both triangles of H[first : first + count] in rows and columns.
Matrix<double> diagonal_block(const SymmetricView& h, int64_t first, int64_t count) {
  Matrix<double> block(count, count);
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < r; ++c) block(r, c) = block(c, r) = h.lower(first + r, first + c);
    block(r, r) = h.diagonal[static_cast<size_t>(first + r)];
  }
  return block;
}

}  // namespace

void add_product(const SymmetricView& h, int64_t first_row, int64_t first_column, MatrixView<const double> x,
                 MatrixView<double> y) {
  constexpr int64_t kBlock = 128;  // its diagonal block is copied: what stands on the diagonal of `lower` is not H
  for (int64_t done = 0; done < x.rows; done += kBlock) {
    const int64_t column = first_column + done;
    const auto part = x.row_range(done, std::min(kBlock, x.rows - done));
    const int64_t above = column - first_row;
    const int64_t below = y.rows - above - part.rows;
    gemm_tn_add(h.lower.block(column, first_row, part.rows, above), part, y.row_range(0, above));
    gemm_nn_add(diagonal_block(h, column, part.rows).view(), part, y.row_range(above, part.rows));
    gemm_nn_add(h.lower.block(column + part.rows, column, below, part.rows), part,
                y.row_range(above + part.rows, below));
  }
}

namespace {

// x[in, rows]: sum over the columns z of x of z^T H z. What stands below the diagonal counts twice.
double quadratic_form(const SymmetricView& h, MatrixView<const double> x) {
  constexpr int64_t kBlock = 128;
  const auto dot = [](MatrixView<const double> a, const Matrix<double>& b) {
    return std::inner_product(b.data(), b.data() + b.size(), a.data, 0.0);
  };
  double sum = 0;
  for (int64_t first = 0; first < x.rows; first += kBlock) {
    const auto part = x.row_range(first, std::min(kBlock, x.rows - first));
    const auto rest = x.row_range(first + part.rows, x.rows - first - part.rows);
    Matrix<double> product = Matrix<double>::zeros(part.rows, x.cols);
    gemm_nn_add(diagonal_block(h, first, part.rows).view(), part, product.view());
    sum += dot(part, product);
    product.fill_zero();
    gemm_tn_add(h.lower.block(first + part.rows, first, rest.rows, part.rows), rest, product.view());
    sum += 2 * dot(part, product);
  }
  return sum;
}

}  // namespace

double quadratic_loss(MatrixView<const float> error, const SymmetricView& h) {
  constexpr int64_t kRows = 64;
  const int64_t tiles = ceil_div(error.rows, kRows);
  std::vector<double> sums(static_cast<size_t>(tiles), 0.0);
  parallel_for(tiles, [&](int64_t tile) {
    const int64_t rows = std::min(kRows, error.rows - tile * kRows);
    Matrix<double> transposed(error.cols, rows);  // [in, rows]
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < error.cols; ++c) transposed(c, r) = static_cast<double>(error(tile * kRows + r, c));
    }
    sums[static_cast<size_t>(tile)] = quadratic_form(h, transposed.view());
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

namespace {

// Columns [first, first + cols) of H on and below the diagonal, from row `first` on, times 2^-exponent: what stands
// below the diagonal twice, above it 0, so that E H E^T is the sum over the columns of (E panel) * E.
Matrix<float> folded_panel(const SymmetricView& h, int64_t first, int64_t cols, int exponent) {
  constexpr int64_t kRows = 64;
  const int64_t rows = static_cast<int64_t>(h.diagonal.size()) - first;
  const double unit = std::ldexp(1.0, -exponent);
  Matrix<float> panel(rows, cols);
  parallel_for(ceil_div(rows, kRows), [&](int64_t tile) {
    for (int64_t r = tile * kRows; r < std::min(rows, tile * kRows + kRows); ++r) {
      const double* from = h.lower.row(first + r) + first;
      float* to = panel.row(r);
      const int64_t below = std::min(r, cols);
      for (int64_t c = 0; c < below; ++c) to[c] = static_cast<float>(2 * unit * from[c]);
      std::fill(to + below, to + cols, 0.0f);
      if (r < cols) to[r] = static_cast<float>(unit * h.diagonal[static_cast<size_t>(first + r)]);
    }
  });
  return panel;
}

// sum of a * b
double dot(MatrixView<const float> a, MatrixView<const float> b) {
  std::vector<double> sums(static_cast<size_t>(a.rows), 0.0);
  parallel_for(a.rows, [&](int64_t r) {
    double& sum = sums[static_cast<size_t>(r)];
    for (int64_t c = 0; c < a.cols; ++c) sum += static_cast<double>(a(r, c)) * static_cast<double>(b(r, c));
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// sum over the rows of (sum over i of |e_i| H_ii^1/2)^2
double bound_of_terms(MatrixView<const float> error, const SymmetricView& h) {
  std::vector<double> sums(static_cast<size_t>(error.rows), 0.0);
  std::vector<double> sizes(h.diagonal);
  for (double& size : sizes) size = std::sqrt(std::max(size, 0.0));
  parallel_for(error.rows, [&](int64_t r) {
    double sum = 0;
    for (int64_t c = 0; c < error.cols; ++c)
      sum += std::abs(static_cast<double>(error(r, c))) * sizes[static_cast<size_t>(c)];
    sums[static_cast<size_t>(r)] = sum * sum;
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Neither so large nor so small, nor so unlike each other, that a product of two would leave float32.
bool is_ordinary(MatrixView<const float> error, const SymmetricView& h) {
  constexpr double kSpread = 0x1p+40;
  const double largest = *std::max_element(h.diagonal.begin(), h.diagonal.end());
  if (!std::isfinite(largest)) return false;
  for (const double d : h.diagonal) {
    if (d != 0 && !(d * kSpread >= largest)) return false;
  }
  const std::vector<float> peaks = row_peaks(error);
  return std::all_of(peaks.begin(), peaks.end(), [&](float peak) {
    return peak == 0 || (static_cast<double>(peak) * kSpread >= 1 && static_cast<double>(peak) <= kSpread);
  });
}

}  // namespace

double quick_quadratic_loss(MatrixView<const float> error, const SymmetricView& h) {
  if (!is_ordinary(error, h)) return quadratic_loss(error, h);
  constexpr int64_t kColumns = 256;
  int exponent = 0;
  std::frexp(*std::max_element(h.diagonal.begin(), h.diagonal.end()), &exponent);
  double sum = 0;
  for (int64_t first = 0; first < error.cols; first += kColumns) {
    const int64_t cols = std::min(kColumns, error.cols - first);
    const Matrix<float> panel = folded_panel(h, first, cols, exponent);
    Matrix<float> product(error.rows, cols);
    gemm_nn(error.block(0, first, error.rows, error.cols - first), panel.view(), product.view());
    sum += dot(product.view(), error.block(0, first, error.rows, cols));
  }
  sum = std::ldexp(sum, exponent);
  const bool good = std::isfinite(sum) && sum >= kQuickLossLeast * bound_of_terms(error, h);
  return good ? sum : quadratic_loss(error, h);
}

}  // namespace hesse
