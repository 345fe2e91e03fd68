// The experts of a block: who goes to which, and their place among the stages of the layer.
//
// Behind attention such a layer has two stages for each expert, "experts_gate_up" and "experts_down", and the same for
// the one that every token goes through, if any: "shared_gate_up" and "shared_down". Their weights are read when they
// are needed, and each sees the rows of its tokens alone, gathered into matrices of their own.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/linear.h"

namespace hesse {

// The rows that go through one expert, rising, and what its output is multiplied by there.
struct ExpertRows {
  std::vector<int64_t> rows;
  std::vector<float> weights;  // empty: 1

  int64_t count() const { return static_cast<int64_t>(rows.size()); }
  float weight(int64_t i) const { return weights.empty() ? 1.0f : weights[static_cast<size_t>(i)]; }
  ExpertRows part(int64_t first, int64_t count) const;
};
// Of every expert by its number; the last one is the shared one's, where there is one.
using Routing = std::vector<ExpertRows>;

// The stages of the experts of a layer; and its tensors that are neither linears nor norms, which stay as they are.
std::vector<StageShape> expert_stages(const ModelConfig& config, int64_t layer);
struct RouterShapes {
  std::vector<LinearShape> matrices;
  std::vector<std::pair<std::string, int64_t>> vectors;  // whole names, and sizes
};
RouterShapes router_shapes(const ModelConfig& config, int64_t layer);

// Each row of m times its weight.
ComputeMatrix weighted_rows(ConstComputeView m, std::span<const float> weights);

class Router {
 public:
  Router(const ModelConfig& config, const WeightSource& source, int64_t layer, ComputeType compute);

  // Adds the rows of x, of which the first is called `first`.
  void route(ConstComputeView x, int64_t first, Routing& routing) const;
  Routing none() const;  // without any rows

 private:
  // The experts of one row and their weights, from its logits.
  void choose(float* logits, int32_t* chosen, float* weights) const;
  void drop_groups(float* scores) const;

  const ModelConfig& config_;
  Linear router_;
  Linear shared_gate_;              // without a weight where there is none
  std::vector<float> choice_bias_;  // [count], or empty
};

}  // namespace hesse
