// The layout "gemm" of AWQ (docs/FORMATS.md, "AWQ"): 4 bits, groups side by side, codes interleaved along the outputs.
// A container for any grid: nothing in the file depends on how it was found.
#pragma once

#include "formats/format.h"

namespace hesse {

class AwqFormat final : public ExportFormat {
 public:
  std::string_view name() const override { return "awq"; }
  bool mixes() const override { return false; }
  bool packs_head() const override { return false; }
  std::string why_not(int64_t out, int64_t in, const LinearSpec& spec) const override;
  std::string why_not(const QuantizedLinear& linear) const override;
  std::vector<TensorSpec> layout(std::string_view module, const LinearForm& form) const override;
  void write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const override;
  Json config(const FormatConfig& config) const override;
  std::span<const std::string_view> suffixes() const override;
  std::vector<std::string> listed_as_plain(const Json& quantization_config) const override;
  bool recognises(const Json& quantization_config) const override;
  LinearSize size(const Checkpoint& checkpoint, std::string_view module) const override;
  QuantizedLinear read(const Checkpoint& checkpoint, std::string_view module,
                       const Json& quantization_config) const override;
};

}  // namespace hesse
