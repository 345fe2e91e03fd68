// One decoder block: weights of a layer and the forward pass in stages, with a tap before each.
//
// A stage is a set of linears that read the same input. Whoever drives the block sees that input (the tap), may replace
// the weights of the stage's linears, and then lets the stage finish: so a quantizer solves q, k and v before their
// output is first computed, and every product of the forward pass is done once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "model/config.h"
#include "model/latent_attention.h"
#include "model/linear.h"
#include "model/mlp.h"
#include "model/moe.h"
#include "model/norm.h"
#include "model/rope.h"
#include "model/self_attention.h"
#include "model/source.h"

namespace hesse {

// The stages of a layer: qkv, o, gate_up, down. Where the MLP reads what attention reads, its linears stand behind
// those of attention in "qkv" and there is no "gate_up". Latent attention has other stages in place of "qkv". Where a
// layer has experts, their stages (moe.h) stand behind "o".
std::vector<StageShape> layer_stages(const ModelConfig& config, int64_t layer);
std::vector<NormShape> layer_norms(const ModelConfig& config, int64_t layer);

constexpr int64_t kBatchRows = 2048;  // tokens that go through the linears together, as many whole sequences as fit

// Weights and inputs x of all linears are of the block's compute type. The residual stream h, and what comes out of a
// linear, are float32.
// When the weights of experts are read: with the block, or each when it is needed, as often as it is.
enum class ReadExperts { kAtOnce, kWhenNeeded };

class Block {
 public:
  struct Place {
    int64_t layer = 0;
    ComputeType compute = ComputeType::kF32;
    ReadExperts experts = ReadExperts::kAtOnce;
  };
  // Reads the layer; `rope` is the rotation of this layer. Error(kBadInput) for a tensor that is missing, of another
  // shape or not finite.
  Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, const Place& place);

  using Stage = hesse::Stage;
  std::vector<Stage>& stages() { return stages_; }
  ComputeType compute() const { return compute_; }

  // x [rows, stages()[0].input_width()] = input of the first stage, from the residual stream h [rows, hidden].
  void begin(MatrixView<const float> h, ComputeView x) const;

  // Computes stage `stage` from its input x. `next` receives the input of the following stage; for the last stage it is
  // not touched. Adds to h in the stages that end a half of the block: o and down.
  void finish(int64_t stage, const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const;

  // The whole block on one batch.
  void forward(const Batch& batch, MatrixView<float> h) const;

  // Of a layer with experts, behind the stage "o", whose `next` is the x of all tokens. Which of the rows of x, called
  // `first` and so on, go to which expert.
  bool has_experts() const { return router_.has_value(); }
  Routing no_routing() const { return router_->none(); }
  void route(ConstComputeView x, int64_t first, Routing& routing) const { router_->route(x, first, routing); }
  // The linears of an expert's stage come and go.
  void read_stage(int64_t stage);
  void drop_stage(int64_t stage) { stages_[static_cast<size_t>(stage)].linears.clear(); }
  // Its two stages on the gathered rows of its tokens, x: `next`, and what the second adds to rows of h.
  void finish_gate_up(int64_t stage, ConstComputeView x, ComputeView next, float* peaks) const;
  void finish_down(int64_t stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h, float* peaks) const;

 private:
  void run_experts(ConstComputeView x, MatrixView<float> h) const;
  void run_expert(size_t stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h) const;
  void finish_gate_up(const Stage& stage, ConstComputeView x, ComputeView next, float* peaks) const;
  void finish_down(const Stage& stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h,
                   float* peaks) const;
  Stage read_linears(const StageShape& shape) const;
  void finish_qkv(const Batch& batch, ConstComputeView x, ComputeView next) const;
  void finish_o(const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const;
  void start_mlp(MatrixView<const float> h, ComputeView next) const;
  void add_to_residual(const Norm& out_norm, MatrixView<float> y, MatrixView<float> h) const;
  std::span<const Linear> attention_linears() const { return std::span(stages_[0].linears).first(attention_count_); }
  std::span<const Linear> mlp_linears() const;

  const ModelConfig& config_;
  const WeightSource& source_;
  ComputeType compute_;
  Norm attention_norm_, mlp_norm_, attention_out_norm_, mlp_out_norm_;
  SelfAttention attention_;
  std::optional<LatentAttention> latent_;  // in its place
  Mlp mlp_;
  std::optional<Router> router_;  // of a layer with experts
  std::vector<StageShape> shapes_;
  std::vector<Stage> stages_;
  size_t attention_count_ = 0;  // linears of the first stage that belong to attention
  int64_t o_ = 1;               // the stage "o"
};

}  // namespace hesse
