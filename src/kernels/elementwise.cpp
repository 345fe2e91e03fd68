// One pass over a row: norm, activation, rotation, sums.
#include <cmath>
#include <cstdint>

#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using DF = hn::ScalableTag<float>;
using DI32 = hn::Rebind<int32_t, DF>;
using DD = hn::ScalableTag<double>;
using DFHalf = hn::Rebind<float, DD>;  // as many floats as a vector holds doubles
using VF = hn::Vec<DF>;

// Squares of floats are exact in double and cannot overflow there.
double sum_of_squares(const float* x, int64_t n) {
  const DD dd;
  const DFHalf df;
  const int64_t lanes = lanes_of(dd);
  auto sum0 = hn::Zero(dd), sum1 = sum0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto x0 = hn::PromoteTo(dd, hn::LoadU(df, x + i));
    const auto x1 = hn::PromoteTo(dd, hn::LoadU(df, x + i + lanes));
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
  }
  for (; i < n; i += lanes) {
    const auto v = (n - i >= lanes) ? hn::LoadU(df, x + i) : load_some(df, x + i, n - i, 0.0f);
    const auto x0 = hn::PromoteTo(dd, v);
    sum0 = hn::MulAdd(x0, x0, sum0);
  }
  return hn::GetLane(hn::SumOfLanes(dd, hn::Add(sum0, sum1)));
}

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  const double mean = sum_of_squares(x, n) / static_cast<double>(n);
  const auto inverse = hn::Set(d, static_cast<float>(1.0 / std::sqrt(mean + eps)));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, weight + i), hn::Mul(hn::LoadU(d, x + i), inverse)), d, out + i);
  }
  if (i == n) return;
  const auto w = load_some(d, weight + i, n - i, 0.0f);
  store_some(hn::Mul(w, hn::Mul(load_some(d, x + i, n - i, 0.0f), inverse)), d, out + i, n - i);
}

// x / (1 + exp(-t)) for a t of the sign of x, |t| >= |x|. With e = exp(-|t|), which cannot overflow: x / (1 + e) for
// x >= 0, x e / (1 + e) for x < 0.
HWY_INLINE VF times_sigmoid(VF x, VF t) {
  const DF d;
  const VF one = hn::Set(d, 1.0f);
  const VF e = exp_of_nonpositive(d, hn::Neg(hn::Abs(t)));
  const auto negative = hn::Lt(x, hn::Zero(d));
  // e is 0 below -104: there -128 stands for x, since -inf * 0 is NaN.
  const VF finite = hn::IfThenElse(hn::Lt(x, hn::Set(d, -128.0f)), hn::Set(d, -128.0f), x);
  return hn::Div(hn::IfThenElse(negative, hn::Mul(finite, e), x), hn::Add(one, e));
}

struct Silu {
  static HWY_INLINE VF of(VF x) { return times_sigmoid(x, x); }
};

// t = 2 sqrt(2 / pi) (x + 0.044715 x^3), as x (a + b x^2): both terms have one sign, so nothing cancels.
struct GeluTanh {
  static HWY_INLINE VF of(VF x) {
    const DF d;
    const VF t = hn::MulAdd(hn::Set(d, 0.0713548163f), hn::Mul(x, x), hn::Set(d, 1.59576912f));
    return times_sigmoid(x, hn::Mul(x, t));
  }
};

template <class Activation>
HWY_INLINE void activate_and_mul(float* gate, const float* up, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(Activation::of(hn::LoadU(d, gate + i)), hn::LoadU(d, up + i)), d, gate + i);
  }
  if (i == n) return;
  const VF rest = Activation::of(load_some(d, gate + i, n - i, 0.0f));
  store_some(hn::Mul(rest, load_some(d, up + i, n - i, 0.0f)), d, gate + i, n - i);
}

void silu_mul(float* gate, const float* up, int64_t n) { activate_and_mul<Silu>(gate, up, n); }
void gelu_tanh_mul(float* gate, const float* up, int64_t n) { activate_and_mul<GeluTanh>(gate, up, n); }

void add(float* h, const float* x, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, h + i), hn::LoadU(d, x + i)), d, h + i);
  for (; i < n; ++i) h[i] += x[i];
}

void scale(float* x, float factor, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)), d, x + i);
  for (; i < n; ++i) x[i] *= factor;
}

void rope_half(float* x, const float* cos, const float* sin, int64_t half) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  float* y = x + half;
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const VF re = hn::LoadU(d, x + i), im = hn::LoadU(d, y + i);
    const VF c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::NegMulAdd(im, s, hn::Mul(re, c)), d, x + i);
    hn::StoreU(hn::MulAdd(re, s, hn::Mul(im, c)), d, y + i);
  }
  if (i == half) return;
  const int64_t rest = half - i;
  const VF re = load_some(d, x + i, rest, 0.0f), im = load_some(d, y + i, rest, 0.0f);
  const VF c = load_some(d, cos + i, rest, 0.0f), s = load_some(d, sin + i, rest, 0.0f);
  store_some(hn::NegMulAdd(im, s, hn::Mul(re, c)), d, x + i, rest);
  store_some(hn::MulAdd(re, s, hn::Mul(im, c)), d, y + i, rest);
}

// As integers, magnitudes order like floats, with infinity and then NaN above all others.
float max_abs(const float* x, int64_t n) {
  const DF d;
  const DI32 di;
  const int64_t lanes = lanes_of(d);
  auto max = hn::Zero(di);
  for (int64_t i = 0; i < n; i += lanes) {
    const VF v = (n - i >= lanes) ? hn::LoadU(d, x + i) : load_some(d, x + i, n - i, 0.0f);
    max = hn::Max(max, hn::BitCast(di, hn::Abs(v)));
  }
  const auto up_to_infinity = hn::Min(max, hn::Set(di, 0x7F800000));
  return hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(di, up_to_infinity)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(rms_norm);
HWY_EXPORT(silu_mul);
HWY_EXPORT(gelu_tanh_mul);
HWY_EXPORT(add);
HWY_EXPORT(scale);
HWY_EXPORT(rope_half);
HWY_EXPORT(max_abs);

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(x, weight, eps, out, n);
}
void silu_mul(float* gate, const float* up, int64_t n) { HWY_DYNAMIC_DISPATCH(silu_mul)(gate, up, n); }
void gelu_tanh_mul(float* gate, const float* up, int64_t n) { HWY_DYNAMIC_DISPATCH(gelu_tanh_mul)(gate, up, n); }
void add(float* h, const float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(add)(h, x, n); }
void scale(float* x, float factor, int64_t n) { HWY_DYNAMIC_DISPATCH(scale)(x, factor, n); }
void rope_half(float* x, const float* cos, const float* sin, int64_t half) {
  HWY_DYNAMIC_DISPATCH(rope_half)(x, cos, sin, half);
}
float max_abs(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(max_abs)(x, n); }

}  // namespace hesse
#endif
