// Errors of weights, counted: against the plain way, and what must hold of rounding.
#include "quant/error_count.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "quant/grid.h"
#include "quant/rtn.h"

namespace hesse {
namespace {

constexpr ErrorBins kBins{.steps = 1.5, .count = 25};

Matrix<float> random_weight(int64_t rows, int64_t cols, Rng& rng) {
  Matrix<float> weight(rows, cols);
  for (int64_t i = 0; i < weight.size(); ++i) weight.data()[i] = static_cast<float>(rng.normal());
  return weight;
}

int64_t sum_of(const std::vector<int64_t>& counts) { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }

// Weights that moved by more than half a step: outside of the bins that touch it.
int64_t beyond_half(const std::vector<int64_t>& counts) {
  int64_t beyond = 0;
  for (int bin = 0; bin < kBins.count; ++bin) {
    const double width = 2 * kBins.steps / kBins.count, first = -kBins.steps + bin * width;
    if (first > 0.5 || first + width < -0.5) beyond += counts[static_cast<size_t>(bin) + 1];
  }
  return beyond + counts.front() + counts.back();
}

TEST(ErrorCount, CountsEveryWeightWhereItsErrorLies) {
  Rng rng(5);
  for (const int64_t rows : {1, 63, 64, 65, 130}) {
    const Matrix<float> weight = random_weight(rows, 40, rng);
    LinearSpec spec{.bits = 3, .group_size = 16, .symmetric = true};
    QuantizedLinear linear = solve_rtn(weight.view(), nullptr, spec, {});
    for (int64_t i = 0; i < linear.codes.size(); ++i) linear.codes.data()[i] = static_cast<uint8_t>(rng.below(8));
    for (int64_t i = 0; i < linear.scales.size(); i += 3) linear.scales.data()[i] *= -1;
    std::vector<int64_t> expected(static_cast<size_t>(kBins.count) + 2, 0);
    const Matrix<float> q = dequantize(linear);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < 40; ++c) {
        const double scale = std::abs(static_cast<double>(linear.scales(c / 16, r)));
        const double error = (static_cast<double>(weight(r, c)) - static_cast<double>(q(r, c))) / scale;
        size_t bin = 0;
        while (bin <= static_cast<size_t>(kBins.count) && error >= -1.5 + 0.12 * static_cast<double>(bin)) ++bin;
        ++expected[bin];
      }
    }
    const std::vector<int64_t> counts = count_errors(weight.view(), linear, kBins);
    EXPECT_EQ(sum_of(counts), weight.size());
    // An error on an edge may fall on either side of it.
    for (size_t bin = 0; bin < counts.size(); ++bin)
      EXPECT_LE(std::abs(counts[bin] - expected[bin]), 1) << rows << ", " << bin;
  }
}

// Weights that lie outside of the range of their grid.
int64_t clipped_by(const Matrix<float>& weight, const QuantizedLinear& linear) {
  int64_t clipped = 0;
  for (int64_t r = 0; r < weight.rows(); ++r) {
    for (int64_t c = 0; c < weight.cols(); ++c) {
      const int64_t g = linear.group_of[static_cast<size_t>(c)];
      const float code = weight(r, c) / linear.scales(g, r) + static_cast<float>(linear.zeros(g, r));
      clipped += code < -0.5f || code > static_cast<float>(linear.spec.max_code()) + 0.5f ? 1 : 0;
    }
  }
  return clipped;
}

// Only what is clipped moves further: hardly anything on the grid from the least weight to the largest, whose scale is
// rounded to a half, and much on one of half the width.
TEST(ErrorCount, RoundingMovesNothingByMoreThanHalfAStepInsideItsGrid) {
  Rng rng(6);
  const Matrix<float> weight = random_weight(70, 96, rng);
  for (const int bits : {2, 3, 4, 8}) {
    const LinearSpec spec{.bits = bits, .group_size = 32, .symmetric = false};
    GptqOptions options;
    options.grid.search = ScaleSearch::kMinMax;
    QuantizedLinear linear = solve_rtn(weight.view(), nullptr, spec, options);
    const std::vector<int64_t> whole = count_errors(weight.view(), linear, kBins);
    EXPECT_EQ(sum_of(whole), weight.size());
    EXPECT_LE(beyond_half(whole), clipped_by(weight, linear)) << bits;
    for (int64_t i = 0; i < linear.scales.size(); ++i) linear.scales.data()[i] *= 0.5f;
    Grid grid{linear.scales.clone(), linear.zeros.clone()};
    linear.codes = round_to_grid(weight.view(), grid, spec);
    const std::vector<int64_t> narrow = count_errors(weight.view(), linear, kBins);
    EXPECT_EQ(sum_of(narrow), weight.size());
    EXPECT_LE(beyond_half(narrow), clipped_by(weight, linear)) << bits;
    EXPECT_GT(beyond_half(narrow), weight.size() / 100) << bits;
  }
}

}  // namespace
}  // namespace hesse
