#include "plan/shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "model/tensors.h"

namespace hesse {
namespace {

PlannedStage planned(StageShape shape) {
  PlannedStage stage;
  static_cast<StageShape&>(stage) = std::move(shape);
  const bool reads_split = stage.name == "o" || stage.name.ends_with("down");
  stage.split = reads_split ? Split::kInputs : Split::kOutputs;
  if (stage.name == "qkv_a") stage.split = Split::kNone;  // every device computes the waists
  const auto one_unit = [](const LinearShape& a, const LinearShape& b) { return a.unit == b.unit; };
  stage.fused = std::adjacent_find(stage.linears.begin(), stage.linears.end(), one_unit) != stage.linears.end();
  return stage;
}

int64_t count_other(const ModelConfig& config, int64_t layer, const std::vector<StageShape>& stages) {
  int64_t count = 0;
  const RouterShapes router = router_shapes(config, layer);
  for (const LinearShape& matrix : router.matrices) count += matrix.out * matrix.in;
  for (const auto& [name, size] : router.vectors) count += size;
  for (const auto& [name, size] : attention_vectors(config, layer)) count += size;
  for (const NormShape& norm : layer_norms(config, layer)) count += norm.size * std::max<int64_t>(1, norm.rows);
  for (const StageShape& stage : stages) {
    for (const LinearShape& linear : stage.linears) count += linear.bias ? linear.out : 0;
  }
  return count;
}

}  // namespace

ModelShapes::ModelShapes(const ModelConfig& config)
    : family(config.family->name),
      model_type(config.family->model_types.front()),
      hidden(config.hidden),
      vocab(config.vocab),
      heads(config.heads),
      kv_heads(config.kv_heads),
      head_dim(config.head_dim),
      tied_head(config.tied_head),
      experts_together(config.family->experts.packed.always),
      embedding_width(config.embedding_width),
      outer(outer_parameters(config)) {
  for (int64_t l = 0; l < config.layers; ++l) {
    std::vector<StageShape> stages = layer_stages(config, l);
    PlannedLayer layer{.stages = {},
                       .score_width = config.heads * config.head_dim + config.attention_width(),
                       .kv_width = config.kv_heads * config.head_dim,
                       .window = config.layer_attention[static_cast<size_t>(l)].window,
                       .other_parameters = count_other(config, l, stages)};
    for (StageShape& stage : stages) {
      const bool routed = stage.expert != kNoExpert && stage.expert < config.experts.count;
      layer.stages.push_back(planned(std::move(stage)));
      if (!routed) continue;
      layer.stages.back().routed = true;
      layer.stages.back().token_share =
          static_cast<double>(config.experts.per_token) / static_cast<double>(config.experts.count);
    }
    layers.push_back(std::move(layer));
  }
}

void ModelShapes::add_head(const StageShape& head) {
  PlannedLayer layer;
  layer.stages.push_back(planned(head));
  layers.push_back(std::move(layer));
}

double planned_weights(const PlannedStage& stage) {
  double weights = 0;
  for (const LinearShape& linear : stage.linears)
    weights += static_cast<double>(linear.out) * static_cast<double>(linear.in);
  return weights;
}

bool ModelShapes::has_experts() const {
  return std::any_of(layers.begin(), layers.end(), [](const PlannedLayer& layer) {
    return std::any_of(layer.stages.begin(), layer.stages.end(),
                       [](const PlannedStage& stage) { return stage.expert != kNoExpert; });
  });
}

double ModelShapes::linear_weights() const {
  double sum = 0;
  for (const PlannedLayer& layer : layers) {
    for (const PlannedStage& stage : layer.stages) sum += planned_weights(stage);
  }
  return sum;
}

double ModelShapes::parameters() const {
  double other = outer;
  for (const PlannedLayer& layer : layers) other += static_cast<double>(layer.other_parameters);
  const double embedding = static_cast<double>(vocab) * static_cast<double>(embedding_width);
  return linear_weights() + other + embedding * (tied_head || plans_head() ? 1 : 2);
}

int64_t ModelShapes::widest_in() const {
  int64_t widest = 0;
  for (const PlannedLayer& layer : layers) {
    for (const PlannedStage& stage : layer.stages) widest = std::max(widest, stage.in());
  }
  return widest;
}

ModelShapes shapes_of_config(const Json& config, const std::string& where) {
  return ModelShapes(parse_model_config(config, where));
}

Finding family_finding(const ModelShapes& shapes) {
  return {Severity::kGood, "family.run", fmt::format("'{}' models can be quantized", shapes.family), "", ""};
}

}  // namespace hesse
