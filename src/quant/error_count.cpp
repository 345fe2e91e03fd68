#include "quant/error_count.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"

namespace hesse {
namespace {

constexpr int64_t kRows = 64;  // that one piece of work counts

// Of (w - q) / |s|, with q = s (code - zero).
double error_in_steps(float weight, float scale, int code_above_zero) {
  const double steps = static_cast<double>(weight) / static_cast<double>(scale) - code_above_zero;
  return scale < 0 ? -steps : steps;
}

size_t bin_of(double error, const ErrorBins& bins) {
  const double place = std::floor((error + bins.steps) / (2 * bins.steps) * bins.count);
  return static_cast<size_t>(std::clamp(place, -1.0, static_cast<double>(bins.count)) + 1);
}

}  // namespace

std::vector<int64_t> count_errors(MatrixView<const float> weight, const QuantizedLinear& linear,
                                  const ErrorBins& bins) {
  const size_t all = static_cast<size_t>(bins.count) + 2;
  const int64_t pieces = (weight.rows + kRows - 1) / kRows;
  std::vector<std::vector<int64_t>> counts(static_cast<size_t>(pieces), std::vector<int64_t>(all, 0));
  parallel_for(pieces, [&](int64_t piece) {
    std::vector<int64_t>& of_piece = counts[static_cast<size_t>(piece)];
    for (int64_t row = piece * kRows; row < std::min(weight.rows, (piece + 1) * kRows); ++row) {
      for (int64_t i = 0; i < weight.cols; ++i) {
        const int64_t g = linear.group_of[static_cast<size_t>(i)];
        const int above_zero = linear.codes(row, i) - linear.zeros(g, row);
        ++of_piece[bin_of(error_in_steps(weight(row, i), linear.scales(g, row), above_zero), bins)];
      }
    }
  });
  std::vector<int64_t> sum(all, 0);
  for (const std::vector<int64_t>& of_piece : counts) {
    for (size_t bin = 0; bin < all; ++bin) sum[bin] += of_piece[bin];
  }
  return sum;
}

}  // namespace hesse
