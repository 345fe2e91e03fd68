// A copy of the demo model to damage.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/checkpoint.h"
#include "io/file.h"
#include "io/json.h"

namespace hesse {

struct StoredTensor {
  TensorSpec spec;
  std::string bytes;
};

class ModelCopy {
 public:
  explicit ModelCopy(const std::string& name)
      : folder_(std::filesystem::path(testing::TempDir()) / (name + "-" + std::to_string(::getpid()))) {
    namespace fs = std::filesystem;
    const fs::path demo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";
    fs::remove_all(folder_);
    fs::create_directories(model());
    for (const char* file :
         {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}) {
      fs::copy_file(demo / file, model() / file);
    }
    put("text.txt", read_text_file(demo / "heldout.txt").substr(0, 20000));
  }
  ~ModelCopy() { std::filesystem::remove_all(folder_); }
  ModelCopy(const ModelCopy&) = delete;
  ModelCopy& operator=(const ModelCopy&) = delete;

  std::filesystem::path model() const { return folder_ / "model"; }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }

  // Member `key` of a JSON file of the model, `value` spelled as JSON.
  void set(const std::string& name, const std::string& key, const std::string& value) const {
    Json json = Json::parse(read_text_file(model() / name), name);
    json.set(key, Json::parse(value, "value"));
    put("model/" + name, json.dump(2));
  }
  void set_config(const std::string& key, const std::string& value) const { set("config.json", key, value); }

  // Writes the tensors again after `change`, in shards of at most that many bytes.
  void rewrite(const std::function<void(std::vector<StoredTensor>&)>& change, int64_t shard_bytes = 1 << 30) const {
    std::vector<StoredTensor> tensors;
    {
      const Checkpoint checkpoint(model());
      for (const TensorView* tensor : checkpoint.tensors()) {
        const char* bytes = reinterpret_cast<const char*>(tensor->bytes.data());
        tensors.push_back({tensor->spec, std::string(bytes, tensor->bytes.size())});
      }
    }
    std::filesystem::remove(model() / "model.safetensors");
    change(tensors);
    std::vector<CheckpointWriter::Item> items;
    for (const StoredTensor& tensor : tensors) items.push_back({tensor.spec, ""});
    CheckpointWriter writer(model(), std::move(items), shard_bytes);
    for (const StoredTensor& tensor : tensors) writer.write(tensor.spec.name, std::as_bytes(std::span(tensor.bytes)));
    writer.finish();
  }

  // Changes one tensor.
  void change(const std::string& name, const std::function<void(StoredTensor&)>& how) const {
    rewrite([&](std::vector<StoredTensor>& tensors) {
      for (StoredTensor& tensor : tensors) {
        if (tensor.spec.name == name) return how(tensor);
      }
      ADD_FAILURE() << "no tensor " << name;
    });
  }

  // Changes the header of the one weight file, whose data stay.
  void change_header(const std::function<void(Json&)>& how) const {
    const std::string bytes = read_text_file(model() / "model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    Json header = Json::parse(bytes.substr(8, length), "header");
    how(header);
    const std::string text = header.dump();
    const uint64_t size = text.size();
    put("model/model.safetensors",
        std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + text + bytes.substr(8 + length));
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace hesse
