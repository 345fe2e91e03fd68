#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/grid_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for each instruction set.
#include <hwy/highway.h>

#include "kernels/grid_kernel.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

float grid_error(const float* w, const float* importance, int64_t n, float scale, float zero, float top) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V inverse = hn::Set(d, 1.0f / scale);
  const V step = hn::Set(d, scale);
  const V lowest = hn::Set(d, -zero);
  const V highest = hn::Set(d, top - zero);
  V sum0 = hn::Zero(d);
  V sum1 = hn::Zero(d);
  const auto add = [&](V values, V weights, V& sum) {
    const V steps = hn::Min(hn::Max(hn::Round(hn::Mul(values, inverse)), lowest), highest);
    const V error = hn::NegMulAdd(steps, step, values);
    sum = hn::MulAdd(hn::Mul(error, error), weights, sum);
  };
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    add(hn::LoadU(d, w + i), hn::LoadU(d, importance + i), sum0);
    add(hn::LoadU(d, w + i + lanes), hn::LoadU(d, importance + i + lanes), sum1);
  }
  for (; i + lanes <= n; i += lanes) add(hn::LoadU(d, w + i), hn::LoadU(d, importance + i), sum0);
  if (i < n) add(load_some(d, w + i, n - i, 0.0f), load_some(d, importance + i, n - i, 0.0f), sum1);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

namespace hesse {

HWY_EXPORT(grid_error);

float grid_error(const float* w, const float* importance, int64_t n, float scale, float zero, float top) {
  return HWY_DYNAMIC_DISPATCH(grid_error)(w, importance, n, scale, zero, top);
}

float scalar::grid_error(const float* w, const float* importance, int64_t n, float scale, float zero, float top) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float steps = std::clamp(std::nearbyint(w[i] / scale), -zero, top - zero);
    const float error = w[i] - scale * steps;
    sum += error * error * importance[i];
  }
  return sum;
}

}  // namespace hesse
#endif
