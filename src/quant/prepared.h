// What one Hessian gives to all linears that share it: the order of the columns, the factor and its pivots.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "quant/hessian.h"

namespace hesse {

struct PrepareOptions {
  double damping = 0.01;  // lambda / mean diag(H)
  bool act_order = true;  // columns by falling diag(H); else in the order of the file
};

struct PreparedHessian {
  Hessian hessian;                // as collected; E H E^T is measured with it
  std::vector<int32_t> order;     // [in] order[k] is the k-th column to be solved
  Matrix<double> factor;          // [in, in] upper R in solving order, H + lambda I = R R^T; empty after a fallback
  std::vector<float> importance;  // [in] in file order: R_kk^2 over the largest, or diag(H) likewise after a fallback
  double damping = 0;             // lambda / mean diag(H) that was used
  int factorizations = 0;
  int64_t failed_minor = 0;   // at the first failure; 0: none
  int64_t dead_channels = 0;  // H_ii = 0

  explicit PreparedHessian(Hessian h) : hessian(std::move(h)) {}
  bool factored() const { return !factor.empty(); }
};

// Orders and factors. A failed factorization is tried again with ten times the lambda, up to kMaxFactorizations in all;
// then the result has no factor and the solver rounds to nearest. `hessian` must be finished and finite.
constexpr int kMaxFactorizations = 5;
PreparedHessian prepare_hessian(Hessian hessian, const PrepareOptions& options);

}  // namespace hesse
