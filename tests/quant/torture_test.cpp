// Nothing that a Hessian or a weight can be stops the solver: the answer is storable, loses no more than rounding to
// nearest, and says what it is. Named troubles with every option, then random mixtures of them.
#include <algorithm>
#include <set>
#include <sstream>

#include "base/threads.h"
#include "hesse/error.h"
#include "linalg/factor.h"
#include "quant/solver.h"
#include "quant/torture_cases.h"

namespace hesse {
namespace {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

// Small matrices: starting threads would take longer than the work.
class Torture : public testing::Test {
 protected:
  void SetUp() override { set_threads(1); }
  void TearDown() override { set_threads(0); }
};

bool is_finite(const Matrix<double>& h) {
  return std::all_of(h.data(), h.data() + h.size(), [](double value) { return std::isfinite(value); });
}

// R R^T = H + lambda I, to the backward error of Cholesky (Higham 2002, theorem 10.3).
AssertionResult reproduces(const PreparedHessian& p) {
  const int64_t n = p.in();
  const SymmetricView h = p.h();
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = r; c < n; ++c) {
      const int32_t i = p.order[static_cast<size_t>(r)], j = p.order[static_cast<size_t>(c)];
      const auto damped = [&](int32_t k) { return h(k, k) + p.lambda; };
      double product = 0;
      for (int64_t k = c; k < n; ++k) product += p.factor()(r, k) * p.factor()(c, k);
      const double expected = (r == c) ? damped(i) : h(i, j);
      const double bound = static_cast<double>(2 * n + 4) * kUnitDouble * std::sqrt(damped(i) * damped(j));
      if (!(std::fabs(product - expected) <= bound))
        return AssertionFailure() << "R R^T has " << product << " for " << expected << " at " << r << ", " << c;
    }
  }
  return AssertionSuccess();
}

AssertionResult factor_is_sound(const PreparedHessian& p) {
  if (!p.factored()) return AssertionSuccess();
  for (int64_t r = 0; r < p.in(); ++r) {
    if (!(p.factor()(r, r) > 0)) return AssertionFailure() << "pivot " << p.factor()(r, r);
    for (int64_t c = r; c < p.in(); ++c) {
      if (!std::isfinite(p.factor()(r, c))) return AssertionFailure() << "a factor that is not finite";
    }
  }
  // The last fallback factors another matrix: tests/linalg/eigenvalues_test.cpp.
  const bool raised = p.raised_to_floor > 0 || p.factorizations == kMaxFactorizations;
  return raised || p.in() > 64 ? AssertionSuccess() : reproduces(p);
}

AssertionResult is_sound(const PreparedHessian& p) {
  const int64_t n = p.in();
  if (p.factorizations > kMaxFactorizations) return AssertionFailure() << p.factorizations << " factorizations";
  const std::set<int32_t> columns(p.order.begin(), p.order.end());
  const bool permutation = static_cast<int64_t>(p.order.size()) == n && static_cast<int64_t>(columns.size()) == n &&
                           *columns.begin() == 0 && *columns.rbegin() == n - 1;
  if (!permutation) return AssertionFailure() << "the order is no permutation";
  if (static_cast<int64_t>(p.importance.size()) != n) return AssertionFailure() << "importance has another length";
  for (const float weight : p.importance) {
    if (!(weight >= 0 && weight <= 1)) return AssertionFailure() << "importance " << weight;
  }
  if (!is_finite(whole(p.h())) && p.factored()) return AssertionFailure() << "a factor of what is not finite";
  if (!std::isfinite(p.lambda) || p.lambda < 0) return AssertionFailure() << "lambda " << p.lambda;
  if (p.raised_to_floor < 0 || p.raised_to_floor > n) return AssertionFailure() << p.raised_to_floor << " raised";
  return factor_is_sound(p);
}

// E is rounded to float32 once (2^-24 of each element, so 2^-23 of each product); the rest is sums of float64.
long double tolerance(const Quadratic& loss, const Matrix<float>& weight) {
  return loss.magnitude * (0x1p-23 * 1.001 + static_cast<double>(2 * weight.cols() + weight.rows() + 8) * kUnitDouble);
}

// Below 0, where rounding or an H that is no Gram matrix would have it, a loss is 0: -1 means that there is none.
// `quick`: relative, of losses that are only reported (quick_quadratic_loss).
AssertionResult is_loss(double reported, const Quadratic& loss, const Matrix<float>& weight, const char* name,
                        double quick = 0) {
  const long double value = std::max(0.0L, loss.value);
  const bool close = std::fabs(reported - value) <= tolerance(loss, weight) + quick * value;
  if (close && reported >= 0) return AssertionSuccess();
  return AssertionFailure() << name << " is " << reported << ", the stored codes lose " << loss.value;
}

QuantizedLinear plain_rounding(const Matrix<float>& weight, const LinearSpec& spec) {
  const GptqOptions plain{.grid = {.search = ScaleSearch::kMinMax, .negative_scales = false}};
  return solver("rtn").solve(weight.view(), nullptr, spec, plain);
}

AssertionResult losses_are_true(const SolveOutcome& outcome, const Matrix<float>& weight, const Matrix<double>& h,
                                const LinearSpec& spec) {
  const Quadratic loss = loss_of(weight, outcome.linear, h);
  const Quadratic plain = loss_of(weight, plain_rounding(weight, spec), h);
  QuantizedLinear nothing = plain_rounding(Matrix<float>::zeros(weight.rows(), weight.cols()), spec);
  constexpr double kQuick = 5e-3;
  for (const auto& result :
       {is_loss(outcome.loss, loss, weight, "loss"), is_loss(outcome.rtn_loss, plain, weight, "rtn_loss", kQuick),
        is_loss(outcome.energy, loss_of(weight, nothing, h), weight, "energy", kQuick)}) {
    if (!result) return result;
  }
  return AssertionSuccess();
}

AssertionResult is_no_worse_than_rounding(const SolveOutcome& outcome, const Matrix<float>& weight,
                                          const Matrix<double>& h, const LinearSpec& spec) {
  const Quadratic loss = loss_of(weight, outcome.linear, h);
  const Quadratic plain = loss_of(weight, plain_rounding(weight, spec), h);
  if (loss.value <= plain.value + tolerance(loss, weight) + tolerance(plain, weight)) return AssertionSuccess();
  return AssertionFailure() << "loses " << loss.value << ", rounding to nearest " << plain.value;
}

AssertionResult is_sound(const SolveOutcome& outcome, const Solver& chosen, const Matrix<float>& weight,
                         const PreparedHessian& p, const LinearSpec& spec) {
  if (const auto result = is_storable(outcome.linear, spec, weight.rows(), weight.cols()); !result) return result;
  if (!(outcome.clip_rate >= 0 && outcome.clip_rate <= 1)) return AssertionFailure() << "clips " << outcome.clip_rate;
  if (outcome.floored_scales < 0 || outcome.floored_scales > outcome.linear.scales.size())
    return AssertionFailure() << outcome.floored_scales << " floored scales";
  const bool refused = outcome.route == SolveRoute::kNoFactor;
  if (refused != (chosen.needs_hessian && !p.factored())) return AssertionFailure() << "the route is another";
  if (!is_finite(whole(p.h()))) {
    const bool said = outcome.loss == -1 && outcome.rtn_loss == -1 && outcome.energy == -1;
    return said ? AssertionSuccess() : AssertionFailure() << "a loss of a Hessian that is not finite";
  }
  if (const auto result = losses_are_true(outcome, weight, whole(p.h()), spec); !result) return result;
  if (!chosen.needs_hessian) return AssertionSuccess();  // rounds by another search, and is what it says
  return is_no_worse_than_rounding(outcome, weight, whole(p.h()), spec);
}

struct Options {
  size_t solver = 0;
  double damping = 0.01;
  LinearSpec spec;
  GptqOptions gptq;
};

// Digits of a number in mixed base: every option with every other, when `index` counts up.
Options options_at(uint64_t index) {
  const auto pick = [&](uint64_t count) {
    const uint64_t digit = index % count;
    index /= count;
    return digit;
  };
  Options o;
  o.solver = pick(solvers().size());
  o.gptq.order = std::array{ColumnOrder::kFile, ColumnOrder::kActivation, ColumnOrder::kGroups}[pick(3)];
  o.spec.bits = std::array{2, 3, 4, 8}[pick(4)];
  o.spec.group_size = std::array{32, -1, 13}[pick(3)];
  o.spec.symmetric = pick(2) == 0;
  o.gptq.joint_candidates = pick(2) == 0 ? 16 : 1;
  o.gptq.sweeps = pick(2) == 0 ? 4 : 0;
  o.gptq.grid.search = pick(2) == 0 ? ScaleSearch::kWeighted : ScaleSearch::kMinMax;
  o.damping = std::array{0.01, 0.0, 1.0}[pick(3)];
  return o;
}
constexpr uint64_t kOptions = 2 * 3 * 4 * 3 * 2 * 2 * 2 * 2 * 3;
constexpr uint64_t kStride = 1009;  // a prime that does not divide it: consecutive multiples meet every option

std::string text_of(const Options& o) {
  std::ostringstream text;
  text << solvers()[o.solver].name << ", order " << static_cast<int>(o.gptq.order) << ", " << o.spec.bits
       << " bits, groups of " << o.spec.group_size << (o.spec.symmetric ? ", symmetric" : ", asymmetric") << ", joint "
       << o.gptq.joint_candidates << ", " << o.gptq.sweeps << " sweeps, search " << static_cast<int>(o.gptq.grid.search)
       << ", damping " << o.damping;
  return text.str();
}

Hessian copy_of(const Hessian& h) {
  Hessian copy(h.in());
  copy.sum = h.sum.clone();
  copy.tokens = h.tokens;
  return copy;
}

// How often each way out was taken.
struct WaysOut {
  int solved = 0, no_factor = 0, rounding_better = 0, damping_raised = 0, eigenvalues_raised = 0;

  void count(const PreparedHessian& p, const SolveOutcome& outcome) {
    solved += outcome.route == SolveRoute::kSolved ? 1 : 0;
    no_factor += outcome.route == SolveRoute::kNoFactor ? 1 : 0;
    rounding_better += outcome.route == SolveRoute::kRoundingBetter ? 1 : 0;
    damping_raised += p.factored() && p.factorizations > 1 ? 1 : 0;
    eigenvalues_raised += p.raised_to_floor > 0 ? 1 : 0;
  }
  int rarest() const { return std::min({solved, no_factor, rounding_better, damping_raised, eigenvalues_raised}); }
};

AssertionResult survives(const Hessian& h, const Matrix<float>& weight, const Options& o, WaysOut& ways) {
  const PreparedHessian p = prepare_hessian(copy_of(h), {o.damping, o.gptq.order, o.spec.group_width(h.in())});
  if (const auto result = is_sound(p); !result) return result;
  const Solver& chosen = solvers()[o.solver];
  const SolveOutcome outcome = solve_linear(chosen, weight.view(), &p, o.spec, o.gptq);
  ways.count(p, outcome);
  return is_sound(outcome, chosen, weight, p, o.spec);
}

TEST_F(Torture, EveryNamedTroubleWithEveryOption) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  uint64_t index = 0;
  WaysOut ways;
  for (const HessianCase& hessian_case : kHessianCases) {
    const Hessian h = hessian_case.make(rng);
    ASSERT_EQ(is_finite(h.sum), hessian_case.finite) << hessian_case.name;
    const bool wide = h.in() > 100;
    for (const WeightCase& weight_case : kWeightCases) {
      const Matrix<float> weight = weight_case.make(rng, wide ? 2 : 4, h.in());
      for (int repeat = 0; repeat < (wide ? 3 : 12); ++repeat) {
        const Options options = options_at(index++ * kStride % kOptions);
        ASSERT_TRUE(survives(h, weight, options, ways))
            << hessian_case.name << "; weights: " << weight_case.name << "; " << text_of(options);
      }
    }
  }
  EXPECT_GE(index, kOptions);
  EXPECT_GE(ways.rarest(), 5);
}

TEST_F(Torture, ValuesThatAreNotFiniteAnywhere) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const int64_t in = 9;
  uint64_t index = test_seed();
  WaysOut ways;
  for (const double value : {kNotANumber, kInfinity, -kInfinity}) {
    for (int64_t r = 0; r < in; ++r) {
      for (int64_t c = 0; c <= r; ++c) {
        Hessian h = from_inputs(rng, 30, in, 1.0);
        h.sum(r, c) = h.sum(c, r) = value;
        Options options = options_at(index++ * kStride % kOptions);
        options.solver = 0;
        ASSERT_TRUE(survives(h, normal_matrix(rng, 3, in), options, ways)) << value << " at " << r << ", " << c;
      }
    }
  }
  EXPECT_EQ(ways.no_factor, 3 * 45);
}

// One token in 64 directions: 8 bits come so near to no loss at all that float64 falls below it.
TEST_F(Torture, ALossIsNeverNegative) {
  HESSE_PRINT_SEED();
  for (uint64_t trial = 0; trial < 500; ++trial) {
    Rng rng(test_seed() * 1000003 + trial);
    const Matrix<float> weight = normal_matrix(rng, 1, 64, 0.02);
    const PreparedHessian p = prepare_hessian(from_inputs(rng, 1, 64, 1.0), {.damping = 1e-9, .group_width = 64});
    const SolveOutcome outcome =
        solve_linear(solver("gptq"), weight.view(), &p, {.bits = 8, .group_size = 64}, {.sweeps = 1});
    ASSERT_GE(outcome.loss, 0) << "trial " << trial;
  }
}

// The factor by itself: it is right, or says which minor is not.
TEST_F(Torture, TheFactorIsRightOrNamesAMinor) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const HessianCase& c : kHessianCases) {
    SCOPED_TRACE(c.name);
    const Hessian h = c.make(rng);
    const int64_t n = h.in();
    Matrix<double> factor = h.sum.clone();
    const FactorOutcome outcome = factor_upper(factor.view());
    ASSERT_GE(outcome.failed_minor, 0);
    ASSERT_LE(outcome.failed_minor, n);
    EXPECT_FALSE(outcome.ok() && !c.finite);
    for (int64_t r = 0; outcome.ok() && r < n; ++r) {
      for (int64_t col = r; col < n; ++col) {
        double product = 0;
        for (int64_t k = col; k < n; ++k) product += factor(r, k) * factor(col, k);
        const double size = std::sqrt(h.sum(r, r) * h.sum(col, col));
        ASSERT_NEAR(product, h.sum(r, col), static_cast<double>(2 * n + 4) * kUnitDouble * size) << r << ", " << col;
      }
    }
  }
}

// Inputs with several troubles at once.
Hessian random_hessian(Rng& rng) {
  const int64_t in = 1 + static_cast<int64_t>(rng.below(rng.below(8) == 0 ? 80 : 24));
  const int64_t tokens = 1 + static_cast<int64_t>(rng.below(rng.below(2) == 0 ? 4 : 60));
  const auto any = [&] { return static_cast<int64_t>(rng.below(static_cast<uint64_t>(in))); };
  const auto chance = [&](uint64_t one_in) { return rng.below(one_in) == 0; };
  Matrix<float> x = normal_matrix(rng, tokens, in, chance(3) ? std::pow(10.0, 40 * rng.uniform() - 20) : 1.0);
  if (chance(6)) mix_magnitudes(rng, x);
  const int64_t copies = chance(3) ? any() : 0;
  for (int64_t k = 0; k < copies; ++k) {
    const int64_t from = any(), to = any();
    const float factor = chance(3) ? 0.0f : (chance(3) ? 1e6f : 1.0f);
    for (int64_t t = 0; t < tokens; ++t) x(t, to) = std::clamp(factor * x(t, from), -1e37f, 1e37f);
  }
  Hessian h = hessian_of(x.view());
  double mean = 0;
  for (int64_t i = 0; i < in; ++i) mean += h.sum(i, i) / static_cast<double>(in);
  const double share = chance(4) ? std::pow(10.0, -16 * rng.uniform()) : 0.0;
  for (int64_t i = 0; i < in; ++i) h.sum(i, i) -= share * mean;
  const int64_t damages = chance(6) ? 1 + any() : 0;
  for (int64_t k = 0; k < damages; ++k) {
    const int64_t i = any(), j = any();
    h.sum(i, j) = h.sum(j, i) = (i == j ? 0.0 : std::pow(10.0, 8 * rng.uniform() - 4) * h.sum(i, j));
  }
  if (chance(12)) {
    const int64_t i = any(), j = any();
    h.sum(i, j) = h.sum(j, i) = std::array{kNotANumber, kInfinity, -kInfinity}[rng.below(3)];
  }
  return h;
}

Matrix<float> random_weight(Rng& rng, int64_t in) {
  const int64_t out = 1 + static_cast<int64_t>(rng.below(5));
  Matrix<float> weight = kWeightCases[rng.below(kWeightCases.size())].make(rng, out, in);
  if (rng.below(3) > 0) return weight;
  for (int64_t row = 0; row < out; ++row) {  // rows of another kind
    const Matrix<float> other = kWeightCases[rng.below(kWeightCases.size())].make(rng, 1, in);
    std::copy_n(other.data(), in, weight.row(row));
  }
  return weight;
}

TEST_F(Torture, RandomMixtures) {
  constexpr int kCases = 10000;
  constexpr double kDampings[] = {0, 1e-12, 1e-6, 0.01, 0.01, 0.1, 10};
  HESSE_PRINT_SEED();
  WaysOut ways;
  for (int i = 0; i < kCases; ++i) {
    Rng rng(test_seed() * 1000003 + static_cast<uint64_t>(i));
    const Hessian h = random_hessian(rng);
    const Matrix<float> weight = random_weight(rng, h.in());
    Options options = options_at(rng.below(kOptions));
    options.damping = kDampings[rng.below(std::size(kDampings))];
    if (rng.below(4) == 0) options.spec.group_size = 1 + static_cast<int64_t>(rng.below(20));
    options.gptq.joint_candidates = 1 + static_cast<int>(rng.below(20));
    options.gptq.grid.negative_scales = rng.below(3) > 0;
    ASSERT_TRUE(survives(h, weight, options, ways))
        << "case " << i << ": " << weight.rows() << " x " << h.in() << "; " << text_of(options);
  }
  EXPECT_GE(ways.rarest(), kCases / 500);
}

// The checks above tell a damaged answer from a sound one.
TEST_F(Torture, DamagedAnswersAreSeen) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const Matrix<float> weight = normal_matrix(rng, 4, 40, 0.02);
  const LinearSpec spec{.bits = 4, .group_size = 13, .symmetric = false};
  const PreparedHessian p = prepare_hessian(from_inputs(rng, 200, 40, 1.0), {.group_width = 13});
  const auto judge = [&](auto damage) {
    SolveOutcome outcome = solve_linear(solver("gptq"), weight.view(), &p, spec, {});
    damage(outcome);
    return static_cast<bool>(is_sound(outcome, solver("gptq"), weight, p, spec));
  };
  EXPECT_TRUE(judge([](SolveOutcome&) {}));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.codes(1, 3) = 16; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.codes(1, 3) ^= 1; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.scales(2, 1) = 0; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.scales(2, 1) = 0.1f; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.scales(2, 1) = static_cast<float>(kInfinity); }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.linear.zeros(0, 0) = 0; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.loss *= 1.0001; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.rtn_loss = -1; }));
  EXPECT_FALSE(judge([](SolveOutcome& o) { o.route = SolveRoute::kNoFactor; }));
}

}  // namespace
}  // namespace hesse
