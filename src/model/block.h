// One decoder block: weights of a layer and the forward pass in stages, with a tap before each.
//
// A stage is a set of linears that read the same input. Whoever drives the block sees that input (the tap), may replace
// the weights of the stage's linears, and then lets the stage finish: so a quantizer solves q, k and v before their
// output is first computed, and every product of the forward pass is done once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/compute_matrix.h"
#include "base/matrix.h"
#include "model/config.h"
#include "model/rope.h"
#include "model/source.h"

namespace hesse {

struct Linear {
  std::string name;         // in the file, without ".weight"
  ComputeMatrix weight;     // [out, in] of the block's compute type
  std::vector<float> bias;  // [out], or empty
};

struct LinearShape {
  std::string name;
  int64_t out = 0;
  int64_t in = 0;
  bool bias = false;
};

// What the family's row and the config say of one layer, without any weights.
struct StageShape {
  std::string_view name;             // "qkv", "o", "gate_up", "down"
  bool writes_residual = false;      // the output of its one linear is added to the residual stream as it is
  std::vector<LinearShape> linears;  // all of the same `in`
  int64_t in() const { return linears.front().in; }
};
std::vector<StageShape> layer_stages(const ModelConfig& config, int64_t layer);

struct NormShape {
  std::string name;  // in the file
  int64_t size = 0;
};
std::vector<NormShape> layer_norms(const ModelConfig& config, int64_t layer);

// Keys and values of the tokens so far, of one sequence and one layer.
struct KvCache {
  Matrix<float> keys;    // [capacity, kv_heads * head_dim] after RoPE
  Matrix<float> values;  // likewise
  int64_t length = 0;    // tokens in use
};

constexpr int64_t kBatchRows = 2048;  // tokens that go through the linears together, as many whole sequences as fit

// Rows of the activations: `sequences` of `length` tokens one after the other.
struct Batch {
  int64_t sequences = 1;
  int64_t length = 0;
  KvCache* cache = nullptr;  // with one sequence only: its tokens come before these
  // finish() raises element i to max |output| of the stage's i-th linear (infinity when one is not finite).
  std::vector<float>* output_peaks = nullptr;
  int64_t rows() const { return sequences * length; }
};

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

  struct Stage {
    std::string_view name;
    bool writes_residual = false;  // then it has one linear, whose output is added to h without a norm between
    std::vector<Linear> linears;
    int64_t in() const { return linears.front().weight.cols(); }
  };
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
  void attend(const Batch& batch, ConstComputeView x, ComputeView out) const;
  void finish_heads(float* row, int64_t heads, const std::vector<float>& norm, int64_t position) const;
  void gate_and_up(const Batch& batch, ConstComputeView x, ComputeView out) const;
  // Linear `index` of stage `stage`.
  void apply(int64_t stage, size_t index, const Batch& batch, ConstComputeView x, MatrixView<float> y) const;
  void add_to_residual(int64_t stage, const std::vector<float>& out_norm, const Batch& batch, ConstComputeView x,
                       MatrixView<float> h) const;

  const ModelConfig& config_;
  const RopeTable& rope_;
  ComputeType compute_;
  int64_t window_;                                        // of this layer; 0: none
  std::vector<float> attention_norm_, mlp_norm_;          // [hidden]
  std::vector<float> attention_out_norm_, mlp_out_norm_;  // [hidden], or empty
  std::vector<float> q_norm_, k_norm_;                    // [head_dim], or empty
  std::vector<Stage> stages_;
};

// What the norm `name` multiplies by: its weight and the family's offset.
std::vector<float> norm_factors(const ModelConfig& config, const WeightSource& source, std::string_view name,
                                int64_t size);

// Rows of the norm of h in the type of `out`, which may be h itself.
void norm_rows(const std::vector<float>& factors, float eps, MatrixView<const float> h, ComputeView out);

// y = x W^T + b: x [rows, in] of the weight's type, y [rows, out].
void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y);

}  // namespace hesse
