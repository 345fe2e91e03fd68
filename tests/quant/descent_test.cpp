#include "quant/descent.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/threads.h"
#include "quant/gptq.h"
#include "quant/rtn.h"
#include "quant/solver_testing.h"

namespace hesse {
namespace {

struct Shape {
  int64_t out, in, tokens, group_size;
  int bits;
  bool symmetric;
  ColumnOrder order = ColumnOrder::kGroups;
};

// A tile and a bit, ragged groups, blocks of 64 columns and a bit, groups too wide to be solved again, one column.
const std::vector<Shape> kShapes = {
    {66, 64, 200, 16, 2, true},   {5, 90, 60, 32, 3, false},
    {9, 150, 400, -1, 4, true},   {3, 300, 500, -1, 2, true},
    {3, 280, 100, 270, 4, false}, {7, 1, 5, -1, 3, true},
    {4, 2, 5, 1, 8, false},       {6, 100, 30, 24, 4, true, ColumnOrder::kActivation},
    {6, 70, 30, 13, 3, false},    {6, 65, 300, 65, 2, true, ColumnOrder::kFile},
};

struct Problem {
  Matrix<float> weight;
  PreparedHessian prepared;
  LinearSpec spec;

  Problem(Rng& rng, const Shape& s)
      : weight(normal_matrix(rng, s.out, s.in)),
        prepared(prepare_hessian(hessian_of(correlated_inputs(rng, s.tokens, s.in).view()),
                                 {0.01, s.order, LinearSpec{.group_size = s.group_size}.group_width(s.in)})),
        spec{s.bits, s.group_size, s.symmetric} {}

  QuantizedLinear solved(int sweeps) const { return solve_gptq(weight.view(), &prepared, spec, {.sweeps = sweeps}); }
  void descend_more(QuantizedLinear& linear, int sweeps = 1) const {
    descend(weight.view(), prepared, {.sweeps = sweeps}, linear);
  }
  double objective(const QuantizedLinear& linear, int64_t row) const {
    return static_cast<double>(row_loss(weight, linear, row, whole(prepared.h()), prepared.lambda).value);
  }
  // What a pass of float64 may add to an objective, relative: about twenty sums of n products move it, each with an
  // error of n units of sum |v||H||v| <= trace(H + lambda I) |v|^2 <= trace / lambda * v (H + lambda I) v^T.
  double rounding() const {
    const double n = static_cast<double>(weight.cols());
    return 20 * n * kUnitDouble * n * (1 + prepared.damping) / prepared.damping;
  }
};

bool same_bytes(const QuantizedLinear& a, const QuantizedLinear& b) {
  const auto equal = [](const auto& x, const auto& y) {
    return x.size() == y.size() &&
           std::memcmp(x.data(), y.data(), static_cast<size_t>(x.size()) * sizeof(*x.data())) == 0;
  };
  return equal(a.codes, b.codes) && equal(a.scales, b.scales) && equal(a.zeros, b.zeros);
}

TEST(Descent, NeverRaisesTheObjectiveOfARow) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  double first = 0, last = 0;
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.out << " x " << shape.in << " in groups of " << shape.group_size);
    const Problem problem(rng, shape);
    QuantizedLinear linear = problem.solved(0);
    for (int sweep = 1; sweep <= 5; ++sweep) {
      std::vector<double> before;
      for (int64_t row = 0; row < shape.out; ++row) before.push_back(problem.objective(linear, row));
      problem.descend_more(linear);
      ASSERT_TRUE(is_storable(linear, problem.spec, shape.out, shape.in));
      for (int64_t row = 0; row < shape.out; ++row) {
        const double b = before[static_cast<size_t>(row)], after = problem.objective(linear, row);
        ASSERT_LE(after, b * (1 + problem.rounding())) << "row " << row << ", sweep " << sweep;
        if (sweep == 1) first += b;
        if (sweep == 5) last += after;
      }
    }
  }
  EXPECT_LT(last, 0.95 * first);  // and it does something
}

// From any start: the codes need not come from the solver.
TEST(Descent, NeverRaisesTheObjectiveFromAnyStart) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.out << " x " << shape.in << " in groups of " << shape.group_size);
    const Problem problem(rng, shape);
    QuantizedLinear linear = solve_rtn(problem.weight.view(), nullptr, problem.spec, {});
    for (int64_t i = 0; i < linear.codes.size(); ++i) {
      if (rng.below(3) == 0)
        linear.codes.data()[i] = static_cast<uint8_t>(rng.below(static_cast<uint64_t>(problem.spec.max_code()) + 1));
    }
    std::vector<double> before;
    for (int64_t row = 0; row < shape.out; ++row) before.push_back(problem.objective(linear, row));
    problem.descend_more(linear);
    ASSERT_TRUE(is_storable(linear, problem.spec, shape.out, shape.in));
    for (int64_t row = 0; row < shape.out; ++row) {
      const double b = before[static_cast<size_t>(row)];
      EXPECT_LE(problem.objective(linear, row), b * (1 + problem.rounding())) << "row " << row;
    }
  }
}

// Sweeps at once, as the solver makes them, and one by one. Between calls p is computed anew, so that a near-tie may
// fall the other way: the objectives then agree to what that is worth.
TEST(Descent, SolverOptionEqualsSingleSweeps) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const Shape& shape : kShapes) {
    const Problem problem(rng, shape);
    QuantizedLinear linear = problem.solved(0);
    for (int i = 0; i < 2; ++i) problem.descend_more(linear);
    const QuantizedLinear at_once = problem.solved(2);
    double a = 0, b = 0;
    for (int64_t row = 0; row < shape.out; ++row) {
      a += problem.objective(linear, row);
      b += problem.objective(at_once, row);
    }
    EXPECT_NEAR(a, b, 1e-3 * b) << shape.out << " x " << shape.in;
  }
}

TEST(Descent, AFixedPointStays) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message() << shape.out << " x " << shape.in << " in groups of " << shape.group_size);
    const Problem problem(rng, shape);
    QuantizedLinear linear = problem.solved(0);
    for (int sweep = 0; sweep < 60; ++sweep) problem.descend_more(linear);
    std::vector<double> before;
    for (int64_t row = 0; row < shape.out; ++row) before.push_back(problem.objective(linear, row));
    problem.descend_more(linear);
    for (int64_t row = 0; row < shape.out; ++row) {
      const double b = before[static_cast<size_t>(row)];
      EXPECT_NEAR(problem.objective(linear, row), b, b * problem.rounding()) << "row " << row;
    }
  }
}

// Without neighbours each code is the nearest one of its grid, but for ties.
TEST(Descent, DiagonalHessianLeavesTheNearestCodes) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool symmetric : {true, false}) {
      const int64_t in = 100;
      Hessian h(in);
      for (int64_t i = 0; i < in; ++i) h.sum(i, i) = 1.0 + rng.uniform() * 100;
      const PreparedHessian prepared = prepare_hessian(std::move(h), {.group_width = 24});
      const Matrix<float> weight = normal_matrix(rng, 9, in);
      const LinearSpec spec{.bits = bits, .group_size = 24, .symmetric = symmetric};
      const QuantizedLinear linear = solve_gptq(weight.view(), &prepared, spec, {.sweeps = 3});
      for (int64_t row = 0; row < weight.rows(); ++row) {
        for (int64_t i = 0; i < in; ++i) {
          const double zero = linear.zeros(i / 24, row);
          const double steps = double{weight(row, i)} / double{linear.scales(i / 24, row)} + zero;
          const double inside = std::clamp(steps, 0.0, static_cast<double>(spec.max_code()));
          ASSERT_LE(std::fabs(linear.codes(row, i) - inside), 0.5 + 1e-9) << bits << " bits, " << row << ", " << i;
        }
      }
    }
  }
}

// The scale of a group is the optimum for its codes, as far as a half can say it.
TEST(Descent, NeighbouringHalvesAreNoBetterAsScales) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Problem problem(rng, {8, 32, 200, 16, 3, true});
  const QuantizedLinear linear = problem.solved(60);
  for (int64_t row = 0; row < 8; ++row) {
    for (int64_t g = 0; g < 2; ++g) {
      for (const int step : {-1, 1}) {
        QuantizedLinear other{linear.spec, linear.codes.clone(), linear.scales.clone(), linear.zeros.clone(),
                              linear.group_of};
        float& scale = other.scales(g, row);
        scale = f16_to_float(static_cast<uint16_t>(float_to_f16(scale) + step));
        const double least = problem.objective(linear, row);
        EXPECT_GE(problem.objective(other, row), least * (1 - problem.rounding())) << row << ", " << g;
      }
    }
  }
}

// All codes and zero points of 4 columns of 2 bits, each with its best scale: a bound for every answer with any scale.
double least_of_all(const Problem& problem, int64_t row) {
  const auto with_lambda = [&](int i, int j) {
    return problem.prepared.h()(i, j) + (i == j ? problem.prepared.lambda : 0.0);
  };
  double least = std::numeric_limits<double>::infinity();
  for (int zero = problem.spec.symmetric ? 2 : 1; zero <= (problem.spec.symmetric ? 2 : 3); ++zero) {
    for (int codes = 0; codes < 256; ++codes) {
      double ww = 0, wc = 0, cc = 0;
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) {
          const double wi = double{problem.weight(row, i)}, wj = double{problem.weight(row, j)};
          const int ci = (codes >> (2 * i)) % 4 - zero, cj = (codes >> (2 * j)) % 4 - zero;
          ww += wi * with_lambda(i, j) * wj;
          wc += wi * with_lambda(i, j) * cj;
          cc += ci * with_lambda(i, j) * cj;
        }
      }
      least = std::min(least, cc > 0 ? ww - wc * wc / cc : ww);
    }
  }
  return least;
}

TEST(Descent, LiesBetweenTheSolverAndTheOptimum) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const bool symmetric : {true, false}) {
    double optimum = 0, start = 0, end = 0;
    for (int trial = 0; trial < 40; ++trial) {
      const Problem problem(rng, {8, 4, 30, -1, 2, symmetric});
      const QuantizedLinear solved = problem.solved(0), descended = problem.solved(5);
      for (int64_t row = 0; row < 8; ++row) {
        const double best = least_of_all(problem, row);
        const double before = problem.objective(solved, row), after = problem.objective(descended, row);
        EXPECT_GE(after, best * (1 - problem.rounding()));
        EXPECT_LE(after, before * (1 + problem.rounding()));
        optimum += best, start += before, end += after;
      }
    }
    // Most of what the solver leaves above the optimum is taken; less where the zero point would have to move.
    EXPECT_LT(end - optimum, (symmetric ? 0.5 : 0.8) * (start - optimum)) << symmetric;
  }
}

TEST(Descent, IsTheSameForAnyNumberOfThreads) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Problem problem(rng, {200, 96, 300, 32, 3, true});
  set_threads(1);
  const QuantizedLinear one = problem.solved(3);
  set_threads(3);
  const QuantizedLinear three = problem.solved(3);
  set_threads(0);
  EXPECT_TRUE(same_bytes(one, three));
}

// Rows do not know of each other: a row alone, or among others, in any tile.
TEST(Descent, RowsAreIndependent) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Problem problem(rng, {130, 48, 100, 16, 3, false});
  const QuantizedLinear all = problem.solved(2);
  for (const int64_t row : {0, 63, 64, 129}) {
    const QuantizedLinear alone =
        solve_gptq(problem.weight.view().row_range(row, 1), &problem.prepared, problem.spec, {.sweeps = 2});
    for (int64_t i = 0; i < 48; ++i) ASSERT_EQ(alone.codes(0, i), all.codes(row, i)) << row;
    for (int64_t g = 0; g < 3; ++g) ASSERT_EQ(alone.scales(g, 0), all.scales(g, row)) << row;
  }
}

// Where small eigenvalues were raised, H + lambda I itself may have negative ones, on which nothing descends.
TEST(Descent, DoesNotRaiseTheObjectiveOfARaisedHessian) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (int trial = 0; trial < 20; ++trial) {
    const int64_t in = 24;
    Hessian h = hessian_of(correlated_inputs(rng, 60, in).view());
    for (int64_t i = 0; i < in; ++i) {
      for (int64_t j = 0; j < i; ++j) h.sum(i, j) = h.sum(j, i) = 1e7 * h.sum(i, j);
    }
    const PreparedHessian prepared = prepare_hessian(std::move(h), {.group_width = 8});
    ASSERT_TRUE(prepared.factored());
    ASSERT_GT(prepared.raised_to_floor, 0);
    const Matrix<float> weight = normal_matrix(rng, 5, in);
    const LinearSpec spec{.bits = 3, .group_size = 8};
    // The objective that was factored, in file order.
    Matrix<double> raised = Matrix<double>::zeros(in, in);
    for (int64_t r = 0; r < in; ++r) {
      for (int64_t c = 0; c < in; ++c) {
        for (int64_t k = std::max(r, c); k < in; ++k)
          raised(prepared.order[static_cast<size_t>(r)], prepared.order[static_cast<size_t>(c)]) +=
              prepared.factor()(r, k) * prepared.factor()(c, k);
      }
    }
    const QuantizedLinear before = solve_gptq(weight.view(), &prepared, spec, {.sweeps = 0});
    const QuantizedLinear after = solve_gptq(weight.view(), &prepared, spec, {.sweeps = 2});
    for (int64_t row = 0; row < 5; ++row) {
      const Quadratic b = row_loss(weight, before, row, raised), a = row_loss(weight, after, row, raised);
      const long double rounding = 20 * in * kUnitDouble * (a.magnitude + b.magnitude);
      EXPECT_LE(a.value, b.value + rounding) << "row " << row;
    }
  }
}

}  // namespace
}  // namespace hesse
