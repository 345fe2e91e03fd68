// The MLP half of a block: what it makes of the outputs of the linears that read its input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/linear.h"

namespace hesse {

// The linears that read the input of the MLP of `layer`, in the order of `Mlp::run`, and the one that ends it.
std::vector<LinearShape> mlp_inputs(const ModelConfig& config, int64_t layer);
LinearShape mlp_output(const ModelConfig& config, int64_t layer);

class Mlp {
 public:
  explicit Mlp(const ModelConfig& config) : config_(config) {}

  // out [rows, width] = input of the last linear, from x; the width is that of the MLP, or of an expert. `peaks`: of
  // the outputs of `linears`, or null.
  void run(std::span<const Linear> linears, ConstComputeView x, ComputeView out, float* peaks) const;

 private:
  void run_gated(std::span<const Linear> linears, ConstComputeView x, ComputeView out, float* peaks) const;
  void run_fused(const Linear& linear, ConstComputeView x, ComputeView out, float* peaks) const;
  void run_plain(const Linear& linear, ConstComputeView x, ComputeView out, float* peaks) const;

  const ModelConfig& config_;
};

}  // namespace hesse
