// Sums of exponentials around their maximum.
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using DF = hn::ScalableTag<float>;
using DD = hn::ScalableTag<double>;
using DFHalf = hn::Rebind<float, DD>;  // as many floats as a vector holds doubles

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// -inf - -inf is NaN: a row that is all masked subtracts 0, so that its exponentials are 0.
HWY_INLINE float shift_for(float max) { return (max == kMinusInfinity) ? 0.0f : max; }

float softmax_tile(float* s, int64_t n, float* max, float* sum) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  const float new_max = max_of(d, s, n, *max);
  const auto shift = hn::Set(d, shift_for(new_max));
  auto total = hn::Zero(d);
  int64_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    const auto e = exp_of_nonpositive(d, hn::Sub(hn::LoadU(d, s + j), shift));
    hn::StoreU(e, d, s + j);
    total = hn::Add(total, e);
  }
  if (j < n) {
    const auto e = exp_of_nonpositive(d, hn::Sub(load_some(d, s + j, n - j, kMinusInfinity), shift));
    store_some(e, d, s + j, n - j);
    total = hn::Add(total, e);
  }
  const float factor = hn::GetLane(exp_of_nonpositive(d, hn::Sub(hn::Set(d, *max), shift)));
  *sum = *sum * factor + hn::GetLane(hn::SumOfLanes(d, total));
  *max = new_max;
  return factor;
}

// One exponential costs less than a thousandth of the logit it belongs to, so double is free.
double log_sum_exp(const float* x, int64_t n) {
  const DD dd;
  const DFHalf df;
  const int64_t lanes = lanes_of(dd);
  const float shift = shift_for(max_of(DF(), x, n, kMinusInfinity));
  const auto shifts = hn::Set(dd, double{shift});
  auto total = hn::Zero(dd);
  for (int64_t i = 0; i < n; i += lanes) {
    const auto v = (n - i >= lanes) ? hn::LoadU(df, x + i) : load_some(df, x + i, n - i, kMinusInfinity);
    total = hn::Add(total, exp_of_nonpositive(dd, hn::Sub(hn::PromoteTo(dd, v), shifts)));
  }
  return double{shift} + std::log(hn::GetLane(hn::SumOfLanes(dd, total)));
}

// sum of exp(log p) (log p - log q); a class that p excludes adds nothing whatever q says.
double kl_divergence(const float* p, const float* q, int64_t n) {
  const DD dd;
  const DFHalf df;
  const int64_t lanes = lanes_of(dd);
  const auto p_total = hn::Set(dd, log_sum_exp(p, n));
  const auto q_total = hn::Set(dd, log_sum_exp(q, n));
  const auto zero = hn::Zero(dd);
  auto sum = zero;
  for (int64_t i = 0; i < n; i += lanes) {
    const bool whole = n - i >= lanes;
    const auto p_logit = whole ? hn::LoadU(df, p + i) : load_some(df, p + i, n - i, kMinusInfinity);
    const auto q_logit = whole ? hn::LoadU(df, q + i) : load_some(df, q + i, n - i, kMinusInfinity);
    const auto log_p = hn::Sub(hn::PromoteTo(dd, p_logit), p_total);
    const auto log_q = hn::Sub(hn::PromoteTo(dd, q_logit), q_total);
    const auto probability = exp_of_nonpositive(dd, hn::Min(log_p, zero));
    const auto term = hn::Mul(probability, hn::Sub(log_p, log_q));
    sum = hn::Add(sum, hn::IfThenElse(hn::Eq(probability, zero), zero, term));
  }
  return hn::GetLane(hn::SumOfLanes(dd, sum));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(softmax_tile);
HWY_EXPORT(log_sum_exp);
HWY_EXPORT(kl_divergence);

float softmax_tile(float* s, int64_t n, float* max, float* sum) {
  return HWY_DYNAMIC_DISPATCH(softmax_tile)(s, n, max, sum);
}
double log_sum_exp(const float* x, int64_t n) { return HWY_DYNAMIC_DISPATCH(log_sum_exp)(x, n); }
double kl_divergence(const float* p, const float* q, int64_t n) { return HWY_DYNAMIC_DISPATCH(kl_divergence)(p, q, n); }

}  // namespace hesse
#endif
