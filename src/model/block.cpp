#include "model/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/threads.h"
#include "hesse/error.h"
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

Linear load_linear(const WeightSource& source, const LinearShape& shape) {
  const WeightSource::Shape found = source.linear_shape(shape.name);
  if (found.out == 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[weights] '{}' is not in the checkpoint; incomplete download?", shape.name));
  }
  if (found.out != shape.out || found.in != shape.in) {
    throw Error(ErrorKind::kBadInput, fmt::format("[weights] '{}' has shape [{}, {}]; config.json asks for [{}, {}]",
                                                  shape.name, found.out, found.in, shape.out, shape.in));
  }
  Linear linear{shape.name, source.linear(shape.name), {}};
  if (shape.bias) linear.bias = source.vector(shape.name + ".bias", shape.out);
  return linear;
}

template <class Body>
void for_each_row(int64_t rows, Body body) {
  constexpr int64_t kRows = 16;  // enough work for one task
  parallel_for((rows + kRows - 1) / kRows, [&](int64_t tile) {
    for (int64_t r = tile * kRows; r < std::min(rows, tile * kRows + kRows); ++r) body(r);
  });
}

}  // namespace

std::vector<StageShape> layer_stages(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  const auto name = [&](std::string_view rest) { return layer_name(f.layer_prefix, layer, rest); };
  const int64_t q = c.heads * c.head_dim;
  const int64_t kv = c.kv_heads * c.head_dim;
  return {
      {"qkv",
       false,
       {{name(f.q), q, c.hidden, c.qkv_bias},
        {name(f.k), kv, c.hidden, c.qkv_bias},
        {name(f.v), kv, c.hidden, c.qkv_bias}}},
      {"o", true, {{name(f.o), c.hidden, q, c.o_bias}}},
      {"gate_up",
       false,
       {{name(f.gate), c.intermediate, c.hidden, c.mlp_bias}, {name(f.up), c.intermediate, c.hidden, c.mlp_bias}}},
      {"down", true, {{name(f.down), c.hidden, c.intermediate, c.mlp_bias}}},
  };
}

void apply_linear(const Linear& linear, MatrixView<const float> x, MatrixView<float> y) {
  gemm_nt(x, linear.weight.view(), y, Output::kSet);
  if (!linear.bias.empty()) for_each_row(y.rows, [&](int64_t r) { add(y.row(r), linear.bias.data(), y.cols); });
}

Block::Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, int64_t layer)
    : config_(config), rope_(rope) {
  const Family& family = *config.family;
  attention_norm_ = source.vector(layer_name(family.layer_prefix, layer, family.attention_norm), config.hidden);
  mlp_norm_ = source.vector(layer_name(family.layer_prefix, layer, family.mlp_norm), config.hidden);
  for (const StageShape& shape : layer_stages(config, layer)) {
    Stage stage{shape.name, shape.writes_residual, {}};
    for (const LinearShape& linear : shape.linears) stage.linears.push_back(load_linear(source, linear));
    stages_.push_back(std::move(stage));
  }
}

void Block::norm(const std::vector<float>& weight, MatrixView<const float> h, MatrixView<float> out) const {
  for_each_row(h.rows, [&](int64_t r) { rms_norm(h.row(r), weight.data(), config_.norm_eps, out.row(r), h.cols); });
}

void Block::begin(MatrixView<const float> h, MatrixView<float> x) const { norm(attention_norm_, h, x); }

void Block::finish(int64_t stage, const Batch& batch, MatrixView<const float> x, MatrixView<float> h,
                   MatrixView<float> next) const {
  const std::vector<Linear>& linears = stages_[static_cast<size_t>(stage)].linears;
  switch (stage) {
    case kQkv:
      attend(batch, x, next);
      break;
    case kO: {
      Matrix<float> y(x.rows, config_.hidden);
      apply_linear(linears[0], x, y.view());
      for_each_row(h.rows, [&](int64_t r) { add(h.row(r), y.row(r), h.cols); });
      norm(mlp_norm_, h, next);
      break;
    }
    case kGateUp: {
      Matrix<float> up(x.rows, config_.intermediate);
      apply_linear(linears[0], x, next);
      apply_linear(linears[1], x, up.view());
      for_each_row(x.rows, [&](int64_t r) { silu_mul(next.row(r), up.row(r), config_.intermediate); });
      break;
    }
    case kDown: {
      Matrix<float> y(x.rows, config_.hidden);
      apply_linear(linears[0], x, y.view());
      for_each_row(h.rows, [&](int64_t r) { add(h.row(r), y.row(r), h.cols); });
      break;
    }
    default:
      throw Error(ErrorKind::kInternal, fmt::format("[block] there is no stage {}", stage));
  }
}

void Block::attend(const Batch& batch, MatrixView<const float> x, MatrixView<float> out) const {
  const std::vector<Linear>& linears = stages_[kQkv].linears;
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
  apply_linear(linears[0], x, out);
  apply_linear(linears[1], x, keys.row_range(past, x.rows));
  apply_linear(linears[2], x, values.row_range(past, x.rows));
  const auto rotate = [&](float* row, int64_t heads, int64_t position) {
    for (int64_t head = 0; head < heads; ++head) {
      rope_half(row + head * config_.head_dim, rope_.cos.row(position), rope_.sin.row(position), config_.head_dim / 2);
    }
  };
  for_each_row(x.rows, [&](int64_t r) {
    const int64_t position = past + r % batch.length;
    rotate(out.row(r), config_.heads, position);
    rotate(keys.row(past + r), config_.kv_heads, position);
  });
  causal_attention(out, keys, values, out,
                   {.sequences = batch.sequences,
                    .queries = batch.length,
                    .keys = past + batch.length,
                    .heads = config_.heads,
                    .kv_heads = config_.kv_heads,
                    .head_dim = config_.head_dim,
                    .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim))});
  if (batch.cache != nullptr) batch.cache->length += x.rows;
}

void Block::forward(const Batch& batch, MatrixView<float> h) const {
  Matrix<float> x(h.rows, stages_.front().in());
  begin(h, x.view());
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    const bool last = stage + 1 == stages_.size();
    Matrix<float> next(last ? 0 : h.rows, last ? 0 : stages_[stage + 1].in());
    finish(static_cast<int64_t>(stage), batch, x.view(), h, next.view());
    x = std::move(next);
  }
}

}  // namespace hesse
