#include "plan/prediction.h"

#include <algorithm>

#include "base/checked.h"
#include "model/block.h"
#include "quant/held_out.h"

namespace hesse {
namespace {

constexpr double kFloat = 4;  // bytes

double real(int64_t value) { return static_cast<double>(value); }

// Bytes a token that a stage moves in one stream besides its products: norms, rotation, activation, residual sums; and
// those of its output, which is new memory. `peaks`: the outputs are read once more for their largest value.
struct Moved {
  double bytes = 0;
  double fresh = 0;
};

Moved moved_by_stage(const ModelShapes& model, const PlannedStage& stage, bool peaks) {
  const double hidden = real(model.hidden), out = real(stage.linears.front().out);
  Moved moved;
  double outputs = 0;
  for (const LinearShape& linear : stage.linears) outputs += real(linear.out);
  if (stage.name == "qkv" && stage.linears.size() >= 3) {
    const double kv = real(stage.linears[2].out);
    moved = {2 * (out + kv) + 2 * hidden, out + hidden};  // rotation, and the norm in front of the layer
  } else if (stage.name == "o") {
    moved = {5 * hidden, hidden};  // h += y, norm
  } else if (stage.split == Split::kInputs) {
    moved = {3 * hidden, 0};  // h += y
  } else {
    moved = {1.5 * outputs, outputs / 2};  // activation times up, or a norm
  }
  if (peaks) moved.bytes += outputs;
  return {kFloat * moved.bytes, kFloat * moved.fresh};
}

// Products of one linear with two operands [rows, out] and [rows, in].
double product_seconds(const std::vector<ShapeRate>& rates, double tokens, int64_t out, int64_t in) {
  return 2 * tokens * real(out) * real(in) / rate_near(rates, out, in);
}

double linears_seconds(const StageShape& stage, double tokens, const MachineRates& rates) {
  double seconds = 0;
  for (const LinearShape& linear : stage.linears) seconds += product_seconds(rates.gemm, tokens, linear.out, linear.in);
  return seconds;
}

double tokens_through(const PlannedStage& stage, double tokens) { return tokens * stage.token_share; }

double forward_seconds(const ModelShapes& model, const PlannedStage& stage, const QuantizeSize& size,
                       const MachineRates& rates) {
  if (stage.is_head()) return 0;  // a norm
  const double tokens = tokens_through(stage, real(size.tokens()));
  double seconds = real(size.streams()) * linears_seconds(stage, tokens, rates);
  for (int64_t stream = 0; stream < size.streams(); ++stream) {
    const Moved moved = moved_by_stage(model, stage, stream == 0);
    seconds += tokens * (moved.bytes / rates.copy_bytes + moved.fresh / rates.fresh_bytes);
  }
  return seconds;
}

// Sums of x x^T and of the drift, with a look at every value for its size.
double hessian_seconds(const PlannedStage& stage, const QuantizeSize& size, const MachineRates& rates) {
  const double tokens = tokens_through(stage, real(size.tokens()));
  const int64_t in = stage.in(), out = stage.linears.front().out;
  double seconds = 0;
  for (const ColumnRange& block : hessian_blocks(stage, size))
    seconds += tokens * real(block.count) * real(block.count) / rate_near(rates.gram, block.count, block.count);
  double floats = 2 * real(in);
  const DriftSum drift = drift_sum(stage, size);
  if (drift != DriftSum::kNone) floats += 4 * real(in);  // the original's peaks and the difference
  if (drift == DriftSum::kInput) seconds += product_seconds(rates.cross, tokens, in, in);
  if (drift == DriftSum::kOutput) {
    floats += 7 * real(out);  // peaks of both residual streams, their difference, the drift of the output
    seconds += product_seconds(rates.cross, tokens, out, in);
    if (!is_summed_behind(stage, size)) seconds += product_seconds(rates.gemm, tokens, out, in);
  }
  return seconds + tokens * kFloat * floats / rates.copy_bytes;
}

bool holds_out(const QuantizeSize& size) { return size.sequences >= kHeldOutEvery; }

// A cost that grows with the width, of all diagonal blocks of a Hessian.
double seconds_of_blocks(const StageShape& stage, const QuantizeSize& size, const Growth& cost) {
  double seconds = 0;
  for (const ColumnRange& block : hessian_blocks(stage, size)) seconds += cost.seconds(block.count);
  return seconds;
}

// A factor for the solve, one for every held-out sample, one for the targets. Nothing is held out where H is cut.
double factor_seconds(const StageShape& stage, const QuantizeSize& size, const MachineRates& rates) {
  const DriftSum drift = drift_sum(stage, size);
  const double linears = real(static_cast<int64_t>(stage.linears.size()));
  const std::vector<ColumnRange> blocks = hessian_blocks(stage, size);
  const double prepare = seconds_of_blocks(stage, size, rates.prepare);
  double seconds = prepare;
  if (holds_out(size) && blocks.size() == 1) {
    const double sample = prepare + linears * rates.held_out_share * rates.solve.seconds(stage.in());
    seconds += real(1 + size.trials) * sample;
  }
  if (drift == DriftSum::kNone) return seconds;
  // Two triangular solves are one product's worth; where the drift is not that of the output a product stands before
  // them.
  const double products = drift == DriftSum::kInput || is_summed_behind(stage, size) ? 2 : 1;
  return seconds + prepare + products * 2 * stage_weights(stage) * real(blocks.front().count) / rates.target;
}

// The rates are of kSolverRows rows on every thread.
double solve_seconds(const StageShape& stage, const QuantizeSize& size, const MachineRates& rates) {
  double rounds = 0;
  for (const LinearShape& linear : stage.linears) {
    const int64_t rows = solver_rows(linear.out, rates.threads);
    rounds += real(ceil_div(ceil_div(linear.out, rows), rates.threads)) * real(rows) / real(kSolverRows);
  }
  return rounds * seconds_of_blocks(stage, size, rates.solve);
}

LayerSeconds layer_seconds(const ModelShapes& model, const PlannedLayer& layer, const QuantizeSize& size,
                           const MachineRates& rates) {
  constexpr double kBytesInFile = 2;  // a weight, read and made a float
  LayerSeconds seconds;
  for (const PlannedStage& stage : layer.stages) {
    StageSeconds s{.weights = planned_weights(stage)};
    s.forward = forward_seconds(model, stage, size, rates);
    if (seconds.stages.empty()) {  // attention belongs to q, k and v
      s.forward += 2 * real(size.streams()) * attention_products(layer, size.sequences, size.length) / rates.attention;
    }
    s.hessian = hessian_seconds(stage, size, rates);
    s.factor = factor_seconds(stage, size, rates);
    s.solve = solve_seconds(stage, size, rates);
    seconds.read += s.weights * real(size.streams()) * (kBytesInFile + kFloat) / rates.fresh_bytes;
    seconds.stages.push_back(s);
  }
  return seconds;
}

}  // namespace

int64_t batch_rows(const QuantizeSize& size) {
  const int64_t together = std::max<int64_t>(1, kBatchRows / size.length);
  return std::min(together, size.sequences) * size.length;
}

int64_t gram_rows(const QuantizeSize& size) {
  const int64_t rows = std::min(kBatchRows, batch_rows(size));
  return holds_out(size) ? std::min(rows, (kHeldOutEvery - 1) * size.length) : rows;
}

double LayerSeconds::total() const {
  double sum = read;
  for (const StageSeconds& stage : stages) sum += stage.total();
  return sum;
}

double RunSeconds::total() const {
  double sum = write + verify + hash;
  for (const LayerSeconds& layer : layers) sum += layer.total();
  return sum;
}

std::vector<PhaseTime> RunSeconds::phases() const {
  double read = 0;
  StageSeconds sum;
  for (const LayerSeconds& layer : layers) {
    read += layer.read;
    for (const StageSeconds& stage : layer.stages) {
      sum.forward += stage.forward;
      sum.hessian += stage.hessian;
      sum.factor += stage.factor;
      sum.solve += stage.solve;
    }
  }
  return {{"read", read},       {"forward", sum.forward}, {"hessian", sum.hessian}, {"factor", sum.factor},
          {"solve", sum.solve}, {"write", write},         {"verify", verify},       {"hash", hash}};
}

void RunSeconds::keep(const StageParts& parts) {
  for (size_t l = 0; l < layers.size(); ++l) {
    LayerSeconds& layer = layers[l];
    bool read = false;
    for (size_t s = 0; s < layer.stages.size(); ++s) {
      StageSeconds& stage = layer.stages[s];
      const StagePart part = part_of(parts, l, s);
      read = read || part != StagePart::kNothing;
      if (part != StagePart::kAll) stage.hessian = stage.factor = stage.solve = 0;
      if (part == StagePart::kOneStream) stage.forward /= static_cast<double>(streams);
      if (part == StagePart::kNothing) stage.forward = 0;
    }
    if (!read) layer.read = 0;
  }
}

RunSeconds predict_quantize(const ModelShapes& model, const QuantizeSize& size, int64_t model_bytes,
                            const MachineRates& rates) {
  RunSeconds run;
  run.streams = size.streams();
  double weights = 0;
  for (const PlannedLayer& layer : model.layers) {
    run.layers.push_back(layer_seconds(model, layer, size, rates));
    for (const StageSeconds& stage : run.layers.back().stages) weights += stage.weights;
  }
  run.write = weights / rates.hash_bytes;  // a digest of the codes, a byte each, costs more than packing them
  run.verify = run.write;
  run.hash = real(model_bytes) / rates.hash_bytes;
  return run;
}

double predict_evaluation(const ModelShapes& model, int64_t sequences, int64_t length, const MachineRates& rates) {
  const double tokens = real(sequences) * real(length);
  double seconds = 0;
  for (const PlannedLayer& layer : model.layers) {
    for (const PlannedStage& stage : layer.stages) {
      const Moved moved = moved_by_stage(model, stage, false);
      const double through = tokens_through(stage, tokens);
      seconds += linears_seconds(stage, through, rates);
      seconds += through * (moved.bytes / rates.copy_bytes + moved.fresh / rates.fresh_bytes);
    }
    seconds += 2 * attention_products(layer, sequences, length) / rates.attention;
  }
  seconds += product_seconds(rates.gemm, tokens, model.vocab, model.hidden);
  return seconds + tokens * kFloat * 2 * real(model.vocab) / rates.copy_bytes;  // written, and summed once
}

double Countdown::predicted_until(int64_t layer, double share) const {
  double sum = 0;
  for (int64_t l = 0; l < layer; ++l) sum += predicted_.layers[static_cast<size_t>(l)].total();
  const LayerSeconds& current = predicted_.layers[static_cast<size_t>(layer)];
  double weights = 0;
  for (const StageSeconds& stage : current.stages) weights += stage.weights;
  double left = share * weights;
  if (share > 0) sum += current.read;
  for (const StageSeconds& stage : current.stages) {
    sum += stage.total() * std::clamp(left / stage.weights, 0.0, 1.0);
    left -= stage.weights;
  }
  return sum;
}

double Countdown::seconds_left(int64_t layer, double share, double elapsed) {
  const double done = predicted_until(layer, share);
  if (done > done_) {
    done_ = done;
    done_at_ = elapsed;
  }
  const double pace = done_ > 0 ? done_at_ / done_ : 1.0;
  return std::max(0.0, (predicted_.total() - done_) * pace - (elapsed - done_at_));
}

}  // namespace hesse
