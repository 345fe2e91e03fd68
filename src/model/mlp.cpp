#include "model/mlp.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "model/rows.h"

namespace hesse {
namespace {

using InPlace = void (*)(float* x, int64_t n);

InPlace activation_of(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return silu;
    case Activation::kGeluTanh:
      return gelu_tanh;
    case Activation::kGelu:
      return gelu;
    case Activation::kRelu:
      return relu;
    case Activation::kQuickGelu:
      return quick_gelu;
  }
  return nullptr;
}

// ClampRule: gate becomes what down reads.
void clamp_and_multiply(const GateClamp& clamp, float* gate, const float* up, int64_t n) {
  for (int64_t i = 0; i < n; ++i) gate[i] = std::min(gate[i], clamp.limit) * clamp.alpha;
  silu(gate, n);
  for (int64_t i = 0; i < n; ++i) gate[i] *= (std::clamp(up[i], -clamp.limit, clamp.limit) + 1) / clamp.alpha;
}

// Of a family whose gate and up take turns in one tensor, of which the linears are the halves: what they are.
void deal_out(float* gate, float* up, int64_t n) {
  std::vector<float> turns(gate, gate + n);
  turns.insert(turns.end(), up, up + n);
  for (int64_t i = 0; i < n; ++i) {
    gate[i] = turns[static_cast<size_t>(2 * i)];
    up[i] = turns[static_cast<size_t>(2 * i + 1)];
  }
}

// gate[i] = activation(gate[i]) * up[i]; in one pass for the usual ones.
void activate_and_multiply(Activation activation, float* gate, const float* up, int64_t n) {
  if (activation == Activation::kSilu) return silu_mul(gate, up, n);
  if (activation == Activation::kGeluTanh) return gelu_tanh_mul(gate, up, n);
  activation_of(activation)(gate, n);
  multiply(gate, up, n);
}

float* peak_of(float* peaks, int64_t index) { return peaks == nullptr ? nullptr : peaks + index; }

}  // namespace

std::vector<LinearShape> mlp_inputs(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  const WeightLayout layout = layout_of_linears(c);
  const auto shape = [&](std::string_view name, int64_t out) {
    return LinearShape{c.in_layer(layer, name), out, c.hidden, c.mlp_bias, layout};
  };
  switch (f.mlp) {
    case MlpKind::kGated:
      return {shape(f.gate, c.intermediate), shape(f.up, c.intermediate)};
    case MlpKind::kFusedGated:
      return {shape(f.gate_up, 2 * c.intermediate)};
    case MlpKind::kPlain:
      return {shape(f.up, c.intermediate)};
  }
  return {};
}

LinearShape mlp_output(const ModelConfig& c, int64_t layer) {
  return {c.in_layer(layer, c.family->down), c.hidden, c.intermediate, c.mlp_bias, layout_of_linears(c)};
}

void Mlp::run(std::span<const Linear> linears, ConstComputeView x, ComputeView out, float* peaks) const {
  switch (config_.family->mlp) {
    case MlpKind::kGated:
      return run_gated(linears, x, out, peaks);
    case MlpKind::kFusedGated:
      return run_fused(linears[0], x, out, peaks);
    case MlpKind::kPlain:
      return run_plain(linears[0], x, out, peaks);
  }
}

void Mlp::run_gated(std::span<const Linear> linears, ConstComputeView x, ComputeView out, float* peaks) const {
  Outputs gate(out);
  Matrix<float> up(x.rows, out.cols);
  apply_linear(linears[0], x, gate.view, peak_of(peaks, 0));
  apply_linear(linears[1], x, up.view(), peak_of(peaks, 1));
  for_each_row(x.rows, [&](int64_t r) {
    if (config_.family->experts.packed.take_turns) deal_out(gate.view.row(r), up.row(r), out.cols);
    if (config_.clamp.limit > 0) {
      clamp_and_multiply(config_.clamp, gate.view.row(r), up.row(r), out.cols);
    } else {
      activate_and_multiply(config_.activation, gate.view.row(r), up.row(r), out.cols);
    }
    store_row(gate.view.row(r), out, r);  // the row is still in cache
  });
}

void Mlp::run_fused(const Linear& linear, ConstComputeView x, ComputeView out, float* peaks) const {
  Matrix<float> both(x.rows, 2 * config_.intermediate);
  apply_linear(linear, x, both.view(), peaks);
  for_each_row(x.rows, [&](int64_t r) {
    float* gate = both.row(r);
    activate_and_multiply(config_.activation, gate, gate + config_.intermediate, config_.intermediate);
    store_row(gate, out, r);
  });
}

void Mlp::run_plain(const Linear& linear, ConstComputeView x, ComputeView out, float* peaks) const {
  Outputs wide(out);
  apply_linear(linear, x, wide.view, peaks);
  const InPlace activate = activation_of(config_.activation);
  for_each_row(x.rows, [&](int64_t r) {
    activate(wide.view.row(r), config_.intermediate);
    store_row(wide.view.row(r), out, r);
  });
}

}  // namespace hesse
