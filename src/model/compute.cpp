#include "model/compute.h"

#include <string>

#include "linalg/gemm.h"
#include "model/config.h"

namespace hesse {
namespace {

// "bfloat16" of "torch_dtype", or of "dtype" as transformers 5 spells it; "" when the config says nothing.
std::string stored_type(const Json& config) {
  // The whole before its text: what was saved says it there.
  for (const Json& json : {config, text_config(config)}) {
    for (const char* name : {"dtype", "torch_dtype"}) {
      const Json* type = json.find_value(name);
      if (type != nullptr && type->is_string()) return type->as_string("config.json");
    }
  }
  return "";
}

}  // namespace

ComputeChoice choose_compute(std::string_view wish, const Json& config_json, bool native) {
  if (wish == "f32") return {ComputeType::kF32, "asked"};
  if (wish == "bf16") return {ComputeType::kBF16, "asked"};
  const std::string stored = stored_type(config_json);
  if (stored != "bfloat16" && stored != "float16") return {ComputeType::kF32, "full-precision model"};
  if (!native) return {ComputeType::kF32, "no native bf16"};
  return {ComputeType::kBF16, "native"};
}

ComputeChoice choose_compute(std::string_view wish, const Json& config_json) {
  return choose_compute(wish, config_json, native_bf16());
}

bool is_stored_as_bf16(const Json& config_json) { return stored_type(config_json) == "bfloat16"; }

std::string_view compute_name(ComputeType type) { return type == ComputeType::kF32 ? "f32" : "bf16"; }

}  // namespace hesse
