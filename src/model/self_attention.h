// The attention half of a block: queries, keys and values from the outputs of the linears that read its input.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/linear.h"
#include "model/norm.h"
#include "model/rope.h"

namespace hesse {

// Keys and values of the tokens so far, of one sequence and one layer.
struct KvCache {
  Matrix<float> keys;    // [capacity, kv_heads * head_dim] after RoPE
  Matrix<float> values;  // likewise
  int64_t length = 0;    // tokens in use
};

// Rows of the activations: `sequences` of `length` tokens one after the other.
struct Batch {
  int64_t sequences = 1;
  int64_t length = 0;
  KvCache* cache = nullptr;  // with one sequence only: its tokens come before these
  // finish() raises element i to max |output| of the stage's i-th linear: infinity when one is not finite, or when the
  // output is not computed before a later stage.
  std::vector<float>* output_peaks = nullptr;
  int64_t rows() const { return sequences * length; }
  float* peaks() const { return output_peaks == nullptr ? nullptr : output_peaks->data(); }
};

// The linears that read the input of the attention of `layer`, in the order of `SelfAttention::run`, and the one that
// ends it.
std::vector<LinearShape> attention_inputs(const ModelConfig& config, int64_t layer);
LinearShape attention_output(const ModelConfig& config, int64_t layer);
// Its tensors that are neither linears nor norms: whole names, and sizes.
std::vector<std::pair<std::string, int64_t>> attention_vectors(const ModelConfig& config, int64_t layer);

class SelfAttention {
 public:
  SelfAttention(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, int64_t layer);

  // out [rows, heads * head_dim] = input of the last linear, from x.
  void run(std::span<const Linear> linears, const Batch& batch, ConstComputeView x, ComputeView out) const;

 private:
  // Where queries, keys and values of these tokens go.
  struct Targets {
    MatrixView<float> q, k, v;
  };
  void project(std::span<const Linear> linears, const Batch& batch, ConstComputeView x, const Targets& to) const;
  void deal_out(const float* fused, float* q, float* k, float* v) const;
  void finish_heads(float* row, int64_t heads, const HeadNorms& norms, int64_t position) const;

  const ModelConfig& config_;
  const RopeTable& rope_;
  int64_t window_;  // 0: none
  bool rotates_;
  HeadNorms q_norm_, k_norm_;
  std::vector<float> slopes_;  // [heads] of ALiBi, or empty
  std::vector<float> sinks_;   // [heads], or empty
};

}  // namespace hesse
