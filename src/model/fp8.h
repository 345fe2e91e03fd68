// Weights of 8-bit floats in blocks with a scale each, as the files of DeepSeek-V3 have them: beside MODULE.weight, of
// dtype F8_E4M3, stands MODULE.weight_scale_inv, F32 [ceil(out / 128), ceil(in / 128)], by which its values are
// multiplied. They are read as if the file were plain.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

constexpr int64_t kFp8Block = 128;  // rows and columns that share a scale

float f8e4m3_to_float(uint8_t bits);  // exact, subnormals and NaN included; there are no infinities

// Whether "quantization_config" of a config.json says that the weights lie as above; nullptr: it says nothing.
bool is_fp8_config(const Json* quantization_config);

class Fp8Weight {
 public:
  // nullptr scales: `weight` is no such tensor. Error(kBadInput) when the scales do not fit it.
  Fp8Weight(const Checkpoint& checkpoint, const TensorView& weight);
  explicit operator bool() const { return scales_ != nullptr; }
  void row(int64_t r, float* values) const;  // [in]

 private:
  const TensorView& weight_;
  const TensorView* scales_ = nullptr;
};
// Whether the tensor `name` is nothing but the scales of such a weight.
bool is_fp8_scale(const Checkpoint& checkpoint, std::string_view name);
std::string_view fp8_scale_suffix();  // behind the name of the module: ".weight_scale_inv"

}  // namespace hesse
