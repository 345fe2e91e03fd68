#include "quant/grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "kernels/grid_kernel.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 5;

Matrix<float> random_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(0.05 * rng.normal());
  return m;
}

// Halves, finite, not 0, zero points where readers agree.
void expect_storable(const Grid& grid, const LinearSpec& spec) {
  for (int64_t i = 0; i < grid.scales.size(); ++i) {
    const float scale = grid.scales.data()[i];
    EXPECT_EQ(f16_to_float(float_to_f16(scale)), scale);
    EXPECT_TRUE(std::isfinite(scale));
    EXPECT_GE(std::abs(scale), 0.99f * kSmallestScale);
    EXPECT_GE(grid.zeros.data()[i], 1);
    EXPECT_LE(grid.zeros.data()[i], spec.max_code());
    if (spec.symmetric) {
      EXPECT_EQ(grid.zeros.data()[i], spec.symmetric_zero());
    }
  }
}

TEST(Grid, IsStorableForEveryWidthAndShape) {
  Rng rng(kSeed);
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      for (const int64_t group : {int64_t{-1}, int64_t{1}, int64_t{16}, int64_t{48}, int64_t{100}}) {
        Matrix<float> weight = random_matrix(rng, 9, 100);
        for (int64_t i = 0; i < 100; ++i) {
          weight(0, i) = 0;                        // a row of zeros
          weight(1, i) = std::abs(weight(1, i));   // all positive
          weight(2, i) = -std::abs(weight(2, i));  // all negative
          weight(3, i) *= 1e-9f;                   // below the smallest scale
          weight(4, i) *= 1e9f;                    // above the largest half
        }
        const std::vector<float> importance(100, 1.0f);
        const LinearSpec spec{.bits = bits, .group_size = group, .symmetric = symmetric};
        for (const ScaleSearch search : {ScaleSearch::kMinMax, ScaleSearch::kWeighted}) {
          const Grid grid = find_grid(weight.view(), importance, spec, {.search = search});
          expect_storable(grid, spec);
          const Matrix<uint8_t> codes = round_to_grid(weight.view(), grid, spec);
          EXPECT_LE(*std::max_element(codes.data(), codes.data() + codes.size()), spec.max_code());
        }
      }
    }
  }
}

// AutoGPTQ's grids: symmetric 2 max|w| / (2^bits - 1); asymmetric (max - min) / (2^bits - 1), both ends including 0.
TEST(Grid, MinMaxCoversTheGroup) {
  const std::vector<float> row = {-0.30f, 0.10f, 0.20f, -0.05f};
  Matrix<float> weight(1, 4);
  std::copy(row.begin(), row.end(), weight.data());
  const std::vector<float> importance(4, 1.0f);
  const auto half = [](float x) { return f16_to_float(float_to_f16(x)); };
  const Grid symmetric =
      find_grid(weight.view(), importance, {.bits = 4, .group_size = -1}, {ScaleSearch::kMinMax, true});
  EXPECT_EQ(symmetric.scales(0, 0), half(2 * 0.30f / 15));
  const Grid asymmetric = find_grid(weight.view(), importance, {.bits = 4, .group_size = -1, .symmetric = false},
                                    {ScaleSearch::kMinMax, true});
  EXPECT_EQ(asymmetric.scales(0, 0), half(0.50f / 15));
  EXPECT_EQ(asymmetric.zeros(0, 0), 9);
}

double weighted_error(const Matrix<float>& weight, const std::vector<float>& importance, const Grid& grid,
                      const LinearSpec& spec) {
  const Matrix<uint8_t> codes = round_to_grid(weight.view(), grid, spec);
  double sum = 0;
  for (int64_t r = 0; r < weight.rows(); ++r) {
    for (int64_t i = 0; i < weight.cols(); ++i) {
      const int64_t g = i / spec.group_width(weight.cols());
      const double q = double{grid.scales(g, r)} * (codes(r, i) - grid.zeros(g, r));
      sum += importance[static_cast<size_t>(i)] * std::pow(weight(r, i) - q, 2);
    }
  }
  return sum;
}

TEST(Grid, WeightedSearchIsNeverWorseThanFewerCandidates) {
  Rng rng(kSeed);
  const Matrix<float> weight = random_matrix(rng, 40, 128);
  std::vector<float> importance(128);
  for (float& w : importance) w = static_cast<float>(std::exp(2 * rng.normal()));
  for (const int bits : {2, 3, 4, 8}) {
    const LinearSpec spec{.bits = bits, .group_size = 32};
    const auto error = [&](GridOptions options) {
      return weighted_error(weight, importance, find_grid(weight.view(), importance, spec, options), spec);
    };
    const double minmax = error({ScaleSearch::kMinMax, false});
    const double positive = error({ScaleSearch::kWeighted, false});
    const double both = error({ScaleSearch::kWeighted, true});
    EXPECT_LT(positive, minmax) << bits;
    EXPECT_LT(both, positive * 1.0001) << bits;  // ranked in float32
  }
}

// A few huge weights among many small ones: one of the scales that fit the largest weight exactly must be among the
// candidates. At 4 bits -1.0 = -8 * 0.125 leaves no error at all.
TEST(Grid, ExactFitIsFound) {
  Matrix<float> weight = Matrix<float>::zeros(2, 32);
  weight(0, 3) = -1.0f;
  weight(1, 3) = 1.0f;
  const std::vector<float> importance(32, 1.0f);
  const LinearSpec spec{.bits = 4, .group_size = -1};
  const Grid grid = find_grid(weight.view(), importance, spec, {});
  EXPECT_EQ(weighted_error(weight, importance, grid, spec), 0.0);
}

// Far beyond the largest scale only the ends of the grid are of use: the zero point leaves all steps to the side of the
// weights, and does not wrap around.
TEST(Grid, WeightsBeyondTheGridUseTheirSideOfIt) {
  const std::vector<float> importance(4, 1.0f);
  for (const int bits : {2, 3, 4, 8}) {
    const LinearSpec spec{.bits = bits, .group_size = -1, .symmetric = false};
    for (const float magnitude : {1e12f, 1e15f, 1e30f, 3e38f}) {
      Matrix<float> weight = Matrix<float>::zeros(2, 4);
      for (int64_t i = 0; i < 4; ++i) {
        weight(0, i) = -magnitude / static_cast<float>(1 + i);
        weight(1, i) = magnitude / static_cast<float>(1 + i);
      }
      for (const ScaleSearch search : {ScaleSearch::kMinMax, ScaleSearch::kWeighted}) {
        const Grid grid = find_grid(weight.view(), importance, spec, {.search = search});
        expect_storable(grid, spec);
        EXPECT_EQ(grid.scales(0, 0), 65504.0f) << magnitude;
        EXPECT_EQ(grid.zeros(0, 0), spec.max_code()) << magnitude;
        EXPECT_EQ(grid.zeros(0, 1), 1) << magnitude;
      }
    }
  }
}

}  // namespace
}  // namespace hesse
