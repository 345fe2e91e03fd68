// THE TABLE of solvers: from weights and a prepared Hessian to codes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/matrix.h"
#include "quant/options.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// Which answer was taken.
enum class SolveRoute {
  kSolved,          // that of the solver
  kNoFactor,        // round-to-nearest, because the Hessian could not be factored
  kRoundingBetter,  // round-to-nearest, because the solver's loss came out above it
};

// What arithmetic says about one solved linear. Losses are tr(E H E^T) with E = W - Q of the codes and scales as they
// are stored, never below 0; -1 when there was no Hessian, or none that is finite.
struct SolveOutcome {
  QuantizedLinear linear;
  SolveRoute route = SolveRoute::kSolved;
  double loss = -1;
  double rtn_loss = -1;  // of round-to-nearest on min/max grids
  double energy = -1;    // tr(W H W^T)
  double clip_rate = 0;
  int64_t floored_scales = 0;  // groups with a weight that is not 0 whose scale stands at kSmallestScale
};

struct Solver {
  std::string_view name;
  bool needs_hessian;
  // weight [out, in], finite. `prepared` may be nullptr when needs_hessian is false.
  QuantizedLinear (*solve)(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GptqOptions& options);
};

std::span<const Solver> solvers();
const Solver& solver(std::string_view name);  // Error(kUsage) lists the known ones

// Solves and measures the losses. The result is never worse than round-to-nearest (the best of min/max and weighted
// scales) under the same Hessian: where it would be, or where there is no factor, rounding takes its place.
SolveOutcome solve_linear(const Solver& solver, MatrixView<const float> weight, const PreparedHessian* prepared,
                          const LinearSpec& spec, const GptqOptions& options);

}  // namespace hesse
