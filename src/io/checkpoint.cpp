#include "io/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "hesse/error.h"
#include "io/json.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
using WeightMap = std::map<std::string, std::string>;  // tensor name to shard file name

[[noreturn]] void refuse(const fs::path& path, const std::string& problem) {
  throw Error(ErrorKind::kBadInput, fmt::format("[checkpoint] {}: {}", path.string(), problem));
}

[[noreturn]] void misuse(const fs::path& path, const std::string& problem) {
  throw Error(ErrorKind::kInternal, fmt::format("[checkpoint] {}: {}", path.string(), problem));
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// model.safetensors, or the one file to which AutoGPTQ gives a name of bits and group size, as
// gptq_model-4bit-128g.safetensors. Empty: neither.
fs::path find_single_file(const fs::path& directory) {
  if (const fs::path usual = directory / kSingleFile; is_file(usual)) return usual;
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("gptq_model-") && name.ends_with(".safetensors")) found.push_back(entry->path());
  }
  // A shard is called NAME-00001-of-00002.
  const bool whole = found.size() == 1 && found.front().string().find("-of-") == std::string::npos;
  return whole && is_file(found.front()) ? found.front() : fs::path();
}

// Why a directory without model.safetensors and index cannot be read, from what it holds instead.
[[noreturn]] void refuse_without_weights(const fs::path& directory) {
  std::map<std::string, std::vector<std::string>> by_ending;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    by_ending[entry->path().extension().string()].push_back(entry->path().filename().string());
  }
  if (error) refuse(directory, "cannot list the directory: " + error.message());
  const auto found = [&](const char* ending, const char* advice) {
    std::vector<std::string>& names = by_ending[ending];
    if (names.empty()) return;
    refuse(directory, fmt::format("no {} and no {}, but {} {} file(s), the first {}; {}", kSingleFile, kIndexFile,
                                  names.size(), ending, *std::min_element(names.begin(), names.end()), advice));
  };
  const char* const convert =
      "only safetensors are read: convert it (in transformers, save_pretrained with safe_serialization=True)";
  found(".safetensors", "fetch the index too, or give the one file that name");
  found(".bin", convert);
  found(".pth", convert);
  found(".pt", convert);
  found(".gguf", "GGUF is not read: give the original Hugging Face directory");
  refuse(directory, fmt::format("no {} and no {}; is this a model directory?", kSingleFile, kIndexFile));
}

void require_directory(const fs::path& directory) {
  std::error_code error;
  const fs::file_status status = fs::status(directory, error);
  if (status.type() == fs::file_type::not_found) refuse(directory, "no such directory");
  if (error) {
    throw Error(ErrorKind::kEnvironment, fmt::format("[checkpoint] {}: {}", directory.string(), error.message()));
  }
  if (!fs::is_directory(status)) refuse(directory, "a file, not a directory; give the directory that holds the model");
}

// A shard is a file beside its index. Anything else could reach out of the directory.
bool is_plain_file_name(const std::string& name) {
  const auto harmful = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20; };
  return !name.empty() && name != "." && name != ".." && std::none_of(name.begin(), name.end(), harmful);
}

WeightMap read_index(const fs::path& path) {
  const std::string where = path.string();
  const Json index = Json::parse(read_text_file(path), where);
  const Json* weight_map = index.find("weight_map");
  if (weight_map == nullptr) refuse(path, "has no \"weight_map\"");
  WeightMap map;
  for (const auto& [name, value] : weight_map->as_object(where + ", weight_map")) {
    const std::string& file = value.as_string(where + ", weight_map, " + quoted_name(name));
    if (!is_plain_file_name(file)) {
      refuse(path, fmt::format("{} is said to lie in {}, which is not the name of a file in this directory",
                               quoted_name(name), quoted_name(file)));
    }
    map.emplace(name, file);
  }
  if (map.empty()) refuse(path, "names no tensors");
  return map;
}

std::vector<std::string> shard_names(const WeightMap& weight_map) {
  std::vector<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

// The sizes of runs of items that stay together, in order.
std::vector<size_t> unit_lengths(const std::vector<CheckpointWriter::Item>& items) {
  std::vector<size_t> lengths;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0 && !items[i].unit.empty() && items[i].unit == items[i - 1].unit) {
      ++lengths.back();
    } else {
      lengths.push_back(1);
    }
  }
  return lengths;
}

// Units in order, a new shard whenever the next unit would exceed the limit. At least one shard, maybe empty.
std::vector<std::vector<TensorSpec>> split(std::vector<CheckpointWriter::Item> items, int64_t max_shard_bytes) {
  std::vector<std::vector<TensorSpec>> shards(1);
  int64_t shard_bytes = 0;
  size_t next = 0;
  for (const size_t length : unit_lengths(items)) {
    int64_t bytes = 0;
    for (size_t i = next; i < next + length; ++i) bytes = checked_add(bytes, items[i].spec.bytes(), "bytes of a unit");
    if (!shards.back().empty() && bytes > max_shard_bytes - shard_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    for (const size_t end = next + length; next < end; ++next) shards.back().push_back(std::move(items[next].spec));
    shard_bytes = checked_add(shard_bytes, bytes, "bytes of a shard");
  }
  return shards;
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& directory) : directory_(directory) {
  require_directory(directory);
  if (const fs::path index = directory / kIndexFile; is_file(index)) {
    const WeightMap weight_map = read_index(index);
    open_shards(weight_map);
    list_tensors(&weight_map);
  } else if (const fs::path single = find_single_file(directory); !single.empty()) {
    paths_.push_back(single);
    shards_.push_back(std::make_unique<SafetensorsFile>(single));
    list_tensors(nullptr);
  } else {
    refuse_without_weights(directory);
  }
}

std::vector<Error> Checkpoint::problems(const fs::path& directory) {
  std::vector<Error> found;
  const auto attempt = [&](auto&& body) {
    try {
      body();
    } catch (const Error& error) {
      const auto same = [&](const Error& other) { return std::string_view(other.what()) == error.what(); };
      if (std::none_of(found.begin(), found.end(), same)) found.push_back(error);
    }
  };
  attempt([&] { Checkpoint{directory}; });
  if (found.empty()) return found;
  const fs::path index = directory / kIndexFile;
  std::vector<std::string> names = {find_single_file(directory).filename().string()};
  if (is_file(index)) attempt([&] { names = shard_names(read_index(index)); });
  for (const std::string& name : names) {
    if (is_file(directory / name)) attempt([&] { SafetensorsFile{directory / name}; });
  }
  return found;
}

Checkpoint Checkpoint::of_file(const fs::path& file) {
  Checkpoint checkpoint;
  checkpoint.directory_ = file.parent_path();
  checkpoint.paths_.push_back(file);
  checkpoint.shards_.push_back(std::make_unique<SafetensorsFile>(file));
  checkpoint.list_tensors(nullptr);
  return checkpoint;
}

void Checkpoint::open_shards(const WeightMap& weight_map) {
  std::vector<std::string> missing;
  for (const std::string& name : shard_names(weight_map)) {
    paths_.push_back(directory_ / name);
    if (!is_file(paths_.back())) missing.push_back(name);
  }
  if (!missing.empty()) {
    refuse(directory_, fmt::format("{} of {} files named by {} are missing, the first {}; incomplete download?",
                                   missing.size(), paths_.size(), kIndexFile, quoted_name(missing.front())));
  }
  for (const fs::path& path : paths_) shards_.push_back(std::make_unique<SafetensorsFile>(path));
}

// `weight_map`: the index, nullptr for a single file, of which every tensor counts.
void Checkpoint::list_tensors(const WeightMap* weight_map) {
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const TensorView& tensor : shards_[shard]->tensors()) {
      const std::string& name = tensor.spec.name;
      if (weight_map != nullptr && weight_map->count(name) == 0) continue;
      const auto [first, fresh] = shard_of_.emplace(name, shard);
      if (!fresh) {
        refuse(directory_, fmt::format("{} stands in two files, {} and {}", quoted_name(name),
                                       paths_[first->second].filename().string(), paths_[shard].filename().string()));
      }
      by_name_.emplace(name, &tensor);
      order_.push_back(&tensor);
    }
  }
  std::sort(order_.begin(), order_.end(),
            [](const TensorView* a, const TensorView* b) { return a->spec.name < b->spec.name; });
  if (weight_map == nullptr) return;
  for (const auto& [name, file] : *weight_map) {
    const auto found = shard_of_.find(name);
    if (found != shard_of_.end() && paths_[found->second].filename() == file) continue;
    refuse(directory_,
           fmt::format("{} should lie in {} by {}, but {}", quoted_name(name), quoted_name(file), kIndexFile,
                       found == shard_of_.end() ? fmt::format("is in none of the {} files", paths_.size())
                                                : "lies in " + quoted_name(paths_[found->second].filename().string())));
  }
}

const TensorView* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return (found == by_name_.end()) ? nullptr : found->second;
}

const TensorView& Checkpoint::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  refuse(directory_, fmt::format("has no tensor {} among its {}", quoted_name(name), order_.size()));
}

int64_t Checkpoint::total_bytes() const {
  int64_t total = 0;
  for (const TensorView* tensor : order_) total += static_cast<int64_t>(tensor->bytes.size());
  return total;
}

const MappedFile& Checkpoint::file_of(const TensorView& tensor) const {
  const auto found = shard_of_.find(tensor.spec.name);
  if (found == shard_of_.end())
    misuse(directory_, quoted_name(tensor.spec.name) + " is not a tensor of this checkpoint");
  return shards_[found->second]->file();
}

void Checkpoint::prefetch(const TensorView& tensor) const {
  const MappedFile& file = file_of(tensor);
  file.will_need(tensor.bytes.data() - file.bytes().data(), static_cast<int64_t>(tensor.bytes.size()));
}

void Checkpoint::release(const TensorView& tensor) const {
  const MappedFile& file = file_of(tensor);
  file.dont_need(tensor.bytes.data() - file.bytes().data(), static_cast<int64_t>(tensor.bytes.size()));
}

void Checkpoint::release_module(std::string_view module) const {
  const std::string prefix = fmt::format("{}.", module);
  const auto first = std::lower_bound(order_.begin(), order_.end(), prefix,
                                      [](const TensorView* t, const auto& name) { return t->spec.name < name; });
  for (auto it = first; it != order_.end() && (*it)->spec.name.starts_with(prefix); ++it) release(**it);
}

CheckpointWriter::CheckpointWriter(const fs::path& directory, std::vector<Item> items, int64_t max_shard_bytes)
    : directory_(directory) {
  if (max_shard_bytes <= 0) {
    throw Error(ErrorKind::kUsage, fmt::format("[checkpoint] {}: shards of at most {} bytes cannot be written; give a "
                                               "positive size",
                                               directory.string(), max_shard_bytes));
  }
  auto parts = split(std::move(items), max_shard_bytes);
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const TensorSpec& spec : parts[i]) {
      total_bytes_ = checked_add(total_bytes_, spec.bytes(), "bytes of the checkpoint");
      if (!shard_of_.emplace(spec.name, i).second) misuse(directory, quoted_name(spec.name) + " is planned twice");
    }
    Shard shard;
    shard.file_name =
        parts.size() == 1 ? kSingleFile : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size());
    shard.layout = layout_safetensors(std::move(parts[i]));
    shards_.push_back(std::move(shard));
  }
}

void CheckpointWriter::start(Shard& shard) const {
  if (shard.done || shard.writer != nullptr) return;
  shard.writer = std::make_unique<SafetensorsWriter>(directory_ / shard.file_name, std::move(shard.layout));
}

void CheckpointWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  const auto found = shard_of_.find(name);
  if (found == shard_of_.end()) misuse(directory_, quoted_name(name) + " is not part of the planned checkpoint");
  Shard& shard = shards_[found->second];
  if (shard.done) misuse(directory_ / shard.file_name, quoted_name(name) + " was written twice");
  start(shard);
  shard.writer->write(name, bytes);
  if (!shard.writer->complete()) return;
  shard.writer->finish();
  shard.writer.reset();
  shard.done = true;
}

void CheckpointWriter::finish() {
  for (Shard& shard : shards_) {
    if (shard.done) continue;
    start(shard);
    shard.writer->finish();
    shard.writer.reset();
    shard.done = true;
  }
  if (shards_.size() == 1) return;
  Json::Object weight_map;
  for (const auto& [name, shard] : shard_of_) weight_map.emplace_back(name, shards_[shard].file_name);
  const Json index(
      Json::Object{{"metadata", Json::Object{{"total_size", total_bytes_}}}, {"weight_map", std::move(weight_map)}});
  write_text_file(directory_ / kIndexFile, index.dump(2) + "\n");
}

}  // namespace hesse
