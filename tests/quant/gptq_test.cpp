#include "quant/gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "quant/grid.h"
#include "quant/rtn.h"
#include "quant/solver.h"

namespace hesse {
namespace {

constexpr uint64_t kSeed = 20221031;

Matrix<float> random_matrix(Rng& rng, int64_t rows, int64_t cols) {
  Matrix<float> m(rows, cols);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = static_cast<float>(rng.normal());
  return m;
}

// Correlated inputs with scales that differ by channel, as activations have them.
Hessian random_hessian(Rng& rng, int64_t in, int64_t tokens) {
  Matrix<float> x = random_matrix(rng, tokens, in);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 1; i < in; ++i) x(t, i) = 0.6f * x(t, i - 1) + x(t, i) * (1.0f + static_cast<float>(i % 7));
  }
  Hessian h(in);
  h.add(x.view());
  return h;
}

// GPTQ as the paper has it: the Cholesky factor U of the inverse (H^-1 = U^T U, U upper), each column's error divided
// by U_kk and subtracted from the columns behind it. Plain loops in float64, static groups, columns in `order`.
Matrix<uint8_t> textbook_gptq(const Matrix<float>& weight, const PreparedHessian& prepared, const Grid& grid,
                              const LinearSpec& spec) {
  const int64_t n = weight.cols();
  const auto& order = prepared.order;
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += prepared.diagonal[static_cast<size_t>(i)] / static_cast<double>(n);
  Matrix<double> a(n, n);  // [H + lambda I | I], reduced by Gauss and Jordan: the inverse
  Matrix<double> inverse = Matrix<double>::zeros(n, n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) a(i, j) = prepared.h()(order[i], order[j]);
    a(i, i) += prepared.damping * mean;
    inverse(i, i) = 1;
  }
  for (int64_t k = 0; k < n; ++k) {
    const double pivot = a(k, k);
    for (int64_t j = 0; j < n; ++j) {
      a(k, j) /= pivot;
      inverse(k, j) /= pivot;
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double f = a(i, k);
      for (int64_t j = 0; j < n; ++j) {
        a(i, j) -= f * a(k, j);
        inverse(i, j) -= f * inverse(k, j);
      }
    }
  }
  Matrix<double> u = Matrix<double>::zeros(n, n);
  for (int64_t i = 0; i < n; ++i) {
    double d = inverse(i, i);
    for (int64_t k = 0; k < i; ++k) d -= u(k, i) * u(k, i);
    u(i, i) = std::sqrt(d);
    for (int64_t j = i + 1; j < n; ++j) {
      double s = inverse(i, j);
      for (int64_t k = 0; k < i; ++k) s -= u(k, i) * u(k, j);
      u(i, j) = s / u(i, i);
    }
  }
  Matrix<uint8_t> codes(weight.rows(), n);
  for (int64_t row = 0; row < weight.rows(); ++row) {
    std::vector<double> w(static_cast<size_t>(n));
    for (int64_t k = 0; k < n; ++k) w[k] = weight(row, order[k]);
    for (int64_t k = 0; k < n; ++k) {
      const int64_t g = order[k] / spec.group_width(n);
      const double scale = grid.scales(g, row);
      const double zero = grid.zeros(g, row);
      const double code = std::min(std::max(std::nearbyint(w[k] / scale) + zero, 0.0), 1.0 * spec.max_code());
      codes(row, order[k]) = static_cast<uint8_t>(code);
      const double error = (w[k] - scale * (code - zero)) / u(k, k);
      for (int64_t j = k + 1; j < n; ++j) w[j] -= error * u(k, j);
    }
  }
  return codes;
}

struct Case {
  int64_t out, in, tokens, group_size;
  int bits;
  bool symmetric;
  ColumnOrder order;
};
using enum ColumnOrder;

TEST(Gptq, EqualsTheTextbookCodeForCode) {
  Rng rng(kSeed);
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  // Tiles of 64 rows, blocks of 64 columns, a shorter last group, fewer tokens than inputs, one row, one column.
  const std::vector<Case> cases = {
      {96, 128, 512, 32, 4, true, kActivation},  {96, 128, 512, 32, 3, false, kGroups},
      {65, 130, 400, 48, 2, true, kFile},        {64, 64, 40, -1, 4, true, kGroups},
      {7, 200, 100, 128, 8, false, kActivation}, {1, 65, 300, 64, 3, true, kGroups},
      {33, 1, 10, -1, 4, true, kFile},           {130, 63, 64, 16, 2, false, kGroups},
      {20, 700, 900, 300, 4, true, kGroups},  // too wide for a joint search
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(testing::Message() << c.out << " x " << c.in << ", " << c.bits << " bits");
    const Matrix<float> weight = random_matrix(rng, c.out, c.in);
    const PreparedHessian prepared = prepare_hessian(
        random_hessian(rng, c.in, c.tokens), {0.01, c.order, LinearSpec{.group_size = c.group_size}.group_width(c.in)});
    ASSERT_TRUE(prepared.factored());
    const LinearSpec spec{.bits = c.bits, .group_size = c.group_size, .symmetric = c.symmetric};
    // The grid is given to the textbook: whatever found it, the codes must follow from it.
    const QuantizedLinear solved = solve_gptq(weight.view(), &prepared, spec, {.sweeps = 0});
    const Grid grid{solved.scales.clone(), solved.zeros.clone()};
    const Matrix<uint8_t> expected = textbook_gptq(weight, prepared, grid, spec);
    for (int64_t i = 0; i < expected.size(); ++i)
      ASSERT_EQ(solved.codes.data()[i], expected.data()[i]) << "element " << i;
  }
}

TEST(Gptq, EqualsRoundingWhenTheHessianIsDiagonal) {
  Rng rng(kSeed);
  const int64_t in = 100;
  Hessian h(in);
  for (int64_t i = 0; i < in; ++i) h.sum(i, i) = 1.0 + rng.uniform() * 100;
  h.tokens = 1000;
  const PreparedHessian prepared = prepare_hessian(std::move(h), {.order = ColumnOrder::kActivation});
  const Matrix<float> weight = random_matrix(rng, 70, in);
  for (const bool symmetric : {true, false}) {
    const LinearSpec spec{.bits = 3, .group_size = 32, .symmetric = symmetric};
    const QuantizedLinear a = solve_gptq(weight.view(), &prepared, spec, {.sweeps = 0});
    const QuantizedLinear b = solve_rtn(weight.view(), &prepared, spec, {});
    for (int64_t i = 0; i < a.codes.size(); ++i) ASSERT_EQ(a.codes.data()[i], b.codes.data()[i]);
  }
}

TEST(Gptq, IsTheSameForAnyNumberOfThreads) {
  Rng rng(kSeed);
  const Matrix<float> weight = random_matrix(rng, 200, 96);
  const PreparedHessian prepared = prepare_hessian(random_hessian(rng, 96, 300), {.group_width = 32});
  const LinearSpec spec{.bits = 4, .group_size = 32};
  set_threads(1);
  const QuantizedLinear one = solve_gptq(weight.view(), &prepared, spec, {});
  set_threads(3);
  const QuantizedLinear three = solve_gptq(weight.view(), &prepared, spec, {});
  set_threads(0);
  EXPECT_EQ(std::memcmp(one.codes.data(), three.codes.data(), static_cast<size_t>(one.codes.size())), 0);
}

// On correlated inputs GPTQ wins on the sum over many rows (it may lose on a single one), at every width.
TEST(Gptq, LosesLessThanRoundingOnCorrelatedInputs) {
  Rng rng(kSeed);
  const Matrix<float> weight = random_matrix(rng, 128, 256);
  const PreparedHessian prepared = prepare_hessian(random_hessian(rng, 256, 2000), {.group_width = 64});
  for (const int bits : {2, 3, 4, 8}) {
    const SolveOutcome outcome =
        solve_linear(solver("gptq"), weight.view(), &prepared, {.bits = bits, .group_size = 64}, {});
    EXPECT_EQ(outcome.route, SolveRoute::kSolved);
    EXPECT_GT(outcome.loss, 0);
    EXPECT_LT(outcome.loss, 0.8 * outcome.rtn_loss) << bits << " bits";
    EXPECT_LT(outcome.rtn_loss, outcome.energy);
  }
}

TEST(Gptq, WeightedSearchWithBothSignsLosesLessThanMinMax) {
  Rng rng(kSeed);
  const Matrix<float> weight = random_matrix(rng, 128, 256);
  const PreparedHessian prepared = prepare_hessian(random_hessian(rng, 256, 2000), {.group_width = 64});
  for (const int bits : {2, 3, 4}) {
    const LinearSpec spec{.bits = bits, .group_size = 64};
    const auto loss = [&](ScaleSearch search, bool negative) {
      return solve_linear(solver("gptq"), weight.view(), &prepared, spec, {.grid = {search, negative}}).loss;
    };
    const double minmax = loss(ScaleSearch::kMinMax, false);
    const double positive = loss(ScaleSearch::kWeighted, false);
    const double both = loss(ScaleSearch::kWeighted, true);
    EXPECT_LT(positive, minmax) << bits << " bits";
    EXPECT_LT(both, positive) << bits << " bits";
  }
}

TEST(Gptq, DeadChannelsKeepTheirNearestValue) {
  Rng rng(kSeed);
  Matrix<float> x = random_matrix(rng, 300, 64);
  for (int64_t t = 0; t < x.rows(); ++t) x(t, 5) = x(t, 40) = 0;
  Hessian h(64);
  h.add(x.view());
  const PreparedHessian prepared = prepare_hessian(std::move(h), {.group_width = 32});
  EXPECT_EQ(prepared.facts.dead_channels, 2);
  const Matrix<float> weight = random_matrix(rng, 20, 64);
  const LinearSpec spec{.bits = 4, .group_size = 32};
  const QuantizedLinear solved = solve_gptq(weight.view(), &prepared, spec, {});
  const Grid grid{solved.scales.clone(), solved.zeros.clone()};
  const Matrix<uint8_t> rounded = round_to_grid(weight.view(), grid, spec);
  for (int64_t row = 0; row < 20; ++row) {
    EXPECT_EQ(solved.codes(row, 5), rounded(row, 5));
    EXPECT_EQ(solved.codes(row, 40), rounded(row, 40));
  }
}

}  // namespace
}  // namespace hesse
