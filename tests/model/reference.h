// The tiny models of tests/data/families with what transformers makes of them (tools/make_tiny_models.py).
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "model/model.h"

namespace hesse {

inline const std::filesystem::path kReferences = std::filesystem::path(HESSE_SOURCE_DIR) / "tests/data/families";

// Of every variant, sorted by name.
inline std::vector<std::filesystem::path> reference_models() {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(kReferences)) {
    if (entry.is_directory()) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

struct Reference {
  std::vector<int32_t> ids;
  std::vector<int64_t> positions;  // of the rows of logits
  std::vector<int64_t> top;        // the most likely token behind each id
  Matrix<float> logits;            // [positions, vocab]
};

inline Reference read_reference(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  Reference reference;
  for (const TensorView& tensor : file.tensors()) {
    const auto integers = [&] {
      std::vector<int64_t> values(static_cast<size_t>(tensor.spec.elements()));
      std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
      return values;
    };
    if (tensor.spec.name == "logits") {
      reference.logits = Matrix<float>(tensor.spec.shape.at(0), tensor.spec.shape.at(1));
      std::memcpy(reference.logits.data(), tensor.bytes.data(), tensor.bytes.size());
    } else if (tensor.spec.name == "ids") {
      for (const int64_t id : integers()) reference.ids.push_back(static_cast<int32_t>(id));
    } else {
      (tensor.spec.name == "top" ? reference.top : reference.positions) = integers();
    }
  }
  return reference;
}

// A model directory, opened. `config`: the name of another config.json in it.
struct Loaded {
  Checkpoint checkpoint;
  ModelConfig read;
  CheckpointSource source;
  Model model;
  Loaded(const std::filesystem::path& directory, int64_t positions, ComputeType compute = ComputeType::kF32,
         const std::string& config = "config.json")
      : checkpoint(directory),
        read(
            parse_model_config(Json::parse(read_text_file(directory / config), config), directory.filename().string())),
        source(checkpoint, read),
        model(read, source, positions, compute) {}
};

}  // namespace hesse
