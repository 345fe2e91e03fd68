// Floating point operations of a job, counted before it: what any implementation has to do, each operation once. Work
// that this implementation does besides (held-out samples, second attempts) is not in it.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "hesse/types.h"
#include "plan/shapes.h"
#include "plan/split_columns.h"
#include "quant/options.h"

namespace hesse {

// What decides the work of a quantization besides the model.
struct QuantizeSize {
  int64_t sequences = 0;  // 0: no calibration text, and no work that counts
  int64_t length = 0;     // tokens of each
  bool solves = true;     // with a solver that factors Hessians
  ShiftOptions targets = {};
  int64_t group_size = 128;  // -1: a whole row
  int64_t hessian_bytes =
      std::numeric_limits<int64_t>::max();  // of one stage at most; wider ones are cut (split_columns)
  int64_t trials = 0;                       // values of the damping that are tried on held-out text before one is taken
  int64_t tokens() const { return sequences * length; }
  // The second one is the original model's.
  int64_t streams() const { return solves && targets.any() ? 2 : 1; }
};

// How much of a stage a run computes.
enum class StagePart {
  kAll,
  kForward,    // its forward pass, in all streams
  kOneStream,  // its forward pass where both streams are still the same, and only one is computed
  kNothing,
};
using StageParts = std::vector<std::vector<StagePart>>;  // by layer and stage; empty: all of everything
StagePart part_of(const StageParts& parts, size_t layer, size_t stage);

Work quantize_work(const ModelShapes& model, const QuantizeSize& size, const StageParts& parts = {});

// One forward pass over `sequences` windows of `length` tokens, logits of every token included.
Work evaluation_work(const ModelShapes& model, int64_t sequences, int64_t length);

// Pairs of a query and a key that causal attention looks at in one sequence; a window of 0 sees everything before it.
double attention_pairs(int64_t length, int64_t window);

// How a stage sums the drift of its input with two streams (quant/target.h).
enum class DriftSum {
  kNone,
  kInput,   // [in, in], once for all linears that share the input
  kOutput,  // [out, in], of the one linear that writes into the residual stream
};
DriftSum drift_sum(const StageShape& stage, const QuantizeSize& size);
// Whether that of the output is summed behind the linear in a run in float32 (ResidualDrift).
bool is_summed_behind(const StageShape& stage, const QuantizeSize& size);

// The diagonal blocks of its Hessian.
std::vector<ColumnRange> hessian_blocks(const StageShape& stage, const QuantizeSize& size);

// Weights of the linears of a stage, of one copy, biases not counted.
double stage_weights(const StageShape& stage);
// Multiplications of one pass of all tokens through the attention of a layer, of all sequences.
double attention_products(const PlannedLayer& layer, int64_t sequences, int64_t length);

}  // namespace hesse
