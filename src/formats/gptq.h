// The GPTQ checkpoint formats, version 1 and 2 (docs/FORMATS.md, "GPTQ"): qweight, qzeros, scales and g_idx per linear.
// The versions differ in what is stored for a zero point.
#pragma once

#include "formats/format.h"

namespace hesse {

struct GptqVersion {
  std::string_view name;   // value of "checkpoint_format"
  int zero_offset;         // zero point minus stored field
  bool stores_asymmetric;  // whether other programs load asymmetric files of this version
};

inline constexpr GptqVersion kGptqV1{.name = "gptq", .zero_offset = 1, .stores_asymmetric = false};
inline constexpr GptqVersion kGptqV2{.name = "gptq_v2", .zero_offset = 0, .stores_asymmetric = true};

class GptqFormat final : public ExportFormat {
 public:
  explicit GptqFormat(const GptqVersion& version) : version_(version) {}

  std::string_view name() const override { return version_.name; }
  std::string why_not(int64_t out, int64_t in, const LinearSpec& spec) const override;
  std::string why_not(const QuantizedLinear& linear) const override;
  std::vector<TensorSpec> layout(std::string_view module, const LinearForm& form) const override;
  void write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const override;
  Json config(const FormatConfig& config) const override;
  std::string_view config_file() const override { return "quantize_config.json"; }
  std::span<const std::string_view> suffixes() const override;
  std::vector<std::string> listed_as_plain(const Json& quantization_config) const override;
  bool recognises(const Json& quantization_config) const override;
  LinearSize size(const Checkpoint& checkpoint, std::string_view module) const override;
  QuantizedLinear read(const Checkpoint& checkpoint, std::string_view module,
                       const Json& quantization_config) const override;

 private:
  GptqVersion version_;
};

}  // namespace hesse
