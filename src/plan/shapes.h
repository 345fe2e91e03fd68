// What a plan needs to know of a model: the shapes of its linears, layer by layer, without a single weight.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hesse/types.h"
#include "io/json.h"
#include "model/block.h"
#include "model/config.h"

namespace hesse {

// How engines cut the linears of a stage over several devices (tensor parallelism).
enum class Split { kOutputs, kInputs, kNone };

// Linears that read the same input.
struct PlannedStage : StageShape {
  Split split = Split::kOutputs;
  bool fused = false;      // engines make one linear of them: what holds for its outputs holds for their sum
  double token_share = 1;  // of all tokens, those that reach it: fewer than all reach an expert
  bool routed = false;     // of an expert that a router chooses; one that every token goes through is none
  bool is_head() const { return name == kHeadStage; }  // nothing waits for what it computes
};

struct PlannedLayer {
  std::vector<PlannedStage> stages;  // in the order of solving
  int64_t score_width = 0;           // heads * (width of a key + width of a value)
  int64_t kv_width = 0;              // of all keys, and of all values, of one token
  int64_t window = 0;                // keys that a query sees at most; 0: all before it
  int64_t other_parameters = 0;      // norms, biases, routers
  bool is_head() const { return stages.front().is_head(); }
};

struct ModelShapes {
  ModelShapes() = default;
  ModelShapes(const ModelConfig& config);  // implicit: a config says all of this and more

  std::string family;
  std::string model_type;  // of the row's the first: what loaders know the family by
  int64_t hidden = 0;
  int64_t vocab = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool tied_head = false;
  bool experts_together =
      false;  // files of the family hold the experts of a layer as one tensor, packed ones one by one
  std::vector<PlannedLayer> layers;
  int64_t embedding_width = 0;  // hidden, but in few models
  double outer = 0;             // parameters before and behind the layers besides embedding and head

  // A head that is quantized too: a layer of one stage behind the others.
  void add_head(const StageShape& head);
  bool plans_head() const { return !layers.empty() && layers.back().is_head(); }
  bool has_experts() const;
  double linear_weights() const;  // of all linears that are quantized
  double parameters() const;      // a tied head once
  int64_t widest_in() const;
};

// Error(kBadInput) for a field that is missing or impossible, and for a family that is not known.
ModelShapes shapes_of_config(const Json& config, const std::string& where);

// That Hesse can run the family.
Finding family_finding(const ModelShapes& shapes);

// Weights of a stage.
double planned_weights(const PlannedStage& stage);

}  // namespace hesse
