#include "model/block.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "hesse/error.h"
#include "kernels/kernels.h"
#include "model/rows.h"

namespace hesse {
namespace {

constexpr int64_t kQkv = 0, kO = 1, kGateUp = 2;  // kGateUp is the last stage where there is none of its own

// Whether attention and MLP read the very same input.
bool shares_input(const Family& family) { return family.parallel && family.mlp_norm.empty(); }

}  // namespace

std::vector<StageShape> layer_stages(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  // A norm or a factor between would make the output's way into the residual stream another one.
  const bool o_adds = f.attention_out_norm.empty() && c.residual_scale == 1;
  const bool down_adds = f.mlp_out_norm.empty() && c.residual_scale == 1;
  StageShape qkv{"qkv", false, attention_inputs(c, layer)}, gate_up{"gate_up", false, mlp_inputs(c, layer)};
  std::vector<StageShape> stages;
  if (shares_input(f)) {
    for (LinearShape& linear : gate_up.linears) {
      linear.unit = 1;
      qkv.linears.push_back(std::move(linear));
    }
    gate_up.linears.clear();
  }
  stages.push_back(std::move(qkv));
  stages.push_back({"o", o_adds, {attention_output(c, layer)}});
  if (!gate_up.linears.empty()) stages.push_back(std::move(gate_up));
  stages.push_back({"down", down_adds, {mlp_output(c, layer)}});
  return stages;
}

std::vector<NormShape> layer_norms(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  std::vector<NormShape> norms;
  const auto add = [&](const std::vector<NormShape>& more) { norms.insert(norms.end(), more.begin(), more.end()); };
  for (const std::string_view name : {f.attention_norm, f.mlp_norm, f.attention_out_norm, f.mlp_out_norm}) {
    if (!name.empty()) add(norm_shapes(c, c.in_layer(layer, name), c.hidden));
  }
  if (!c.head_norms) return norms;
  add(head_norm_shapes(c, c.in_layer(layer, f.q_norm), c.heads));
  add(head_norm_shapes(c, c.in_layer(layer, f.k_norm), c.kv_heads));
  return norms;
}

Block::Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, const Place& place)
    : config_(config), compute_(place.compute), attention_(config, rope, source, place.layer), mlp_(config) {
  const Family& family = *config.family;
  const auto read = [&](std::string_view name) {
    return name.empty() ? Norm() : load_norm(config, source, config.in_layer(place.layer, name), config.hidden);
  };
  attention_norm_ = read(family.attention_norm);
  mlp_norm_ = shares_input(family) ? attention_norm_ : read(family.mlp_norm);
  attention_out_norm_ = read(family.attention_out_norm);
  mlp_out_norm_ = read(family.mlp_out_norm);
  attention_count_ = attention_inputs(config, place.layer).size();
  for (const StageShape& shape : layer_stages(config, place.layer)) {
    Stage stage{shape.name, shape.writes_residual, {}};
    for (const LinearShape& linear : shape.linears) stage.linears.push_back(load_linear(source, linear, compute_));
    stages_.push_back(std::move(stage));
  }
}

std::span<const Linear> Block::mlp_linears() const {
  if (shares_input(*config_.family)) return std::span(stages_[kQkv].linears).subspan(attention_count_);
  return stages_[kGateUp].linears;
}

void Block::begin(MatrixView<const float> h, ComputeView x) const { norm_rows(attention_norm_, h, x); }

void Block::finish(int64_t stage, const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const {
  const int64_t last = static_cast<int64_t>(stages_.size()) - 1;
  if (stage < 0 || stage > last) throw Error(ErrorKind::kInternal, fmt::format("[block] there is no stage {}", stage));
  if (stage == kQkv) return finish_qkv(batch, x, next);
  if (stage == kO) return finish_o(batch, x, h, next);
  if (stage < last) return mlp_.run(stages_[kGateUp].linears, x, next, batch.peaks());
  Matrix<float> y(x.rows, config_.hidden);
  apply_linear(stages_.back().linears[0], x, y.view(), batch.peaks());
  add_to_residual(mlp_out_norm_, y.view(), h);
}

void Block::finish_qkv(const Batch& batch, ConstComputeView x, ComputeView next) const {
  attention_.run(attention_linears(), batch, x, next);
  // The linears of the MLP wait for the next stage: their outputs would have to be kept for all tokens.
  for (size_t i = attention_count_; batch.output_peaks != nullptr && i < stages_[kQkv].linears.size(); ++i)
    (*batch.output_peaks)[i] = std::numeric_limits<float>::infinity();
}

void Block::finish_o(const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const {
  Matrix<float> y(x.rows, config_.hidden);
  apply_linear(stages_[kO].linears[0], x, y.view(), batch.peaks());
  if (config_.family->parallel) start_mlp(h, next);
  add_to_residual(attention_out_norm_, y.view(), h);
  if (!config_.family->parallel) start_mlp(h, next);
}

// next = input of the stage behind "o", from the residual stream that the MLP reads.
void Block::start_mlp(MatrixView<const float> h, ComputeView next) const {
  if (!shares_input(*config_.family)) return norm_rows(mlp_norm_, h, next);
  ComputeMatrix x(compute_, h.rows, h.cols);
  norm_rows(mlp_norm_, h, x.view());
  mlp_.run(mlp_linears(), std::as_const(x).view(), next, nullptr);
}

void Block::add_to_residual(const Norm& out_norm, MatrixView<float> y, MatrixView<float> h) const {
  const bool after = config_.family->norm_after_add;
  if (out_norm.present && !after) norm_rows(out_norm, y, y);
  for_each_row(h.rows, [&](int64_t r) {
    if (config_.residual_scale != 1) scale(y.row(r), config_.residual_scale, y.cols);
    add(h.row(r), y.row(r), h.cols);
  });
  if (out_norm.present && after) norm_rows(out_norm, h, h);
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
