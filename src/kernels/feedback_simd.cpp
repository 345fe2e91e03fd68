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

template <class T>
using Tag = hn::CappedTag<T, kFeedbackLanes>;

// One strip of kVectors vectors of lanes, beginning at `lane`, through all columns: the sums stay in registers.
template <int kVectors, class T>
void solve_strip(const FeedbackBlock<T>& b, int64_t lane) {
  const Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  const int64_t n = lanes_of(d);
  const int64_t rows = b.lanes / b.copies;
  const auto shared = [&](const T* m, int64_t k, int64_t at) {
    return b.copies == 1 ? hn::LoadU(d, m + k * rows + at) : hn::Set(d, m[k * rows + at / b.copies]);
  };
  for (int64_t k = 0; k < b.width; ++k) {
    const T* l = b.lower + k * b.stride;
    V sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = b.f != nullptr ? shared(b.f, k, lane + v * n) : hn::Zero(d);
    const T* e = b.error + lane;
    for (int64_t i = 0; i < k; ++i, e += b.lanes) {
      const V factor = hn::Set(d, l[i]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[v] = hn::MulAdd(factor, hn::LoadU(d, e + v * n), sum[v]);
    }
    const V one = hn::Set(d, T{1});
    const V inverse = hn::Set(d, T{1} / l[k]);
    const V square = hn::Set(d, l[k] * l[k]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = lane + v * n;
      const V w = shared(b.w, k, at);
      const V scale = hn::LoadU(d, b.scale + k * b.grid_stride + at);
      const V zero = hn::LoadU(d, b.zero + k * b.grid_stride + at);
      const V t = hn::MulAdd(sum[v], inverse, w);
      const V steps = hn::Round(hn::Mul(t, hn::Div(one, scale)));
      const V q = hn::Mul(scale, hn::Min(hn::Max(steps, hn::Neg(zero)), hn::Sub(hn::Set(d, b.top), zero)));
      const V miss = hn::Sub(t, q);
      hn::StoreU(hn::Sub(w, q), d, b.error + k * b.lanes + at);
      if (b.loss == nullptr) continue;
      T* loss = b.loss + at;
      hn::StoreU(hn::MulAdd(hn::Mul(miss, miss), square, hn::LoadU(d, loss)), d, loss);
    }
  }
}

template <class T>
void solve_block(const FeedbackBlock<T>& b) {
  constexpr int kWide = 8;  // sums in flight: two units of four steps each
  const int64_t n = lanes_of(Tag<T>());
  int64_t lane = 0;
  for (; lane + kWide * n <= b.lanes; lane += kWide * n) solve_strip<kWide>(b, lane);
  for (; lane + 2 * n <= b.lanes; lane += 2 * n) solve_strip<2>(b, lane);
  for (; lane < b.lanes; lane += n) solve_strip<1>(b, lane);
}

void feedback_f64(const FeedbackBlock<double>& b) { solve_block(b); }
void feedback_f32(const FeedbackBlock<float>& b) { solve_block(b); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cmath>

namespace hesse {

HWY_EXPORT(feedback_f64);
HWY_EXPORT(feedback_f32);

void feedback_block(const FeedbackBlock<double>& block) { HWY_DYNAMIC_DISPATCH(feedback_f64)(block); }
void feedback_block(const FeedbackBlock<float>& block) { HWY_DYNAMIC_DISPATCH(feedback_f32)(block); }

namespace {

template <class T>
void solve_by_lanes(const FeedbackBlock<T>& b) {
  const int64_t rows = b.lanes / b.copies;
  for (int64_t lane = 0; lane < b.lanes; ++lane) {
    for (int64_t k = 0; k < b.width; ++k) {
      const T* l = b.lower + k * b.stride;
      const int64_t at = k * rows + lane / b.copies;
      T sum = (b.f != nullptr) ? b.f[at] : T{0};
      for (int64_t i = 0; i < k; ++i) sum += l[i] * b.error[i * b.lanes + lane];
      const T scale = b.scale[k * b.grid_stride + lane];
      const T zero = b.zero[k * b.grid_stride + lane];
      const T t = b.w[at] + sum / l[k];
      const T q = scale * std::clamp(std::nearbyint(t * (T{1} / scale)), -zero, b.top - zero);
      b.error[k * b.lanes + lane] = b.w[at] - q;
      if (b.loss != nullptr) b.loss[lane] += l[k] * l[k] * (t - q) * (t - q);
    }
  }
}

}  // namespace

void scalar::feedback_block(const FeedbackBlock<double>& b) { solve_by_lanes(b); }
void scalar::feedback_block(const FeedbackBlock<float>& b) { solve_by_lanes(b); }

}  // namespace hesse
#endif
