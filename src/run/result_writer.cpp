#include "run/result_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"
#include "run/expert_assembly.h"
#include "run/fates.h"
#include "run/model_files.h"
#include "run/verify.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerGb = 1e9;

// Calls visit(linear, fate) for all of the model.
template <class Visit>
void for_each_linear(const Job& job, Visit visit) {
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) visit(linear, fate_of(job, linear.name));
  }
}

std::set<std::string> packed_weights(const Job& job) {
  std::set<std::string> names;
  for_each_linear(job, [&](const LinearShape& linear, Fate fate) {
    if (is_packed(fate)) names.insert(linear.name + ".weight");
  });
  return names;
}

// The names of all linears of which `wanted` holds.
template <class Condition>
std::vector<std::string> linears_where(const Job& job, const Condition& wanted) {
  std::vector<std::string> names;
  for_each_linear(job, [&](const LinearShape& linear, Fate fate) {
    if (wanted(fate)) names.push_back(linear.name);
  });
  return names;
}

// The module of the head where that is packed, else nothing.
std::string packed_head(const Job& job) {
  if (!job.head) return "";
  const std::string& name = job.head->linears.front().name;
  return is_packed(fate_of(job, name)) ? name : "";
}

// Those of the model that the result leaves plain. A head that is tied has no tensor, but loaders make a linear of it.
std::vector<std::string> plain_matrices(const Job& job) {
  std::vector<std::string> matrices;
  for (const PlainTensor& tensor : job.source->plain_tensors(ExpertsForm::kApart)) {
    if (tensor.spec.shape.size() == 2) matrices.push_back(tensor.spec.name);
  }
  std::vector<std::string> plain = plain_modules(std::move(matrices), linears_where(job, is_packed));
  const std::string head = job.model->config().own_head();
  if (packed_head(job).empty() && std::find(plain.begin(), plain.end(), head) == plain.end()) plain.push_back(head);
  return plain;
}

[[noreturn]] void refuse_written(std::string_view what) {
  throw Error(ErrorKind::kEnvironment,
              fmt::format("[verify] '{}' read back from the result differs from what was written; failing disk or "
                          "memory?",
                          what));
}

LinearForm form_of(const Job& job, const LinearShape& linear) {
  return {.out = linear.out,
          .in = linear.in,
          .spec = spec_in_result(job, linear.name),
          .in_out = linear.layout == WeightLayout::kInOut};
}

std::vector<PackedModule> packed_in_result(const Job& job) {
  std::vector<PackedModule> modules;
  for_each_linear(job, [&](const LinearShape& linear, Fate fate) {
    if (is_packed(fate)) modules.push_back({linear.name, spec_in_result(job, linear.name)});
  });
  return modules;
}

}  // namespace

Json quantization_config(const Job& job, const std::string& version) {
  const std::vector<PackedModule> packed = packed_in_result(job);
  return job.format->config({.spec = packed.empty() ? job.spec : most_common_spec(packed),
                             .packed = packed,
                             .skipped = linears_where(job, [](Fate fate) { return !is_packed(fate); }),
                             .plain = plain_matrices(job),
                             .head = packed_head(job),
                             .damping = job.options.damping,
                             .tool_version = "hesse:" + version});
}

Json working_config(const Job& job) {
  const std::vector<PackedModule> packed = packed_in_result(job);
  return working_format(*job.format)
      .config({.spec = packed.empty() ? job.spec : most_common_spec(packed), .packed = packed});
}

ResultWriter::ResultWriter(const Job& job) : job_(job) {
  for (const CheckpointWriter::Item& item : items()) output_bytes_ += item.spec.bytes();
  for_each_linear(job, [&](const LinearShape& linear, Fate fate) {
    if (!is_packed(fate)) return;
    packed_weights_ += linear.out * linear.in;
    for (const TensorSpec& spec : job.format->layout(linear.name, form_of(job, linear))) packed_bytes_ += spec.bytes();
  });
}

std::vector<PlainTensor> ResultWriter::kept_tensors() const {
  const bool apart = job_.format->keeps_codes();
  std::vector<PlainTensor> kept = job_.source->plain_tensors(apart ? ExpertsForm::kApart : ExpertsForm::kTogether);
  std::set<std::string> replaced = packed_weights(job_);
  if (!apart) replaced.merge(assembled());
  std::erase_if(kept, [&](const PlainTensor& tensor) { return replaced.count(tensor.spec.name) != 0; });
  return kept;
}

std::set<std::string> ResultWriter::assembled() const {
  const std::vector<std::string> names = assembled_tensors(job_);
  return {names.begin(), names.end()};
}

std::vector<CheckpointWriter::Item> ResultWriter::items() const {
  std::vector<CheckpointWriter::Item> items;
  for (PlainTensor& tensor : kept_tensors()) items.push_back({std::move(tensor.spec), ""});
  const PackedExperts& packed = job_.source->packed_experts();
  const bool apart = job_.format->keeps_codes();
  for_each_linear(job_, [&](const LinearShape& linear, Fate fate) {
    if (!is_packed(fate) || (!apart && packed.find(linear.name + ".weight") != nullptr)) return;
    for (TensorSpec& spec : job_.format->layout(linear.name, form_of(job_, linear)))
      items.push_back({std::move(spec), linear.name});
  });
  if (apart) return items;
  const std::set<std::string> whole = assembled();
  for (const std::unique_ptr<ExpertsTensor>& tensor : packed.tensors()) {
    if (whole.count(tensor->name) == 0) continue;
    items.push_back({tensor->spec(), ""});
    items.back().spec.dtype = plain_dtype(*job_.format);
  }
  return items;
}

void ResultWriter::compose(const WorkDirectory& work, const fs::path& directory, const std::string& version) const {
  CheckpointWriter writer(directory, items(), static_cast<int64_t>(job_.options.shard_size * kBytesPerGb));
  if (job_.format->keeps_codes()) {
    copy_units(work, writer);
  } else {
    for_each_plain(work, [&](std::string_view name, std::span<const std::byte> bytes) { writer.write(name, bytes); });
  }
  copy_kept_linears(writer);
  copy_tensors(writer);
  writer.finish();
  copy_files_beside_weights(job_.model_directory, directory);
  write_config(directory, version);
}

void ResultWriter::copy_units(const WorkDirectory& work, CheckpointWriter& writer) const {
  for (const Unit& unit : work.units()) {
    const Checkpoint file = work.open(unit);
    for (const TensorView* tensor : file.tensors()) {
      writer.write(tensor->spec.name, tensor->bytes);
      file.release(*tensor);
    }
  }
}

void ResultWriter::for_each_plain(const WorkDirectory& work, const TensorSink& sink) const {
  const Json config = working_config(job_);
  const bool in_out = layout_of_linears(job_.model->config()) == WeightLayout::kInOut;
  ExpertAssembly assembly(job_, sink);
  const TensorSink take = [&](std::string_view name, std::span<const std::byte> bytes) { assembly.take(name, bytes); };
  for (const Unit& unit : work.units()) {
    const Checkpoint file = work.open(unit);
    for (const UnitLinear& linear : unit.linears) {
      if (linear.digest.empty()) continue;
      const bool head = linear.record.layer == job_.model->config().layers;
      write_form(*job_.format, linear.record.name, read_packed(job_, file, linear, config), in_out && !head, take);
      file.release_module(linear.record.name);
    }
  }
}

void ResultWriter::verify(const WorkDirectory& work, const fs::path& directory) const {
  const Checkpoint written(directory);
  const Json config = Json::parse(read_text_file(directory / "config.json"), "config.json");
  const Json* quantization = config.find_value("quantization_config");
  if (!job_.format->keeps_codes()) return verify_plain(work, written);
  if (format_of(quantization) != job_.format) {
    throw Error(ErrorKind::kInternal, "[verify] the written config.json does not name the format of the result");
  }
  Findings findings;
  Verification(written, config, *job_.format, findings).check_names();
  findings.throw_if_error();
  for (const Unit& unit : work.units()) {
    for (const auto& [record, meant] : unit.linears) {
      if (meant.empty()) continue;
      require_written(written, *quantization, record.name, meant);
    }
  }
  for_each_linear(job_, [&](const LinearShape& linear, Fate fate) {
    if (fate == Fate::kKeep)
      require_written(written, *quantization, linear.name, digest(job_.earlier->read(linear.name)));
  });
}

void ResultWriter::verify_plain(const WorkDirectory& work, const Checkpoint& written) const {
  for_each_plain(work, [&](std::string_view name, std::span<const std::byte> bytes) {
    const TensorView& tensor = written.at(name);
    if (!std::equal(bytes.begin(), bytes.end(), tensor.bytes.begin(), tensor.bytes.end())) refuse_written(name);
    written.release(tensor);
  });
}

void ResultWriter::require_written(const Checkpoint& written, const Json& quantization, const std::string& linear,
                                   const std::string& meant) const {
  if (digest(job_.format->read(written, linear, quantization)) != meant) refuse_written(linear);
  written.release_module(linear);
}

double ResultWriter::bits_per_weight() const {
  return 8.0 * static_cast<double>(packed_bytes_) / static_cast<double>(std::max<int64_t>(1, packed_weights_));
}

void ResultWriter::copy_tensors(CheckpointWriter& writer) const {
  for (const PlainTensor& tensor : kept_tensors()) {
    writer.write(tensor.spec.name, job_.source->plain_bytes(tensor).view);
    job_.checkpoint->release(*tensor.in_file);
  }
}

void ResultWriter::copy_kept_linears(CheckpointWriter& writer) const {
  for_each_linear(job_, [&](const LinearShape& linear, Fate fate) {
    if (fate != Fate::kKeep) return;
    const Checkpoint& earlier = job_.earlier->checkpoint();
    const LinearSpec packed = job_.earlier->spec(linear.name);
    for (const TensorSpec& spec : job_.format->tensors(linear.name, linear.out, linear.in, packed)) {
      const TensorView& tensor = *earlier.find(spec.name);
      writer.write(spec.name, tensor.bytes);
      earlier.release(tensor);
    }
  });
}

void ResultWriter::write_config(const fs::path& directory, const std::string& version) const {
  const Json quantization = quantization_config(job_, version);
  Json config = without(job_.config_json, "quantization_config");  // the result says what it is itself
  if (quantization.is_null()) {
    set_type(config, *job_.format);
  } else {
    config.set("quantization_config", quantization);
  }
  write_text_file(directory / "config.json", config.dump(2) + "\n");
  if (!job_.format->config_file().empty()) {
    write_text_file(directory / job_.format->config_file(), quantization.dump(2) + "\n");
  }
}

}  // namespace hesse
