// What one Hessian gives to all linears that share it: the order of the columns, the factor, its pivots, and what they
// say about the calibration.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/matrix.h"
#include "quant/hessian.h"
#include "quant/options.h"

namespace hesse {

struct PrepareOptions {
  double damping = 0.01;  // lambda / mean diag(H)
  ColumnOrder order = ColumnOrder::kGroups;
  int64_t group_width = 128;  // for kGroups
  bool operator==(const PrepareOptions&) const = default;
};

// Why one layer is not like another.
struct HessianFacts {
  int64_t dead_channels = 0;       // H_ii = 0: these inputs were zero in every token
  int64_t duplicate_channels = 0;  // channels equal to one before them in every token
  double peak = 0;                 // largest / mean diag(H)
  int64_t effective_rank = 0;      // sum mu / (mu + lambda) over the eigenvalues mu of H, estimated from the factor
  double condition = 0;            // (largest / least R_kk)^2, a lower bound for the condition of H + lambda I
};

// H and the factor share one square: H below the diagonal, in file order; R on and above it, in solving order; diag(H)
// apart. So a stage needs 8 in^2 bytes, not 16.
class PreparedHessian {
 public:
  explicit PreparedHessian(Hessian h) : tokens(h.tokens), diagonal(h.diagonal()), square_(std::move(h.sum)) {}

  PrepareOptions asked;  // that it was prepared with
  int64_t tokens;
  std::vector<double> diagonal;  // [in] of H
  std::vector<int32_t> order;    // [in] order[k] is the k-th column to be solved
  ColumnOrder kind = ColumnOrder::kGroups;
  std::vector<float> importance;  // [in] in file order: R_kk^2 over the largest, or diag(H) likewise after a fallback
  double damping = 0;             // lambda / mean diag(H) that was used
  double lambda = 0;              // added to diag(H)
  int factorizations = 0;
  int64_t failed_minor = 0;     // at the first failure; 0: none
  int64_t raised_to_floor = 0;  // eigenvalues that the factor takes for larger than they are; 0 when none was needed
  HessianFacts facts;

  int64_t in() const { return square_.rows(); }
  SymmetricView h() const { return {square_.view(), diagonal}; }  // as collected; E H E^T is measured with it
  bool factored() const { return factored_; }
  // [in, in] R in the upper triangle, H + lambda I = R R^T in solving order. Only when factored().
  MatrixView<const double> factor() const { return square_.view(); }
  // The Hessian again; the factor is gone, and nothing else of this object may be used.
  Hessian release();

 private:
  friend class Preparation;
  Matrix<double> square_;  // [in, in]
  bool factored_ = false;
};

// Orders and factors. A failed factorization is tried again with ten times the lambda, up to kMaxFactorizations in all;
// then, up to kWidestEigenvalueFloor, all eigenvalues of H below lambda are raised to it. What still has no factor
// (values that are not finite) leaves the solver to round to nearest.
constexpr int kMaxFactorizations = 5;
constexpr int64_t kWidestEigenvalueFloor = 2048;
PreparedHessian prepare_hessian(Hessian hessian, const PrepareOptions& options);
// Once more, unless these are the options that it was prepared with.
void prepare_for(const PrepareOptions& options, PreparedHessian& prepared);

}  // namespace hesse
