#include "quant/prepared.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/threads.h"
#include "linalg/factor.h"

namespace hesse {
namespace {

// Largest diag(H) first: early columns make their error while most others can still absorb it. Ties keep file order.
std::vector<int32_t> solving_order(const Matrix<double>& h, bool by_diagonal) {
  std::vector<int32_t> order(static_cast<size_t>(h.rows()));
  std::iota(order.begin(), order.end(), 0);
  if (by_diagonal) {
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return h(a, a) > h(b, b); });
  }
  return order;
}

// Upper triangle of H + lambda I, rows and columns in solving order.
void fill_upper(const Matrix<double>& h, const std::vector<int32_t>& order, double lambda, Matrix<double>& upper) {
  const int64_t n = h.rows();
  parallel_for(n, [&](int64_t r) {
    const double* from = h.row(order[static_cast<size_t>(r)]);
    double* to = upper.row(r);
    for (int64_t c = r; c < n; ++c) to[c] = from[order[static_cast<size_t>(c)]];
    to[r] += lambda;
  });
}

std::vector<float> relative_importance(const std::vector<double>& squares) {
  const double largest = *std::max_element(squares.begin(), squares.end());
  std::vector<float> importance(squares.size(), 1.0f);
  if (largest > 0) {
    std::transform(squares.begin(), squares.end(), importance.begin(),
                   [&](double s) { return static_cast<float>(s / largest); });
  }
  return importance;
}

}  // namespace

PreparedHessian prepare_hessian(Hessian hessian, const PrepareOptions& options) {
  PreparedHessian prepared(std::move(hessian));
  const Matrix<double>& h = prepared.hessian.sum;
  const int64_t n = h.rows();
  std::vector<double> diagonal(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) diagonal[static_cast<size_t>(i)] = h(i, i);
  prepared.dead_channels = std::count(diagonal.begin(), diagonal.end(), 0.0);
  prepared.order = solving_order(h, options.act_order);

  // A Hessian of zeros has no scale of its own: any lambda > 0 then means round-to-nearest.
  const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(n);
  const double unit = mean > 0 ? mean : 1.0;
  prepared.damping = options.damping;
  Matrix<double> factor(n, n);
  while (prepared.factorizations < kMaxFactorizations) {
    fill_upper(h, prepared.order, prepared.damping * unit, factor);
    ++prepared.factorizations;
    const FactorOutcome outcome = factor_upper(factor.view());
    if (outcome.ok()) {
      prepared.factor = std::move(factor);
      break;
    }
    if (prepared.failed_minor == 0) prepared.failed_minor = outcome.failed_minor;
    prepared.damping = std::max(prepared.damping * 10, 1e-6);
  }
  for (int64_t k = 0; prepared.factored() && k < n; ++k) {
    const double pivot = prepared.factor(k, k);
    diagonal[static_cast<size_t>(prepared.order[static_cast<size_t>(k)])] = pivot * pivot;
  }
  prepared.importance = relative_importance(diagonal);
  return prepared;
}

}  // namespace hesse
