// One group of one row, in feedback form (docs/ALGORITHM.md, "Joint search"): the grid and the codes together.
#pragma once

#include <cstdint>
#include <span>
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
  Matrix<double> lower;        // [width, width] R^T; empty beyond kWidestJointGroup
  Matrix<float> scaled_lower;  // [width, width] R^T 2^-exponent, about 1
  int exponent = 0;
  std::vector<float> importance;  // [width] R_kk^2 over the largest

  explicit GroupBlock(MatrixView<const double> upper);  // [width, width] R
  int64_t width() const { return static_cast<int64_t>(importance.size()); }
};

struct GroupChoice {
  float scale = kSmallestScale;
  int zero = 1;
  double loss = 0;  // sum over the group of R_kk^2 (t_k - q_k)^2
};

// Some rows side by side, a column of the group after the other: element (k, row) of [width, lanes], of which the first
// `rows` lanes are used. lanes is a multiple of kFeedbackLanes.
struct GroupRows {
  int64_t rows;
  MatrixView<const double> w;  // [width, lanes] weights
  MatrixView<const double> f;  // [width, lanes] feedback of earlier columns; no data: zeros
  MatrixView<const double> t;  // [width, lanes] w + f R^-1, the values that would cost nothing
};

// Holds scratch memory: one for each thread.
class GroupSolver {
 public:
  GroupSolver(const LinearSpec& spec, const GptqOptions& options);

  // For each row: ranks the grids by sum R_kk^2 (t_k - q_k)^2, judges the first joint_candidates of them by the loss of
  // the group solved on each, in float32, and solves the group on the best. error [width, lanes] receives w - q. The
  // group is at most kWidestJointGroup wide. The choices are valid until the next call.
  std::span<const GroupChoice> solve(const GroupBlock& block, const GroupRows& rows, MatrixView<double> error);

  // The first of the ranking alone; nothing is solved.
  GroupChoice best_grid(const GroupBlock& block, MatrixView<const double> t, int64_t row);

 private:
  void rank(const GroupBlock& block, MatrixView<const double> t, int64_t row);
  void put_candidates(int64_t slot);
  void put_row(const GroupBlock& block, const GroupRows& rows, int64_t row, int64_t slot);
  void judge(const GroupBlock& block, const GroupRows& rows, int64_t first, int64_t count);
  void solve_on_choices(const GroupBlock& block, const GroupRows& rows, MatrixView<double> error);

  LinearSpec spec_;
  GridOptions grid_;
  int64_t copies_;                                                // lanes of one row: its candidates, rounded up
  std::vector<RankedGrid> ranked_;                                // [joint_candidates]
  std::vector<RankedGrid> candidates_;                            // [lanes] of the rows that are judged together
  std::vector<GroupChoice> choices_;                              // [rows]
  std::vector<float> values_;                                     // [width] t
  std::vector<float> w_, f_;                                      // [width, rows that are judged together]
  std::vector<float> scale_, zero_, losses_;                      // [lanes]
  std::vector<float> error_;                                      // [width, lanes]
  std::vector<double> chosen_scale_, chosen_zero_, chosen_loss_;  // [lanes of the rows]
};

}  // namespace hesse
