#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>

#include "hesse/events.h"

namespace hesse {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// A linear of which nothing bad can be said.
LinearRecord good_linear() {
  LinearRecord l;
  l.name = "model.layers.0.mlp.up_proj";
  l.out = 4096;
  l.in = 1536;
  l.loss = 1;
  l.relative_error = 0.004;
  l.fit_error = 0.004;
  l.held_out_error = 0.0059;
  l.damping = 0.01;
  l.factorizations = 1;
  l.tokens = 1536;
  l.largest_activation = 3e4;
  l.largest_output = 3e4;
  return l;
}

struct Case {
  Trouble trouble;
  std::string name;
  std::function<void(LinearRecord&)> damage;
  std::string text;  // a part of it, numbers included
};

const Case kCases[] = {
    {Trouble::kFewTokens, "few-tokens", [](LinearRecord& l) { l.tokens = 64; }, "64 tokens for 1536 channels"},
    {Trouble::kMoreCalibration, "more-calibration", [](LinearRecord& l) { l.held_out_error = 0.00601; }, "0.601 %"},
    {Trouble::kDeadChannels, "dead-channels", [](LinearRecord& l) { l.dead_channels = 1; }, "1 of 1536 channels"},
    {Trouble::kDuplicateChannels, "duplicate-channels", [](LinearRecord& l) { l.duplicate_channels = 7; },
     "7 of 1536 channels"},
    {Trouble::kNonFiniteActivations, "nonfinite-activations", [](LinearRecord& l) { l.tokens_left_out = 3; },
     "3 tokens"},
    {Trouble::kNonFiniteWeights, "nonfinite-weights", [](LinearRecord& l) { l.status = LinearStatus::kSkipped; },
     "not finite"},
    {Trouble::kNearOverflow, "near-fp16-overflow", [](LinearRecord& l) { l.largest_activation = 40000; }, "4e+04"},
    {Trouble::kNearOverflow, "near-fp16-overflow", [](LinearRecord& l) { l.largest_output = 50000; }, "5e+04"},
    {Trouble::kScaleFloor, "scale-floor", [](LinearRecord& l) { l.floored_scales = 12; }, "12 groups"},
    {Trouble::kBlockDiagonal, "block-diagonal", [](LinearRecord& l) { l.hessian_blocks = 2; }, "2 diagonal blocks"},
    {Trouble::kFailedFirstMinor, "failed-first-minor", [](LinearRecord& l) { l.failed_minor = 1; }, "first minor"},
    {Trouble::kFailedLateMinor, "failed-late-minor", [](LinearRecord& l) { l.failed_minor = 2; }, "minor 2 of 1536"},
    {Trouble::kDampingRaised, "damping-raised",
     [](LinearRecord& l) { l.status = LinearStatus::kDampingRaised, l.factorizations = 3, l.damping = 1; },
     "2 times, to 1 of mean diag(H)"},
    {Trouble::kEigenvalueFloor, "eigenvalue-floor",
     [](LinearRecord& l) { l.status = LinearStatus::kEigenvalueFloor, l.factorizations = 5; }, "5 values of lambda"},
    {Trouble::kRoundingBetter, "rounding-better", [](LinearRecord& l) { l.status = LinearStatus::kRoundingBetter; },
     "rounding to nearest"},
    {Trouble::kUnreachedExpert, "unreached-expert", [](LinearRecord& l) { l.status = LinearStatus::kUnreached; },
     "no token was sent to this expert"},
    {Trouble::kFallback, "fallback", [](LinearRecord& l) { l.status = LinearStatus::kFallback; }, "no factor"},
};

TEST(Troubles, AGoodLinearHasNone) { EXPECT_THAT(troubles_of(good_linear()), IsEmpty()); }

TEST(Troubles, EachHasItsConditionNameAndText) {
  for (const Case& c : kCases) {
    LinearRecord linear = good_linear();
    c.damage(linear);
    EXPECT_THAT(troubles_of(linear), ElementsAre(c.trouble)) << c.name;
    EXPECT_EQ(trouble_name(c.trouble), c.name);
    EXPECT_THAT(trouble_text(c.trouble, linear), HasSubstr(c.text));
  }
}

TEST(Troubles, NamesAreUniqueAndTextsAreOneLine) {
  std::set<std::string> names;
  std::set<Trouble> seen;
  for (const Case& c : kCases) {
    if (!seen.insert(c.trouble).second) continue;
    const std::string name(trouble_name(c.trouble));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos) << name;
    const std::string text = trouble_text(c.trouble, good_linear());
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_FALSE(text.empty());
    EXPECT_NE(text.back(), '.');
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(Trouble::kFallback) + 1);  // every one has a case above
}

TEST(Troubles, SeveralComeInTheOrderOfTheirList) {
  LinearRecord linear = good_linear();
  for (const Case& c : kCases) c.damage(linear);
  const std::vector<Trouble> found = troubles_of(linear);
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  EXPECT_GT(found.size(), 8u);
}

// Without calibration text nothing was measured, and nothing is claimed.
TEST(Troubles, AnUnmeasuredLinearHasNone) {
  LinearRecord linear;
  linear.in = 1536;
  EXPECT_THAT(troubles_of(linear), IsEmpty());
}

TEST(Troubles, FewTokensSaysHowMany) {
  LinearRecord linear = good_linear();
  linear.tokens = 64;
  EXPECT_THAT(trouble_text(Trouble::kFewTokens, linear), StartsWith("64 tokens for 1536 channels"));
  linear.tokens = 1535;
  EXPECT_THAT(troubles_of(linear), ElementsAre(Trouble::kFewTokens));
}

}  // namespace
}  // namespace hesse
