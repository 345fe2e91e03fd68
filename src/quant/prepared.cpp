#include "quant/prepared.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/rng.h"
#include "base/threads.h"
#include "linalg/factor.h"

namespace hesse {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Largest first; ties, and values that are not finite, keep file order.
std::vector<int32_t> solving_order(const std::vector<double>& diagonal, const PrepareOptions& options) {
  const int64_t n = static_cast<int64_t>(diagonal.size());
  std::vector<int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  const bool finite = std::all_of(diagonal.begin(), diagonal.end(), [](double d) { return std::isfinite(d); });
  if (options.order == ColumnOrder::kFile || !finite) return order;
  const auto larger = [&](int32_t a, int32_t b) {
    return diagonal[static_cast<size_t>(a)] > diagonal[static_cast<size_t>(b)];
  };
  if (options.order == ColumnOrder::kActivation) {
    std::stable_sort(order.begin(), order.end(), larger);
    return order;
  }
  struct Group {
    std::vector<int32_t> columns;
    double mean;
  };
  std::vector<Group> groups;
  for (int64_t first = 0; first < n; first += options.group_width) {
    const int64_t width = std::min(options.group_width, n - first);
    Group group{{order.begin() + first, order.begin() + first + width}, 0};
    for (const int32_t i : group.columns) group.mean += diagonal[static_cast<size_t>(i)] / static_cast<double>(width);
    std::stable_sort(group.columns.begin(), group.columns.end(), larger);
    groups.push_back(std::move(group));
  }
  std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.mean > b.mean; });
  order.clear();
  for (const Group& group : groups) order.insert(order.end(), group.columns.begin(), group.columns.end());
  return order;
}

std::vector<float> relative_importance(const std::vector<double>& squares) {
  const double largest = *std::max_element(squares.begin(), squares.end());
  std::vector<float> importance(squares.size(), 1.0f);
  if (!(largest > 0) || !std::isfinite(largest)) return importance;
  std::transform(squares.begin(), squares.end(), importance.begin(), [&](double s) {
    return s > 0 ? static_cast<float>(s / largest) : 0.0f;  // no NaN, no negative value
  });
  return importance;
}

// Equal channels have equal diagonals, and their product is the same again.
int64_t count_duplicates(const SymmetricView& h) {
  constexpr double kEqual = 1e-9;
  std::vector<int32_t> order(h.diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  const auto at = [&](int32_t i) { return h.diagonal[static_cast<size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return at(a) < at(b); });
  int64_t duplicates = 0;
  for (size_t k = 1; k < order.size(); ++k) {
    const double d = at(order[k]);
    if (d > 0 && d - at(order[k - 1]) <= kEqual * d && std::abs(h(order[k], order[k - 1]) - d) <= kEqual * d)
      ++duplicates;
  }
  return duplicates;
}

// sum mu / (mu + lambda) over the eigenvalues mu of H = n - lambda tr((H + lambda I)^-1), the trace estimated with
// random signs: E z A z^T = tr A (Hutchinson 1990). Its standard deviation is below (n / (2 * kProbes))^1/2.
int64_t effective_rank(const PreparedHessian& prepared) {
  constexpr int64_t kProbes = 64;
  const int64_t n = prepared.in();
  Rng rng(static_cast<uint64_t>(n));
  Matrix<double> signs(kProbes, n);
  for (int64_t i = 0; i < signs.size(); ++i) signs.data()[i] = rng.uniform() < 0.5 ? -1.0 : 1.0;
  Matrix<double> solved = signs.clone();
  solve_rows(prepared.factor(), solved.view());
  const double trace = std::inner_product(signs.data(), signs.data() + signs.size(), solved.data(), 0.0) / kProbes;
  const double rank = static_cast<double>(n) - prepared.lambda * trace;
  return static_cast<int64_t>(std::lround(std::clamp(rank, 0.0, static_cast<double>(n))));
}

HessianFacts facts_of(const PreparedHessian& prepared, double mean) {
  const std::vector<double>& diagonal = prepared.diagonal;
  HessianFacts facts;
  facts.dead_channels = std::count(diagonal.begin(), diagonal.end(), 0.0);
  facts.duplicate_channels = count_duplicates(prepared.h());
  if (mean > 0) facts.peak = *std::max_element(diagonal.begin(), diagonal.end()) / mean;
  if (!prepared.factored()) return facts;
  double largest = 0, least = prepared.factor()(0, 0);
  for (int64_t k = 0; k < prepared.in(); ++k) {
    const double pivot = prepared.factor()(k, k);
    largest = std::max(largest, pivot);
    least = std::min(least, pivot);
  }
  facts.effective_rank = effective_rank(prepared);
  facts.condition = (largest / least) * (largest / least);
  return facts;
}

}  // namespace

// Factors in place.
class Preparation {
 public:
  explicit Preparation(PreparedHessian& prepared) : p_(prepared) {}

  void factor_with_damping(double damping, double unit) {
    for (p_.damping = damping; p_.factorizations < kMaxFactorizations;) {
      p_.lambda = p_.damping * unit;
      fill_upper(p_.lambda, p_.square_);
      ++p_.factorizations;
      const FactorOutcome outcome = factor_upper(p_.square_.view());
      p_.factored_ = outcome.ok();
      if (p_.factored_) return;
      if (p_.failed_minor == 0) p_.failed_minor = outcome.failed_minor;
      p_.damping = std::max(p_.damping * 10, 1e-6);
    }
  }

  // Only a matrix that is no Gram matrix gets here: one with negative eigenvalues, as rounding or a damaged sum makes
  // it.
  void factor_on_floor(double damping, double unit) {
    if (p_.in() > kWidestEigenvalueFloor) return;
    p_.damping = std::max(damping, 1e-6);
    p_.lambda = p_.damping * unit;
    Matrix<double> raised = Matrix<double>::zeros(p_.in(), p_.in());
    fill_upper(0, raised);
    const int64_t count = raise_eigenvalues(raised.view(), p_.lambda);
    if (count < 0 || !factor_upper(raised.view()).ok()) return;
    p_.raised_to_floor = count;
    for (int64_t r = 0; r < p_.in(); ++r) std::copy(raised.row(r) + r, raised.row(r) + p_.in(), p_.square_.row(r) + r);
    p_.factored_ = true;
  }

 private:
  // Upper triangle of H + lambda I, rows and columns in solving order. `upper` may be the square of H itself: what is
  // read lies below its diagonal.
  void fill_upper(double lambda, Matrix<double>& upper) const {
    const int64_t n = p_.in();
    const std::vector<int32_t>& order = p_.order;
    parallel_for(n, [&](int64_t r) {
      const int64_t i = order[static_cast<size_t>(r)];
      double* to = upper.row(r);
      to[r] = p_.diagonal[static_cast<size_t>(i)] + lambda;
      for (int64_t c = r + 1; c < n; ++c) {
        const int64_t j = order[static_cast<size_t>(c)];
        to[c] = i > j ? p_.square_(i, j) : p_.square_(j, i);
      }
    });
  }

  PreparedHessian& p_;
};

Hessian PreparedHessian::release() {
  Hessian hessian(0);
  hessian.tokens = tokens;
  for (int64_t i = 0; i < in(); ++i) square_(i, i) = diagonal[static_cast<size_t>(i)];
  hessian.sum = std::move(square_);
  return hessian;
}

PreparedHessian prepare_hessian(Hessian hessian, const PrepareOptions& options) {
  PreparedHessian prepared(std::move(hessian));
  prepared.asked = options;
  const double mean = mean_of(prepared.diagonal);
  prepared.order = solving_order(prepared.diagonal, options);
  prepared.kind = options.order;
  if (std::isfinite(mean)) {
    // A Hessian of zeros has no scale of its own: any lambda > 0 then means round-to-nearest.
    const double unit = mean > 0 ? mean : 1.0;
    Preparation preparation(prepared);
    preparation.factor_with_damping(options.damping, unit);
    if (!prepared.factored()) preparation.factor_on_floor(options.damping, unit);
    prepared.facts = facts_of(prepared, mean);
  }
  std::vector<double> squares = prepared.diagonal;
  for (int64_t k = 0; prepared.factored() && k < prepared.in(); ++k) {
    const double pivot = prepared.factor()(k, k);
    squares[static_cast<size_t>(prepared.order[static_cast<size_t>(k)])] = pivot * pivot;
  }
  prepared.importance = relative_importance(squares);
  return prepared;
}

void prepare_for(const PrepareOptions& options, PreparedHessian& prepared) {
  PrepareOptions same = prepared.asked;
  if (options.order != ColumnOrder::kGroups) same.group_width = options.group_width;
  if (same == options) return;
  Hessian hessian = prepared.release();
  prepared = prepare_hessian(std::move(hessian), options);
}

}  // namespace hesse
