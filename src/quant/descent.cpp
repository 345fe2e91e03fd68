// For a row with error e = w - q and gradient p = (H + lambda I) e, and a group g with steps c = code - zero:
//   again:  t = q + H_gg^-1 p_g, the group's free optimum; solved on the factor of H_gg
//   scale:  s <- s + c.p_g / c.H_gg c
//   codes:  q_j <- grid(q_j + p_j / H_jj), j in turn
// p follows every change: at once inside the group, for all other columns by one matrix product when the group is done.
#include "quant/descent.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/feedback_kernel.h"
#include "linalg/factor.h"
#include "quant/gptq.h"
#include "quant/gradient.h"
#include "quant/grid.h"
#include "quant/group_solver.h"

namespace hesse {
namespace {

constexpr int64_t kBlockColumns = 64;
constexpr int kSweepsSolvedAgain = 2;  // later sweeps find next to nothing by it (docs/DECISIONS.md, "Descent")

// A group of the file, and the factor of its own Hessian where it is to be solved again.
struct Group {
  int64_t index;
  int64_t first;  // column
  int64_t width;
  Matrix<double> factor;          // [width, width] upper R, H_gg + lambda I = R R^T; empty: not solved again
  std::vector<GroupBlock> block;  // of `factor`: one or none
};

// On and below the diagonal: h[first : first + count] of the rows and columns.
Matrix<double> lower_block(const SymmetricView& h, int64_t first, int64_t count) {
  Matrix<double> block(count, count);
  for (int64_t r = 0; r < count; ++r) {
    std::copy_n(h.lower.row(first + r) + first, r, block.row(r));
    block(r, r) = h.diagonal[static_cast<size_t>(first + r)];
  }
  return block;
}

std::vector<Group> groups_of(const SymmetricView& h, const LinearSpec& spec) {
  const int64_t in = static_cast<int64_t>(h.diagonal.size());
  const int64_t width = spec.group_width(in);
  std::vector<Group> groups;
  for (int64_t g = 0; g < spec.groups(in); ++g) {
    Group group{g, g * width, std::min(width, in - g * width), {}, {}};
    if (group.width <= kWidestJointGroup) {
      const Matrix<double> lower = lower_block(h, group.first, group.width);
      Matrix<double> factor(group.width, group.width);
      for (int64_t r = 0; r < group.width; ++r) {
        for (int64_t c = r; c < group.width; ++c) factor(r, c) = lower(c, r);
      }
      if (factor_upper(factor.view()).ok()) {
        group.block.emplace_back(factor.view());
        group.factor = std::move(factor);
      }
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

class TileDescent {
 public:
  TileDescent(MatrixView<const float> weight, const SymmetricView& h, const std::vector<double>& units,
              const GptqOptions& options, QuantizedLinear& linear, int64_t first_row, int64_t lanes)
      : h_(h),
        linear_(linear),
        solver_(linear.spec, options),
        first_row_(first_row),
        lanes_(lanes),
        weight_(weight.row_range(first_row, std::min(lanes, weight.rows - first_row))),
        rows_(weight_.rows),
        gradient_(weight_, units) {}

  // The part that the errors of the group have in p.
  void begin(const Group& group, const GradientPanel& panel) {
    read_values(group);
    Matrix<double> error = Matrix<double>::zeros(group.width, lanes_);
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t k = 0; k < group.width; ++k)
        error(k, row) = static_cast<double>(weight_(row, group.first + k)) - value_(k, row);
    }
    gradient_.add(panel, error.view());
  }

  void improve(const Group& group, const GradientPanel& panel, bool again) {
    read_values(group);
    local_ = Matrix<double>::zeros(group.width, lanes_);
    gradient_.read(group.first, local_.view());
    change_ = Matrix<double>::zeros(group.width, lanes_);
    changed_ = false;
    if (again && !group.block.empty()) solve_again(group);
    move_scales(group);
    for (int64_t first = 0; first < group.width; first += kBlockColumns)
      move_codes(group, first, std::min(kBlockColumns, group.width - first));
    if (changed_) gradient_.add(panel, change_.view());
  }

 private:
  float& scale_of(int64_t group, int64_t row) { return linear_.scales(group, first_row_ + row); }
  int steps_of(int64_t group, int64_t column, int64_t row) const {
    return linear_.codes(first_row_ + row, column) - linear_.zeros(group, first_row_ + row);
  }
  void read_values(const Group& group) {
    value_ = Matrix<double>::zeros(group.width, lanes_);
    for (int64_t row = 0; row < rows_; ++row) {
      const double scale = static_cast<double>(scale_of(group.index, row));
      for (int64_t k = 0; k < group.width; ++k) value_(k, row) = scale * steps_of(group.index, group.first + k, row);
    }
  }
  // Of column `k` of the group.
  void store_code(const Group& group, int64_t k, int64_t row) {
    const double steps = value_(k, row) / static_cast<double>(scale_of(group.index, row));
    linear_.codes(first_row_ + row, group.first + k) =
        to_code(std::nearbyint(steps) + linear_.zeros(group.index, first_row_ + row), linear_.spec.max_code());
  }

  // change [count, rows] of the error of the group's columns from `first` on.
  void apply(const Group& group, int64_t first, const Matrix<double>& change) {
    const double* from = change.data();
    if (std::all_of(from, from + change.size(), [](double c) { return c == 0; })) return;
    changed_ = true;
    double* value = value_.row(first);
    double* total = change_.row(first);
    for (int64_t i = 0; i < change.size(); ++i) {
      value[i] -= from[i];
      total[i] += from[i];
    }
    add_product(h_, group.first, group.first + first, change.view(), local_.view());
  }

  void solve_again(const Group& group) {
    Matrix<double> move = local_.clone();  // t - q = H_gg^-1 p
    solve_columns(group.factor.view(), move.view());
    Matrix<double> free(group.width, lanes_), miss(group.width, lanes_);  // t, t - q of the new codes
    for (int64_t i = 0; i < free.size(); ++i) free.data()[i] = value_.data()[i] + move.data()[i];
    const auto choices =
        solver_.solve(group.block.front(), {rows_, free.view(), MatrixView<const double>(), free.view()}, miss.view());
    Matrix<double> change = Matrix<double>::zeros(group.width, lanes_);
    for (int64_t row = 0; row < rows_; ++row) {
      double loss = 0;  // (t - q) H_gg (t - q)^T
      for (int64_t k = 0; k < group.width; ++k) loss += move(k, row) * local_(k, row);
      const GroupChoice& choice = choices[static_cast<size_t>(row)];
      if (!(choice.loss < loss)) continue;
      scale_of(group.index, row) = choice.scale;
      linear_.zeros(group.index, first_row_ + row) = static_cast<uint8_t>(choice.zero);
      for (int64_t k = 0; k < group.width; ++k) change(k, row) = miss(k, row) - move(k, row);
    }
    apply(group, 0, change);
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t k = 0; k < group.width; ++k) store_code(group, k, row);
    }
  }

  void move_scales(const Group& group) {
    Matrix<double> steps = Matrix<double>::zeros(group.width, lanes_);  // c
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t k = 0; k < group.width; ++k) steps(k, row) = steps_of(group.index, group.first + k, row);
    }
    Matrix<double> product = Matrix<double>::zeros(group.width, lanes_);  // H_gg c
    add_product(h_, group.first, group.first, steps.view(), product.view());
    for (int64_t row = 0; row < rows_; ++row) {
      double slope = 0, curvature = 0;
      for (int64_t k = 0; k < group.width; ++k) {
        slope += steps(k, row) * local_(k, row);
        curvature += steps(k, row) * product(k, row);
      }
      const double move = curvature > 0 ? move_scale(scale_of(group.index, row), slope, curvature) : 0.0;
      for (int64_t k = 0; k < group.width; ++k) steps(k, row) *= -move;  // now the change of the error
    }
    apply(group, 0, steps);
  }

  // To the minimum of s -> curvature s^2 - 2 slope s around `scale`, as far as a half allows. Returns the step taken.
  static double move_scale(float& scale, double slope, double curvature) {
    const float better = storable_scale(static_cast<float>(static_cast<double>(scale) + slope / curvature));
    const double step = static_cast<double>(better) - static_cast<double>(scale);
    const bool lower = step * (step * curvature - 2 * slope) < 0;
    if (!lower || std::signbit(better) != std::signbit(scale)) return 0;
    scale = better;
    return step;
  }

  void move_codes(const Group& group, int64_t first, int64_t count) {
    std::vector<double> scale(static_cast<size_t>(lanes_)), zero(static_cast<size_t>(lanes_));
    for (int64_t lane = 0; lane < lanes_; ++lane) {
      const int64_t row = std::min(lane, rows_ - 1);
      scale[static_cast<size_t>(lane)] = static_cast<double>(scale_of(group.index, row));
      zero[static_cast<size_t>(lane)] = linear_.zeros(group.index, first_row_ + row);
    }
    const int64_t column = group.first + first;
    const Matrix<double> lower = lower_block(h_, column, count);
    Matrix<double> change(count, lanes_);
    feedback_block(FeedbackBlock<double>{.lower = lower.data(),
                                         .stride = count,
                                         .width = count,
                                         .lanes = lanes_,
                                         .w = value_.row(first),
                                         .f = local_.row(first),
                                         .scale = scale.data(),
                                         .zero = zero.data(),
                                         .grid_stride = 0,
                                         .top = static_cast<double>(linear_.spec.max_code()),
                                         .error = change.data(),
                                         .loss = nullptr});
    apply(group, first, change);
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t k = first; k < first + count; ++k) store_code(group, k, row);
    }
  }

  const SymmetricView& h_;  // H + lambda I
  QuantizedLinear& linear_;
  GroupSolver solver_;
  int64_t first_row_;
  int64_t lanes_;                   // of which rows_ are rows of the weight
  MatrixView<const float> weight_;  // [rows, in]
  int64_t rows_;
  TileGradient gradient_;  // p, as it was when the present group began
  // Of the present group:
  Matrix<double> value_;   // [width, rows] q
  Matrix<double> local_;   // [width, rows] p
  Matrix<double> change_;  // [width, rows] of e, since it began
  bool changed_ = false;
};

}  // namespace

void descend(MatrixView<const float> weight, const PreparedHessian& prepared, const GptqOptions& options,
             QuantizedLinear& linear) {
  // Where eigenvalues had to be raised, H + lambda I has negative ones, and descent on it would run away.
  if (prepared.raised_to_floor > 0) return;
  SymmetricView h = prepared.h();
  for (double& value : h.diagonal) value += prepared.lambda;
  const std::vector<Group> groups = groups_of(h, linear.spec);
  const GradientPanels panels(h);
  const int64_t lanes = solver_rows(weight.rows, threads());
  const int64_t tiles = ceil_div(weight.rows, lanes);
  const int64_t together = tiles_together(threads());
  for (int64_t first = 0; first < tiles; first += together) {
    std::vector<std::unique_ptr<TileDescent>> batch(static_cast<size_t>(std::min(together, tiles - first)));
    const auto for_each_tile = [&](const auto& body) {
      parallel_for(std::ssize(batch), [&](int64_t t) { body(batch[static_cast<size_t>(t)], first + t); });
    };
    for_each_tile([&](auto& tile, int64_t number) {
      tile = std::make_unique<TileDescent>(weight, h, panels.units(), options, linear, number * lanes, lanes);
    });
    for (int sweep = -1; sweep < options.sweeps; ++sweep) {
      for (const Group& group : groups) {
        const GradientPanel panel = panels.panel(group.first, group.width);
        for_each_tile([&](auto& tile, int64_t) {
          if (sweep < 0) return tile->begin(group, panel);
          tile->improve(group, panel, sweep < kSweepsSolvedAgain);
        });
      }
    }
  }
}

}  // namespace hesse
