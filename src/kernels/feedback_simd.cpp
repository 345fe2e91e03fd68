#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/feedback_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target.h comes first: it includes this file again for each instruction set.
#include <hwy/highway.h>

#include "kernels/feedback_kernel.h"
#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using D = hn::CappedTag<double, kFeedbackLanes>;
using V = hn::Vec<D>;

// A strip of kVectors vectors of lanes, through all columns: the sums stay in registers.
template <int kVectors>
void solve_strip(const FeedbackBlock& b, int64_t lane) {
  const D d;
  const int64_t n = lanes_of(d);
  V loss[kVectors];
  for (int v = 0; v < kVectors; ++v) loss[v] = hn::Zero(d);
  for (int64_t k = 0; k < b.width; ++k) {
    const double* l = b.lower + k * b.stride;
    V sum[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = (b.f != nullptr) ? hn::LoadU(d, b.f + k * b.lanes + lane + v * n) : hn::Zero(d);
    }
    for (int64_t i = 0; i < k; ++i) {
      const V factor = hn::Set(d, l[i]);
      const double* e = b.error + i * b.lanes + lane;
      for (int v = 0; v < kVectors; ++v) sum[v] = hn::MulAdd(factor, hn::LoadU(d, e + v * n), sum[v]);
    }
    const V inverse = hn::Set(d, 1.0 / l[k]);
    const V square = hn::Set(d, l[k] * l[k]);
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = lane + v * n;
      const V w = hn::LoadU(d, b.w + k * b.lanes + at);
      const V scale = hn::LoadU(d, b.scale + k * b.grid_stride + at);
      const V zero = hn::LoadU(d, b.zero + k * b.grid_stride + at);
      const V t = hn::MulAdd(sum[v], inverse, w);
      const V steps = hn::Round(hn::Mul(t, hn::Div(hn::Set(d, 1.0), scale)));
      const V q = hn::Mul(scale, hn::Min(hn::Max(steps, hn::Neg(zero)), hn::Sub(hn::Set(d, b.top), zero)));
      const V miss = hn::Sub(t, q);
      loss[v] = hn::MulAdd(hn::Mul(miss, miss), square, loss[v]);
      hn::StoreU(hn::Sub(w, q), d, b.error + k * b.lanes + at);
    }
  }
  if (b.loss == nullptr) return;
  for (int v = 0; v < kVectors; ++v) {
    double* to = b.loss + lane + v * n;
    hn::StoreU(hn::Add(hn::LoadU(d, to), loss[v]), d, to);
  }
}

void feedback_block(const FeedbackBlock& b) {
  constexpr int kWide = 4;
  const int64_t n = lanes_of(D());
  int64_t lane = 0;
  for (; lane + kWide * n <= b.lanes; lane += kWide * n) solve_strip<kWide>(b, lane);
  for (; lane < b.lanes; lane += n) solve_strip<1>(b, lane);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

namespace hesse {

HWY_EXPORT(feedback_block);

void feedback_block(const FeedbackBlock& block) { HWY_DYNAMIC_DISPATCH(feedback_block)(block); }

void scalar::feedback_block(const FeedbackBlock& b) {
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    for (int64_t k = 0; k < b.width; ++k) {
      const double* l = b.lower + k * b.stride;
      const int64_t at = k * b.lanes + lane;
      double sum = (b.f != nullptr) ? b.f[at] : 0.0;
      for (int64_t i = 0; i < k; ++i) sum += l[i] * b.error[i * b.lanes + lane];
      const double scale = b.scale[k * b.grid_stride + lane];
      const double zero = b.zero[k * b.grid_stride + lane];
      const double t = b.w[at] + sum / l[k];
      const double q = scale * std::clamp(std::nearbyint(t * (1.0 / scale)), -zero, b.top - zero);
      b.error[at] = b.w[at] - q;
      if (b.loss != nullptr) b.loss[lane] += l[k] * l[k] * (t - q) * (t - q);
    }
  }
}

}  // namespace hesse
#endif
