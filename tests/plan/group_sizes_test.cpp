#include "plan/group_sizes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hesse {
namespace {

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

TEST(GroupSizes, AShorterLastGroupIsNamedWithItsNumbers) {
  EXPECT_EQ(ragged_group_note(kSmolLm2, {.group_size = 64}), "");
  EXPECT_EQ(ragged_group_note(kSmolLm2, {.group_size = -1}), "");
  EXPECT_THAT(ragged_group_note(kSmolLm2, {.group_size = 128}),
              testing::AllOf(testing::HasSubstr("'layers.0.q_proj' has 576 inputs = 4 x 128 + 64"),
                             testing::HasSubstr("32, 64, 96, 192 or -1")));
}

}  // namespace
}  // namespace hesse
