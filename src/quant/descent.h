// After GPTQ: descent over codes and scales, group by group, on the same objective tr(E (H + lambda I) E^T).
#pragma once

#include <algorithm>
#include <cstdint>

#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// Tiles of kSolverRows rows that are worked on side by side, group by group: what they read of H is made once for them.
constexpr int64_t tiles_together(int64_t threads) { return std::max<int64_t>(32, 2 * threads); }

// Changes codes, scales and zero points of `linear` (solved from weight [out, in]) in place, options.sweeps times over
// all groups. Each group in turn, all others being fixed:
//   is solved again with a joint search, and the answer taken where it is better (groups up to kWidestJointGroup, in
//   the first two sweeps);
//   moves its scale to the optimum for its codes, rounded to half;
//   moves each code to the optimum for all others (coordinate descent).
// No step raises the objective of any row, except by rounding (quant/gradient.h).
void descend(MatrixView<const float> weight, const PreparedHessian& prepared, const GptqOptions& options,
             QuantizedLinear& linear);

}  // namespace hesse
