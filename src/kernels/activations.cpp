// Activations, and what else goes through an exponential element by element.
#include <cstdint>

#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

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

struct QuickGelu {
  static HWY_INLINE VF of(VF x) { return times_sigmoid(x, hn::Mul(x, hn::Set(DF(), 1.702f))); }
};

// x / 2 (1 + erf(x / sqrt 2)): with the upper tail q of the normal distribution at |x|, x - x q for x >= 0 and x q
// below. q by Hastings 1955, 7.1.26 in Abramowitz and Stegun; its error is below 8e-8.
struct Gelu {
  static HWY_INLINE VF of(VF x) {
    const DF d;
    const VF z = hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f));
    const VF t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
    VF p = hn::MulAdd(t, hn::Set(d, 0.5307027145f), hn::Set(d, -0.7265760135f));
    p = hn::MulAdd(t, p, hn::Set(d, 0.7107068705f));
    p = hn::MulAdd(t, p, hn::Set(d, -0.142248368f));
    p = hn::MulAdd(t, p, hn::Set(d, 0.127414796f));
    const VF q = hn::Mul(hn::Mul(t, p), exp_of_nonpositive(d, hn::Neg(hn::Mul(z, z))));
    const auto negative = hn::Lt(x, hn::Zero(d));
    // q is 0 below -14: there -128 stands for x, since -inf * 0 is NaN.
    const VF finite = hn::IfThenElse(hn::Lt(x, hn::Set(d, -128.0f)), hn::Set(d, -128.0f), x);
    return hn::IfThenElse(negative, hn::Mul(finite, q), hn::Mul(x, hn::Sub(hn::Set(d, 1.0f), q)));
  }
};

struct Relu {
  static HWY_INLINE VF of(VF x) { return hn::IfThenElse(hn::Le(x, hn::Zero(DF())), hn::Zero(DF()), x); }
};

template <class Activation>
HWY_INLINE void activate(float* x, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(Activation::of(hn::LoadU(d, x + i)), d, x + i);
  if (i < n) store_some(Activation::of(load_some(d, x + i, n - i, 0.0f)), d, x + i, n - i);
}

void silu(float* x, int64_t n) { activate<Silu>(x, n); }
void gelu_tanh(float* x, int64_t n) { activate<GeluTanh>(x, n); }
void gelu(float* x, int64_t n) { activate<Gelu>(x, n); }
void relu(float* x, int64_t n) { activate<Relu>(x, n); }
void quick_gelu(float* x, int64_t n) { activate<QuickGelu>(x, n); }

// tanh(y) = (1 - e) / (1 + e) of the sign of y, e = exp(-2 |y|).
void soft_cap(float* x, float cap, int64_t n) {
  const DF d;
  const int64_t lanes = lanes_of(d);
  const VF one = hn::Set(d, 1.0f), caps = hn::Set(d, cap), slope = hn::Set(d, -2.0f / cap);
  for (int64_t i = 0; i < n; i += lanes) {
    const bool whole = n - i >= lanes;
    const VF v = whole ? hn::LoadU(d, x + i) : load_some(d, x + i, n - i, 0.0f);
    const VF e = exp_of_nonpositive(d, hn::Mul(hn::Abs(v), slope));
    const VF capped = hn::CopySign(hn::Mul(caps, hn::Div(hn::Sub(one, e), hn::Add(one, e))), v);
    if (whole) {
      hn::StoreU(capped, d, x + i);
    } else {
      store_some(capped, d, x + i, n - i);
    }
  }
}

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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(silu_mul);
HWY_EXPORT(gelu_tanh_mul);
HWY_EXPORT(silu);
HWY_EXPORT(gelu_tanh);
HWY_EXPORT(gelu);
HWY_EXPORT(relu);
HWY_EXPORT(quick_gelu);
HWY_EXPORT(soft_cap);

void silu_mul(float* gate, const float* up, int64_t n) { HWY_DYNAMIC_DISPATCH(silu_mul)(gate, up, n); }
void gelu_tanh_mul(float* gate, const float* up, int64_t n) { HWY_DYNAMIC_DISPATCH(gelu_tanh_mul)(gate, up, n); }
void silu(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(silu)(x, n); }
void gelu_tanh(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(gelu_tanh)(x, n); }
void gelu(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(gelu)(x, n); }
void relu(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(relu)(x, n); }
void quick_gelu(float* x, int64_t n) { HWY_DYNAMIC_DISPATCH(quick_gelu)(x, n); }
void soft_cap(float* x, float cap, int64_t n) { HWY_DYNAMIC_DISPATCH(soft_cap)(x, cap, n); }

}  // namespace hesse
#endif
