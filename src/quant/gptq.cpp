// The whole algorithm on one page. With H + lambda I = R R^T, R upper, columns k in solving order, and for each row of
// W
//
//     t_k = w_k + (sum over i < k of e_i R_ik) / R_kk,   q_k = grid(t_k),   e_k = w_k - q_k
//
// t_k is the value that makes the k-th component of E R vanish, so that rounding it costs R_kk^2 (t_k - q_k)^2 and no
// more (docs/ALGORITHM.md, "Feedback form"). W is never changed: e_k is the true error of the weight.
// Rows are independent. A tile of rows is kept transposed, a column side by side over the rows; the errors of earlier
// blocks of columns reach a block through one matrix product, those inside the block one by one.
#include "quant/gptq.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "kernels/feedback_kernel.h"
#include "linalg/factor.h"
#include "linalg/gemm.h"
#include "quant/descent.h"
#include "quant/group_solver.h"

namespace hesse {
namespace {

constexpr int64_t kBlockColumns = 64;
static_assert(kSolverRows % kFeedbackLanes == 0);

// Columns [begin, begin + width) in solving order: those of one group.
struct Segment {
  int64_t begin;
  int64_t width;
  int64_t group;
};

class TileSolver {
 public:
  TileSolver(MatrixView<const float> weight, const PreparedHessian& prepared, const LinearSpec& spec,
             const GptqOptions& options, QuantizedLinear& result, int64_t first_row, int64_t lanes)
      : weight_(weight),
        r_(prepared.factor()),
        order_(prepared.order),
        spec_(spec),
        group_solver_(spec, options),
        result_(result),
        first_row_(first_row),
        lanes_(lanes),
        rows_(std::min(lanes, weight.rows - first_row)),
        w_(Matrix<double>::zeros(weight.cols, lanes)),
        error_(Matrix<double>::zeros(weight.cols, lanes)) {
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t k = 0; k < weight.cols; ++k)
        w_(k, row) = static_cast<double>(weight(first_row + row, order_[static_cast<size_t>(k)]));
    }
  }

  // Scales are in `result` already.
  void solve_on_grid(int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kBlockColumns)
      solve_block(first, std::min(kBlockColumns, end - first));
  }

  // Scales are found here, when the feedback of all earlier groups is known.
  void solve_group(const Segment& segment, const GroupBlock& block) {
    const Matrix<double> feedback = feedback_of(segment.begin, segment.width);
    Matrix<double> free = feedback.clone();  // [width, rows] t, were nothing in the group rounded
    solve_transposed(r_.block(segment.begin, segment.begin, segment.width, segment.width), free.view());
    const double* weights = w_.row(segment.begin);
    for (int64_t i = 0; i < free.size(); ++i) free.data()[i] += weights[i];
    const bool jointly = segment.width <= kWidestJointGroup;
    if (jointly) {
      const GroupRows rows{rows_, w_.view().row_range(segment.begin, segment.width), feedback.view(), free.view()};
      const auto choices = group_solver_.solve(block, rows, error_.view().row_range(segment.begin, segment.width));
      for (int64_t row = 0; row < rows_; ++row) store_grid(segment.group, row, choices[static_cast<size_t>(row)]);
      return;
    }
    for (int64_t row = 0; row < rows_; ++row)
      store_grid(segment.group, row, group_solver_.best_grid(block, free.view(), row));
    solve_on_grid(segment.begin, segment.begin + segment.width);
  }

  void store_codes() const {
    for (int64_t row = 0; row < rows_; ++row) {
      const int64_t o = first_row_ + row;
      for (int64_t k = 0; k < weight_.cols; ++k) {
        const int64_t column = order_[static_cast<size_t>(k)];
        const int64_t g = column / spec_.group_width(weight_.cols);
        const double steps = (w_(k, row) - error_(k, row)) / static_cast<double>(result_.scales(g, o));
        result_.codes(o, column) = to_code(std::nearbyint(steps) + result_.zeros(g, o), spec_.max_code());
      }
    }
  }

 private:
  void store_grid(int64_t group, int64_t row, const GroupChoice& choice) {
    result_.scales(group, first_row_ + row) = choice.scale;
    result_.zeros(group, first_row_ + row) = static_cast<uint8_t>(choice.zero);
  }

  // [width, rows] sum over i < begin of e_i R_ik.
  Matrix<double> feedback_of(int64_t begin, int64_t width) const {
    Matrix<double> feedback = Matrix<double>::zeros(width, lanes_);
    gemm_tn_add(r_.block(0, begin, begin, width), error_.view().row_range(0, begin), feedback.view());
    return feedback;
  }

  void solve_block(int64_t begin, int64_t width) {
    const Matrix<double> feedback = feedback_of(begin, width);
    Matrix<double> lower(width, width);
    Matrix<double> scale(width, lanes_), zero(width, lanes_);
    for (int64_t k = 0; k < width; ++k) {
      for (int64_t i = 0; i <= k; ++i) lower(k, i) = r_(begin + i, begin + k);
      const int64_t group = order_[static_cast<size_t>(begin + k)] / spec_.group_width(weight_.cols);
      for (int64_t row = 0; row < lanes_; ++row) {
        const int64_t o = first_row_ + std::min(row, rows_ - 1);
        scale(k, row) = static_cast<double>(result_.scales(group, o));
        zero(k, row) = result_.zeros(group, o);
      }
    }
    feedback_block(FeedbackBlock<double>{.lower = lower.data(),
                                         .stride = width,
                                         .width = width,
                                         .lanes = lanes_,
                                         .w = w_.row(begin),
                                         .f = feedback.data(),
                                         .scale = scale.data(),
                                         .zero = zero.data(),
                                         .grid_stride = lanes_,
                                         .top = static_cast<double>(spec_.max_code()),
                                         .error = error_.row(begin),
                                         .loss = nullptr});
  }

  MatrixView<const float> weight_;
  MatrixView<const double> r_;
  const std::vector<int32_t>& order_;
  const LinearSpec& spec_;
  GroupSolver group_solver_;
  QuantizedLinear& result_;
  int64_t first_row_;
  int64_t lanes_;  // of which rows_ are rows of the weight
  int64_t rows_;
  Matrix<double> w_;      // [in, rows] weights, in solving order
  Matrix<double> error_;  // [in, rows] e, in solving order
};

std::vector<Segment> segments_of(const std::vector<int32_t>& order, int64_t group_width) {
  std::vector<Segment> segments;
  for (int64_t k = 0; k < static_cast<int64_t>(order.size()); ++k) {
    const int64_t group = order[static_cast<size_t>(k)] / group_width;
    if (segments.empty() || segments.back().group != group) segments.push_back({k, 0, group});
    ++segments.back().width;
  }
  const int64_t groups = ceil_div(static_cast<int64_t>(order.size()), group_width);
  if (static_cast<int64_t>(segments.size()) != groups) {
    throw Error(ErrorKind::kInternal, fmt::format("[gptq] the order of the columns cuts {} groups of {} into {} parts",
                                                  groups, group_width, segments.size()));
  }
  return segments;
}

}  // namespace

int64_t solver_rows(int64_t out, int64_t threads) {
  constexpr int64_t kOverhead = kFeedbackLanes / 2;  // what a tile costs besides its rows, in rows
  int64_t best = kSolverRows, least = std::numeric_limits<int64_t>::max();
  for (int64_t rows = kSolverRows; rows > 0; rows -= kFeedbackLanes) {
    const int64_t rounds = ceil_div(ceil_div(out, rows), threads);
    if (rounds * (rows + kOverhead) >= least) continue;
    least = rounds * (rows + kOverhead);
    best = rows;
  }
  return best;
}

QuantizedLinear solve_gptq(MatrixView<const float> weight, const PreparedHessian* prepared, const LinearSpec& spec,
                           const GptqOptions& options) {
  const int64_t width = spec.group_width(weight.cols);
  const bool known_grid = prepared->kind == ColumnOrder::kActivation;
  Grid grid{Matrix<float>(spec.groups(weight.cols), weight.rows),
            Matrix<uint8_t>(spec.groups(weight.cols), weight.rows)};
  if (known_grid) grid = find_grid(weight, prepared->importance, spec, options.grid);
  QuantizedLinear result{spec, Matrix<uint8_t>(weight.rows, weight.cols), std::move(grid.scales), std::move(grid.zeros),
                         contiguous_groups(weight.cols, width)};
  const std::vector<Segment> segments = known_grid ? std::vector<Segment>() : segments_of(prepared->order, width);
  std::vector<GroupBlock> blocks;
  for (const Segment& s : segments) blocks.emplace_back(prepared->factor().block(s.begin, s.begin, s.width, s.width));
  const int64_t lanes = solver_rows(weight.rows, threads());
  parallel_for(ceil_div(weight.rows, lanes), [&](int64_t tile) {
    TileSolver solver(weight, *prepared, spec, options, result, tile * lanes, lanes);
    if (known_grid) {
      solver.solve_on_grid(0, weight.cols);
    } else {
      for (size_t i = 0; i < segments.size(); ++i) solver.solve_group(segments[i], blocks[i]);
    }
    solver.store_codes();
  });
  if (options.sweeps > 0) descend(weight, *prepared, options, result);
  return result;
}

}  // namespace hesse
