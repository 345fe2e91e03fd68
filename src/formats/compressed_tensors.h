// The format "pack-quantized" of compressed-tensors (docs/FORMATS.md, "compressed-tensors"): weight_packed,
// weight_scale and weight_shape per linear, with weight_zero_point where grids are asymmetric and weight_g_idx where
// groups do not lie side by side.
#pragma once

#include "formats/format.h"

namespace hesse {

class CompressedTensorsFormat final : public ExportFormat {
 public:
  std::string_view name() const override { return "compressed-tensors"; }
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

// The weights of one entry of "config_groups". Which linears it is about shows in their shapes.
struct CompressedScheme {
  int bits = 0;
  int64_t group_size = 0;  // -1: strategy "channel"
  bool symmetric = true;
};
// Error(kBadInput) for a member that is missing, of a wrong type, or asks for what this format does not hold.
std::vector<CompressedScheme> compressed_schemes(const Json& quantization_config);

}  // namespace hesse
