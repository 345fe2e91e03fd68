#include "plan/work.h"

#include <algorithm>

#include "quant/spec.h"

namespace hesse {
namespace {

double real(int64_t value) { return static_cast<double>(value); }

// Scores and values: a product of head_dim each for every head and pair.
double attention_flops(const ModelConfig& c, int64_t layer, int64_t sequences, int64_t length) {
  const int64_t window = c.layer_attention[static_cast<size_t>(layer)].window;
  return 4 * real(c.head_dim) * real(c.heads) * real(sequences) * attention_pairs(length, window);
}

void add_stage(const StageShape& stage, const QuantizeSize& size, Work& work) {
  const double tokens = real(size.tokens());
  const double in = real(stage.in());
  const double weights = stage_weights(stage);
  work.linears += 2 * tokens * weights * real(size.streams());
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

Work quantize_work(const ModelConfig& config, const QuantizeSize& size) {
  Work work;
  if (size.tokens() == 0) return work;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const StageShape& stage : layer_stages(config, layer)) add_stage(stage, size, work);
    work.attention += real(size.streams()) * attention_flops(config, layer, size.sequences, size.length);
  }
  return work;
}

Work evaluation_work(const ModelConfig& config, int64_t sequences, int64_t length) {
  Work work;
  const double tokens = real(sequences) * real(length);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const StageShape& stage : layer_stages(config, layer)) work.linears += 2 * tokens * stage_weights(stage);
    work.attention += attention_flops(config, layer, sequences, length);
  }
  work.linears += 2 * tokens * real(config.hidden) * real(config.vocab);
  return work;
}

}  // namespace hesse
