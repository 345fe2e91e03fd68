#include "quant/grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

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

// The grids to try for one group of one row.
class GroupSearch {
 public:
  GroupSearch(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec)
      : weight_(weight), importance_(importance), spec_(spec) {
    const auto [low, high] = std::minmax_element(weight.begin(), weight.end());
    low_ = std::min(0.0f, *low);
    high_ = std::max(0.0f, *high);
  }

  void symmetric(const GridOptions& options) {
    const float reach = std::max(-low_, high_);
    const float steps = static_cast<float>(spec_.max_code());
    const float zero = static_cast<float>(spec_.symmetric_zero());
    // AutoGPTQ's min/max grid: 2 * max|w| / (2^bits - 1).
    if (options.search == ScaleSearch::kMinMax || reach == 0)
      return add(storable_scale(2 * reach / steps), spec_.symmetric_zero());
    for (int i = 0; i < kCandidates; ++i) add_signs(shrink_factor(i) * 2 * reach / steps, options);
    add_signs(reach / zero, options);
    add_signs(reach / (zero - 1), options);
  }

  void asymmetric(const GridOptions& options) {
    const float range = high_ - low_;
    if (options.search == ScaleSearch::kMinMax || range == 0) return fit(range);
    for (int i = 0; i < kCandidates; ++i) fit(shrink_factor(i) * range);
    fit(range);
  }

  void rank(std::span<RankedGrid> best) const {
    std::array<float, std::tuple_size_v<decltype(scale_)>> error;
    grid_errors(weight_.data(), importance_.data(), std::ssize(weight_),
                {scale_.data(), zero_.data(), static_cast<int64_t>(count_)}, static_cast<float>(spec_.max_code()),
                error.data());
    std::fill(best.begin(), best.end(), RankedGrid{});
    for (size_t i = 0; i < count_; ++i) {
      const bool finite = std::isfinite(error[i]);
      insert({scale_[i], static_cast<int>(zero_[i]), finite ? error[i] : std::numeric_limits<float>::max()}, best);
    }
  }

 private:
  void add_signs(float exact_scale, const GridOptions& options) {
    const float scale = storable_scale(exact_scale);
    add(scale, spec_.symmetric_zero());
    if (options.negative_scales) add(-scale, spec_.symmetric_zero());
  }

  // A zero point of 0 breaks readers of the format: with only positive weights it is 1, and one step fewer is left.
  void fit(float range) {
    const int steps = spec_.max_code();
    const float scale = storable_scale(range / static_cast<float>(steps));
    const float place = std::nearbyint(-low_ * (range / std::max(high_ - low_, 1e-30f)) / scale);
    const int zero = place < static_cast<float>(steps) ? static_cast<int>(place) : steps;  // it may be beyond all ints
    add(zero < 1 ? storable_scale(range / static_cast<float>(steps - 1)) : scale, std::max(zero, 1));
  }

  void add(float scale, int zero) {
    scale_[count_] = scale;
    zero_[count_++] = static_cast<float>(zero);
  }

  // Keeps `best` sorted; the earlier of equal candidates stays in front, and twins (roundings to one half) come once.
  static void insert(const RankedGrid& candidate, std::span<RankedGrid> best) {
    size_t at = best.size();
    while (at > 0 && (best[at - 1].error < 0 || candidate.error < best[at - 1].error)) --at;
    if (at == best.size()) return;
    if (at > 0 && best[at - 1].scale == candidate.scale && best[at - 1].zero == candidate.zero) return;
    std::move_backward(best.begin() + static_cast<int64_t>(at), best.end() - 1, best.end());
    best[at] = candidate;
  }

  std::span<const float> weight_;
  std::span<const float> importance_;
  const LinearSpec& spec_;
  float low_ = 0;
  float high_ = 0;
  std::array<float, 2 * (kCandidates + 2)> scale_;
  std::array<float, 2 * (kCandidates + 2)> zero_;
  size_t count_ = 0;
};

}  // namespace

float storable_scale(float scale) {
  constexpr float kLargestHalf = 65504.0f;
  const float magnitude = std::abs(scale) > kSmallestScale ? std::min(std::abs(scale), kLargestHalf) : kSmallestScale;
  return std::copysign(f16_to_float(float_to_f16(magnitude)), scale);
}

void best_grids(std::span<const float> weight, std::span<const float> importance, const LinearSpec& spec,
                const GridOptions& options, std::span<RankedGrid> best) {
  GroupSearch search(weight, importance, spec);
  spec.symmetric ? search.symmetric(options) : search.asymmetric(options);
  search.rank(best);
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
