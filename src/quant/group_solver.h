// One group of one row, in feedback form (docs/ALGORITHM.md, "Joint search"): the grid and the codes together.
#pragma once

#include <cstdint>
#include <vector>

#include "base/matrix.h"
#include "quant/grid.h"
#include "quant/options.h"
#include "quant/spec.h"

namespace hesse {

// Joint search costs width^2 a row and candidate: beyond this width the best grid of the ranking is taken as it is.
constexpr int64_t kWidestJointGroup = 256;

// The block of a factor R that belongs to a group, as the solver reads it; shared by all rows.
struct GroupBlock {
  Matrix<double> lower;           // [width, width] R^T; empty beyond kWidestJointGroup
  std::vector<float> importance;  // [width] R_kk^2 over the largest

  explicit GroupBlock(MatrixView<const double> upper);  // [width, width] R
  int64_t width() const { return static_cast<int64_t>(importance.size()); }
};

struct GroupChoice {
  float scale = kSmallestScale;
  int zero = 1;
  double loss = 0;  // sum over the group of R_kk^2 (t_k - q_k)^2
};

// Holds scratch memory: one for each thread.
class GroupSolver {
 public:
  GroupSolver(const LinearSpec& spec, const GptqOptions& options);

  // w [width] weights, f [width] feedback of earlier columns (nullptr: zeros), t [width] = w + f R^-1, the values that
  // would cost nothing. Ranks the grids by sum R_kk^2 (t_k - q_k)^2, solves the group on the first joint_candidates of
  // them and takes the least loss. error [width] receives w - q. The group is at most kWidestJointGroup wide.
  GroupChoice solve(const GroupBlock& block, const double* w, const double* f, const double* t, double* error);

  // The first of the ranking alone; nothing is solved.
  GroupChoice best_grid(const GroupBlock& block, const double* t);

 private:
  void rank(const GroupBlock& block, const double* t);
  void spread(int64_t candidates, const GroupBlock& block, const double* w, const double* f);

  LinearSpec spec_;
  GridOptions grid_;
  std::vector<RankedGrid> ranked_;             // [joint_candidates]
  std::vector<float> values_;                  // [width] t
  int64_t lanes_ = 0;                          // candidates side by side, rounded up
  std::vector<double> w_, f_, error_;          // [width, lanes]
  std::vector<double> scale_, zero_, losses_;  // [lanes]
};

}  // namespace hesse
