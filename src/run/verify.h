// Whether a packed checkpoint is what its configuration says it is.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/findings.h"
#include "formats/format.h"
#include "io/checkpoint.h"
#include "io/json.h"

namespace hesse {

class Verification {
 public:
  // `checkpoint` of `format`, with a quantization_config in `config_json`.
  Verification(const Checkpoint& checkpoint, const Json& config_json, const ExportFormat& format, Findings& findings);

  // What the names of the tensors and the files of the configuration tell; no codes are read.
  void check_names();
  // Decodes one packed linear, and looks at its scales, zero points and groups.
  void check_linear(const std::string& module);
  // What was seen in all linears. Call behind the last.
  void summarize();

  const std::vector<std::string>& modules() const { return modules_; }  // that are packed

 private:
  void check_halves();
  void check_lists();
  void check_twin();
  void check_grid(const std::string& module, const QuantizedLinear& linear);

  const Checkpoint& checkpoint_;
  const Json& quantization_;
  const ExportFormat& format_;
  Findings& findings_;
  std::vector<std::string> modules_;
  int64_t sound_ = 0;
  int64_t ordered_ = 0;       // linears whose groups do not lie side by side
  int64_t subnormal_ = 0;     // scales
  std::string subnormal_in_;  // the first linear with one
  size_t refused_ = 0;
};

}  // namespace hesse
