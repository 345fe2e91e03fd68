#include "eval/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace hesse {
namespace {

TEST(Statistics, QuantilesLieBetweenNeighbours) {
  EXPECT_EQ(quantile_of({7}, 0.99), 7);
  EXPECT_EQ(quantile_of({4, 1, 3, 2}, 0.5), 2.5);
  EXPECT_EQ(quantile_of({4, 1, 3, 2}, 0), 1);
  EXPECT_EQ(quantile_of({4, 1, 3, 2}, 1), 4);
  EXPECT_NEAR(quantile_of({0, 10}, 0.99), 9.9, 1e-12);
  EXPECT_TRUE(std::isnan(quantile_of({1, std::numeric_limits<double>::quiet_NaN()}, 0.5)));
}

TEST(Statistics, ATrimmedMeanForgetsWhatIsFarOut) {
  std::vector<double> values(198, 2.0);
  values.push_back(1e9);
  values.push_back(-1e9);
  EXPECT_EQ(trimmed_mean_of(values, 0.01), 2.0);
  EXPECT_EQ(trimmed_mean_of({1, 2, 6}, 0.01), 3.0);  // fewer than 100: nothing is cut
  EXPECT_EQ(mean_of({}), 0);
}

TEST(Statistics, FewBlocksGiveNoInterval) {
  EXPECT_FALSE(bootstrap_interval(std::vector<double>(4, 1.0)));
  const auto same = bootstrap_interval(std::vector<double>(5, 1.5));
  ASSERT_TRUE(same);
  EXPECT_EQ(same->low, 1.5);
  EXPECT_EQ(same->high, 1.5);
}

TEST(Statistics, IntervalsAreTheSameEachTimeAndPaired) {
  Rng rng(3);
  std::vector<double> a, b, difference;
  for (int i = 0; i < 40; ++i) {
    a.push_back(rng.normal());
    b.push_back(a.back() + 1);
    difference.push_back(b.back() - a.back());
  }
  const Interval once = *bootstrap_interval(a), again = *bootstrap_interval(a), shifted = *bootstrap_interval(b);
  EXPECT_EQ(once.low, again.low);
  EXPECT_NEAR(shifted.high, once.high + 1, 1e-12);
  // What makes windows differ cancels in the difference.
  EXPECT_LT(bootstrap_interval(difference)->high - bootstrap_interval(difference)->low, 1e-12);
}

struct Coverage {
  double share = 0;  // of the intervals that hold the truth
  double width = 0;  // their mean width
};

// Blocks of correlated losses: a part that all tokens of a window share, and one of their own; `skewed` as losses are.
Coverage coverage_of(int blocks, bool skewed, int trials, Rng& rng) {
  constexpr int kTokens = 16;
  Coverage coverage;
  for (int t = 0; t < trials; ++t) {
    std::vector<double> means;
    for (int b = 0; b < blocks; ++b) {
      const double common = rng.normal();
      double sum = 0;
      for (int i = 0; i < kTokens; ++i) sum += skewed ? -std::log(1 - rng.uniform()) - 1 : rng.normal();
      means.push_back(3 + 0.5 * common + sum / kTokens);
    }
    const Interval interval = *bootstrap_interval(means);
    coverage.share += interval.low <= 3 && 3 <= interval.high ? 1.0 / trials : 0;
    coverage.width += (interval.high - interval.low) / trials;
  }
  return coverage;
}

// 400 evaluations of a text whose true loss is known. 95 % of the intervals hold it, give or take 4 standard deviations
// of that count (1.1 %) and what a bootstrap of few blocks misses.
TEST(Statistics, NineteenOfTwentyIntervalsHoldTheTruth) {
  const uint64_t seed = 20261123;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rng rng(seed);
  for (const int blocks : {6, 20, 60}) {
    for (const bool skewed : {false, true}) {
      const Coverage coverage = coverage_of(blocks, skewed, 400, rng);
      SCOPED_TRACE(testing::Message() << blocks << " blocks, skewed " << skewed << ", share " << coverage.share);
      EXPECT_GT(coverage.share, 0.95 - 0.045);
      EXPECT_LT(coverage.share, 0.95 + 0.045);
      // Nor are they wide for nothing: 2 t sigma / sqrt(n), sigma^2 = 0.25 + 1 / 16.
      EXPECT_LT(coverage.width, 1.35 * 2 * 1.96 * std::sqrt(0.3125 / blocks) * (blocks < 10 ? 1.3 : 1));
    }
  }
}

TEST(Statistics, SharesStayBetweenNothingAndAll) {
  EXPECT_NEAR(share_interval(0, 10).low, 0, 1e-15);
  EXPECT_NEAR(share_interval(0, 10).high, 0.2775, 1e-4);  // z^2 / (n + z^2)
  EXPECT_NEAR(share_interval(10, 10).low, 0.7225, 1e-4);
  EXPECT_NEAR(share_interval(10, 10).high, 1, 1e-15);
  EXPECT_NEAR(share_interval(50, 100).low, 0.4038, 1e-4);
  EXPECT_NEAR(share_interval(50, 100).high, 0.5962, 1e-4);
}

TEST(Statistics, RangesOfPositionsDouble) {
  EXPECT_EQ(position_range(1), 0);
  EXPECT_EQ(position_range(2), 1);
  EXPECT_EQ(position_range(3), 1);
  EXPECT_EQ(position_range(4), 2);
  EXPECT_EQ(position_range(511), 8);
  EXPECT_EQ(position_range(512), 9);
}

}  // namespace
}  // namespace hesse
