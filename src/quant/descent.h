// After GPTQ: descent over codes and scales, group by group, on the same objective tr(E (H + lambda I) E^T).
#pragma once

#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// Changes codes, scales and zero points of `linear` (solved from weight [out, in]) in place, options.sweeps times over
// all groups. Each group in turn, all others being fixed:
//   is solved again with a joint search, and the answer taken where it is better (groups up to kWidestJointGroup, in
//   the first two sweeps);
//   moves its scale to the optimum for its codes, rounded to half;
//   moves each code to the optimum for all others (coordinate descent).
// No step raises the objective of any row, except by rounding in float64.
void descend(MatrixView<const float> weight, const PreparedHessian& prepared, const GptqOptions& options,
             QuantizedLinear& linear);

}  // namespace hesse
