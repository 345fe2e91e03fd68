// Tensors in memory that a test can damage, and a checkpoint on disk made of them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace hesse {

struct StoredTensor {
  TensorSpec spec;
  std::vector<std::byte> bytes;

  template <class T>
  void set(int64_t index, T value) {
    std::memcpy(bytes.data() + static_cast<size_t>(index) * sizeof(T), &value, sizeof(T));
  }
  template <class T>
  T get(int64_t index) const {
    T value;
    std::memcpy(&value, bytes.data() + static_cast<size_t>(index) * sizeof(T), sizeof(T));
    return value;
  }
  // Another shape or type; the bytes are cut or filled with zeros.
  void reshape(DType dtype, std::vector<int64_t> shape) {
    spec.dtype = dtype;
    spec.shape = std::move(shape);
    bytes.resize(static_cast<size_t>(spec.bytes()));
  }
};

class StoredTensors {
 public:
  // What `format` writes for `linear`. Every tensor of tensors() must arrive once, with the size it announced.
  StoredTensors(const ExportFormat& format, std::string_view module, const QuantizedLinear& linear)
      : prefix_(std::string(module) + ".") {
    for (TensorSpec& spec : format.layout(module, form_of(linear))) {
      tensors_.push_back({.spec = std::move(spec), .bytes = {}});
    }
    format.write(module, linear, [&](std::string_view name, std::span<const std::byte> bytes) {
      StoredTensor* tensor = find(name);
      ASSERT_NE(tensor, nullptr) << name;
      EXPECT_TRUE(tensor->bytes.empty()) << name << " arrived twice";
      EXPECT_EQ(static_cast<int64_t>(bytes.size()), tensor->spec.bytes()) << name;
      tensor->bytes.assign(bytes.begin(), bytes.end());
    });
    for (const StoredTensor& tensor : tensors_) EXPECT_FALSE(tensor.bytes.empty()) << tensor.spec.name << " is missing";
  }

  // "qweight" stands for "MODULE.qweight"; must exist.
  StoredTensor& at(std::string_view suffix) { return *find(prefix_ + std::string(suffix)); }
  void erase(std::string_view suffix) {
    std::erase_if(tensors_,
                  [&](const StoredTensor& tensor) { return tensor.spec.name == prefix_ + std::string(suffix); });
  }
  const std::vector<StoredTensor>& all() const { return tensors_; }

 private:
  StoredTensor* find(std::string_view name) {
    for (StoredTensor& tensor : tensors_) {
      if (tensor.spec.name == name) return &tensor;
    }
    return nullptr;
  }
  std::string prefix_;
  std::vector<StoredTensor> tensors_;
};

// A directory with model.safetensors, removed at the end.
class CheckpointOnDisk {
 public:
  explicit CheckpointOnDisk(const std::vector<StoredTensor>& tensors) : directory_(make_directory()) {
    std::vector<CheckpointWriter::Item> items;
    for (const StoredTensor& tensor : tensors) items.push_back({.spec = tensor.spec, .unit = tensor.spec.name});
    CheckpointWriter writer(directory_, std::move(items), int64_t{1} << 40);
    for (const StoredTensor& tensor : tensors) writer.write(tensor.spec.name, tensor.bytes);
    writer.finish();
  }
  ~CheckpointOnDisk() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  CheckpointOnDisk(const CheckpointOnDisk&) = delete;
  CheckpointOnDisk& operator=(const CheckpointOnDisk&) = delete;

  Checkpoint open() const { return Checkpoint(directory_); }

 private:
  static std::filesystem::path make_directory() {
    static std::atomic<int> counter{0};
    const auto path = std::filesystem::temp_directory_path() / fmt::format("hesse-formats-{}-{}", getpid(), counter++);
    std::filesystem::remove_all(path);  // of a process with this number that was killed
    std::filesystem::create_directories(path);
    return path;
  }
  std::filesystem::path directory_;
};

}  // namespace hesse
