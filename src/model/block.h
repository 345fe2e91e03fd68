// One decoder block: weights of a layer and the forward pass in stages, with a tap before each.
//
// A stage is a set of linears that read the same input. Whoever drives the block sees that input (the tap), may replace
// the weights of the stage's linears, and then lets the stage finish: so a quantizer solves q, k and v before their
// output is first computed, and every product of the forward pass is done once.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/mlp.h"
#include "model/norm.h"
#include "model/rope.h"
#include "model/self_attention.h"
#include "model/source.h"

namespace hesse {

// The stages of a layer: qkv, o, gate_up, down. Where the MLP reads what attention reads, its linears stand behind
// those of attention in "qkv" and there is no "gate_up".
std::vector<StageShape> layer_stages(const ModelConfig& config, int64_t layer);
std::vector<NormShape> layer_norms(const ModelConfig& config, int64_t layer);

constexpr int64_t kBatchRows = 2048;  // tokens that go through the linears together, as many whole sequences as fit

// Weights and inputs x of all linears are of the block's compute type. The residual stream h, and what comes out of a
// linear, are float32.
class Block {
 public:
  struct Place {
    int64_t layer = 0;
    ComputeType compute = ComputeType::kF32;
  };
  // Reads the layer; `rope` is the rotation of this layer. Error(kBadInput) for a tensor that is missing, of another
  // shape or not finite.
  Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, const Place& place);

  using Stage = hesse::Stage;
  std::vector<Stage>& stages() { return stages_; }
  ComputeType compute() const { return compute_; }

  // x [rows, stages()[0].in()] = input of the first stage, from the residual stream h [rows, hidden].
  void begin(MatrixView<const float> h, ComputeView x) const;

  // Computes stage `stage` from its input x. `next` receives the input of the following stage; for the last stage it is
  // not touched. Adds to h in the stages that end a half of the block: o and down.
  void finish(int64_t stage, const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const;

  // The whole block on one batch.
  void forward(const Batch& batch, MatrixView<float> h) const;

 private:
  void finish_qkv(const Batch& batch, ConstComputeView x, ComputeView next) const;
  void finish_o(const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const;
  void start_mlp(MatrixView<const float> h, ComputeView next) const;
  void add_to_residual(const Norm& out_norm, MatrixView<float> y, MatrixView<float> h) const;
  std::span<const Linear> attention_linears() const { return std::span(stages_[0].linears).first(attention_count_); }
  std::span<const Linear> mlp_linears() const;

  const ModelConfig& config_;
  ComputeType compute_;
  Norm attention_norm_, mlp_norm_, attention_out_norm_, mlp_out_norm_;
  SelfAttention attention_;
  Mlp mlp_;
  std::vector<Stage> stages_;
  size_t attention_count_ = 0;  // linears of the first stage that belong to attention
};

}  // namespace hesse
