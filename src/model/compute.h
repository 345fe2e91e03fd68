// In which type a model's matrix products take their inputs.
#pragma once

#include <string_view>

#include "base/compute_matrix.h"
#include "io/json.h"

namespace hesse {

struct ComputeChoice {
  ComputeType type = ComputeType::kF32;
  std::string_view reason;  // a few words for the record
};

// "f32" and "bf16" are what was asked for; "auto" is bfloat16 where the processor multiplies it by itself and the
// config says that the weights are of 16 bits, so that rounding activations costs no more than it does where the model
// runs.
ComputeChoice choose_compute(std::string_view wish, const Json& config_json);
// The same on a processor that has bfloat16 or not.
ComputeChoice choose_compute(std::string_view wish, const Json& config_json, bool native);

std::string_view compute_name(ComputeType type);  // "f32", "bf16"

// Whether config.json says that the weights are bfloat16.
bool is_stored_as_bf16(const Json& config_json);

}  // namespace hesse
