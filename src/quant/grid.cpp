#include "quant/grid.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/grid_kernel.h"

namespace hesse {
namespace {

// Shrink factors of the weighted search, from beyond the full range (rounding up the scale can pay) to clipping hard.
// The exact-fit scales are tried as well: without them a few huge weights can double the loss of a linear.
constexpr int kCandidates = 57;
constexpr float kLargestFactor = 1.1f;
constexpr float kSmallestFactor = 0.4f;

float shrink_factor(int index) {
  return kLargestFactor - (kLargestFactor - kSmallestFactor) * static_cast<float>(index) / (kCandidates - 1);
}

struct ScaleZero {
  float scale = kSmallestScale;
  int zero = 1;
};

// The nearest half, away from 0 and from infinity, with the sign kept.
float storable_scale(float scale) {
  const float magnitude = std::clamp(std::abs(scale), kSmallestScale, 65504.0f);
  return std::copysign(f16_to_float(float_to_f16(magnitude)), scale);
}

// One group of one row, and the best grid seen for it.
class GroupSearch {
 public:
  GroupSearch(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec)
      : weight_(weight), importance_(importance), spec_(spec) {
    const auto [low, high] = std::minmax_element(weight.begin(), weight.end());
    low_ = std::min(0.0f, *low);
    high_ = std::max(0.0f, *high);
  }

  ScaleZero symmetric(const GridOptions& options) {
    const float reach = std::max(-low_, high_);
    const float steps = static_cast<float>(spec_.max_code());
    const int zero = spec_.symmetric_zero();
    // AutoGPTQ's min/max grid: 2 * max|w| / (2^bits - 1).
    if (options.search == ScaleSearch::kMinMax || reach == 0) return {storable_scale(2 * reach / steps), zero};
    for (int i = 0; i < kCandidates; ++i) try_symmetric(shrink_factor(i) * 2 * reach / steps, options);
    try_symmetric(reach / static_cast<float>(zero), options);
    try_symmetric(reach / static_cast<float>(zero - 1), options);
    return best_;
  }

  ScaleZero asymmetric(const GridOptions& options) {
    const float range = high_ - low_;
    if (options.search == ScaleSearch::kMinMax || range == 0) return fit(range);
    for (int i = 0; i < kCandidates; ++i) judge(fit(shrink_factor(i) * range));
    judge(fit(range));
    return best_;
  }

 private:
  void try_symmetric(float scale, const GridOptions& options) {
    judge({storable_scale(scale), spec_.symmetric_zero()});
    if (options.negative_scales) judge({storable_scale(-scale), spec_.symmetric_zero()});
  }

  // A zero point of 0 breaks readers of the format: with only positive weights it is 1, and one step fewer is left.
  ScaleZero fit(float range) const {
    const int steps = spec_.max_code();
    float scale = storable_scale(range / static_cast<float>(steps));
    const int zero = static_cast<int>(std::nearbyint(-low_ * (range / std::max(high_ - low_, 1e-30f)) / scale));
    if (zero < 1) scale = storable_scale(range / static_cast<float>(steps - 1));
    return {scale, std::clamp(zero, 1, steps)};
  }

  void judge(const ScaleZero& candidate) {
    const float error =
        grid_error(weight_.data(), importance_.data(), static_cast<int64_t>(weight_.size()), candidate.scale,
                   static_cast<float>(candidate.zero), static_cast<float>(spec_.max_code()));
    if (error < least_) {
      least_ = error;
      best_ = candidate;
    }
  }

  std::span<const float> weight_;
  std::span<const float> importance_;
  const LinearSpec& spec_;
  float low_ = 0;
  float high_ = 0;
  float least_ = std::numeric_limits<float>::infinity();
  ScaleZero best_;
};

}  // namespace

Grid find_grid(MatrixView<const float> weight, std::span<const float> importance, const LinearSpec& spec,
               const GridOptions& options) {
  const int64_t width = spec.group_width(weight.cols);
  const int64_t groups = spec.groups(weight.cols);
  Grid grid{Matrix<float>(groups, weight.rows), Matrix<uint8_t>(groups, weight.rows)};
  parallel_for(weight.rows, [&](int64_t row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * width;
      const size_t count = static_cast<size_t>(std::min(width, weight.cols - first));
      GroupSearch search({weight.row(row) + first, count}, importance.subspan(static_cast<size_t>(first), count), spec);
      const ScaleZero found = spec.symmetric ? search.symmetric(options) : search.asymmetric(options);
      grid.scales(g, row) = found.scale;
      grid.zeros(g, row) = static_cast<uint8_t>(found.zero);
    }
  });
  return grid;
}

Matrix<uint8_t> round_to_grid(MatrixView<const float> weight, const Grid& grid, const LinearSpec& spec) {
  Matrix<uint8_t> codes(weight.rows, weight.cols);
  const int64_t width = spec.group_width(weight.cols);
  const double top = spec.max_code();
  parallel_for(weight.rows, [&](int64_t row) {
    for (int64_t i = 0; i < weight.cols; ++i) {
      const int64_t g = i / width;
      const double step = static_cast<double>(weight(row, i)) / static_cast<double>(grid.scales(g, row));
      codes(row, i) = static_cast<uint8_t>(std::clamp(std::nearbyint(step) + grid.zeros(g, row), 0.0, top));
    }
  });
  return codes;
}

}  // namespace hesse
