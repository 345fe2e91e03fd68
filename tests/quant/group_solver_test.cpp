#include "quant/group_solver.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/feedback_kernel.h"
#include "kernels/grid_kernel.h"
#include "linalg/factor.h"
#include "quant/gptq.h"
#include "quant/solver_testing.h"

namespace hesse {
namespace {

// A group behind others: R, weights, feedback, and t = w + f R^-1.
struct Problem {
  Matrix<double> factor;  // [width, width] R
  std::vector<double> w, f, t;

  Problem(Rng& rng, int64_t width, bool with_feedback = true) : factor(width, width) {
    Hessian h = hessian_of(correlated_inputs(rng, 3 * width + 2, width).view());
    for (int64_t i = 0; i < width; ++i) h.sum(i, i) *= 1.02;
    factor = h.sum.clone();
    EXPECT_TRUE(factor_upper(factor.view()).ok());
    for (int64_t k = 0; k < width; ++k) {
      w.push_back(rng.normal());
      f.push_back(with_feedback ? 0.3 * std::sqrt(h.sum(k, k)) * rng.normal() : 0.0);
    }
    std::vector<double> y;  // f R^-1
    for (int64_t k = 0; k < width; ++k) {
      double sum = f[static_cast<size_t>(k)];
      for (int64_t i = 0; i < k; ++i) sum -= y[static_cast<size_t>(i)] * factor(i, k);
      y.push_back(sum / factor(k, k));
      t.push_back(w[static_cast<size_t>(k)] + y.back());
    }
  }
  int64_t width() const { return factor.rows(); }
};

struct Solved {
  GroupChoice choice;
  std::vector<double> error;
};

Matrix<double> in_lane(const std::vector<double>& row, int64_t lane) {
  Matrix<double> lanes(static_cast<int64_t>(row.size()), kFeedbackLanes);
  for (int64_t i = 0; i < lanes.size(); ++i) lanes.data()[i] = 0.25 * static_cast<double>(i % 7 - 3);
  for (size_t k = 0; k < row.size(); ++k) lanes(static_cast<int64_t>(k), lane) = row[k];
  return lanes;
}

// The problem in lane `lane`, behind other rows.
Solved solve_with(GroupSolver& solver, const Problem& p, bool with_feedback, int64_t lane = 0) {
  const Matrix<double> w = in_lane(p.w, lane), f = in_lane(p.f, lane), t = in_lane(p.t, lane);
  Matrix<double> error(p.width(), kFeedbackLanes);
  const GroupRows rows{lane + 1, w.view(), with_feedback ? f.view() : MatrixView<const double>(), t.view()};
  Solved solved{solver.solve(GroupBlock(p.factor.view()), rows, error.view())[static_cast<size_t>(lane)], {}};
  for (int64_t k = 0; k < p.width(); ++k) solved.error.push_back(error(k, lane));
  return solved;
}

struct Solution {
  double loss = 0;
  std::vector<double> error;
};

// docs/ALGORITHM.md, "Feedback form", word by word, in long double.
Solution textbook(const Problem& p, const RankedGrid& grid, int top) {
  Solution solution;
  long double loss = 0;
  for (int64_t k = 0; k < p.width(); ++k) {
    long double sum = p.f[static_cast<size_t>(k)];
    for (int64_t i = 0; i < k; ++i)
      sum += static_cast<long double>(solution.error[static_cast<size_t>(i)]) * p.factor(i, k);
    const long double w = p.w[static_cast<size_t>(k)], pivot = p.factor(k, k), t = w + sum / pivot;
    const long double steps = std::clamp<long double>(std::nearbyint(t / grid.scale), -grid.zero, top - grid.zero);
    const long double q = grid.scale * steps;
    solution.error.push_back(static_cast<double>(w - q));
    loss += pivot * pivot * (t - q) * (t - q);
  }
  solution.loss = static_cast<double>(loss);
  return solution;
}

std::vector<RankedGrid> ranking(const Problem& p, const LinearSpec& spec, size_t most) {
  const GroupBlock block(p.factor.view());
  std::vector<float> values;
  for (const double t : p.t) values.push_back(static_cast<float>(t));
  std::vector<RankedGrid> best(most);
  best_grids(values, block.importance, spec, {}, best);
  best.erase(std::find_if(best.begin(), best.end(), [](const RankedGrid& g) { return g.error < 0; }), best.end());
  return best;
}

constexpr int64_t kWidths[] = {1, 2, 7, 8, 31, 64, 65, 256};

template <class Body>
void for_each_spec(Body body) {
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) body(LinearSpec{.bits = bits, .group_size = -1, .symmetric = symmetric});
  }
}

TEST(GroupSolver, EqualsBruteForceOverTheCandidates) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  int cases = 0, misses = 0;
  for (const int64_t width : kWidths) {
    for_each_spec([&](const LinearSpec& spec) {
      for (const int joint : {1, 2, 7, 8, 9, 16, 70}) {
        SCOPED_TRACE(testing::Message() << width << " columns, " << spec.bits << " bits, joint " << joint);
        const bool with_feedback = rng.below(4) > 0;
        const Problem p(rng, width, with_feedback);
        double least = std::numeric_limits<double>::infinity(), first = -1;
        for (const RankedGrid& grid : ranking(p, spec, static_cast<size_t>(joint))) {
          const double loss = textbook(p, grid, spec.max_code()).loss;
          least = std::min(least, loss);
          if (first < 0) first = loss;
        }
        GroupSolver solver(spec, {.joint_candidates = joint});
        const auto [choice, error] = solve_with(solver, p, with_feedback, static_cast<int64_t>(rng.below(3)));
        // Loss and errors are those of the grid that is returned; a sum of squares, of values good to n units of
        // what they are made of (here at most some hundred times themselves).
        const Solution own = textbook(p, {choice.scale, choice.zero, 0}, spec.max_code());
        ASSERT_NEAR(choice.loss, own.loss, 1e-10 * own.loss + 1e-20);
        for (int64_t k = 0; k < width; ++k)
          ASSERT_NEAR(error[static_cast<size_t>(k)], own.error[static_cast<size_t>(k)], 1e-12);
        // The candidates are judged in float32, where a value in the middle between two steps may fall to the other
        // side: rarely the second best is taken.
        ++cases;
        ASSERT_GE(choice.loss, least * (1 - 1e-10) - 1e-20);
        ASSERT_LE(choice.loss, std::max(1.2 * least, first) * (1 + 1e-10) + 1e-20);
        misses += choice.loss > least * (1 + 1e-4) + 1e-20 ? 1 : 0;
      }
    });
  }
  EXPECT_LE(misses * 50, cases) << "the least loss was missed";
}

TEST(GroupSolver, OneCandidateIsTheBestGrid) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t width : kWidths) {
    for_each_spec([&](const LinearSpec& spec) {
      const Problem p(rng, width);
      const GroupBlock block(p.factor.view());
      GroupSolver one(spec, {.joint_candidates = 1}), many(spec, {.joint_candidates = 16});
      const GroupChoice solved = solve_with(one, p, true).choice;
      for (GroupSolver* solver : {&one, &many}) {
        const GroupChoice best = solver->best_grid(block, in_lane(p.t, 5).view(), 5);
        EXPECT_EQ(best.scale, solved.scale);
        EXPECT_EQ(best.zero, solved.zero);
      }
    });
  }
}

// The columns of each group in solving order, and the errors of all that were solved before them.
void expect_scales_from_free_values(const Matrix<float>& weight, const PreparedHessian& p, const LinearSpec& spec,
                                    const QuantizedLinear& solved) {
  const MatrixView<const double> r = p.factor();
  const int64_t in = weight.cols();
  for (int64_t row = 0; row < weight.rows(); ++row) {
    const std::vector<double> error = row_error(weight, solved, row);
    for (int64_t begin = 0; begin < in;) {
      const int64_t group = p.order[static_cast<size_t>(begin)] / spec.group_size;
      const int64_t width = std::min(spec.group_size, in - group * spec.group_size);
      std::vector<float> free, importance;
      std::vector<double> y;  // F R_gg^-1
      for (int64_t k = begin; k < begin + width; ++k) {
        double sum = 0;
        for (int64_t i = 0; i < begin; ++i)
          sum += error[static_cast<size_t>(p.order[static_cast<size_t>(i)])] * r(i, k);
        for (int64_t i = begin; i < k; ++i) sum -= y[static_cast<size_t>(i - begin)] * r(i, k);
        y.push_back(sum / r(k, k));
        free.push_back(static_cast<float>(double{weight(row, p.order[static_cast<size_t>(k)])} + y.back()));
        importance.push_back(static_cast<float>(r(k, k) * r(k, k)));
      }
      const auto judge = [&](float scale, int zero) {
        const float place = static_cast<float>(zero);
        float sum = 0;
        scalar::grid_errors(free.data(), importance.data(), width, {&scale, &place, 1},
                            static_cast<float>(spec.max_code()), &sum);
        return sum;
      };
      RankedGrid best;
      best_grids(free, importance, spec, {}, {&best, 1});
      // Ranked in float32: equal to about the width times its unit.
      EXPECT_LE(judge(solved.scales(group, row), solved.zeros(group, row)), judge(best.scale, best.zero) * 1.0001f)
          << "row " << row << ", group " << group;
      begin += width;
    }
  }
}

TEST(GroupSolver, ScalesAreFoundFromTheValuesThatCostNothing) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const ColumnOrder order : {ColumnOrder::kFile, ColumnOrder::kGroups}) {
    for (const auto& [in, group_size] : {std::pair<int64_t, int64_t>{100, 24}, {64, 32}, {600, 300}}) {
      const LinearSpec spec{.bits = 3, .group_size = group_size, .symmetric = order == ColumnOrder::kFile};
      const PreparedHessian prepared =
          prepare_hessian(hessian_of(correlated_inputs(rng, 2 * in, in).view()), {0.01, order, group_size});
      const Matrix<float> weight = normal_matrix(rng, 5, in);
      const QuantizedLinear solved = solve_gptq(weight.view(), &prepared, spec, {.joint_candidates = 1, .sweeps = 0});
      expect_scales_from_free_values(weight, prepared, spec, solved);
    }
  }
}

// Scratch memory of one group says nothing to the next, whatever their widths.
TEST(GroupSolver, RemembersNothing) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const LinearSpec spec{.bits = 3, .symmetric = false};
  GroupSolver used(spec, {});
  for (const int64_t width : {64, 3, 128, 1, 17}) {
    const Problem p(rng, width);
    GroupSolver fresh(spec, {});
    const auto [x, a] = solve_with(used, p, true);
    const auto [y, b] = solve_with(fresh, p, true);
    EXPECT_EQ(x.scale, y.scale);
    EXPECT_EQ(x.zero, y.zero);
    EXPECT_EQ(x.loss, y.loss);
    EXPECT_EQ(a, b);
  }
}

TEST(GroupSolver, ImportanceIsTheSquareOfThePivots) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Problem p(rng, 20);
  const GroupBlock block(p.factor.view());
  double largest = 0;
  for (int64_t k = 0; k < 20; ++k) largest = std::max(largest, p.factor(k, k));
  for (int64_t k = 0; k < 20; ++k) {
    EXPECT_FLOAT_EQ(block.importance[static_cast<size_t>(k)],
                    static_cast<float>(std::pow(p.factor(k, k) / largest, 2)));
    for (int64_t i = 0; i <= k; ++i) EXPECT_EQ(block.lower(k, i), p.factor(i, k));
  }
  EXPECT_FALSE(GroupBlock(Problem(rng, kWidestJointGroup).factor.view()).lower.empty());
  EXPECT_TRUE(GroupBlock(Problem(rng, kWidestJointGroup + 1).factor.view()).lower.empty());
}

}  // namespace
}  // namespace hesse
