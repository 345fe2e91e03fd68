// Experts that lie in the file as one tensor of all of a layer (PackedExpertsRule), as if each had tensors of its own:
// "model.layers.0.mlp.experts.3.up_proj.weight".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "model/mxfp4.h"

namespace hesse {

struct ModelConfig;

// The matrices of all experts of a layer for gate and up, or for down.
struct ExpertsTensor {
  std::string name;  // as a plain tensor
  int64_t experts = 0;
  int64_t out = 0;  // of one
  int64_t in = 0;
  bool in_out = true;                 // as a plain tensor it is [experts, in, out], else [experts, out, in]
  const TensorView* plain = nullptr;  // or
  std::unique_ptr<Mxfp4Rows> mxfp4;
  const TensorView* biases = nullptr;  // [experts, out], or none

  const TensorView& in_file() const { return plain != nullptr ? *plain : mxfp4->blocks(); }
  TensorSpec spec() const;                               // as a plain tensor; of MXFP4 BF16, which holds all its values
  int64_t index(int64_t e, int64_t o, int64_t i) const;  // of an element there
  // Outputs [first, first + count) of expert e: [count, in].
  void read(int64_t e, int64_t first, int64_t count, float* values) const;
};

// What stands for a tensor of one expert.
struct ExpertPart {
  const ExpertsTensor* of = nullptr;
  int64_t expert = 0;
  int64_t first = 0;  // output
  int64_t out = 0;
  bool bias = false;

  TensorSpec spec(std::string_view name) const;
  const TensorView& in_file() const { return bias ? *of->biases : of->in_file(); }
  // Outputs [from, from + count): [count, in], of a bias [count].
  void read(int64_t from, int64_t count, float* values) const;
};

class PackedExperts {
 public:
  PackedExperts() = default;
  // `config` with the scheme of the file. Empty where the experts lie apart, or the family has none. Error(kBadInput)
  // for a tensor of another shape than config.json asks for.
  PackedExperts(const Checkpoint& checkpoint, const ModelConfig& config);

  const ExpertPart* find(std::string_view tensor) const;  // nullptr: no part
  // By their names.
  const std::map<std::string, ExpertPart, std::less<>>& parts() const { return parts_; }
  const std::vector<std::unique_ptr<ExpertsTensor>>& tensors() const { return tensors_; }
  // The tensor of which `tensor` of the file holds weights, scales or biases; nullptr: of none.
  const ExpertsTensor* tensor_of(std::string_view tensor) const;
  bool reads(std::string_view tensor) const { return tensor_of(tensor) != nullptr; }

 private:
  void add_layer(const Checkpoint& checkpoint, const ModelConfig& config, int64_t layer);
  ExpertsTensor* add_tensor(const Checkpoint& checkpoint, ExpertsTensor tensor, bool biases);
  void add_parts(const ModelConfig& config, int64_t layer, const ExpertsTensor& gate_up, const ExpertsTensor& down);

  std::vector<std::unique_ptr<ExpertsTensor>> tensors_;
  std::map<std::string, ExpertPart, std::less<>> parts_;
  std::map<std::string, const ExpertsTensor*, std::less<>> read_;
};

}  // namespace hesse
