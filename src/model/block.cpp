#include "model/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/compute_row.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"
#include "model/attention.h"

namespace hesse {
namespace {

enum StageIndex : int64_t { kQkv, kO, kGateUp, kDown };

std::string layer_name(std::string_view prefix, int64_t layer, std::string_view rest) {
  const size_t hole = prefix.find("{}");
  return fmt::format("{}{}{}{}", prefix.substr(0, hole), layer, prefix.substr(hole + 2), rest);
}

Linear load_linear(const WeightSource& source, const LinearShape& shape, ComputeType compute) {
  const WeightSource::Shape found = source.linear_shape(shape.name);
  if (found.out == 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] '{}' is not in the checkpoint; incomplete download?", shape.name));
  }
  if (found.out != shape.out || found.in != shape.in) {
    throw Error(ErrorKind::kBadInput, fmt::format("[weights] '{}' has shape [{}, {}]; config.json asks for [{}, {}]",
                                                  shape.name, found.out, found.in, shape.out, shape.in));
  }
  Linear linear{shape.name, source.linear_as(compute, shape.name), {}};
  if (shape.bias) linear.bias = source.vector(shape.name + ".bias", shape.out);
  return linear;
}

constexpr int64_t kTaskRows = 16;  // enough work for one task

template <class Body>
void for_each_row(int64_t rows, Body body) {
  parallel_for(ceil_div(rows, kTaskRows), [&](int64_t tile) {
    for (int64_t r = tile * kTaskRows; r < std::min(rows, tile * kTaskRows + kTaskRows); ++r) body(r);
  });
}

// Calls body(r, row) for every row of `out` with the place where it is to be computed.
template <class Body>
void fill_rows(ComputeView out, Body body) {
  parallel_for(ceil_div(out.rows, kTaskRows), [&](int64_t tile) {
    std::vector<float> scratch(static_cast<size_t>(out.type == ComputeType::kF32 ? 0 : out.cols));
    for (int64_t r = tile * kTaskRows; r < std::min(out.rows, tile * kTaskRows + kTaskRows); ++r) {
      float* row = row_to_fill(out, r, scratch.data());
      body(r, row);
      store_row(row, out, r);
    }
  });
}

// What a linear writes to before its rows become the rows of `out`: they themselves where those are float32.
struct Outputs {
  Matrix<float> own;
  MatrixView<float> view;

  explicit Outputs(ComputeView out) {
    if (out.type == ComputeType::kF32) {
      view = out.f32();
    } else {
      own = Matrix<float>(out.rows, out.cols);
      view = own.view();
    }
  }
};

}  // namespace

std::vector<StageShape> layer_stages(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  const auto name = [&](std::string_view rest) { return layer_name(f.layer_prefix, layer, rest); };
  const int64_t q = c.heads * c.head_dim;
  const int64_t kv = c.kv_heads * c.head_dim;
  // A norm between would make the output's way into the residual stream nonlinear.
  const bool o_adds = f.attention_out_norm.empty(), down_adds = f.mlp_out_norm.empty();
  return {
      {"qkv",
       false,
       {{name(f.q), q, c.hidden, c.qkv_bias},
        {name(f.k), kv, c.hidden, c.qkv_bias},
        {name(f.v), kv, c.hidden, c.qkv_bias}}},
      {"o", o_adds, {{name(f.o), c.hidden, q, c.o_bias}}},
      {"gate_up",
       false,
       {{name(f.gate), c.intermediate, c.hidden, c.mlp_bias}, {name(f.up), c.intermediate, c.hidden, c.mlp_bias}}},
      {"down", down_adds, {{name(f.down), c.hidden, c.intermediate, c.mlp_bias}}},
  };
}

std::vector<NormShape> layer_norms(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  std::vector<NormShape> norms;
  for (const std::string_view name : {f.attention_norm, f.mlp_norm, f.attention_out_norm, f.mlp_out_norm}) {
    if (!name.empty()) norms.push_back({layer_name(f.layer_prefix, layer, name), c.hidden});
  }
  for (const std::string_view name : {f.q_norm, f.k_norm}) {
    if (!name.empty()) norms.push_back({layer_name(f.layer_prefix, layer, name), c.head_dim});
  }
  return norms;
}

std::vector<float> norm_factors(const ModelConfig& config, const WeightSource& source, std::string_view name,
                                int64_t size) {
  std::vector<float> factors = source.vector(name, size);
  for (float& factor : factors) factor += config.family->norm_offset;
  return factors;
}

void norm_rows(const std::vector<float>& factors, float eps, MatrixView<const float> h, ComputeView out) {
  fill_rows(out, [&](int64_t r, float* row) { rms_norm(h.row(r), factors.data(), eps, row, h.cols); });
}

void apply_linear(const Linear& linear, ConstComputeView x, MatrixView<float> y) {
  gemm_nt(x, linear.weight.view(), y, Output::kSet);
  if (!linear.bias.empty()) for_each_row(y.rows, [&](int64_t r) { add(y.row(r), linear.bias.data(), y.cols); });
}

Block::Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, const Place& place)
    : config_(config),
      rope_(rope),
      compute_(place.compute),
      window_(config.layer_attention[static_cast<size_t>(place.layer)].window) {
  const Family& family = *config.family;
  const int64_t layer = place.layer;
  const auto read = [&](std::string_view name, int64_t size) {
    if (name.empty()) return std::vector<float>();
    return norm_factors(config, source, layer_name(family.layer_prefix, layer, name), size);
  };
  attention_norm_ = read(family.attention_norm, config.hidden);
  mlp_norm_ = read(family.mlp_norm, config.hidden);
  attention_out_norm_ = read(family.attention_out_norm, config.hidden);
  mlp_out_norm_ = read(family.mlp_out_norm, config.hidden);
  q_norm_ = read(family.q_norm, config.head_dim);
  k_norm_ = read(family.k_norm, config.head_dim);
  for (const StageShape& shape : layer_stages(config, layer)) {
    Stage stage{shape.name, shape.writes_residual, {}};
    for (const LinearShape& linear : shape.linears) stage.linears.push_back(load_linear(source, linear, compute_));
    stages_.push_back(std::move(stage));
  }
}

void Block::begin(MatrixView<const float> h, ComputeView x) const {
  norm_rows(attention_norm_, config_.norm_eps, h, x);
}

void Block::finish(int64_t stage, const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const {
  switch (stage) {
    case kQkv:
      attend(batch, x, next);
      break;
    case kO:
      add_to_residual(kO, attention_out_norm_, batch, x, h);
      norm_rows(mlp_norm_, config_.norm_eps, h, next);
      break;
    case kGateUp:
      gate_and_up(batch, x, next);
      break;
    case kDown:
      add_to_residual(kDown, mlp_out_norm_, batch, x, h);
      break;
    default:
      throw Error(ErrorKind::kInternal, fmt::format("[block] there is no stage {}", stage));
  }
}

void Block::apply(int64_t stage, size_t index, const Batch& batch, ConstComputeView x, MatrixView<float> y) const {
  apply_linear(stages_[static_cast<size_t>(stage)].linears[index], x, y);
  if (batch.output_peaks == nullptr) return;
  std::vector<float> peaks(static_cast<size_t>(y.rows));
  for_each_row(y.rows, [&](int64_t r) { peaks[static_cast<size_t>(r)] = max_abs(y.row(r), y.cols); });
  float& peak = (*batch.output_peaks)[index];
  for (const float value : peaks) peak = std::max(peak, value);
}

void Block::add_to_residual(int64_t stage, const std::vector<float>& out_norm, const Batch& batch, ConstComputeView x,
                            MatrixView<float> h) const {
  Matrix<float> y(x.rows, config_.hidden);
  apply(stage, 0, batch, x, y.view());
  if (!out_norm.empty()) norm_rows(out_norm, config_.norm_eps, y.view(), y.view());
  for_each_row(h.rows, [&](int64_t r) { add(h.row(r), y.row(r), h.cols); });
}

void Block::gate_and_up(const Batch& batch, ConstComputeView x, ComputeView out) const {
  Outputs gate(out);
  Matrix<float> up(x.rows, config_.intermediate);
  apply(kGateUp, 0, batch, x, gate.view);
  apply(kGateUp, 1, batch, x, up.view());
  const auto activate_and_mul = (config_.activation == Activation::kSilu) ? silu_mul : gelu_tanh_mul;
  for_each_row(x.rows, [&](int64_t r) {
    activate_and_mul(gate.view.row(r), up.row(r), config_.intermediate);
    store_row(gate.view.row(r), out, r);  // the row is still in cache
  });
}

// What happens to the heads of q or k in one row before they meet: norm, if any, and rotation.
void Block::finish_heads(float* row, int64_t heads, const std::vector<float>& norm, int64_t position) const {
  for (int64_t h = 0; h < heads; ++h) {
    float* head = row + h * config_.head_dim;
    if (!norm.empty()) rms_norm(head, norm.data(), config_.norm_eps, head, config_.head_dim);
    rope_half(head, rope_.cos.row(position), rope_.sin.row(position), config_.head_dim / 2);
  }
}

void Block::attend(const Batch& batch, ConstComputeView x, ComputeView out) const {
  Outputs queries(out);
  const int64_t kv_width = config_.kv_heads * config_.head_dim;
  const int64_t past = (batch.cache != nullptr) ? batch.cache->length : 0;
  Matrix<float> own_keys, own_values;
  if (batch.cache == nullptr) {
    own_keys = Matrix<float>(x.rows, kv_width);
    own_values = Matrix<float>(x.rows, kv_width);
  }
  const auto keys = (batch.cache != nullptr) ? batch.cache->keys.view().row_range(0, past + x.rows) : own_keys.view();
  const auto values =
      (batch.cache != nullptr) ? batch.cache->values.view().row_range(0, past + x.rows) : own_values.view();
  apply(kQkv, 0, batch, x, queries.view);
  apply(kQkv, 1, batch, x, keys.row_range(past, x.rows));
  apply(kQkv, 2, batch, x, values.row_range(past, x.rows));
  for_each_row(x.rows, [&](int64_t r) {
    const int64_t position = past + r % batch.length;
    finish_heads(queries.view.row(r), config_.heads, q_norm_, position);
    finish_heads(keys.row(past + r), config_.kv_heads, k_norm_, position);
  });
  causal_attention(queries.view, keys, values, out,
                   {.sequences = batch.sequences,
                    .queries = batch.length,
                    .keys = past + batch.length,
                    .heads = config_.heads,
                    .kv_heads = config_.kv_heads,
                    .head_dim = config_.head_dim,
                    .scale = config_.attention_scale,
                    .window = window_});
  if (batch.cache != nullptr) batch.cache->length += x.rows;
}

void Block::forward(const Batch& batch, MatrixView<float> h) const {
  ComputeMatrix x(compute_, h.rows, stages_.front().in());
  begin(h, x.view());
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    const bool last = stage + 1 == stages_.size();
    ComputeMatrix next(compute_, last ? 0 : h.rows, last ? 0 : stages_[stage + 1].in());
    finish(static_cast<int64_t>(stage), batch, x.view(), h, next.view());
    x = std::move(next);
  }
}

}  // namespace hesse
