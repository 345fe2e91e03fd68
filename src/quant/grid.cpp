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

// One group of one row, and the best grids seen for it.
class GroupSearch {
 public:
  GroupSearch(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec,
              std::span<RankedGrid> best)
      : weight_(weight), importance_(importance), spec_(spec), best_(best) {
    std::fill(best.begin(), best.end(), RankedGrid{});
    const auto [low, high] = std::minmax_element(weight.begin(), weight.end());
    low_ = std::min(0.0f, *low);
    high_ = std::max(0.0f, *high);
  }

  void symmetric(const GridOptions& options) {
    const float reach = std::max(-low_, high_);
    const float steps = static_cast<float>(spec_.max_code());
    const float zero = static_cast<float>(spec_.symmetric_zero());
    // AutoGPTQ's min/max grid: 2 * max|w| / (2^bits - 1).
    if (options.search == ScaleSearch::kMinMax || reach == 0) return judge(2 * reach / steps, spec_.symmetric_zero());
    for (int i = 0; i < kCandidates; ++i) judge_signs(shrink_factor(i) * 2 * reach / steps, options);
    judge_signs(reach / zero, options);
    judge_signs(reach / (zero - 1), options);
  }

  void asymmetric(const GridOptions& options) {
    const float range = high_ - low_;
    if (options.search == ScaleSearch::kMinMax || range == 0) return fit(range);
    for (int i = 0; i < kCandidates; ++i) fit(shrink_factor(i) * range);
    fit(range);
  }

 private:
  void judge_signs(float scale, const GridOptions& options) {
    judge(scale, spec_.symmetric_zero());
    if (options.negative_scales) judge(-scale, spec_.symmetric_zero());
  }

  // A zero point of 0 breaks readers of the format: with only positive weights it is 1, and one step fewer is left.
  void fit(float range) {
    const int steps = spec_.max_code();
    const float scale = storable_scale(range / static_cast<float>(steps));
    const float place = std::nearbyint(-low_ * (range / std::max(high_ - low_, 1e-30f)) / scale);
    const int zero = place < static_cast<float>(steps) ? static_cast<int>(place) : steps;  // it may be beyond all ints
    judge(zero < 1 ? range / static_cast<float>(steps - 1) : scale, std::max(zero, 1));
  }

  void judge(float exact_scale, int zero) {
    const float scale = storable_scale(exact_scale);
    const float error = grid_error(weight_.data(), importance_.data(), static_cast<int64_t>(weight_.size()), scale,
                                   static_cast<float>(zero), static_cast<float>(spec_.max_code()));
    insert({scale, zero, std::isfinite(error) ? error : std::numeric_limits<float>::max()});
  }

  // Keeps `best_` sorted; the earlier of equal candidates stays in front, and twins (roundings to one half) come once.
  void insert(const RankedGrid& candidate) {
    size_t at = best_.size();
    while (at > 0 && (best_[at - 1].error < 0 || candidate.error < best_[at - 1].error)) --at;
    if (at == best_.size()) return;
    if (at > 0 && best_[at - 1].scale == candidate.scale && best_[at - 1].zero == candidate.zero) return;
    std::move_backward(best_.begin() + static_cast<int64_t>(at), best_.end() - 1, best_.end());
    best_[at] = candidate;
  }

  std::span<const float> weight_;
  std::span<const float> importance_;
  const LinearSpec& spec_;
  std::span<RankedGrid> best_;
  float low_ = 0;
  float high_ = 0;
};

}  // namespace

float storable_scale(float scale) {
  constexpr float kLargestHalf = 65504.0f;
  const float magnitude = std::abs(scale) > kSmallestScale ? std::min(std::abs(scale), kLargestHalf) : kSmallestScale;
  return std::copysign(f16_to_float(float_to_f16(magnitude)), scale);
}

void best_grids(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec,
                const GridOptions& options, std::span<RankedGrid> best) {
  GroupSearch search(weight, importance, spec, best);
  spec.symmetric ? search.symmetric(options) : search.asymmetric(options);
}

Grid find_grid(MatrixView<const float> weight, std::span<const float> importance, const LinearSpec& spec,
               const GridOptions& options) {
  const int64_t width = spec.group_width(weight.cols);
  const int64_t groups = spec.groups(weight.cols);
  Grid grid{Matrix<float>(groups, weight.rows), Matrix<uint8_t>(groups, weight.rows)};
  parallel_for(weight.rows, [&](int64_t row) {
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * width;
      const size_t count = static_cast<size_t>(std::min(width, weight.cols - first));
      RankedGrid found;
      best_grids({weight.row(row) + first, count}, importance.subspan(static_cast<size_t>(first), count), spec, options,
                 {&found, 1});
      grid.scales(g, row) = found.scale;
      grid.zeros(g, row) = static_cast<uint8_t>(found.zero);
    }
  });
  return grid;
}

Matrix<uint8_t> round_to_grid(MatrixView<const float> weight, const Grid& grid, const LinearSpec& spec) {
  Matrix<uint8_t> codes(weight.rows, weight.cols);
  const int64_t width = spec.group_width(weight.cols);
  parallel_for(weight.rows, [&](int64_t row) {
    for (int64_t i = 0; i < weight.cols; ++i) {
      const int64_t g = i / width;
      const double step = static_cast<double>(weight(row, i)) / static_cast<double>(grid.scales(g, row));
      codes(row, i) = to_code(std::nearbyint(step) + grid.zeros(g, row), spec.max_code());
    }
  });
  return codes;
}

}  // namespace hesse
