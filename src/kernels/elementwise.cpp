// One pass over a row: norm, rotation, sums.
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

struct Moments {
  double mean;
  double variance;
};

// In two passes over a row that stays in cache: the sum of squares less that of the mean would cancel.
Moments moments_of(const float* x, int64_t n) {
  const DD dd;
  const DFHalf df;
  const int64_t lanes = lanes_of(dd);
  const int64_t whole = n - n % lanes;
  auto sum = hn::Zero(dd);
  for (int64_t i = 0; i < whole; i += lanes) sum = hn::Add(sum, hn::PromoteTo(dd, hn::LoadU(df, x + i)));
  double mean = hn::GetLane(hn::SumOfLanes(dd, sum));
  for (int64_t i = whole; i < n; ++i) mean += double{x[i]};
  mean /= static_cast<double>(n);
  const auto centre = hn::Set(dd, mean);
  auto squares = hn::Zero(dd);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto off = hn::Sub(hn::PromoteTo(dd, hn::LoadU(df, x + i)), centre);
    squares = hn::MulAdd(off, off, squares);
  }
  double variance = hn::GetLane(hn::SumOfLanes(dd, squares));
  for (int64_t i = whole; i < n; ++i) variance += (double{x[i]} - mean) * (double{x[i]} - mean);
  return {mean, variance / static_cast<double>(n)};
}

// x - mean in double: a mean far from 0 would leave nothing of what is left.
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n) {
  const Moments moments = moments_of(x, n);
  const double inverse = 1.0 / std::sqrt(moments.variance + eps);
  const DD dd;
  const DFHalf df;
  const int64_t lanes = lanes_of(dd);
  const auto centre = hn::Set(dd, moments.mean), factor = hn::Set(dd, inverse);
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t count = (n - i >= lanes) ? lanes : n - i;
    const auto load = [&](const float* from) {
      return hn::PromoteTo(dd, count == lanes ? hn::LoadU(df, from) : load_some(df, from, count, 0.0f));
    };
    auto value = hn::Mul(hn::Sub(load(x + i), centre), factor);
    if (weight != nullptr) value = hn::Mul(value, load(weight + i));
    if (bias != nullptr) value = hn::Add(value, load(bias + i));
    const auto rounded = hn::DemoteTo(df, value);
    if (count == lanes) {
      hn::StoreU(rounded, df, out + i);
    } else {
      store_some(rounded, df, out + i, count);
    }
  }
}

void multiply(float* h, const float* x, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, h + i), hn::LoadU(d, x + i)), d, h + i);
  for (; i < n; ++i) h[i] *= x[i];
}

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

void rope_interleaved(float* x, const float* cos, const float* sin, int64_t half) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    VF re, im;
    hn::LoadInterleaved2(d, x + 2 * i, re, im);
    const VF c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    hn::StoreInterleaved2(hn::NegMulAdd(im, s, hn::Mul(re, c)), hn::MulAdd(re, s, hn::Mul(im, c)), d, x + 2 * i);
  }
  for (; i < half; ++i) {
    const float re = x[2 * i], im = x[2 * i + 1];
    x[2 * i] = re * cos[i] - im * sin[i];
    x[2 * i + 1] = im * cos[i] + re * sin[i];
  }
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
HWY_EXPORT(layer_norm);
HWY_EXPORT(multiply);
HWY_EXPORT(rope_interleaved);
HWY_EXPORT(add);
HWY_EXPORT(scale);
HWY_EXPORT(rope_half);
HWY_EXPORT(max_abs);

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(x, weight, eps, out, n);
}
void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n) {
  HWY_DYNAMIC_DISPATCH(layer_norm)(x, weight, bias, eps, out, n);
}
void multiply(float* h, const float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(multiply)(h, x, n); }
void rope_interleaved(float* x, const float* cos, const float* sin, int64_t half) {
  HWY_DYNAMIC_DISPATCH(rope_interleaved)(x, cos, sin, half);
}
void add(float* h, const float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(add)(h, x, n); }
void scale(float* x, float factor, int64_t n) { HWY_DYNAMIC_DISPATCH(scale)(x, factor, n); }
void rope_half(float* x, const float* cos, const float* sin, int64_t half) {
  HWY_DYNAMIC_DISPATCH(rope_half)(x, cos, sin, half);
}
float max_abs(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(max_abs)(x, n); }

}  // namespace hesse
#endif
