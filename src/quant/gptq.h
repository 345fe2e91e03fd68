// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2022, arXiv:2210.17323) in feedback form: one factor, no inverse.
#pragma once

#include <cstdint>

#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

constexpr int64_t kSolverRows = 64;  // of a linear that one thread solves side by side, at most
// As many as leave no thread idle at the end of a linear of `out` rows: a multiple of kFeedbackLanes.
int64_t solver_rows(int64_t out, int64_t threads);

// weight [out, in]; `prepared` must be factored, with groups of the spec's width when its order is kGroups. No option
// of the order shows in the file: groups are contiguous and every column is multiplied by the scale of its group.
QuantizedLinear solve_gptq(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GptqOptions& options);

}  // namespace hesse
