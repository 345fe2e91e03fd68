// The gradient under descent, against plain loops in double.
#include "quant/gradient.h"

#include <algorithm>
#include <cmath>

#include "quant/solver_testing.h"

namespace hesse {
namespace {

struct Problem {
  Hessian h;
  Matrix<float> weight;   // [rows, in]
  Matrix<double> change;  // [in, lanes] of e
};

// Inputs and rows of very different size, as `spread` says: up to 2^(spread / 2) either way.
Problem random_problem(Rng& rng, int64_t rows, int64_t in, double spread) {
  Matrix<float> x = correlated_inputs(rng, 2 * in, in);
  Problem p{Hessian(in), normal_matrix(rng, rows, in), Matrix<double>::zeros(in, rows + 3)};
  for (int64_t i = 0; i < in; ++i) {
    const float size = static_cast<float>(std::exp2(spread * (rng.uniform() - 0.5)));
    for (int64_t t = 0; t < x.rows(); ++t) x(t, i) *= size;
    for (int64_t row = 0; row < rows; ++row) p.weight(row, i) /= size;
  }
  for (int64_t row = 0; row < rows; ++row) {
    const float size = static_cast<float>(std::exp2(spread * (rng.uniform() - 0.5)));
    for (int64_t i = 0; i < in; ++i) p.weight(row, i) *= size;
    // Some rows stay as they are, as most do in late sweeps.
    for (int64_t i = 0; i < in && row % 3 != 1; ++i) p.change(i, row) = 0.1 * rng.normal() * double{p.weight(row, i)};
  }
  p.h = hessian_of(x.view());
  return p;
}

TEST(Gradient, IsTheProductOfHessianAndErrors) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const double spread : {0.0, 20.0, 80.0}) {
    for (const auto& [rows, in, width] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {5, 40, 16}, {64, 600, 64}}) {
      SCOPED_TRACE("spread " + std::to_string(spread) + ", " + std::to_string(rows) + " x " + std::to_string(in));
      const Problem problem = random_problem(rng, rows, in, spread);
      const SymmetricView h = view_of(problem.h);
      const GradientPanels panels(h);
      TileGradient gradient(problem.weight.view(), panels.units());
      for (int sweep = 0; sweep < 2; ++sweep) {
        for (int64_t first = 0; first < in; first += width) {
          const int64_t count = std::min(width, in - first);
          gradient.add(panels.panel(first, count), problem.change.view().row_range(first, count));
        }
      }
      Matrix<double> found = Matrix<double>::zeros(in, rows + 3);
      gradient.read(0, found.view());
      for (int64_t row = 0; row < rows + 3; ++row) {
        for (int64_t i = 0; i < in; ++i) {
          double expected = 0, magnitude = 0;
          for (int64_t k = 0; k < in; ++k) {
            const double change = 2 * problem.change(k, row);
            expected += h(i, k) * change;
            magnitude += std::sqrt(h(i, i) * h(k, k)) * std::abs(change);
          }
          // Both factors rounded to float32, then 2 in sums of them; the units may lie 2 below the roots that bound H.
          const double slack = static_cast<double>(2 * in + 4) * 0x1p-24 * 2 * magnitude;
          ASSERT_NEAR(found(i, row), expected, slack) << "row " << row << ", input " << i;
        }
      }
    }
  }
}

// A dead input without damping: nothing is divided by its zero.
TEST(Gradient, KnowsDeadInputs) {
  Matrix<float> x(4, 3);
  for (int64_t t = 0; t < 4; ++t) {
    x(t, 0) = static_cast<float>(t);
    x(t, 1) = 0;
    x(t, 2) = 1;
  }
  const Hessian h = hessian_of(x.view());
  const SymmetricView view = view_of(h);
  const GradientPanels panels(view);
  const Matrix<float> weight = Matrix<float>::zeros(1, 3);
  TileGradient gradient(weight.view(), panels.units());
  Matrix<double> change(3, 1), p(3, 1);
  for (int64_t i = 0; i < 3; ++i) change(i, 0) = 1;
  gradient.add(panels.panel(0, 3), change.view());
  gradient.read(0, p.view());
  EXPECT_EQ(p(0, 0), 14 + 6);  // 0 + 1 + 4 + 9 and 0 + 1 + 2 + 3
  EXPECT_EQ(p(1, 0), 0);
  EXPECT_EQ(p(2, 0), 6 + 4);
}

}  // namespace
}  // namespace hesse
