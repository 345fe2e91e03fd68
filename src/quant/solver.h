// THE TABLE of solvers: from weights and a prepared Hessian to codes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/matrix.h"
#include "quant/grid.h"
#include "quant/prepared.h"
#include "quant/spec.h"

namespace hesse {

// What arithmetic says about one solved linear. Losses are tr(E H E^T) with E = W - Q of the codes and scales as they
// are stored; -1 when there was no Hessian.
struct SolveOutcome {
  QuantizedLinear linear;
  bool fallback = false;  // rounded to nearest because the Hessian could not be factored
  double loss = -1;
  double rtn_loss = -1;  // of round-to-nearest on min/max grids
  double energy = -1;    // tr(W H W^T)
  double clip_rate = 0;
};

struct Solver {
  std::string_view name;
  bool needs_hessian;
  // weight [out, in], finite. `prepared` may be nullptr when needs_hessian is false.
  QuantizedLinear (*solve)(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GridOptions& options);
};

std::span<const Solver> solvers();
const Solver& solver(std::string_view name);  // Error(kUsage) lists the known ones

// Solves, falls back to round-to-nearest when there is no factor, and measures the losses.
SolveOutcome solve_linear(const Solver& solver, MatrixView<const float> weight, const PreparedHessian* prepared,
                          const LinearSpec& spec, const GridOptions& options);

// tr(E H E^T) for E [out, in] and symmetric H [in, in], in float64.
double quadratic_loss(MatrixView<const float> error, const Matrix<double>& h);

}  // namespace hesse
