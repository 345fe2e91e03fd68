#include "plan/group_sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "plan/published.h"

namespace hesse {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// SmolLM2-135M: hidden 576 = 4.5 x 128, MLP 1536.
const std::vector<StageShape> kSmolLm2 = {{"qkv", false, {{"layers.0.q_proj", 576, 576}}},
                                          {"down", true, {{"layers.0.down_proj", 576, 1536}}}};
// Falcon-7B: 4544 = 35 x 128 + 64 = 71 x 64.
const std::vector<StageShape> kFalcon = {{"qkv", false, {{"h.0.query_key_value", 4672, 4544}}},
                                         {"down", true, {{"h.0.dense_4h_to_h", 4544, 18176}}}};

TEST(GroupSizes, ListsWhatDividesEveryWidth) {
  EXPECT_EQ(dividing_group_sizes(kSmolLm2), (std::vector<int64_t>{32, 64, 96, 192}));
  EXPECT_EQ(dividing_group_sizes(kFalcon), (std::vector<int64_t>{32, 64, 2272, 4544}));
  EXPECT_EQ(group_size_advice(kSmolLm2), "32, 64, 96, 192 or -1");
}

TEST(GroupSizes, AutoTakesTheLargestThatEnginesLoad) {
  EXPECT_EQ(largest_common_group_size(kSmolLm2), 64);  // 192 divides too, but nothing loads it
  EXPECT_EQ(largest_common_group_size(kFalcon), 64);
  EXPECT_EQ(largest_common_group_size(stages_of(published("qwen2-72b"))), 128);  // 29568 = 231 x 128
  EXPECT_EQ(largest_common_group_size({{"qkv", false, {{"q", 96, 96}}}}), 32);
  EXPECT_EQ(largest_common_group_size({{"qkv", false, {{"q", 96, 100}}}}), -1);
  EXPECT_EQ(largest_common_group_size({}), -1);
}

// Whatever the widths are, the choice divides all of them, and no larger common size does.
TEST(GroupSizes, AutoIsLegalForEveryWidth) {
  for (int64_t a = 8; a <= 1024; a += 8) {
    const std::vector<StageShape> stages = {{"qkv", false, {{"q", 64, a}}}, {"down", true, {{"d", 64, 3 * a}}}};
    const int64_t size = largest_common_group_size(stages);
    for (const StageShape& stage : stages) {
      EXPECT_EQ(stage.in() % LinearSpec{.group_size = size}.group_width(stage.in()), 0) << a;
    }
    for (const int64_t larger : kCommonGroupSizes) {
      if (larger > size) {
        EXPECT_TRUE(a % larger != 0 || 3 * a % larger != 0) << a;
      }
    }
  }
}

GroupFit fit(const LinearGroupSizes& row, int64_t size) {
  for (const auto& entry : row.sizes) {
    if (entry.group_size == size) return entry.fit;
  }
  ADD_FAILURE() << size;
  return GroupFit::kUnstorable;
}

TEST(GroupSizes, TheTableHasARowForEveryKindOfLinear) {
  const auto table = group_size_table(stages_of(published("smollm2-135m")), {.group_size = 192}, export_format("gptq"));
  ASSERT_EQ(table.size(), 5u);  // q; k and v; o; gate and up; down
  EXPECT_EQ(table[1].count, 60);
  EXPECT_EQ(table[0].in, 576);
  EXPECT_EQ(fit(table[0], 192), GroupFit::kDivides);
  EXPECT_EQ(fit(table[0], 128), GroupFit::kRagged);
  EXPECT_EQ(fit(table[0], 64), GroupFit::kLoadable);
  EXPECT_EQ(fit(table[0], -1), GroupFit::kLoadable);
  EXPECT_EQ(fit(table[4], 128), GroupFit::kLoadable);  // down reads 1536
}

TEST(GroupSizes, WhatTheFormatCannotPackIsUnstorable) {
  const std::vector<StageShape> odd = {{"qkv", false, {{"q", 64, 100}}}};
  const LinearSpec three{.bits = 3, .group_size = 50};
  EXPECT_EQ(fit(group_size_table(odd, three, export_format("gptq"))[0], 50), GroupFit::kUnstorable);
  EXPECT_EQ(fit(group_size_table(odd, three, export_format("gptq"))[0], 128), GroupFit::kTooWide);
  EXPECT_EQ(check_group_sizes(odd, three, export_format("gptq"))[0].check, "group-size.unstorable");
}

Finding only_finding(const std::string& model, int64_t group_size) {
  const auto findings =
      check_group_sizes(stages_of(published(model)), {.group_size = group_size}, export_format("gptq"));
  EXPECT_EQ(findings.size(), 1u);
  return findings.at(0);
}

TEST(GroupSizes, AdviceIsOneFlag) {
  const Finding smol = only_finding("smollm2-135m", 128);
  EXPECT_EQ(smol.check, "group-size.ragged");
  EXPECT_EQ(smol.severity, Severity::kWarning);
  EXPECT_THAT(smol.what, HasSubstr("576 inputs = 4 x 128 + 64"));
  EXPECT_THAT(smol.remedy, HasSubstr("--group-size 64"));
  EXPECT_THAT(only_finding("falcon-7b", 128).what,
              AllOf(HasSubstr("query_key_value"), HasSubstr("4544 inputs = 35 x 128 + 64")));
  EXPECT_EQ(only_finding("falcon-7b", 64).severity, Severity::kGood);
  EXPECT_EQ(only_finding("falcon-7b", 2272).check, "group-size.unusual");
  EXPECT_EQ(only_finding("qwen2-72b", 128).severity, Severity::kGood);
  EXPECT_EQ(only_finding("smollm2-135m", -1).severity, Severity::kGood);
  EXPECT_EQ(check_group_sizes(kSmolLm2, {.group_size = 1024}, export_format("gptq"))[0].check, "group-size.too-wide");
}

}  // namespace
}  // namespace hesse
