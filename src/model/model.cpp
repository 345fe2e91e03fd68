#include "model/model.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/kernels.h"
#include "model/tensors.h"

namespace hesse {
namespace {

std::string without_weight(std::string_view name) {
  constexpr std::string_view kEnd = ".weight";
  return std::string(name.substr(0, name.size() - kEnd.size()));
}

}  // namespace

std::string head_module(const ModelConfig& config, const WeightSource& source) {
  const std::string own(config.family->head);
  return source.has(own + ".weight") ? own : without_weight(config.family->embedding);
}

std::vector<StageShape> model_stages(const ModelConfig& config) {
  std::vector<StageShape> all;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    std::vector<StageShape> stages = layer_stages(config, layer);
    std::move(stages.begin(), stages.end(), std::back_inserter(all));
  }
  return all;
}

Model::Model(ModelConfig config, const WeightSource& source, int64_t positions, ComputeType compute)
    : config_(std::move(config)), source_(source), compute_(compute) {
  const std::vector<TensorProblem> problems = tensor_problems(config_, source);
  if (!problems.empty()) throw Error(ErrorKind::kBadInput, problems.front().text);
  rope_ = make_rope_table(config_.rope, config_.head_dim, positions);
  const auto& layers = config_.layer_attention;
  if (std::any_of(layers.begin(), layers.end(), [](const LayerAttention& layer) { return layer.local_rope; })) {
    local_rope_ = make_rope_table(config_.local_rope, config_.head_dim, positions);
  }
}

Block Model::block(int64_t layer) const {
  const bool local = config_.layer_attention[static_cast<size_t>(layer)].local_rope;
  return Block(config_, local ? local_rope_ : rope_, source_, {layer, compute_});
}

Matrix<float> Model::embed(std::span<const int32_t> ids) const {
  Matrix<float> h = source_.rows(config_.family->embedding, ids, config_.hidden);
  if (config_.embedding_scale != 1) {
    parallel_for(h.rows(), [&](int64_t r) { scale(h.row(r), config_.embedding_scale, h.cols()); });
  }
  return h;
}

void Model::prefetch(int64_t layer) const {
  if (layer >= config_.layers) return;
  for (const StageShape& stage : layer_stages(config_, layer)) {
    for (const LinearShape& linear : stage.linears) source_.prefetch(linear.name);
  }
}

Model::Head::Head(const ModelConfig& config, const WeightSource& source, ComputeType compute)
    : config_(config), norm_(norm_factors(config, source, config.family->final_norm, config.hidden)) {
  head_.name = head_module(config, source);
  head_.weight = source.linear_as(compute, head_.name);
}

Matrix<float> Model::Head::logits(MatrixView<const float> h) const {
  ComputeMatrix normed(head_.weight.type(), h.rows, h.cols);
  norm_rows(norm_, config_.norm_eps, h, normed.view());
  Matrix<float> logits(h.rows, config_.vocab);
  apply_linear(head_, normed.view(), logits.view());
  return logits;
}

}  // namespace hesse
