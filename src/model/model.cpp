#include "model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/kernels.h"
#include "model/rows.h"
#include "model/tensors.h"

namespace hesse {
namespace {

std::vector<int32_t> consecutive(int64_t first, int64_t count) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
  return rows;
}

Norm final_norm(const ModelConfig& config, const WeightSource& source) {
  const std::string_view name = config.family->final_norm;
  return name.empty() ? Norm() : load_norm(config, source, config.whole_name(name), config.hidden);
}

Linear load_project_out(const ModelConfig& config, const WeightSource& source, ComputeType compute) {
  if (config.embedding_width == config.hidden) return {};
  return load_linear(source, {config.whole_name(config.family->project_out), config.embedding_width, config.hidden},
                     compute);
}

// Rows of a head of unit rows, as torch.nn.functional.normalize makes them.
void normalise_rows(MatrixView<float> rows) {
  for_each_row(rows.rows, [&](int64_t r) {
    double squares = 0;
    for (int64_t c = 0; c < rows.cols; ++c) squares += double{rows(r, c)} * rows(r, c);
    scale(rows.row(r), static_cast<float>(1 / std::max(std::sqrt(squares), 1e-12)), rows.cols);
  });
}

}  // namespace

std::string head_module(const ModelConfig& config, const WeightSource& source) {
  const std::string own = config.own_head();
  const bool plain = source.has(own + ".weight");
  return plain || source.linear_shape(own).out != 0 ? own : config.embedding_module();
}

StageShape head_stage(const ModelConfig& config) {
  StageShape stage;
  stage.name = kHeadStage;
  stage.linears.push_back({config.own_head(), config.vocab, config.embedding_width, config.head_bias});
  return stage;
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
    : config_(choose_scheme(std::move(config), source)), source_(source), compute_(compute) {
  const std::vector<TensorProblem> problems = tensor_problems(config_, source);
  if (!problems.empty()) throw Error(ErrorKind::kBadInput, problems.front().text);
  rope_ = make_rope_table(config_.rope, positions);
  const auto& layers = config_.layer_attention;
  if (std::any_of(layers.begin(), layers.end(), [](const LayerAttention& layer) { return layer.local_rope; })) {
    local_rope_ = make_rope_table(config_.local_rope, positions);
  }
}

Block Model::block(int64_t layer, ReadExperts experts) const {
  const bool local = config_.layer_attention[static_cast<size_t>(layer)].local_rope;
  return Block(config_, local ? local_rope_ : rope_, source_, {layer, compute_, experts});
}

Matrix<float> Model::embed(std::span<const int32_t> ids, const TokenPlaces& places) const {
  const Family& family = *config_.family;
  Matrix<float> h = source_.rows(config_.embedding_module() + ".weight", ids, config_.embedding_width);
  if (config_.embedding_width != config_.hidden) {
    const Linear project = load_linear(
        source_, {config_.whole_name(family.project_in), config_.hidden, config_.embedding_width}, ComputeType::kF32);
    Matrix<float> wide(h.rows(), config_.hidden);
    apply_linear(project, h.view(), wide.view());
    h = std::move(wide);
  }
  if (config_.embedding_scale != 1) {
    parallel_for(h.rows(), [&](int64_t r) { scale(h.row(r), config_.embedding_scale, h.cols()); });
  }
  if (!family.position_table.empty()) add_positions(h.view(), places);
  if (!family.embedding_norm.empty()) {
    norm_rows(load_norm(config_, source_, config_.whole_name(family.embedding_norm), config_.hidden), h.view(),
              h.view());
  }
  return h;
}

void Model::add_positions(MatrixView<float> h, const TokenPlaces& places) const {
  const int64_t length = places.length == 0 ? h.rows : places.length;
  if (places.first + length > config_.max_positions) {
    throw Error(ErrorKind::kUsage, fmt::format("[model] {} tokens, but the model has a table of {} positions; give "
                                               "shorter windows or a shorter prompt",
                                               places.first + length, config_.max_positions));
  }
  const Family& family = *config_.family;
  const Matrix<float> rows = source_.rows(config_.whole_name(family.position_table) + ".weight",
                                          consecutive(places.first + family.position_offset, length), config_.hidden);
  for_each_row(h.rows, [&](int64_t r) { add(h.row(r), rows.row(r % length), h.cols); });
}

void Model::prefetch(int64_t layer) const {
  if (layer >= config_.layers) return;
  for (const StageShape& stage : layer_stages(config_, layer)) {
    if (stage.expert != kNoExpert) break;
    for (const LinearShape& linear : stage.linears) source_.prefetch(linear.name);
  }
}

HeadInput::HeadInput(const ModelConfig& config, const WeightSource& source, ComputeType compute)
    : norm_(final_norm(config, source)), project_out_(load_project_out(config, source, compute)) {}

void HeadInput::make(MatrixView<const float> h, ComputeView x) const {
  if (project_out_.name.empty()) return norm_rows(norm_, h, x);
  ComputeMatrix wide(x.type, h.rows, h.cols);
  norm_rows(norm_, h, wide.view());
  Matrix<float> narrow(x.rows, x.cols);
  apply_linear(project_out_, std::as_const(wide).view(), narrow.view());
  const ComputeMatrix made = to_compute_type(x.type, std::move(narrow));
  std::vector<int64_t> rows(static_cast<size_t>(x.rows));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  copy_rows_to(made.view(), rows, x);
}

Model::Head::Head(const ModelConfig& config, const WeightSource& source, ComputeType compute)
    : config_(config), input_(config, source, compute) {
  head_.name = head_module(config, source);
  if (config.normed_head) {
    Matrix<float> weight = source.linear(head_.name);
    normalise_rows(weight.view());
    head_.weight = to_compute_type(compute, std::move(weight));
  } else {
    head_.weight = source.linear_as(compute, head_.name);
  }
  if (config.head_bias) head_.bias = source.vector(head_.name + ".bias", config.vocab);
}

ComputeMatrix Model::Head::input(MatrixView<const float> h) const {
  ComputeMatrix x(head_.weight.type(), h.rows, config_.embedding_width);
  input_.make(h, x.view());
  return x;
}

Matrix<float> Model::Head::logits(MatrixView<const float> h) const {
  const ComputeMatrix x = input(h);
  return logits_of_input(x.view());
}

Matrix<float> Model::Head::logits_of_input(ConstComputeView x) const {
  Matrix<float> logits(x.rows, config_.vocab);
  apply_linear(head_, x, logits.view());
  finish_logits(config_, logits.view());
  return logits;
}

Linear head_slice(const ModelConfig& config, const WeightSource& source, int64_t first, int64_t count) {
  const std::string module = head_module(config, source);
  Matrix<float> weight = source.rows(module + ".weight", consecutive(first, count), config.embedding_width);
  if (config.normed_head) normalise_rows(weight.view());
  Linear slice{module, std::move(weight), {}};
  if (!config.head_bias) return slice;
  const std::vector<float> bias = source.vector(module + ".bias", config.vocab);
  slice.bias.assign(bias.begin() + first, bias.begin() + first + count);
  return slice;
}

void finish_logits(const ModelConfig& config, MatrixView<float> logits) {
  if (config.logit_scale == 1 && config.logit_softcap == 0) return;
  for_each_row(logits.rows, [&](int64_t r) {
    if (config.logit_scale != 1) scale(logits.row(r), config.logit_scale, logits.cols);
    if (config.logit_softcap != 0) soft_cap(logits.row(r), config.logit_softcap, logits.cols);
  });
}

}  // namespace hesse
