// Element types of tensors in files, and exact conversions of single 16-bit floats.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hesse {

// The order is safetensors' own, narrowest alignment first.
enum class DType { kBool, kU8, kI8, kF8E5M2, kF8E4M3, kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kF64, kI64, kU64 };

int64_t dtype_size(DType dtype);                              // bytes of one element
std::string_view dtype_name(DType dtype);                     // safetensors' name, "BF16"
std::optional<DType> dtype_from_name(std::string_view name);  // nullopt when unknown
bool dtype_is_float16or32(DType dtype);                       // F16, BF16 or F32: what weights may be

// bfloat16: the upper half of a float32. Exact.
inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

float f16_to_float(uint16_t bits);   // exact, subnormals, infinities and NaN included
uint16_t float_to_f16(float value);  // round to nearest even; overflow gives infinity
uint16_t float_to_bf16(float value);

}  // namespace hesse
