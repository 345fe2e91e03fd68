#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/grid_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for each instruction set.
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/grid_kernel.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kElements = 256;  // that are summed by themselves

// One grid in each lane.
template <class D>
struct Grids {
  using V = hn::Vec<D>;
  V step, inverse, lowest, highest;
  V sum, total;

  Grids(D d, const GridCandidates& grids, float top, int64_t first) {
    const int64_t count = std::min(lanes_of(d), grids.count - first);
    const V zero = load_some(d, grids.zero + first, count, 0.0f);
    step = load_some(d, grids.scale + first, count, 1.0f);
    inverse = hn::Div(hn::Set(d, 1.0f), step);
    lowest = hn::Neg(zero);
    highest = hn::Sub(hn::Set(d, top), zero);
    sum = total = hn::Zero(d);
  }
  HWY_INLINE void add(V value, V weight) {
    const V steps = hn::Min(hn::Max(hn::Round(hn::Mul(value, inverse)), lowest), highest);
    const V error = hn::NegMulAdd(steps, step, value);
    sum = hn::MulAdd(hn::Mul(error, error), weight, sum);
  }
  HWY_INLINE void end_of_elements(D d) {
    total = hn::Add(total, sum);
    sum = hn::Zero(d);
  }
};

void grid_errors(const float* w, const float* importance, int64_t n, const GridCandidates& grids, float top,
                 float* error) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = lanes_of(d);
  for (int64_t c = 0; c < grids.count; c += 2 * lanes) {
    const bool two = c + lanes < grids.count;
    Grids a(d, grids, top, c), b(d, grids, top, two ? c + lanes : c);
    for (int64_t first = 0; first < n; first += kElements) {
      for (int64_t i = first; i < std::min(n, first + kElements); ++i) {
        const auto value = hn::Set(d, w[i]), weight = hn::Set(d, importance[i]);
        a.add(value, weight);
        b.add(value, weight);
      }
      a.end_of_elements(d);
      b.end_of_elements(d);
    }
    store_some(a.total, d, error + c, std::min(lanes, grids.count - c));
    if (two) store_some(b.total, d, error + c + lanes, std::min(lanes, grids.count - c - lanes));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cmath>

namespace hesse {

HWY_EXPORT(grid_errors);

void grid_errors(const float* w, const float* importance, int64_t n, const GridCandidates& grids, float top,
                 float* error) {
  HWY_DYNAMIC_DISPATCH(grid_errors)(w, importance, n, grids, top, error);
}

void scalar::grid_errors(const float* w, const float* importance, int64_t n, const GridCandidates& grids, float top,
                         float* error) {
  for (int64_t c = 0; c < grids.count; ++c) {
    const float scale = grids.scale[c], zero = grids.zero[c];
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const float steps = std::clamp(std::nearbyint(w[i] / scale), -zero, top - zero);
      const float miss = w[i] - scale * steps;
      sum += miss * miss * importance[i];
    }
    error[c] = sum;
  }
}

}  // namespace hesse
#endif
