// The weights that the codes stand for, as plain numbers ("fake quantized"): for any engine that loads the model
// itself.
#pragma once

#include "formats/format.h"

namespace hesse {

class PlainFormat final : public ExportFormat {
 public:
  // kF16 or kBF16.
  explicit PlainFormat(DType dtype) : dtype_(dtype) {}

  std::string_view name() const override { return dtype_ == DType::kF16 ? "fp16" : "bf16"; }
  bool keeps_codes() const override { return false; }
  std::string why_not(int64_t out, int64_t in, const LinearSpec& spec) const override;
  std::string why_not(const QuantizedLinear& linear) const override;
  std::vector<TensorSpec> layout(std::string_view module, const LinearForm& form) const override;
  void write(std::string_view module, const QuantizedLinear& linear, const TensorSink& sink) const override;
  Json config(const FormatConfig&) const override { return nullptr; }
  std::span<const std::string_view> suffixes() const override { return {}; }
  std::vector<std::string> listed_as_plain(const Json&) const override { return {}; }
  // A directory of this format is one of full precision.
  bool recognises(const Json&) const override { return false; }
  [[noreturn]] LinearSize size(const Checkpoint& checkpoint, std::string_view module) const override;
  [[noreturn]] QuantizedLinear read(const Checkpoint& checkpoint, std::string_view module,
                                    const Json& quantization_config) const override;

 private:
  DType dtype_;
};

}  // namespace hesse
