#include "model/latent_attention.h"

#include <algorithm>

#include "kernels/kernels.h"
#include "model/attention.h"
#include "model/rows.h"

namespace hesse {
namespace {

constexpr float kWaistEps = 1e-6f;  // of both norms, whatever config.json says

Norm waist_norm(const ModelConfig& config, const WeightSource& source, const std::string& module, int64_t size) {
  Norm norm = load_norm(config, source, module, size);
  norm.eps = kWaistEps;
  return norm;
}

int64_t query_width(const ModelConfig& c) { return c.heads * c.head_dim; }

}  // namespace

std::vector<StageShape> latent_stages(const ModelConfig& c, int64_t layer) {
  const LatentRule& rule = c.family->latent;
  const LatentConfig& l = c.latent;
  const auto linear = [&](std::string_view name, int64_t out, int64_t in, bool bias) {
    return LinearShape{c.in_layer(layer, name), out, in, bias};
  };
  LinearShape first = l.q_rank > 0 ? linear(rule.q_a, l.q_rank, c.hidden, c.qkv_bias)
                                   : linear(c.family->q, query_width(c), c.hidden, false);
  LinearShape second = linear(rule.kv_a, l.kv_rank + l.rope, c.hidden, c.qkv_bias);
  second.unit = 1;  // engines keep the two apart
  std::vector<StageShape> stages = {{"qkv_a", false, {std::move(first), std::move(second)}}};
  const int64_t waist = l.kv_rank + l.rope;
  if (l.q_rank > 0) {
    stages.push_back({"q_b", false, {linear(rule.q_b, query_width(c), l.q_rank, false)}});
    stages.back().passing = waist;
  }
  stages.push_back({"kv_b", false, {linear(rule.kv_b, c.heads * (l.nope + l.value), l.kv_rank, false)}});
  stages.back().passing = l.rope + query_width(c);
  return stages;
}

std::vector<NormShape> latent_norms(const ModelConfig& c, int64_t layer) {
  const LatentRule& rule = c.family->latent;
  std::vector<NormShape> norms = norm_shapes(c, c.in_layer(layer, rule.kv_a_norm), c.latent.kv_rank);
  if (c.latent.q_rank == 0) return norms;
  for (NormShape& norm : norm_shapes(c, c.in_layer(layer, rule.q_a_norm), c.latent.q_rank))
    norms.push_back(std::move(norm));
  return norms;
}

LatentAttention::LatentAttention(const ModelConfig& config, const RopeTable& rope, const WeightSource& source,
                                 int64_t layer)
    : config_(config), rope_(rope) {
  const LatentRule& rule = config.family->latent;
  kv_norm_ = waist_norm(config, source, config.in_layer(layer, rule.kv_a_norm), config.latent.kv_rank);
  if (config.latent.q_rank == 0) return;
  q_norm_ = waist_norm(config, source, config.in_layer(layer, rule.q_a_norm), config.latent.q_rank);
}

void LatentAttention::finish(const Stage& stage, const Batch& batch, ConstComputeView x, ComputeView next) const {
  if (stage.name == "qkv_a") return finish_waists(stage.linears, batch, x, next);
  if (stage.name == "q_b") return finish_queries(stage.linears[0], batch, x, next);
  attend(stage.linears[0], batch, x, next);
}

void LatentAttention::finish_waists(std::span<const Linear> linears, const Batch& batch, ConstComputeView x,
                                    ComputeView next) const {
  const LatentConfig& l = config_.latent;
  const bool waist = l.q_rank > 0;
  Matrix<float> q(x.rows, waist ? l.q_rank : query_width(config_)), kv(x.rows, l.kv_rank + l.rope);
  float* const peaks = batch.peaks();
  apply_linear(linears[0], x, q.view(), peaks);
  apply_linear(linears[1], x, kv.view(), peaks == nullptr ? nullptr : peaks + 1);
  fill_rows(next, [&](int64_t r, float* row) {
    kv_norm_.apply(kv.row(r), kv.row(r), l.kv_rank);
    if (waist) q_norm_.apply(q.row(r), q.row(r), l.q_rank);
    float* const rest = waist ? std::copy_n(q.row(r), q.cols(), row) : row;
    float* const end = std::copy_n(kv.row(r), kv.cols(), rest);
    if (!waist) std::copy_n(q.row(r), q.cols(), end);
  });
}

void LatentAttention::finish_queries(const Linear& linear, const Batch& batch, ConstComputeView x,
                                     ComputeView next) const {
  const int64_t rank = config_.latent.q_rank;
  Matrix<float> q(x.rows, query_width(config_));
  apply_linear(linear, x.block(0, 0, x.rows, rank), q.view(), batch.peaks());
  fill_rows(next, [&](int64_t r, float* row) {
    std::vector<float> scratch(static_cast<size_t>(x.cols));
    const float* from = read_row(x, r, scratch.data());
    std::copy_n(q.row(r), q.cols(), std::copy(from + rank, from + x.cols, row));
  });
}

void LatentAttention::rotate(float* part, int64_t position) const {
  const auto turn = config_.latent.interleaved ? rope_interleaved : rope_half;
  turn(part, rope_.cos.row(position), rope_.sin.row(position), rope_.cos.cols());
}

void LatentAttention::deal_out(const float* pairs, const float* shared, float* keys, float* values) const {
  const LatentConfig& l = config_.latent;
  for (int64_t h = 0; h < config_.heads; ++h, keys += config_.head_dim, values += config_.head_dim) {
    std::copy_n(shared, l.rope, std::copy_n(pairs, l.nope, keys));
    std::fill(std::copy_n(pairs + l.nope, l.value, values), values + config_.head_dim, 0.0f);
    pairs += l.nope + l.value;
  }
}

void LatentAttention::attend(const Linear& linear, const Batch& batch, ConstComputeView x, ComputeView next) const {
  const LatentConfig& l = config_.latent;
  const int64_t width = query_width(config_), past = batch.cache != nullptr ? batch.cache->length : 0;
  Matrix<float> queries(x.rows, width), own_keys, own_values;
  if (batch.cache == nullptr) {
    own_keys = Matrix<float>(x.rows, width);
    own_values = Matrix<float>(x.rows, width);
  }
  const auto keys = batch.cache != nullptr ? batch.cache->keys.view().row_range(0, past + x.rows) : own_keys.view();
  const auto values =
      batch.cache != nullptr ? batch.cache->values.view().row_range(0, past + x.rows) : own_values.view();
  Matrix<float> pairs(x.rows, config_.heads * (l.nope + l.value));
  apply_linear(linear, x.block(0, 0, x.rows, l.kv_rank), pairs.view(), batch.peaks());
  for_each_row(x.rows, [&](int64_t r) {
    std::vector<float> row(static_cast<size_t>(x.cols));
    std::copy_n(read_row(x, r, row.data()), x.cols, row.data());
    float* const shared = row.data() + l.kv_rank;
    const int64_t position = past + r % batch.length;
    rotate(shared, position);
    deal_out(pairs.row(r), shared, keys.row(past + r), values.row(past + r));
    std::copy_n(shared + l.rope, width, queries.row(r));
    for (int64_t h = 0; h < config_.heads; ++h) rotate(queries.row(r) + h * config_.head_dim + l.nope, position);
  });
  causal_attention(queries.view(), keys, values, queries.view(),
                   {.sequences = batch.sequences,
                    .queries = batch.length,
                    .keys = past + batch.length,
                    .heads = config_.heads,
                    .kv_heads = config_.heads,
                    .head_dim = config_.head_dim,
                    .scale = config_.attention_scale});
  if (batch.cache != nullptr) batch.cache->length += x.rows;
  fill_rows(next, [&](int64_t r, float* row) {
    for (int64_t h = 0; h < config_.heads; ++h) row = std::copy_n(queries.row(r) + h * config_.head_dim, l.value, row);
  });
}

}  // namespace hesse
