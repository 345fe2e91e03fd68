// Round to nearest: the baseline, and what a linear falls back to.
#pragma once

#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// `prepared` may be nullptr; with kWeighted its importance weighs the search, else all inputs count alike.
QuantizedLinear solve_rtn(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                          const GptqOptions& options);

}  // namespace hesse
