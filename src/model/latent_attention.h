// The attention half of a block whose queries, keys and values come through narrow waists (arch.h, LatentRule).
//
// Its stages are "qkv_a", which reads what the block reads; "q_b", where queries have a waist; and "kv_b". In front of
// "q_b" stand the queries' waist, that of keys and values, and the rotating part of the keys; in front of "kv_b" the
// waist of keys and values, that part, and the queries. The linears read the first columns, the others pass.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/linear.h"
#include "model/norm.h"
#include "model/rope.h"
#include "model/self_attention.h"

namespace hesse {

std::vector<StageShape> latent_stages(const ModelConfig& config, int64_t layer);
std::vector<NormShape> latent_norms(const ModelConfig& config, int64_t layer);

class LatentAttention {
 public:
  LatentAttention(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, int64_t layer);

  // Computes a stage of its own from its input x; `next` receives the input of the following one, behind the last of
  // them [rows, heads * value] of the linear that ends the half.
  void finish(const Stage& stage, const Batch& batch, ConstComputeView x, ComputeView next) const;

 private:
  void finish_waists(std::span<const Linear> linears, const Batch& batch, ConstComputeView x, ComputeView next) const;
  void finish_queries(const Linear& linear, const Batch& batch, ConstComputeView x, ComputeView next) const;
  void attend(const Linear& linear, const Batch& batch, ConstComputeView x, ComputeView next) const;
  // From the outputs of kv_b and the rotated part that all heads share.
  void deal_out(const float* pairs, const float* shared, float* keys, float* values) const;
  void rotate(float* part, int64_t position) const;

  const ModelConfig& config_;
  const RopeTable& rope_;
  Norm q_norm_, kv_norm_;
};

}  // namespace hesse
