// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv:2210.17323) in feedback form: one factor, no inverse.
#pragma once

#include "quant/grid.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// weight [out, in]; `prepared` must be factored. Static groups: the grid comes from the original weights, so any column
// order gives a plain file.
QuantizedLinear solve_gptq(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GridOptions& options);

}  // namespace hesse
