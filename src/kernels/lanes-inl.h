// What the SIMD files share: part-filled vectors, maxima that ignore NaN, exp that keeps it. Compiled once for each
// instruction set, hence the unusual include guard (Highway flips HWY_TARGET_TOGGLE between sets).
#if defined(HESSE_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HESSE_KERNELS_LANES_INL_H_
#undef HESSE_KERNELS_LANES_INL_H_
#else
#define HESSE_KERNELS_LANES_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE int64_t lanes_of(D d) {
  return static_cast<int64_t>(hn::Lanes(d));
}

// The first `count` <= lanes elements; the other lanes hold `fill`. Goes through the stack: a masked load may touch
// memory that is not ours on several instruction sets.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_some(D d, const T* from, int64_t count, T fill) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(hn::Set(d, fill), d, buffer);
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return hn::Load(d, buffer);
}

template <class D, class T>
HWY_INLINE void store_some(hn::Vec<D> v, D d, T* to, int64_t count) {
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(v, d, buffer);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

// max(a, b) that passes over a NaN in a. (Max itself keeps or drops NaN depending on the instruction set.)
template <class V>
HWY_INLINE V max_number(V a, V b) {
  return hn::IfThenElse(hn::Gt(a, b), a, b);
}

// The largest of x[n] and start; NaN is passed over.
template <class D>
HWY_INLINE float max_of(D d, const float* x, int64_t n, float start) {
  const int64_t lanes = lanes_of(d);
  auto max0 = hn::Set(d, start), max1 = max0;
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    max0 = max_number(hn::LoadU(d, x + i), max0);
    max1 = max_number(hn::LoadU(d, x + i + lanes), max1);
  }
  for (; i < n; i += lanes) {
    max0 = max_number((n - i >= lanes) ? hn::LoadU(d, x + i) : load_some(d, x + i, n - i, start), max0);
  }
  // By hand: Highway's emulated MaxOfLanes starts from the lowest finite number and loses -inf.
  HWY_ALIGN float buffer[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(max_number(max1, max0), d, buffer);
  float max = buffer[0];
  for (int64_t lane = 1; lane < lanes; ++lane) max = (buffer[lane] > max) ? buffer[lane] : max;
  return max;
}

// exp(x) for x <= 0, -inf or NaN; 1 ulp. Highway's own gives 0 for NaN.
template <class D, class V>
HWY_INLINE V exp_of_nonpositive(D d, V x) {
  return hn::IfThenElse(hn::Eq(x, x), hn::Exp(d, x), x);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#endif  // HESSE_KERNELS_LANES_INL_H_
