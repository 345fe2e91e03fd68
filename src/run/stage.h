// One stage of a layer: from what was collected in front of it to solved linears and their records.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hesse/events.h"
#include "model/block.h"
#include "quant/held_out.h"
#include "quant/prepared.h"
#include "quant/spec.h"
#include "run/collect.h"
#include "run/job.h"

namespace hesse {

struct PreparedStage {
  std::vector<PreparedHessian> hessians;      // one for each range of columns
  std::vector<HeldOutErrors> held_out;        // one for each linear; -1 where nothing was held out
  std::vector<Matrix<float>> targets;         // [out, in] one for each linear
  double damping_by_data = kStandardDamping;  // of the linears that leave it to the held-out text
};

// Chooses the damping where it is left to the data, measures the held-out errors, shifts the targets, and factors the
// sum of all Hessians. The Hessians of `collected` are used up. Error(kInternal) when a target is not finite.
PreparedStage prepare_stage(const Job& job, int64_t layer, const Block::Stage& stage, Collected& collected);

struct SolvedLinear {
  LinearRecord record;                    // all but the time and the outputs
  std::optional<QuantizedLinear> packed;  // none: the linear stays as it is
  double energy = 0;                      // of its outputs, that the relative errors of the record are shares of
};

// Linear `index` of the stage, towards its target. The Hessians are prepared again where it wants them otherwise than
// the one before.
SolvedLinear solve_in_stage(const Job& job, int64_t layer, const Block::Stage& stage, size_t index,
                            const Collected& collected, PreparedStage& prepared);

// One that is not quantized: status kSkipped.
SolvedLinear skip_linear(const Job& job, int64_t layer, const Linear& linear);

// Without calibration text: weights only.
SolvedLinear solve_alone(const Job& job, int64_t layer, const Linear& linear);

}  // namespace hesse
