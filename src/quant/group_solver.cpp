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
  lower = Matrix<double>(n, n);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t i = 0; i <= k; ++i) lower(k, i) = upper(i, k);
  }
}

GroupSolver::GroupSolver(const LinearSpec& spec, const GptqOptions& options)
    : spec_(spec), grid_(options.grid), ranked_(static_cast<size_t>(options.joint_candidates)) {
  const size_t most = ranked_.size() + kFeedbackLanes;
  for (std::vector<double>* v : {&scale_, &zero_, &losses_}) v->resize(most);
}

void GroupSolver::rank(const GroupBlock& block, const double* t) {
  values_.resize(static_cast<size_t>(block.width()));
  std::transform(t, t + block.width(), values_.begin(), [](double value) { return static_cast<float>(value); });
  best_grids(values_, block.importance, spec_, grid_, ranked_);
}

GroupChoice GroupSolver::best_grid(const GroupBlock& block, const double* t) {
  rank(block, t);
  return {ranked_.front().scale, ranked_.front().zero};
}

// The same row in every lane, each with its own grid; lanes beyond the candidates repeat the last.
void GroupSolver::spread(int64_t candidates, const GroupBlock& block, const double* w, const double* f) {
  lanes_ = ceil_div(candidates, kFeedbackLanes) * kFeedbackLanes;
  for (int64_t lane = 0; lane < lanes_; ++lane) {
    const RankedGrid& grid = ranked_[static_cast<size_t>(std::min(lane, candidates - 1))];
    scale_[static_cast<size_t>(lane)] = static_cast<double>(grid.scale);
    zero_[static_cast<size_t>(lane)] = grid.zero;
    losses_[static_cast<size_t>(lane)] = 0;
  }
  for (std::vector<double>* v : {&w_, &f_, &error_}) v->resize(static_cast<size_t>(block.width() * lanes_));
  for (int64_t k = 0; k < block.width(); ++k) {
    std::fill_n(w_.data() + k * lanes_, lanes_, w[k]);
    std::fill_n(f_.data() + k * lanes_, lanes_, f != nullptr ? f[k] : 0.0);
  }
}

GroupChoice GroupSolver::solve(const GroupBlock& block, const double* w, const double* f, const double* t,
                               double* error) {
  rank(block, t);
  const auto none = std::find_if(ranked_.begin(), ranked_.end(), [](const RankedGrid& g) { return g.error < 0; });
  const int64_t candidates = none - ranked_.begin();
  spread(candidates, block, w, f);
  feedback_block({.lower = block.lower.data(),
                  .stride = block.width(),
                  .width = block.width(),
                  .lanes = lanes_,
                  .w = w_.data(),
                  .f = f_.data(),
                  .scale = scale_.data(),
                  .zero = zero_.data(),
                  .grid_stride = 0,
                  .top = static_cast<double>(spec_.max_code()),
                  .error = error_.data(),
                  .loss = losses_.data()});
  const int64_t best = std::min_element(losses_.begin(), losses_.begin() + candidates) - losses_.begin();
  for (int64_t k = 0; k < block.width(); ++k) error[k] = error_[static_cast<size_t>(k * lanes_ + best)];
  const RankedGrid& grid = ranked_[static_cast<size_t>(best)];
  return {grid.scale, grid.zero, losses_[static_cast<size_t>(best)]};
}

}  // namespace hesse
