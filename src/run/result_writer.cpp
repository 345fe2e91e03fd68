#include "run/result_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/sha256.h"
#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerGb = 1e9;

// Everything that a reader of the packed linear can see.
std::string digest(const QuantizedLinear& linear) {
  Sha256 hash;
  const std::array<int64_t, 3> shape{linear.out(), linear.in(), linear.scales.rows()};
  hash.update(shape.data(), sizeof shape);
  hash.update(linear.codes.data(), static_cast<size_t>(linear.codes.size()));
  hash.update(linear.scales.data(), static_cast<size_t>(linear.scales.size()) * sizeof(float));
  hash.update(linear.zeros.data(), static_cast<size_t>(linear.zeros.size()));
  hash.update(linear.group_of.data(), linear.group_of.size() * sizeof(int32_t));
  return hash.hex();
}

std::set<std::string> packed_weights(const Job& job) {
  std::set<std::string> names;
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) {
      if (job.skipped.count(linear.name) == 0) names.insert(linear.name + ".weight");
    }
  }
  return names;
}

// Weights in any format, indexes and what this run writes itself stay behind; all else belongs to the model.
bool is_copied(const fs::path& file) {
  static const std::set<std::string> kWeights = {".safetensors", ".bin", ".pt",   ".pth",    ".ckpt",
                                                 ".gguf",        ".h5",  ".onnx", ".msgpack"};
  static const std::set<std::string> kOwn = {"config.json", "quantize_config.json", "hesse-run.json",
                                             "hesse-report.html"};
  const std::string name = file.filename().string();
  return kWeights.count(file.extension().string()) == 0 && kOwn.count(name) == 0 && !name.ends_with(".index.json");
}

bool is_entered(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.front() != '.' && name != "original" && name != "onnx";
}

}  // namespace

ResultWriter::ResultWriter(const Job& job, const fs::path& directory) : job_(job), directory_(directory) {
  std::vector<CheckpointWriter::Item> items;
  const std::set<std::string> replaced = packed_weights(job);
  for (const TensorView* tensor : job.checkpoint->tensors()) {
    if (replaced.count(tensor->spec.name) == 0) items.push_back({tensor->spec, ""});
  }
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) {
      if (job.skipped.count(linear.name) != 0) continue;
      for (TensorSpec& spec : job.format->tensors(linear.name, linear.out, linear.in, job.spec)) {
        packed_bytes_ += spec.bytes();
        items.push_back({std::move(spec), linear.name});
      }
      packed_weights_ += linear.out * linear.in;
    }
  }
  const int64_t shard = static_cast<int64_t>(job.options.shard_size * kBytesPerGb);
  writer_ = std::make_unique<CheckpointWriter>(directory, std::move(items), shard);
}

void ResultWriter::write(const std::string& module, const QuantizedLinear& linear) {
  job_.format->write(module, linear,
                     [&](std::string_view name, std::span<const std::byte> bytes) { writer_->write(name, bytes); });
  meant_[module] = digest(linear);
}

void ResultWriter::finish(const std::string& version) {
  copy_tensors();
  writer_->finish();
  copy_files();
  write_config(version);
}

void ResultWriter::verify() const {
  const Checkpoint written(directory_);
  const Json config = Json::parse(read_text_file(directory_ / "config.json"), "config.json");
  const Json* quantization = config.find_value("quantization_config");
  if (format_of(quantization) != job_.format) {
    throw Error(ErrorKind::kInternal, "[verify] the written config.json does not name the format of the result");
  }
  for (const auto& [module, meant] : meant_) {
    if (digest(job_.format->read(written, module, *quantization)) != meant) {
      throw Error(
          ErrorKind::kEnvironment,
          fmt::format("[verify] '{}' read back from the result differs from what was written; failing disk or memory?",
                      module));
    }
    written.release_module(module);
  }
}

double ResultWriter::bits_per_weight() const {
  return 8.0 * static_cast<double>(packed_bytes_) / static_cast<double>(std::max<int64_t>(1, packed_weights_));
}

void ResultWriter::copy_tensors() {
  const std::set<std::string> replaced = packed_weights(job_);
  for (const TensorView* tensor : job_.checkpoint->tensors()) {
    if (replaced.count(tensor->spec.name) != 0) continue;
    writer_->write(tensor->spec.name, tensor->bytes);
    job_.checkpoint->release(*tensor);
  }
}

void ResultWriter::copy_files() const {
  for (auto entry = fs::recursive_directory_iterator(job_.model_directory); entry != fs::recursive_directory_iterator();
       ++entry) {
    if (entry->is_directory()) {
      if (entry->is_symlink() || !is_entered(entry->path())) entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && is_copied(entry->path())) {
      const fs::path target = directory_ / fs::relative(entry->path(), job_.model_directory);
      fs::create_directories(target.parent_path());
      copy_file_synced(entry->path(), target);
    }
  }
}

void ResultWriter::write_config(const std::string& version) const {
  const Json quantization = job_.format->config({.spec = job_.spec,
                                                 .skipped = {job_.skipped.begin(), job_.skipped.end()},
                                                 .damping = job_.options.damping,
                                                 .tool_version = "hesse:" + version});
  Json config = job_.config_json;
  config.set("quantization_config", quantization);
  write_text_file(directory_ / "config.json", config.dump(2) + "\n");
  if (!job_.format->config_file().empty()) {
    write_text_file(directory_ / job_.format->config_file(), quantization.dump(2) + "\n");
  }
}

}  // namespace hesse
