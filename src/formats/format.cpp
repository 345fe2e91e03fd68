#include "formats/format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstring>

#include "formats/awq.h"
#include "formats/compressed_tensors.h"
#include "formats/gptq.h"
#include "formats/module_patterns.h"
#include "formats/plain.h"
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
  static const CompressedTensorsFormat compressed_tensors;
  static const AwqFormat awq;
  static const PlainFormat fp16(DType::kF16);
  static const PlainFormat bf16(DType::kBF16);
  static const std::array<const ExportFormat*, 6> table{&gptq, &gptq_v2, &compressed_tensors, &awq, &fp16, &bf16};
  return table;
}

const ExportFormat& export_format(std::string_view name) {
  for (const ExportFormat* format : export_formats()) {
    if (format->name() == name) return *format;
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("[format] '{}' is not known; known are {}", name, fmt::join(known_names(), ", ")));
}

const ExportFormat& working_format(const ExportFormat& format) {
  return format.keeps_codes() ? format : export_format(kGptqV2.name);
}

LinearSpec most_common_spec(const std::vector<PackedModule>& modules) {
  LinearSpec most;
  size_t count = 0;
  for (const auto& [spec, names] : modules_by_spec(modules)) {
    if (names.size() <= count) continue;
    most = spec;
    count = names.size();
  }
  return most;
}

LinearForm form_of(const QuantizedLinear& linear) {
  const std::vector<int32_t> plain = contiguous_groups(linear.in(), linear.spec.group_width(linear.in()));
  return {.out = linear.out(), .in = linear.in(), .spec = linear.spec, .act_order = linear.group_of != plain};
}

bool ExportFormat::has(const Checkpoint& checkpoint, std::string_view module) const {
  return keeps_codes() && checkpoint.find(fmt::format("{}.{}", module, suffixes().front())) != nullptr;
}

std::vector<std::string> packed_modules(const ExportFormat& format, const Checkpoint& checkpoint) {
  std::vector<std::string> modules;
  if (!format.keeps_codes()) return modules;
  const std::string suffix = "." + std::string(format.suffixes().front());
  for (const TensorView* tensor : checkpoint.tensors()) {
    const std::string& name = tensor->spec.name;
    if (name.ends_with(suffix)) modules.push_back(name.substr(0, name.size() - suffix.size()));
  }
  return modules;
}

void write_form(const ExportFormat& format, std::string_view module, const QuantizedLinear& linear, bool in_out,
                const TensorSink& sink) {
  if (!in_out || format.keeps_codes()) return format.write(module, linear, sink);
  format.write(module, linear, [&](std::string_view name, std::span<const std::byte> bytes) {
    Matrix<uint16_t> turned(linear.in(), linear.out());
    const size_t row_bytes = static_cast<size_t>(linear.in()) * sizeof(uint16_t);
    std::vector<uint16_t> row(static_cast<size_t>(linear.in()));
    for (int64_t o = 0; o < linear.out(); ++o) {
      std::memcpy(row.data(), bytes.data() + static_cast<size_t>(o) * row_bytes, row_bytes);
      for (int64_t i = 0; i < linear.in(); ++i) turned(i, o) = row[static_cast<size_t>(i)];
    }
    sink(name, std::as_bytes(std::span(turned.data(), static_cast<size_t>(turned.size()))));
  });
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
