#include "quant/group_solver.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "kernels/feedback_kernel.h"

namespace hesse {

GroupBlock::GroupBlock(MatrixView<const double> upper) : importance(static_cast<size_t>(upper.rows)) {
  const int64_t n = upper.rows;
  double largest = 0;
  for (int64_t k = 0; k < n; ++k) largest = std::max(largest, upper(k, k));
  for (int64_t k = 0; k < n; ++k) {
    const double share = upper(k, k) / largest;
    importance[static_cast<size_t>(k)] = static_cast<float>(share * share);
  }
  if (n > kWidestJointGroup) return;
  std::frexp(largest, &exponent);
  lower = Matrix<double>(n, n);
  scaled_lower = Matrix<float>(n, n);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t i = 0; i <= k; ++i) {
      lower(k, i) = upper(i, k);
      scaled_lower(k, i) = static_cast<float>(std::ldexp(upper(i, k), -exponent));
    }
  }
}

GroupSolver::GroupSolver(const LinearSpec& spec, const GptqOptions& options)
    : spec_(spec),
      grid_(options.grid),
      copies_(ceil_div(options.joint_candidates, kFeedbackLanes) * kFeedbackLanes),
      ranked_(static_cast<size_t>(options.joint_candidates)) {}

void GroupSolver::rank(const GroupBlock& block, MatrixView<const double> t, int64_t row) {
  values_.resize(static_cast<size_t>(block.width()));
  for (int64_t k = 0; k < block.width(); ++k) values_[static_cast<size_t>(k)] = static_cast<float>(t(k, row));
  best_grids(values_, block.importance, spec_, grid_, ranked_);
}

GroupChoice GroupSolver::best_grid(const GroupBlock& block, MatrixView<const double> t, int64_t row) {
  rank(block, t, row);
  return {ranked_.front().scale, ranked_.front().zero};
}

// The ranked grids become the lanes of `slot`; lanes beyond them repeat the last.
void GroupSolver::put_candidates(int64_t slot) {
  RankedGrid* lanes = candidates_.data() + slot * copies_;
  for (int64_t lane = 0; lane < copies_; ++lane) {
    const bool ranked = lane < static_cast<int64_t>(ranked_.size()) && ranked_[static_cast<size_t>(lane)].error >= 0;
    lanes[lane] = (ranked || lane == 0) ? ranked_[static_cast<size_t>(lane)] : lanes[lane - 1];
  }
}

// Weights, feedback and grids of one row in float32, in units of powers of two in which they are about 1: their ratios
// stay exact, and no square overflows.
void GroupSolver::put_row(const GroupBlock& block, const GroupRows& rows, int64_t row, int64_t slot) {
  const int64_t slots = static_cast<int64_t>(candidates_.size()) / copies_;
  double largest = 0;
  for (int64_t k = 0; k < block.width(); ++k) largest = std::max(largest, std::abs(rows.t(k, row)));
  int exponent = 0;
  std::frexp(largest, &exponent);
  const double unit = std::ldexp(1.0, -exponent), unit_of_feedback = std::ldexp(1.0, -exponent - block.exponent);
  for (int64_t k = 0; k < block.width(); ++k) {
    const size_t at = static_cast<size_t>(k * slots + slot);
    w_[at] = static_cast<float>(rows.w(k, row) * unit);
    f_[at] = rows.f.data != nullptr ? static_cast<float>(rows.f(k, row) * unit_of_feedback) : 0.0f;
  }
  for (int64_t lane = slot * copies_; lane < (slot + 1) * copies_; ++lane) {
    const RankedGrid& grid = candidates_[static_cast<size_t>(lane)];
    scale_[static_cast<size_t>(lane)] = static_cast<float>(static_cast<double>(grid.scale) * unit);
    zero_[static_cast<size_t>(lane)] = static_cast<float>(grid.zero);
  }
}

// The candidates of rows [first, first + count), all rows at once.
void GroupSolver::judge(const GroupBlock& block, const GroupRows& rows, int64_t first, int64_t count) {
  const int64_t lanes = count * copies_;
  for (std::vector<float>* v : {&scale_, &zero_}) v->resize(static_cast<size_t>(lanes));
  for (std::vector<float>* v : {&w_, &f_}) v->resize(static_cast<size_t>(block.width() * count));
  candidates_.resize(static_cast<size_t>(lanes));
  error_.resize(static_cast<size_t>(block.width() * lanes));
  losses_.assign(static_cast<size_t>(lanes), 0.0f);
  for (int64_t slot = 0; slot < count; ++slot) {
    rank(block, rows.t, first + slot);
    put_candidates(slot);
    put_row(block, rows, first + slot, slot);
  }
  if (ranked_.size() > 1) {
    feedback_block(FeedbackBlock<float>{.lower = block.scaled_lower.data(),
                                        .stride = block.width(),
                                        .width = block.width(),
                                        .lanes = lanes,
                                        .copies = copies_,
                                        .w = w_.data(),
                                        .f = f_.data(),
                                        .scale = scale_.data(),
                                        .zero = zero_.data(),
                                        .grid_stride = 0,
                                        .top = static_cast<float>(spec_.max_code()),
                                        .error = error_.data(),
                                        .loss = losses_.data()});
  }
  for (int64_t slot = 0; slot < count; ++slot) {
    int64_t best = slot * copies_;  // of the ranking, should float32 not reach
    for (int64_t lane = best + 1; lane < (slot + 1) * copies_; ++lane) {
      if (losses_[static_cast<size_t>(lane)] < losses_[static_cast<size_t>(best)]) best = lane;
    }
    const RankedGrid& grid = candidates_[static_cast<size_t>(best)];
    choices_.push_back({grid.scale, grid.zero});
  }
}

void GroupSolver::solve_on_choices(const GroupBlock& block, const GroupRows& rows, MatrixView<double> error) {
  const size_t lanes = static_cast<size_t>(error.cols);
  chosen_scale_.assign(lanes, 1.0);  // of lanes that are not used
  chosen_zero_.assign(lanes, 0.0);
  chosen_loss_.assign(lanes, 0.0);
  for (size_t row = 0; row < choices_.size(); ++row) {
    chosen_scale_[row] = static_cast<double>(choices_[row].scale);
    chosen_zero_[row] = choices_[row].zero;
  }
  feedback_block(FeedbackBlock<double>{.lower = block.lower.data(),
                                       .stride = block.width(),
                                       .width = block.width(),
                                       .lanes = error.cols,
                                       .w = rows.w.data,
                                       .f = rows.f.data,
                                       .scale = chosen_scale_.data(),
                                       .zero = chosen_zero_.data(),
                                       .grid_stride = 0,
                                       .top = static_cast<double>(spec_.max_code()),
                                       .error = error.data,
                                       .loss = chosen_loss_.data()});
  for (size_t row = 0; row < choices_.size(); ++row) choices_[row].loss = chosen_loss_[row];
}

std::span<const GroupChoice> GroupSolver::solve(const GroupBlock& block, const GroupRows& rows,
                                                MatrixView<double> error) {
  constexpr int64_t kLanesTogether = 64;
  const int64_t together = std::max<int64_t>(1, kLanesTogether / copies_);
  choices_.clear();
  for (int64_t first = 0; first < rows.rows; first += together)
    judge(block, rows, first, std::min(together, rows.rows - first));
  solve_on_choices(block, rows, error);
  return choices_;
}

}  // namespace hesse
