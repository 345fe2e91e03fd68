#include "model/fp8.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/checked.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr std::string_view kWeight = ".weight", kScale = ".weight_scale_inv";

std::array<float, 256> all_values() {
  std::array<float, 256> values{};
  for (unsigned bits = 0; bits < 256; ++bits) {
    const int exponent = static_cast<int>(bits >> 3 & 15u);
    const float mantissa = static_cast<float>(bits & 7u);
    float value = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    if ((bits & 127u) == 127u) value = std::numeric_limits<float>::quiet_NaN();
    values[bits] = (bits & 128u) != 0 ? -value : value;
  }
  return values;
}

const std::array<float, 256> kValues = all_values();

}  // namespace

std::string_view fp8_scale_suffix() { return kScale; }

bool is_fp8_scale(const Checkpoint& checkpoint, std::string_view name) {
  if (!name.ends_with(kScale)) return false;
  const TensorView* weight = checkpoint.find(fmt::format("{}{}", name.substr(0, name.size() - kScale.size()), kWeight));
  return weight != nullptr && Fp8Weight(checkpoint, *weight);
}

float f8e4m3_to_float(uint8_t bits) { return kValues[bits]; }

bool is_fp8_config(const Json* quantization_config) {
  if (quantization_config == nullptr || !quantization_config->is_object()) return false;
  const Json* method = quantization_config->find_value("quant_method");
  if (method == nullptr || !method->is_string() || method->as_string("quant_method") != "fp8") return false;
  const Json* block = quantization_config->find_value("weight_block_size");
  if (block == nullptr) return false;
  const Json::Array& sides = block->as_array("quantization_config.weight_block_size");
  const auto is_side = [](const Json& side) { return side.as_int("weight_block_size") == kFp8Block; };
  return sides.size() == 2 && is_side(sides[0]) && is_side(sides[1]);
}

Fp8Weight::Fp8Weight(const Checkpoint& checkpoint, const TensorView& weight) : weight_(weight) {
  const std::string& name = weight.spec.name;
  if (weight.spec.dtype != DType::kF8E4M3 || weight.spec.shape.size() != 2 || !name.ends_with(kWeight)) return;
  const std::string scale = name.substr(0, name.size() - kWeight.size()) + std::string(kScale);
  const TensorView* scales = checkpoint.find(scale);
  if (scales == nullptr) return;
  const std::vector<int64_t> wanted = {ceil_div(weight.spec.shape[0], kFp8Block),
                                       ceil_div(weight.spec.shape[1], kFp8Block)};
  if (scales->spec.dtype != DType::kF32 || scales->spec.shape != wanted) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] {}: '{}' is {} [{}]; '{}' needs F32 [{}], a scale for {} x {} weights",
                            checkpoint.directory().filename().string(), scale, dtype_name(scales->spec.dtype),
                            fmt::join(scales->spec.shape, ", "), name, fmt::join(wanted, ", "), kFp8Block, kFp8Block));
  }
  scales_ = scales;
}

void Fp8Weight::row(int64_t r, float* values) const {
  const int64_t in = weight_.spec.shape[1], blocks = scales_->spec.shape[1];
  const auto* codes = reinterpret_cast<const uint8_t*>(weight_.bytes.data()) + r * in;
  const std::byte* scales = scales_->bytes.data() + r / kFp8Block * blocks * static_cast<int64_t>(sizeof(float));
  for (int64_t block = 0; block < blocks; ++block) {
    float scale = 0;  // a file may put its data at an odd byte
    std::memcpy(&scale, scales + block * static_cast<int64_t>(sizeof scale), sizeof scale);
    const int64_t end = std::min(in, (block + 1) * kFp8Block);
    for (int64_t c = block * kFp8Block; c < end; ++c) values[c] = kValues[codes[c]] * scale;
  }
}

}  // namespace hesse
