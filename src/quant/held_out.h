// What a linear would lose on text that the solver has not seen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// Relative errors tr(E H E^T) / tr(W H W^T) of some rows of a linear, solved with the Hessian of most of the
// calibration: under that Hessian, and under the one of the sequences that were kept out of it.
struct HeldOutErrors {
  double fit = -1;
  double held_out = -1;
};

constexpr int64_t kHeldOutRows = 32;  // spread evenly over the outputs
constexpr int64_t kHeldOutEvery = 5;  // one sequence in five is kept out

// weight [out, in]; `fit` must be factored, `held_out` finished.
HeldOutErrors held_out_errors(MatrixView<const float> weight, const PreparedHessian& fit, const Hessian& held_out,
                              const LinearSpec& spec, const GptqOptions& options);

// The damping of kDampings with the least held-out error, averaged over `weights`, all of which read this input. `fit`
// is factored in place and comes back as it was.
constexpr double kDampings[] = {0.001, 0.003, 0.01, 0.03, 0.1};
double best_damping(std::span<const MatrixView<const float>> weights, Hessian& fit, const Hessian& held_out,
                    const LinearSpec& spec, const GptqOptions& options);

}  // namespace hesse
