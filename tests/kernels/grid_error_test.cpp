// The inner loop of the scale search.
#include <algorithm>
#include <cmath>

#include "kernels/grid_kernel.h"
#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class GridError : public KernelTest {};
HESSE_FOR_EACH_TARGET(GridError);

struct Exact {
  double sum = 0;
  double slack = 0;
};

// In double, with what float32 may miss. The nearest step is known up to ties, where both have the same error; but
// w / scale, good to 3 units, may take a step that is off by as much more: 4 units of |w| + |q| in each error. A sum of
// n products of 3 factors is good to n + 4 units of itself, since all are positive (Higham 2002, section 3.1).
Exact exact_error(const Row& w, const Row& importance, double scale, double zero, double top) {
  Exact exact;
  for (int64_t i = 0; i < w.size(); ++i) {
    const double q = scale * std::clamp(std::nearbyint(w[i] / scale), -zero, top - zero);
    const double error = std::fabs(w[i] - q);
    const double off = 4 * kUnit * (std::fabs(double{w[i]}) + std::fabs(q) + std::fabs(scale));
    exact.sum += error * error * importance[i];
    exact.slack += (2 * error + off) * off * importance[i];
  }
  exact.slack += static_cast<double>(w.size() + 4) * kUnit * exact.sum + kSmallest;
  return exact;
}

TEST_P(GridError, EqualsItsTwinAndTheExactSum) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : sizes()) {
    for (int64_t offset = 0; offset < kOffsets; ++offset) {
      const Row w(n, offset, rng);
      Row importance(n, kOffsets - 1 - offset, rng);
      for (float& value : importance.storage) value = std::fabs(value);
      const float top = static_cast<float>((2 << rng.below(8)) - 1);
      const int64_t grids = static_cast<int64_t>(rng.below(40));
      Row scale(grids, offset, rng), zero(grids, offset, rng), twin(grids, offset, 0.0f), simd(grids, offset, 0.0f);
      for (int64_t g = 0; g < grids; ++g) {
        scale[g] = static_cast<float>((rng.below(2) == 0 ? -1 : 1) * (0.01 + 0.5 * rng.uniform()));
        zero[g] = static_cast<float>(rng.below(static_cast<uint64_t>(top) + 1));
      }
      const GridCandidates candidates{scale.data(), zero.data(), grids};
      scalar::grid_errors(w.data(), importance.data(), n, candidates, top, twin.data());
      grid_errors(w.data(), importance.data(), n, candidates, top, simd.data());
      for (int64_t g = 0; g < grids; ++g) {
        SCOPED_TRACE("n " + std::to_string(n) + ", scale " + std::to_string(scale[g]) + ", zero " +
                     std::to_string(zero[g]) + ", top " + std::to_string(top));
        const Exact exact = exact_error(w, importance, scale[g], zero[g], top);
        EXPECT_WITHIN(twin[g], exact.sum, exact.slack);
        EXPECT_WITHIN(simd[g], exact.sum, exact.slack);
        EXPECT_WITHIN(simd[g], twin[g], 2 * exact.slack);
      }
    }
  }
}

// Values on the grid cost nothing, halves go to the even step, and beyond the ends it is the distance to the end.
TEST_P(GridError, KnownValues) {
  const Row ones(37, 3, 1.0f);
  for (auto* kernel : {grid_errors, scalar::grid_errors}) {
    const auto error = [&](const Row& w, float scale) {
      const float zero = 8;
      float sum = -1;
      kernel(w.data(), ones.data(), 37, {&scale, &zero, 1}, 15, &sum);
      return sum;
    };
    for (const float sign : {1.0f, -1.0f}) {
      Row w(37, 1, 0.0f);
      for (int64_t i = 0; i < 37; ++i) w[i] = sign * 0.25f * static_cast<float>(i % 16 - 8);
      EXPECT_EQ(error(w, sign * 0.25f), 0.0f);
      w[36] = sign * 0.25f * 9;  // two steps above 7
      EXPECT_EQ(error(w, sign * 0.25f), 0.25f);
      w[36] = sign * 0.25f * 2.5f;
      EXPECT_EQ(error(w, sign * 0.25f), 0.125f * 0.125f);
    }
  }
}

}  // namespace
}  // namespace hesse
