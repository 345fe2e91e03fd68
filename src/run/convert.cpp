#include "run/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"
#include "run/model_files.h"
#include "run/unit.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kUsage, "[convert] " + what); }

// "model.layers.#.mlp.up_proj": equal for the same linear of all layers.
std::string kind_of(const std::string& module) {
  std::string kind;
  for (const char c : module) {
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      kind += c;
    } else if (!kind.ends_with('#')) {
      kind += '#';
    }
  }
  return kind;
}

double damping_of(const Json& quantization) {
  const Json* value = quantization.find_value("damp_percent");
  return value != nullptr && value->is_number() ? value->as_double("damp_percent") : 0.01;
}

}  // namespace

Conversion::Conversion(ConversionRequest request, const Progress& progress) : r_(std::move(request)) {
  quantization_ = *r_.config_json.find_value("quantization_config");
  modules_ = packed_modules(r_.from, r_.checkpoint);
  if (modules_.empty()) {
    throw Error(ErrorKind::kBadInput, fmt::format("[convert] {}: config.json says {}, but no linear is packed",
                                                  r_.checkpoint.directory().string(), r_.from.name()));
  }
  for (size_t i = 0; i < modules_.size(); ++i) {
    progress(static_cast<double>(i) / static_cast<double>(modules_.size()));
    const QuantizedLinear linear = read(modules_[i]);
    if (const std::string problem = r_.to.why_not(linear); !problem.empty())
      refuse(fmt::format("'{}' has no place in format {}: {}", modules_[i], r_.to.name(), problem));
    forms_.push_back(form_of(linear));
    forms_.back().in_out = r_.in_out;
    if (modules_[i] == r_.head && !r_.to.packs_head())
      refuse(fmt::format("'{}' is packed, and readers of format {} want it in 16 bit", r_.head, r_.to.name()));
    require_one_spec(i);
    r_.checkpoint.release_module(modules_[i]);
  }
}

QuantizedLinear Conversion::read(const std::string& module) const {
  return r_.from.read(r_.checkpoint, module, quantization_);
}

void Conversion::require_one_spec(size_t index) const {
  if (r_.to.mixes() || forms_[index].spec == forms_.front().spec) return;
  refuse(fmt::format("'{}' has {}, '{}' has {}; the configuration of {} names one for all", modules_.front(),
                     to_text(forms_.front().spec), modules_[index], to_text(forms_[index].spec), r_.to.name()));
}

bool Conversion::is_packed(const TensorSpec& tensor) const {
  const size_t dot = tensor.name.rfind('.');
  if (dot == std::string::npos) return false;
  const auto suffixes = r_.from.suffixes();
  if (std::find(suffixes.begin(), suffixes.end(), std::string_view(tensor.name).substr(dot + 1)) == suffixes.end())
    return false;
  return std::binary_search(modules_.begin(), modules_.end(), tensor.name.substr(0, dot));
}

void Conversion::write(const fs::path& directory, int64_t max_shard_bytes, const Progress& progress) const {
  write_tensors(directory, max_shard_bytes, progress);
  const Json config = new_config();
  write_text_file(directory / "config.json", config.dump(2) + "\n");
  const Json* quantization = config.find_value("quantization_config");
  if (quantization != nullptr && !r_.to.config_file().empty())
    write_text_file(directory / r_.to.config_file(), quantization->dump(2) + "\n");
  require_equal(directory);
}

void Conversion::write_tensors(const fs::path& directory, int64_t max_shard_bytes, const Progress& progress) const {
  std::vector<CheckpointWriter::Item> items;
  for (const TensorView* tensor : r_.checkpoint.tensors()) {
    if (!is_packed(tensor->spec)) items.push_back({tensor->spec, ""});
  }
  for (size_t i = 0; i < modules_.size(); ++i) {
    for (TensorSpec& spec : r_.to.layout(modules_[i], forms_[i])) items.push_back({std::move(spec), modules_[i]});
  }
  CheckpointWriter writer(directory, std::move(items), max_shard_bytes);
  for (size_t i = 0; i < modules_.size(); ++i) {
    progress(static_cast<double>(i) / static_cast<double>(modules_.size()));
    write_form(r_.to, modules_[i], read(modules_[i]), r_.in_out,
               [&](std::string_view name, std::span<const std::byte> bytes) { writer.write(name, bytes); });
    r_.checkpoint.release_module(modules_[i]);
  }
  for (const TensorView* tensor : r_.checkpoint.tensors()) {
    if (is_packed(tensor->spec)) continue;
    writer.write(tensor->spec.name, tensor->bytes);
    r_.checkpoint.release(*tensor);
  }
  writer.finish();
}

void Conversion::require_equal(const fs::path& directory) const {
  if (!r_.to.keeps_codes()) return;
  const Checkpoint written(directory);
  const Json quantization = r_.to.config(format_config());
  for (const std::string& module : modules_) {
    if (digest(r_.to.read(written, module, quantization)) != digest(read(module))) {
      throw Error(
          ErrorKind::kEnvironment,
          fmt::format("[convert] '{}' read back differs from what was written; failing disk or memory?", module));
    }
    written.release_module(module);
    r_.checkpoint.release_module(module);
  }
}

// Linears of the kinds that are packed, of which these are not.
std::vector<std::string> Conversion::skipped() const {
  const std::vector<std::string> plain = plain_modules(r_.checkpoint, modules_);
  std::set<std::string> kinds(r_.linears.begin(), r_.linears.end());
  if (r_.linears.empty()) {
    for (const std::string& module : modules_) kinds.insert(kind_of(module));
  }
  std::vector<std::string> names;
  for (const std::string& module : plain) {
    if (kinds.count(r_.linears.empty() ? kind_of(module) : module) != 0) names.push_back(module);
  }
  return names;
}

FormatConfig Conversion::format_config() const {
  std::vector<PackedModule> packed;
  for (size_t i = 0; i < modules_.size(); ++i) packed.push_back({modules_[i], forms_[i].spec});
  FormatConfig config{.spec = most_common_spec(packed),
                      .packed = packed,
                      .skipped = skipped(),
                      .plain = plain_modules(r_.checkpoint, modules_),
                      .damping = damping_of(quantization_),
                      .tool_version = "hesse:" + r_.version};
  const auto is_head = [&](const std::string& module) { return module == r_.head; };
  if (std::any_of(modules_.begin(), modules_.end(), is_head)) {
    config.head = r_.head;
  } else if (!r_.head.empty() && std::none_of(config.plain.begin(), config.plain.end(), is_head)) {
    config.plain.push_back(r_.head);
  }
  config.act_order = std::any_of(forms_.begin(), forms_.end(), [](const LinearForm& form) { return form.act_order; });
  config.meta.set("converted_from", std::string(r_.from.name()));
  return config;
}

Json Conversion::new_config() const {
  Json config = without(r_.config_json, "quantization_config");
  Json quantization = r_.to.config(format_config());
  if (quantization.is_null()) {
    set_type(config, r_.to);
  } else {
    config.set("quantization_config", std::move(quantization));
  }
  return config;
}

}  // namespace hesse
