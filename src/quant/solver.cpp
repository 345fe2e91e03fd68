#include "quant/solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "linalg/gemm.h"
#include "quant/gptq.h"
#include "quant/grid.h"
#include "quant/rtn.h"

namespace hesse {
namespace {

constexpr std::array<Solver, 2> kSolvers{{
    {"gptq", true, solve_gptq},
    {"rtn", false, solve_rtn},
}};

const GptqOptions kPlainRounding{.grid = {.search = ScaleSearch::kMinMax, .negative_scales = false}};

Matrix<float> error_of(MatrixView<const float> weight, const QuantizedLinear& linear) {
  Matrix<float> error = dequantize(linear);
  parallel_for(weight.rows, [&](int64_t r) {
    for (int64_t c = 0; c < weight.cols; ++c) error(r, c) = weight(r, c) - error(r, c);
  });
  return error;
}

// Share of the weights that lie more than half a step outside the range of their grid.
double clip_rate(MatrixView<const float> weight, const QuantizedLinear& linear) {
  std::vector<int64_t> clipped(static_cast<size_t>(weight.rows), 0);
  const float top = static_cast<float>(linear.spec.max_code());
  parallel_for(weight.rows, [&](int64_t row) {
    for (int64_t i = 0; i < weight.cols; ++i) {
      const int64_t g = linear.group_of[static_cast<size_t>(i)];
      const float code = weight(row, i) / linear.scales(g, row) + static_cast<float>(linear.zeros(g, row));
      clipped[static_cast<size_t>(row)] += (code < -0.5f || code > top + 0.5f) ? 1 : 0;
    }
  });
  const int64_t total = std::accumulate(clipped.begin(), clipped.end(), int64_t{0});
  return static_cast<double>(total) / static_cast<double>(std::max<int64_t>(1, weight.rows * weight.cols));
}

}  // namespace

std::span<const Solver> solvers() { return kSolvers; }

const Solver& solver(std::string_view name) {
  std::string known;
  for (const Solver& row : kSolvers) {
    if (row.name == name) return row;
    known += known.empty() ? "" : ", ";
    known += row.name;
  }
  throw Error(ErrorKind::kUsage, fmt::format("[method] '{}' is not known; one of: {}", name, known));
}

namespace {

int64_t count_floored_scales(MatrixView<const float> weight, const QuantizedLinear& linear) {
  const int64_t width = linear.spec.group_width(weight.cols);
  int64_t floored = 0;
  for (int64_t g = 0; g < linear.scales.rows(); ++g) {
    const int64_t first = g * width;
    const int64_t count = std::min(width, weight.cols - first);
    for (int64_t row = 0; row < weight.rows; ++row) {
      if (std::abs(linear.scales(g, row)) > kSmallestScale) continue;
      const float* w = weight.row(row) + first;
      floored += std::any_of(w, w + count, [](float value) { return value != 0; }) ? 1 : 0;
    }
  }
  return floored;
}

// Replaces the answer of `outcome` by `candidate` where that loses less. NaN loses to everything.
void keep_better(MatrixView<const float> weight, const SymmetricView& h, QuantizedLinear candidate,
                 SolveOutcome& outcome) {
  const double loss = quadratic_loss(error_of(weight, candidate).view(), h);
  if (outcome.loss <= loss || std::isnan(loss)) return;
  outcome.linear = std::move(candidate);
  outcome.loss = loss;
}

void measure(MatrixView<const float> weight, const PreparedHessian& prepared, const LinearSpec& spec,
             SolveOutcome& outcome) {
  const SymmetricView h = prepared.h();
  outcome.loss = quadratic_loss(error_of(weight, outcome.linear).view(), h);
  outcome.energy = quick_quadratic_loss(weight, h);
  const Matrix<float> rounding_error = error_of(weight, solve_rtn(weight, nullptr, spec, kPlainRounding));
  outcome.rtn_loss = quick_quadratic_loss(rounding_error.view(), h);
  // Which of the two is less is decided in float64 where it is not plain.
  constexpr double kPlain = 0.5;
  if (!(outcome.loss < kPlain * outcome.rtn_loss)) outcome.rtn_loss = quadratic_loss(rounding_error.view(), h);
}

// The best of two ways of rounding, where the answer of a solver is worse than the plain one.
void replace_by_rounding(MatrixView<const float> weight, const PreparedHessian& prepared, const LinearSpec& spec,
                         const GptqOptions& options, SolveOutcome& outcome) {
  if (outcome.route == SolveRoute::kSolved) outcome.route = SolveRoute::kRoundingBetter;
  const SymmetricView h = prepared.h();
  keep_better(weight, h, solve_rtn(weight, &prepared, spec, options), outcome);
  keep_better(weight, h, solve_rtn(weight, nullptr, spec, kPlainRounding), outcome);
}

}  // namespace

SolveOutcome solve_linear(const Solver& chosen, MatrixView<const float> weight, const PreparedHessian* prepared,
                          const LinearSpec& spec, const GptqOptions& options) {
  SolveOutcome outcome;
  const bool solvable = !chosen.needs_hessian || prepared->factored();
  outcome.route = solvable ? SolveRoute::kSolved : SolveRoute::kNoFactor;
  outcome.linear =
      solvable ? chosen.solve(weight, prepared, spec, options) : solve_rtn(weight, prepared, spec, options);
  if (prepared != nullptr) {
    measure(weight, *prepared, spec, outcome);
    const bool worse = !(outcome.loss <= outcome.rtn_loss);
    if (chosen.needs_hessian && worse) replace_by_rounding(weight, *prepared, spec, options, outcome);
    // A Hessian of few tokens is singular, and rounding may put a loss of nearly nothing below 0.
    for (double* loss : {&outcome.loss, &outcome.rtn_loss, &outcome.energy})
      *loss = std::isfinite(*loss) ? std::max(*loss, 0.0) : -1.0;
  }
  outcome.clip_rate = clip_rate(weight, outcome.linear);
  outcome.floored_scales = count_floored_scales(weight, outcome.linear);
  return outcome;
}

}  // namespace hesse
