// 16-bit floats to float32 and bfloat16 back, by integer arithmetic: the same bits on every instruction set, payloads
// of NaN included (the F16C instruction turns signalling NaN into quiet ones). Faster than memory anyhow.
#include <cstdint>

#include "kernels/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hesse {
namespace HWY_NAMESPACE {
namespace {

using DF = hn::ScalableTag<float>;
using DU32 = hn::Rebind<uint32_t, DF>;
using DI32 = hn::Rebind<int32_t, DF>;
using DU16 = hn::Rebind<uint16_t, DF>;

// One vector of halves, widened to 32 bits, to floats.
template <class V>
HWY_INLINE hn::Vec<DF> f16_bits_to_float(V bits) {
  const DF df;
  const DU32 du;
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFu));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto normal = hn::BitCast(df, hn::Add(shifted, hn::Set(du, 112u << 23)));
  const auto infinity_or_nan = hn::BitCast(df, hn::Or(shifted, hn::Set(du, 0x7F800000u)));
  // Zero and subnormals: the mantissa counts units of 2^-24.
  const auto as_count = hn::ConvertTo(df, hn::BitCast(DI32(), magnitude));
  const auto tiny = hn::Mul(as_count, hn::Set(df, 0x1p-24f));
  // The count is exact, so ranges can be told apart by comparing it.
  const auto large_or_normal = hn::IfThenElse(hn::Ge(as_count, hn::Set(df, 31744.0f)), infinity_or_nan, normal);
  const auto value = hn::IfThenElse(hn::Lt(as_count, hn::Set(df, 1024.0f)), tiny, large_or_normal);
  return hn::Or(value, hn::BitCast(df, sign));
}

template <class V>
HWY_INLINE hn::Vec<DF> bf16_bits_to_float(V bits) {
  return hn::BitCast(DF(), hn::ShiftLeft<16>(bits));
}

void f16_to_f32(const uint16_t* in, float* out, int64_t n) {
  const DF df;
  const DU16 du16;
  const int64_t lanes = lanes_of(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(f16_bits_to_float(hn::PromoteTo(DU32(), hn::LoadU(du16, in + i))), df, out + i);
  }
  if (i == n) return;
  const auto rest = load_some(du16, in + i, n - i, uint16_t{0});
  store_some(f16_bits_to_float(hn::PromoteTo(DU32(), rest)), df, out + i, n - i);
}

void bf16_to_f32(const uint16_t* in, float* out, int64_t n) {
  const DF df;
  const DU16 du16;
  const int64_t lanes = lanes_of(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(bf16_bits_to_float(hn::PromoteTo(DU32(), hn::LoadU(du16, in + i))), df, out + i);
  }
  if (i == n) return;
  const auto rest = load_some(du16, in + i, n - i, uint16_t{0});
  store_some(bf16_bits_to_float(hn::PromoteTo(DU32(), rest)), df, out + i, n - i);
}

// Bits of bfloat16 in the lower halves. Half a unit is added, one less where the last bit is even: ties go to even.
template <class V>
HWY_INLINE hn::Vec<DU32> float_to_bf16_bits(V value) {
  const DU32 du;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000u));
  const auto is_number = hn::RebindMask(du, hn::Eq(value, value));
  return hn::ShiftRight<16>(hn::IfThenElse(is_number, rounded, quiet));
}

void f32_to_bf16(const float* in, uint16_t* out, int64_t n) {
  const DF df;
  const DU16 du16;
  const int64_t lanes = lanes_of(df);
  int64_t i = 0;
  // The narrowing saturates signed numbers; these are below 2^16.
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::DemoteTo(du16, hn::BitCast(DI32(), float_to_bf16_bits(hn::LoadU(df, in + i)))), du16, out + i);
  }
  if (i == n) return;
  const auto rest = float_to_bf16_bits(load_some(df, in + i, n - i, 0.0f));
  store_some(hn::DemoteTo(du16, hn::BitCast(DI32(), rest)), du16, out + i, n - i);
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hesse
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hesse {

HWY_EXPORT(f16_to_f32);
HWY_EXPORT(bf16_to_f32);
HWY_EXPORT(f32_to_bf16);
HWY_EXPORT(target_name);

void f16_to_f32(const uint16_t* in, float* out, int64_t n) { HWY_DYNAMIC_DISPATCH(f16_to_f32)(in, out, n); }
void bf16_to_f32(const uint16_t* in, float* out, int64_t n) { HWY_DYNAMIC_DISPATCH(bf16_to_f32)(in, out, n); }
void f32_to_bf16(const float* in, uint16_t* out, int64_t n) { HWY_DYNAMIC_DISPATCH(f32_to_bf16)(in, out, n); }
const char* simd_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace hesse
#endif
