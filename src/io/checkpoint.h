// The tensors of a Hugging Face directory, whether in one safetensors file or in shards with an index, and the
// writer of such a set. Knows nothing of models: names are names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hesse/error.h"
#include "io/safetensors.h"

namespace hesse {

class Checkpoint {
 public:
  // `directory` holds model.safetensors, or model.safetensors.index.json and its shards. With both, the index wins.
  // Checks: the index names plain files of this directory, every shard is there and valid, every tensor of the index
  // lies in the shard it names and in no other. What lies in a shard and is not in the index is left out, as the
  // transformers loader does. Error(kBadInput) names directory, shard and tensor; a directory with only .bin or .gguf
  // files gets a message that says so.
  explicit Checkpoint(const std::filesystem::path& directory);
  // All tensors of one safetensors file, whatever its name.
  static Checkpoint of_file(const std::filesystem::path& file);

  // Everything that the constructor would refuse, as far as it can be told: each damaged file, not only the first.
  static std::vector<Error> problems(const std::filesystem::path& directory);

  const TensorView* find(std::string_view name) const;                        // nullptr when absent
  const TensorView& at(std::string_view name) const;                          // Error(kBadInput) when absent
  const std::vector<const TensorView*>& tensors() const { return order_; }    // sorted by name
  const std::vector<std::filesystem::path>& files() const { return paths_; }  // weight files, in order
  const std::filesystem::path& directory() const { return directory_; }
  int64_t total_bytes() const;  // of all tensors
  // Tells the kernel that this tensor will be read soon, or that its pages are not needed any more.
  void prefetch(const TensorView& tensor) const;
  void release(const TensorView& tensor) const;
  void release_module(std::string_view module) const;  // its tensors: "<module>.weight", "<module>.qweight", ...

 private:
  Checkpoint() = default;
  void open_shards(const std::map<std::string, std::string>& weight_map);
  void list_tensors(const std::map<std::string, std::string>* weight_map);
  const MappedFile& file_of(const TensorView& tensor) const;

  std::filesystem::path directory_;
  std::vector<std::filesystem::path> paths_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::unordered_map<std::string_view, size_t> shard_of_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  std::vector<const TensorView*> order_;
};

// Writes a known set of tensors as model.safetensors, or, when their bytes exceed `max_shard_bytes`, as
// model-00001-of-0000N.safetensors and model.safetensors.index.json. Tensors of one `unit` (consecutive items with the
// same unit name; an item without one stands alone) stay in one shard, even when they exceed the limit by themselves.
// Tensors may arrive in any order; a shard is synced and closed as soon as it is complete. One thread at a time.
class CheckpointWriter {
 public:
  struct Item {
    TensorSpec spec;
    std::string unit;
  };
  // Error(kUsage) unless max_shard_bytes > 0. `directory` exists.
  CheckpointWriter(const std::filesystem::path& directory, std::vector<Item> items, int64_t max_shard_bytes);
  // As SafetensorsWriter::write().
  void write(std::string_view name, std::span<const std::byte> bytes);
  // All shards complete and synced, then the index (2-space indent, sorted keys, metadata.total_size in bytes).
  void finish();
  int64_t total_bytes() const { return total_bytes_; }

 private:
  struct Shard {
    std::string file_name;
    SafetensorsLayout layout;                   // until the writer takes it
    std::unique_ptr<SafetensorsWriter> writer;  // while the shard is under construction
    bool done = false;
  };
  void start(Shard& shard) const;

  std::filesystem::path directory_;
  std::vector<Shard> shards_;
  std::map<std::string, size_t, std::less<>> shard_of_;
  int64_t total_bytes_ = 0;
};

}  // namespace hesse
