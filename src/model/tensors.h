// The tensors that a config asks for, against those that a checkpoint has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/source.h"

namespace hesse {

// The config with the names that the file uses: those of the first scheme whose embedding is there.
ModelConfig choose_scheme(ModelConfig config, const WeightSource& source);

// A tensor that is not as config.json asks for.
struct TensorProblem {
  enum class Kind { kMissing, kShape, kContent };  // kContent: dtype, number of dimensions, a value that is not finite
  Kind kind = Kind::kMissing;
  std::string tensor;  // whole name
  std::string text;    // "[weights] 'x.weight' has shape [4, 2]; config.json asks for [2, 2]"
};

// All of them, in the order of the model. Reads the vectors, and of the matrices the shapes alone.
std::vector<TensorProblem> tensor_problems(const ModelConfig& config, const WeightSource& source);

// The number of config.json that alone makes the shapes wrong: with `fits` in its place there is no problem left.
struct ConfigMisfit {
  std::string key;  // "head_dim"
  int64_t said = 0;
  int64_t fits = 0;
};
std::optional<ConfigMisfit> find_misfit(const ModelConfig& config, const WeightSource& source);

// Elements of the tensors before and behind the layers, without embedding and head.
double outer_parameters(const ModelConfig& config);

// The names of all tensors that a model of this config reads, sorted. A head of its own is among them.
std::vector<std::string> tensor_names(const ModelConfig& config);

}  // namespace hesse
