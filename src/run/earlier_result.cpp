#include "run/earlier_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/sha256.h"
#include "hesse/error.h"
#include "io/file.h"
#include "run/unit.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr size_t kComparedBytes = 4096;  // of a tensor: a page

[[noreturn]] void refuse(const fs::path& directory, const std::string& why) {
  throw Error(ErrorKind::kUsage, fmt::format("[redo] {}: {}", directory.string(), why));
}

Checkpoint open_result(const fs::path& directory, const std::string& marker) {
  if (!fs::is_regular_file(directory / marker)) refuse(directory, fmt::format("no result to change: no {}", marker));
  return Checkpoint(directory);
}

}  // namespace

EarlierResult::EarlierResult(const fs::path& directory, const std::string& marker, const Expected& expected)
    : directory_(directory), format_(expected.format), checkpoint_(open_result(directory, marker)) {
  if (!format_.keeps_codes()) {
    refuse(directory, fmt::format("format {} keeps no codes, so there are none to keep; quantize in another format, "
                                  "change that result, and convert it",
                                  format_.name()));
  }
  const std::string text = read_text_file(directory / marker);
  fingerprint_ = sha256_hex(text);
  const Json config = Json::parse(read_text_file(directory / "config.json"), "config.json of the result");
  const Json* quantization = config.find_value("quantization_config");
  const ExportFormat* format = format_of(quantization);
  if (format != &format_) {
    refuse(directory, fmt::format("in format {}, this run writes {}; take the options that it was made with",
                                  format != nullptr ? format->name() : "none", format_.name()));
  }
  quantization_ = *quantization;
  read_records(Json::parse(text, marker));
  require_same_model(expected.model);
}

QuantizedLinear EarlierResult::read(const std::string& linear) const {
  return format_.read(checkpoint_, linear, quantization_);
}

void EarlierResult::read_records(const Json& record) {
  const Json* linears = record.find("linears");
  if (linears == nullptr) refuse(directory_, "its record lists no linears");
  for (const Json& entry : linears->as_array("linears")) {
    LinearRecord linear = linear_record_from_json(entry);
    if (format_.has(checkpoint_, linear.name)) records_.emplace(linear.name, std::move(linear));
  }
}

LinearSpec EarlierResult::spec(const std::string& linear) const {
  const LinearRecord& found = record(linear);
  return {.bits = found.bits, .group_size = found.group_size, .symmetric = found.symmetric};
}

// What is not packed was copied from the model: by the beginnings of these tensors one model is known from another.
void EarlierResult::require_same_model(const CheckpointSource& model) const {
  for (const PlainTensor& tensor : model.plain_tensors(ExpertsForm::kApart)) {
    const std::string& name = tensor.spec.name;
    const TensorView* copy = checkpoint_.find(name);
    if (copy == nullptr) {
      const std::string_view linear = std::string_view(name).substr(0, name.rfind('.'));
      if (name.ends_with(".weight") && holds(std::string(linear))) continue;
      refuse(directory_, fmt::format("has no '{}', which the model has; was it made from another one?", name));
    }
    const PlainBytes bytes = model.plain_bytes(tensor);
    const size_t count = std::min<size_t>(bytes.view.size(), kComparedBytes);
    const auto first = bytes.view.begin();
    if (copy->bytes.size() == bytes.view.size() && std::equal(first, first + count, copy->bytes.begin())) continue;
    refuse(directory_, fmt::format("its '{}' is not that of the model; it was made from another one", name));
  }
}

}  // namespace hesse
