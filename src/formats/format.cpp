#include "formats/format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "formats/gptq.h"
#include "hesse/error.h"

namespace hesse {
namespace {

std::vector<std::string_view> known_names() {
  std::vector<std::string_view> names;
  for (const ExportFormat* format : export_formats()) names.push_back(format->name());
  return names;
}

}  // namespace

std::span<const ExportFormat* const> export_formats() {
  static const GptqFormat gptq(kGptqV1);
  static const GptqFormat gptq_v2(kGptqV2);
  static const std::array<const ExportFormat*, 2> table{&gptq, &gptq_v2};
  return table;
}

const ExportFormat& export_format(std::string_view name) {
  for (const ExportFormat* format : export_formats()) {
    if (format->name() == name) return *format;
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("[format] '{}' is not known; known are {}", name, fmt::join(known_names(), ", ")));
}

const ExportFormat* format_of(const Json* quantization_config) {
  if (quantization_config == nullptr || quantization_config->is_null()) return nullptr;
  quantization_config->as_object("quantization_config");
  for (const ExportFormat* format : export_formats()) {
    if (format->recognises(*quantization_config)) return format;
  }
  const Json* method = quantization_config->find_value("quant_method");
  throw Error(ErrorKind::kBadInput,
              fmt::format("[format] quantization_config: quant_method {} is not known; known formats are {}",
                          (method == nullptr) ? "is missing, or what stands for it" : method->dump(),
                          fmt::join(known_names(), ", ")));
}

}  // namespace hesse
