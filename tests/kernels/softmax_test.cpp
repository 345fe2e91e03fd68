// Streamed softmax and log-sum-exp.
#include <algorithm>

#include "kernels/kernel_testing.h"

namespace hesse {
namespace {

class Softmax : public KernelTest {};
HESSE_FOR_EACH_TARGET(Softmax);

struct Outcome {
  Row s;
  float max;
  float sum;
  float factor;
};

Outcome run(decltype(softmax_tile)* kernel, const Row& scores, float max, float sum) {
  Outcome outcome{scores, max, sum, 0.0f};
  outcome.factor = kernel(outcome.s.data(), scores.size(), &outcome.max, &outcome.sum);
  return outcome;
}

// exp(s - max): the difference is rounded once, which costs |s - max| units; exp 2, the twin 1.
double exp_tolerance(double result, double difference) {
  const double units = std::isfinite(difference) ? std::fabs(difference) + 3.01 : 0.0;
  return std::min(units, 200.0) * kUnit * result + 2 * kSmallest;
}

void expect_like_twin(const Row& scores, float max, float sum) {
  const Outcome out = run(softmax_tile, scores, max, sum), twin = run(scalar::softmax_tile, scores, max, sum);
  ASSERT_EQ(out.max, twin.max);
  double tolerance = 2 * kUnit * twin.sum;  // scaling the old sum and adding the new one
  for (int64_t j = 0; j < scores.size(); ++j) {
    const double one = exp_tolerance(twin.s[j], double{scores[j]} - twin.max);
    EXPECT_WITHIN(out.s[j], twin.s[j], one);
    tolerance += one + kUnit * static_cast<double>(scores.size()) * twin.s[j];
  }
  const double factor_tolerance = exp_tolerance(twin.factor, double{max} - twin.max);
  EXPECT_WITHIN(out.factor, twin.factor, factor_tolerance);
  EXPECT_WITHIN(out.sum, twin.sum, tolerance + factor_tolerance * sum);
}

TEST_P(Softmax, TileEqualsItsTwin) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : sizes()) {
    for (int64_t offset = 0; offset < kOffsets; ++offset) {
      SCOPED_TRACE("n " + std::to_string(n));
      const Row scores(n, offset, rng, 20.0);
      expect_like_twin(scores, -kInf, 0.0f);
      expect_like_twin(scores, -30.0f, 2.5f);
      expect_like_twin(scores, 45.0f, 100.0f);
      Row masked = scores;
      for (int64_t j = 0; j < n; ++j) masked[j] = (rng.below(2) == 0) ? -kInf : masked[j];
      expect_like_twin(masked, -kInf, 0.0f);
    }
  }
}

TEST_P(Softmax, TileAtTheExtremes) {
  for (const int64_t n : {2, 9, 20}) {
    for (const float low : {-3e38f, -1e4f, -104.0f, -88.0f, 1e-45f, -1e-38f, -kInf}) {
      for (const float high : {-1e4f, 0.0f, 1e-40f, 1e4f, 3e38f}) {
        if (low > high) continue;
        Row scores(n, 0, low);
        scores[n - 1] = high;
        expect_like_twin(scores, -kInf, 0.0f);
        expect_like_twin(scores, low, 1.0f);
        expect_like_twin(Row(n, 0, low), high, 3.0f);
      }
    }
  }
}

TEST_P(Softmax, AllMaskedIsAllZeroAndLaterTilesCount) {
  const Outcome none = run(softmax_tile, Row(11, 0, -kInf), -kInf, 0.0f);
  EXPECT_EQ(none.s.storage, Floats(11, 0.0f));
  EXPECT_EQ(none.sum, 0.0f);
  EXPECT_EQ(none.max, -kInf);
  EXPECT_EQ(none.factor, 0.0f);
  const Outcome some = run(softmax_tile, Row(11, 0, 2.0f), none.max, none.sum);
  EXPECT_EQ(some.s.storage, Floats(11, 1.0f));
  EXPECT_EQ(some.sum, 11.0f);
  const Outcome after = run(softmax_tile, Row(11, 0, -kInf), some.max, some.sum);
  EXPECT_EQ(after.s.storage, Floats(11, 0.0f));
  EXPECT_EQ(after.sum, 11.0f);
  EXPECT_EQ(after.factor, 1.0f);
}

TEST_P(Softmax, NaNAndInfinityAreNeverHidden) {
  for (const float bad : {kNaN, kInf}) {
    for (const float other : {-kInf, 1.0f}) {
      for (int64_t at = 0; at < 19; ++at) {
        Row scores(19, 0, other);
        scores[at] = bad;
        EXPECT_TRUE(std::isnan(run(softmax_tile, scores, -kInf, 0.0f).sum));
        EXPECT_TRUE(std::isnan(run(scalar::softmax_tile, scores, -kInf, 0.0f).sum));
        EXPECT_TRUE(std::isnan(log_sum_exp(scores.data(), 19)));
        EXPECT_TRUE(std::isnan(scalar::log_sum_exp(scores.data(), 19)));
      }
    }
  }
}

// A row of scores with values, in random tiles: the streamed mean of the values is the softmax mean.
TEST_P(Softmax, AnyTilingGivesTheSameMean) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (int trial = 0; trial < 50; ++trial) {
    const int64_t n = 1 + static_cast<int64_t>(rng.below(300));
    const Row scores(n, 0, rng, 8.0), values(n, 0, rng);
    const double total = scalar::log_sum_exp(scores.data(), n);
    double exact = 0, size = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double p = std::exp(scores[j] - total);
      exact += p * values[j], size += p * std::fabs(values[j]);
    }
    float max = -kInf, sum = 0, mean = 0;
    int64_t tiles = 0;
    for (int64_t at = 0; at < n; ++tiles) {
      const int64_t width = std::min(n - at, 1 + static_cast<int64_t>(rng.below(70)));
      Row tile(width, 0, 0.0f);
      std::copy_n(scores.data() + at, width, tile.data());
      mean *= softmax_tile(tile.data(), width, &max, &sum);
      for (int64_t j = 0; j < width; ++j) mean += tile[j] * values[at + j];
      at += width;
    }
    // Differences of scores are below 100 here: exp is off by (100 + 3) units, once per element and per change of max;
    // then the sums of n terms above and below the line.
    const double tolerance = (103.0 * static_cast<double>(tiles + 1) + 2.0 * static_cast<double>(n)) * kUnit;
    EXPECT_WITHIN(mean / sum, exact, tolerance * (size + std::fabs(exact)));
  }
}

// exp is good to 1 ulp, the sum of n terms to n units: of the sum, which is an absolute error of its logarithm.
double lse_tolerance(int64_t n, double result) {
  return (static_cast<double>(n) + 4.0 + 2.0 * std::fabs(result)) * kUnitDouble;
}

TEST_P(Softmax, LogSumExpEqualsItsTwin) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : sizes()) {
    for (int64_t offset = 0; offset < kOffsets; ++offset) {
      for (const double spread : {1e-40, 1.0, 30.0, 1e4, 1e37}) {
        const Row x(n, offset, rng, spread);
        const double twin = scalar::log_sum_exp(x.data(), n);
        EXPECT_WITHIN(log_sum_exp(x.data(), n), twin, lse_tolerance(n, twin));
      }
    }
  }
}

TEST_P(Softmax, LogSumExpOfAWholeVocabularyAndShifts) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  const int64_t n = 100003;
  Row x(n, 0, rng, 3.0);
  for (float& value : x.storage) value = std::round(value * 256.0f) / 256.0f;  // so that adding 512 is exact
  const double before = log_sum_exp(x.data(), n);
  EXPECT_WITHIN(before, scalar::log_sum_exp(x.data(), n), lse_tolerance(n, before));
  for (float& value : x.storage) value += 512.0f;
  EXPECT_WITHIN(log_sum_exp(x.data(), n), before + 512.0, 2 * 512.0 * kUnitDouble);
}

TEST_P(Softmax, LogSumExpKnownValues) {
  EXPECT_EQ(log_sum_exp(Row(1, 1, 1e4f).data(), 1), 1e4);
  EXPECT_EQ(log_sum_exp(Row(1, 1, -1e4f).data(), 1), -1e4);
  EXPECT_EQ(log_sum_exp(Row(40, 1, -kInf).data(), 40), -kInf);
  EXPECT_EQ(log_sum_exp(nullptr, 0), -kInf);
  Row one(40, 1, -kInf);
  one[39] = 5.0f;
  EXPECT_EQ(log_sum_exp(one.data(), 40), 5.0);
}

// Both sum n terms p (log p - log q) whose logarithms are good to a few ulp of the largest of them.
double kl_tolerance(int64_t n, double spread) {
  return static_cast<double>(n + 16) * kUnitDouble * (40 * spread + std::log(static_cast<double>(n)));
}

TEST_P(Softmax, KlDivergenceEqualsItsTwin) {
  HESSE_PRINT_SEED();
  Rng rng(test_seed());
  for (const int64_t n : sizes()) {
    for (const double spread : {1e-3, 1.0, 30.0}) {
      if (n == 0) continue;
      const Row p(n, 1, rng, spread);
      const Row q(n, 2, rng, spread);
      const double twin = scalar::kl_divergence(p.data(), q.data(), n);
      EXPECT_WITHIN(kl_divergence(p.data(), q.data(), n), twin, kl_tolerance(n, spread));
      EXPECT_GE(twin, -kl_tolerance(n, spread));  // Gibbs
      EXPECT_WITHIN(kl_divergence(p.data(), p.data(), n), 0.0, kl_tolerance(n, spread));
    }
  }
}

TEST_P(Softmax, KlDivergenceKnownValues) {
  // p = (3/4, 1/4), q = (1/2, 1/2): 3/4 log 3/2 + 1/4 log 1/2.
  const Floats p = {std::log(3.0f), 0.0f};
  const Floats q = {7.0f, 7.0f};
  EXPECT_WITHIN(kl_divergence(p.data(), q.data(), 2), 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 4 * kUnit);
  const Floats certain = {0.0f, -kInf};
  EXPECT_WITHIN(kl_divergence(certain.data(), q.data(), 2), std::log(2.0), 4 * kUnitDouble);
  const Floats broken = {0.0f, kNaN};
  EXPECT_TRUE(std::isnan(kl_divergence(broken.data(), q.data(), 2)));
  EXPECT_TRUE(std::isnan(kl_divergence(q.data(), broken.data(), 2)));
}

}  // namespace
}  // namespace hesse
