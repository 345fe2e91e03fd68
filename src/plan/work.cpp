#include "plan/work.h"

#include <algorithm>

#include "quant/spec.h"
#include "quant/target.h"

namespace hesse {
namespace {

double real(int64_t value) { return static_cast<double>(value); }

double streams_of(StagePart part, const QuantizeSize& size) {
  if (part == StagePart::kNothing) return 0;
  return part == StagePart::kOneStream ? 1 : real(size.streams());
}

void add_stage(const PlannedStage& stage, const QuantizeSize& size, StagePart part, Work& work) {
  if (part == StagePart::kNothing) return;
  const double tokens = real(size.tokens()) * stage.token_share;
  const double in = real(stage.in());
  const double weights = stage_weights(stage);
  if (!stage.is_head()) work.linears += 2 * tokens * weights * streams_of(part, size);
  if (part != StagePart::kAll) return;
  for (const ColumnRange& block : hessian_blocks(stage, size)) {
    const double width = real(block.count);
    work.hessian += width * width * tokens;
    if (!size.solves) continue;
    work.factor += width * width * width / 3;
    work.solve += weights / in * width * width;
  }
  const DriftSum drift = drift_sum(stage, size);
  if (drift == DriftSum::kInput) work.cross += 2 * in * in * tokens;
  if (drift == DriftSum::kOutput) work.cross += 2 * weights * tokens;
}

}  // namespace

double attention_pairs(int64_t length, int64_t window) {
  const double seen = real(window > 0 ? std::min(window, length) : length);  // keys of the last query
  return seen * (seen + 1) / 2 + (real(length) - seen) * seen;
}

double attention_products(const PlannedLayer& layer, int64_t sequences, int64_t length) {
  return real(layer.score_width) * real(sequences) * attention_pairs(length, layer.window);
}

double stage_weights(const StageShape& stage) {
  double weights = 0;
  for (const LinearShape& linear : stage.linears) weights += real(linear.out) * real(linear.in);
  return weights;
}

std::vector<ColumnRange> hessian_blocks(const StageShape& stage, const QuantizeSize& size) {
  const LinearSpec spec{.group_size = size.group_size};
  return split_columns(stage.in(), spec.group_width(stage.in()), size.hessian_bytes);
}

DriftSum drift_sum(const StageShape& stage, const QuantizeSize& size) {
  if (size.streams() < 2) return DriftSum::kNone;
  if (stage.writes_residual) return DriftSum::kOutput;
  return size.targets.shift != 0 ? DriftSum::kInput : DriftSum::kNone;
}

bool is_summed_behind(const StageShape& stage, const QuantizeSize& size) {
  return drift_sum(stage, size) == DriftSum::kOutput && hessian_blocks(stage, size).size() == 1 &&
         can_sum_behind(size.targets, stage.in(), size.tokens());
}

StagePart part_of(const StageParts& parts, size_t layer, size_t stage) {
  return parts.empty() ? StagePart::kAll : parts.at(layer).at(stage);
}

Work quantize_work(const ModelShapes& model, const QuantizeSize& size, const StageParts& parts) {
  Work work;
  if (size.tokens() == 0) return work;
  for (size_t l = 0; l < model.layers.size(); ++l) {
    const PlannedLayer& layer = model.layers[l];
    for (size_t s = 0; s < layer.stages.size(); ++s) add_stage(layer.stages[s], size, part_of(parts, l, s), work);
    work.attention +=
        2 * streams_of(part_of(parts, l, 0), size) * attention_products(layer, size.sequences, size.length);
  }
  return work;
}

Work evaluation_work(const ModelShapes& model, int64_t sequences, int64_t length) {
  Work work;
  const double tokens = real(sequences) * real(length);
  for (const PlannedLayer& layer : model.layers) {
    for (const PlannedStage& stage : layer.stages)
      work.linears += 2 * tokens * stage.token_share * planned_weights(stage);
    work.attention += 2 * attention_products(layer, sequences, length);
  }
  work.linears += 2 * tokens * real(model.hidden) * real(model.vocab);
  return work;
}

}  // namespace hesse
