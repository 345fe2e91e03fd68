#include "base/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "base/rng.h"

namespace hesse {
namespace {

TEST(JensenShannon, IsNothingOfEqualSharesAndLn2OfNothingInCommon) {
  const std::vector<int64_t> a = {3, 0, 5, 8}, twice = {6, 0, 10, 16}, other = {0, 7, 0, 0};
  EXPECT_NEAR(jensen_shannon(a, twice), 0, 1e-15);
  EXPECT_NEAR(jensen_shannon(a, other), std::numbers::ln2, 1e-15);
}

TEST(JensenShannon, OfAHandMadeCase) {
  // p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4).
  const double expected = (0.5 * std::log(2.0 / 3) + 0.5 * std::log(2.0) + std::log(4.0 / 3)) / 2;
  EXPECT_NEAR(jensen_shannon(std::vector<int64_t>{5, 5}, std::vector<int64_t>{3, 0}), expected, 1e-15);
}

TEST(JensenShannon, IsSymmetricAndBounded) {
  Rng rng(3);
  for (int round = 0; round < 100; ++round) {
    std::vector<int64_t> a(1 + rng.below(20)), b(a.size());
    for (int64_t& count : a) count = static_cast<int64_t>(rng.below(50));
    for (int64_t& count : b) count = static_cast<int64_t>(rng.below(50));
    a[0] += 1;
    b.back() += 1;
    const double there = jensen_shannon(a, b);
    EXPECT_NEAR(there, jensen_shannon(b, a), 1e-14);
    EXPECT_GE(there, 0);
    EXPECT_LE(there, std::numbers::ln2 + 1e-14);
  }
}

TEST(JensenShannon, IsUnknownOfNothing) {
  const std::vector<int64_t> some = {1, 2}, none = {0, 0}, three = {1, 2, 3};
  EXPECT_EQ(jensen_shannon(some, none), -1);
  EXPECT_EQ(jensen_shannon(some, {}), -1);
  EXPECT_EQ(jensen_shannon(some, three), -1);
}

}  // namespace
}  // namespace hesse
