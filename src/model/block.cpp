#include "model/block.h"

#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <utility>

#include "hesse/error.h"
#include "kernels/kernels.h"
#include "model/rows.h"

namespace hesse {
namespace {

constexpr int64_t kQkv = 0;

// Whether attention and MLP read the very same input.
bool shares_input(const Family& family) { return family.parallel && family.mlp_norm.empty(); }

Stage empty_stage(const StageShape& shape) {
  return {shape.name, shape.writes_residual, {}, shape.expert, shape.in(), shape.passing};
}

// Those in front of "o".
std::vector<StageShape> attention_stages(const ModelConfig& c, int64_t layer) {
  if (c.latent.kv_rank > 0) return latent_stages(c, layer);
  return {{"qkv", false, attention_inputs(c, layer)}};
}

}  // namespace

std::vector<StageShape> layer_stages(const ModelConfig& c, int64_t layer) {
  const Family& f = *c.family;
  // A norm or a factor between would make the output's way into the residual stream another one.
  const bool o_adds = f.attention_out_norm.empty() && c.residual_scale == 1;
  const bool down_adds = f.mlp_out_norm.empty() && c.residual_scale == 1;
  StageShape gate_up{"gate_up", false, mlp_inputs(c, layer)};
  std::vector<StageShape> stages = attention_stages(c, layer);
  StageShape& qkv = stages.front();
  if (c.experts.in_layer(layer)) {
    stages.push_back({"o", o_adds, {attention_output(c, layer)}});
    std::vector<StageShape> experts = expert_stages(c, layer);
    std::move(experts.begin(), experts.end(), std::back_inserter(stages));
    return stages;
  }
  if (shares_input(f)) {
    for (LinearShape& linear : gate_up.linears) {
      linear.unit = 1;
      qkv.linears.push_back(std::move(linear));
    }
    gate_up.linears.clear();
  }
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
  if (c.latent.kv_rank > 0) add(latent_norms(c, layer));
  if (!c.head_norms) return norms;
  add(head_norm_shapes(c, c.in_layer(layer, f.q_norm), c.heads));
  add(head_norm_shapes(c, c.in_layer(layer, f.k_norm), c.kv_heads));
  return norms;
}

Block::Block(const ModelConfig& config, const RopeTable& rope, const WeightSource& source, const Place& place)
    : config_(config),
      source_(source),
      compute_(place.compute),
      attention_(config, rope, source, place.layer),
      mlp_(config) {
  const Family& family = *config.family;
  const auto read = [&](std::string_view name) {
    return name.empty() ? Norm() : load_norm(config, source, config.in_layer(place.layer, name), config.hidden);
  };
  attention_norm_ = read(family.attention_norm);
  mlp_norm_ = shares_input(family) ? attention_norm_ : read(family.mlp_norm);
  attention_out_norm_ = read(family.attention_out_norm);
  mlp_out_norm_ = read(family.mlp_out_norm);
  const bool latent = config.latent.kv_rank > 0;
  if (latent) latent_.emplace(config, rope, source, place.layer);
  attention_count_ = latent ? 2 : attention_inputs(config, place.layer).size();
  if (config.experts.in_layer(place.layer)) router_.emplace(config, source, place.layer, compute_);
  shapes_ = layer_stages(config, place.layer);
  while (shapes_[static_cast<size_t>(o_)].name != "o") ++o_;
  for (const StageShape& shape : shapes_) {
    const bool later = shape.expert != kNoExpert && place.experts == ReadExperts::kWhenNeeded;
    stages_.push_back(later ? empty_stage(shape) : read_linears(shape));
  }
}

Block::Stage Block::read_linears(const StageShape& shape) const {
  Stage stage = empty_stage(shape);
  for (const LinearShape& linear : shape.linears) stage.linears.push_back(load_linear(source_, linear, compute_));
  return stage;
}

void Block::read_stage(int64_t stage) {
  stages_[static_cast<size_t>(stage)] = read_linears(shapes_[static_cast<size_t>(stage)]);
}

std::span<const Linear> Block::mlp_linears() const {
  if (shares_input(*config_.family)) return std::span(stages_[kQkv].linears).subspan(attention_count_);
  return stages_[static_cast<size_t>(o_) + 1].linears;
}

void Block::begin(MatrixView<const float> h, ComputeView x) const { norm_rows(attention_norm_, h, x); }

void Block::finish(int64_t stage, const Batch& batch, ConstComputeView x, MatrixView<float> h, ComputeView next) const {
  const int64_t last = static_cast<int64_t>(stages_.size()) - 1;
  if (stage < 0 || stage > last) throw Error(ErrorKind::kInternal, fmt::format("[block] there is no stage {}", stage));
  if (latent_ && stage < o_) return latent_->finish(stages_[static_cast<size_t>(stage)], batch, x, next);
  if (stage == kQkv) return finish_qkv(batch, x, next);
  if (stage == o_) return finish_o(batch, x, h, next);
  if (stage < last) return mlp_.run(stages_[static_cast<size_t>(o_) + 1].linears, x, next, batch.peaks());
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
  apply_linear(stages_[static_cast<size_t>(o_)].linears[0], x, y.view(), batch.peaks());
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

void Block::finish_gate_up(int64_t stage, ConstComputeView x, ComputeView next, float* peaks) const {
  finish_gate_up(stages_[static_cast<size_t>(stage)], x, next, peaks);
}

void Block::finish_gate_up(const Stage& stage, ConstComputeView x, ComputeView next, float* peaks) const {
  if (x.rows > 0) mlp_.run(stage.linears, x, next, peaks);
}

void Block::finish_down(int64_t stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h,
                        float* peaks) const {
  finish_down(stages_[static_cast<size_t>(stage)], x, rows, h, peaks);
}

void Block::finish_down(const Stage& stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h,
                        float* peaks) const {
  if (x.rows == 0) return;
  Matrix<float> y(x.rows, config_.hidden);
  apply_linear(stage.linears[0], x, y.view(), peaks);
  for_each_row(x.rows, [&](int64_t r) {
    scale(y.row(r), rows.weight(r) * config_.residual_scale, y.cols());
    add(h.row(rows.rows[static_cast<size_t>(r)]), y.row(r), y.cols());
  });
}

void Block::run_expert(size_t stage, ConstComputeView x, const ExpertRows& rows, MatrixView<float> h) const {
  const bool there = !stages_[stage].linears.empty();
  Stage gate_up, down;  // of their own where the block has not read them
  if (!there) {
    gate_up = read_linears(shapes_[stage]);
    down = read_linears(shapes_[stage + 1]);
  }
  const ComputeMatrix input = copy_rows(x, rows.rows);
  ComputeMatrix inner(compute_, rows.count(), stages_[stage + 1].in());
  finish_gate_up(there ? stages_[stage] : gate_up, input.view(), inner.view(), nullptr);
  finish_down(there ? stages_[stage + 1] : down, std::as_const(inner).view(), rows, h, nullptr);
}

void Block::run_experts(ConstComputeView x, MatrixView<float> h) const {
  Routing routing = router_->none();
  router_->route(x, 0, routing);
  for (size_t e = 0; e < routing.size(); ++e) {
    if (routing[e].count() > 0) run_expert(static_cast<size_t>(o_) + 1 + 2 * e, x, routing[e], h);
  }
}

void Block::forward(const Batch& batch, MatrixView<float> h) const {
  ComputeMatrix x(compute_, h.rows, stages_.front().input_width());
  begin(h, x.view());
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    if (stages_[stage].expert != kNoExpert) return run_experts(std::as_const(x).view(), h);
    const bool last = stage + 1 == stages_.size();
    ComputeMatrix next(compute_, last ? 0 : h.rows, last ? 0 : stages_[stage + 1].input_width());
    finish(static_cast<int64_t>(stage), batch, x.view(), h, next.view());
    x = std::move(next);
  }
}

}  // namespace hesse
