#include "model/self_attention.h"

#include <algorithm>
#include <iterator>

#include "kernels/kernels.h"
#include "model/alibi.h"
#include "model/attention.h"
#include "model/rows.h"

namespace hesse {

std::vector<LinearShape> attention_inputs(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  const WeightLayout layout = layout_of_linears(c);
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  const auto shape = [&](std::string_view name, int64_t out) {
    return LinearShape{c.in_layer(layer, name), out, c.hidden, c.qkv_bias, layout};
  };
  if (f.attention == AttentionKind::kSplit) return {shape(f.q, q), shape(f.k, kv), shape(f.v, kv)};
  return {shape(f.qkv, q + 2 * kv)};
}

LinearShape attention_output(const ModelConfig& c, int64_t layer) {
  return {c.in_layer(layer, c.family->o), c.hidden, c.attention_width(), c.o_bias, layout_of_linears(c)};
}

std::vector<std::pair<std::string, int64_t>> attention_vectors(const ModelConfig& c, int64_t layer) {
  if (c.family->sinks.empty()) return {};
  return {{c.in_layer(layer, c.family->sinks), c.heads}};
}

SelfAttention::SelfAttention(const ModelConfig& config, const RopeTable& rope, const WeightSource& source,
                             int64_t layer)
    : config_(config),
      rope_(rope),
      window_(config.layer_attention[static_cast<size_t>(layer)].window),
      rotates_(config.layer_attention[static_cast<size_t>(layer)].rotates) {
  const Family& family = *config.family;
  if (config.head_norms) {
    q_norm_ = HeadNorms(config, source, config.in_layer(layer, family.q_norm), config.heads);
    k_norm_ = HeadNorms(config, source, config.in_layer(layer, family.k_norm), config.kv_heads);
  }
  if (!family.sinks.empty()) sinks_ = source.vector(config.in_layer(layer, family.sinks), config.heads);
  if (config.alibi != AlibiKind::kNone) slopes_ = alibi_slopes(config.heads);
}

// What happens to the heads of q or k in one row before they meet: norms, if any, and rotation.
void SelfAttention::finish_heads(float* row, int64_t heads, const HeadNorms& norms, int64_t position) const {
  norms.apply(row);
  if (!rotates_) return;
  const auto rotate = config_.family->rope == RopeStyle::kHalf ? rope_half : rope_interleaved;
  const float *cos = rope_.cos.row(position), *sin = rope_.sin.row(position);
  const int64_t half = rope_.cos.cols();
  for (int64_t h = 0; h < heads; ++h) rotate(row + h * config_.head_dim, cos, sin, half);
}

// One row of a fused linear by heads. Both layouts are runs of heads: all queries, keys, values, or for each key head
// its queries, the key, the value.
void SelfAttention::deal_out(const float* fused, float* q, float* k, float* v) const {
  const int64_t groups = config_.family->attention == AttentionKind::kConcat ? 1 : config_.kv_heads;
  const int64_t queries = config_.heads / groups * config_.head_dim;
  const int64_t keys = config_.kv_heads / groups * config_.head_dim;
  for (int64_t g = 0; g < groups; ++g, fused += queries + 2 * keys) {
    std::copy_n(fused, queries, q + g * queries);
    std::copy_n(fused + queries, keys, k + g * keys);
    std::copy_n(fused + queries + keys, keys, v + g * keys);
  }
}

void SelfAttention::project(std::span<const Linear> linears, const Batch& batch, ConstComputeView x,
                            const Targets& to) const {
  float* peaks = batch.peaks();
  if (config_.family->attention == AttentionKind::kSplit) {
    const MatrixView<float> outputs[] = {to.q, to.k, to.v};
    for (size_t i = 0; i < 3; ++i) apply_linear(linears[i], x, outputs[i], peaks == nullptr ? nullptr : peaks + i);
    return;
  }
  Matrix<float> fused(x.rows, to.q.cols + 2 * to.k.cols);
  apply_linear(linears[0], x, fused.view(), peaks);
  for_each_row(x.rows, [&](int64_t r) { deal_out(fused.row(r), to.q.row(r), to.k.row(r), to.v.row(r)); });
}

void SelfAttention::run(std::span<const Linear> linears, const Batch& batch, ConstComputeView x,
                        ComputeView out) const {
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
  project(linears, batch, x, {queries.view, keys.row_range(past, x.rows), values.row_range(past, x.rows)});
  for_each_row(x.rows, [&](int64_t r) {
    const int64_t position = past + r % batch.length;
    finish_heads(queries.view.row(r), config_.heads, q_norm_, position);
    finish_heads(keys.row(past + r), config_.kv_heads, k_norm_, position);
  });
  const bool scaled = config_.family->alibi_scaled;
  const Matrix<float> biases =
      key_biases(config_.alibi, slopes_, scaled ? config_.attention_scale : 1, past + batch.length);
  causal_attention(queries.view, keys, values, out,
                   {.sequences = batch.sequences,
                    .queries = batch.length,
                    .keys = past + batch.length,
                    .heads = config_.heads,
                    .kv_heads = config_.kv_heads,
                    .head_dim = config_.head_dim,
                    .scale = config_.attention_scale,
                    .window = window_,
                    .soft_cap = config_.attention_softcap,
                    .sinks = sinks_.empty() ? nullptr : sinks_.data(),
                    .key_biases = biases.view()});
  if (batch.cache != nullptr) batch.cache->length += x.rows;
}

}  // namespace hesse
