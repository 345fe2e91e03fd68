// Which engines will load a result, and what in it they refuse: one table of rules, asked before any work.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/types.h"
#include "plan/shapes.h"
#include "quant/spec.h"

namespace hesse {

// What engines see of a result. Groups lie side by side (desc_act is false).
struct PlannedOutput {
  LinearSpec spec = {};                 // of most linears
  std::vector<LinearSpec> others = {};  // that some of them have
  std::string_view format = "gptq";     // of the table of export formats
  bool negative_scales = true;
  bool bf16 = false;     // the model's own type is bfloat16: kernels for float16 alone need it converted
  bool sharded = false;  // in several weight files
};

enum class Verdict { kYes, kNo, kUnknown };
std::string_view verdict_name(Verdict verdict);  // "yes", "no", "unknown"

struct LoaderRow {
  std::string_view engine;  // "vLLM"
  std::string_view kernel;  // "Marlin"
  int64_t devices = 1;      // tensor parallelism
  Verdict verdict = Verdict::kYes;
  std::string why;          // the first reason against it, with the linear and both numbers; of a yes: what to know
  std::string_view source;  // "repository: path", of the rule
  std::string_view date;    // when it was read
};

// All engines of the table that know the format, those that cut linears over devices with 1, 2, 4 and 8 of them.
std::vector<LoaderRow> loader_table(const ModelShapes& model, const PlannedOutput& output);

}  // namespace hesse
