// A Hessian that does not fit the memory is cut into diagonal blocks.
#include "plan/split_columns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/rng.h"

namespace hesse {
namespace {

uint64_t test_seed() { return 20240229u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }

constexpr int64_t kBytesPerElement = 8;  // H and its factor share a square
constexpr int64_t kGiB = int64_t{1} << 30;

int64_t bytes_of(const std::vector<ColumnRange>& ranges) {
  int64_t elements = 0;
  for (const ColumnRange& range : ranges) elements += range.count * range.count;
  return kBytesPerElement * elements;
}

// Side by side, all of them, none empty, and each but the last whole groups.
testing::AssertionResult covers(const std::vector<ColumnRange>& ranges, int64_t in, int64_t group_width) {
  int64_t next = 0;
  for (const ColumnRange& range : ranges) {
    if (range.first != next) return testing::AssertionFailure() << "a range at " << range.first << " after " << next;
    if (range.count <= 0) return testing::AssertionFailure() << "a range of " << range.count;
    next += range.count;
    if (next < in && range.count % group_width != 0)
      return testing::AssertionFailure() << "a range of " << range.count << " in groups of " << group_width;
  }
  if (next != in) return testing::AssertionFailure() << "ranges end at " << next;
  return testing::AssertionSuccess();
}

// The same number of groups in every range but the last.
std::vector<ColumnRange> in_parts_of(int64_t groups, int64_t in, int64_t group_width) {
  std::vector<ColumnRange> ranges;
  for (int64_t first = 0; first < in; first += groups * group_width)
    ranges.push_back({first, std::min(groups * group_width, in - first)});
  return ranges;
}

TEST(SplitColumns, OneRangeWhereItFits) {
  EXPECT_EQ(split_columns(1000, 128, 1000 * 1000 * kBytesPerElement).size(), 1u);
  EXPECT_GT(split_columns(1000, 128, 1000 * 1000 * kBytesPerElement - 1).size(), 1u);
  EXPECT_EQ(split_columns(4096, 128, 12 * kGiB).size(), 1u);
  EXPECT_EQ(split_columns(28672, 128, 7 * kGiB).size(), 1u);
  EXPECT_EQ(split_columns(1, 1, kGiB).size(), 1u);
}

// The widest linear known (Qwen1.5-110B's down_proj): 19.3 GB as a whole.
TEST(SplitColumns, WidestLinearWithinTwelveGibibytes) {
  const std::vector<ColumnRange> ranges = split_columns(49152, 128, 12 * kGiB);
  EXPECT_TRUE(covers(ranges, 49152, 128));
  EXPECT_EQ(ranges.size(), 2u);
  EXPECT_LE(bytes_of(ranges), 12 * kGiB);
}

// A group is never cut: its scales are found from all of its columns.
TEST(SplitColumns, OneGroupIsTheLeast) {
  EXPECT_EQ(split_columns(5000, 5000, 1).size(), 1u);
  EXPECT_TRUE(covers(split_columns(5000, 128, 1), 5000, 128));
  EXPECT_EQ(split_columns(5000, 128, 1).size(), 40u);
  EXPECT_EQ(split_columns(100, 128, 1).size(), 1u);
}

// As few as have room, and within the memory wherever single groups are.
TEST(SplitColumns, AsFewRangesAsHaveRoom) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  for (int trial = 0; trial < 1000; ++trial) {
    const int64_t in = 1 + static_cast<int64_t>(rng.below(3000));
    const int64_t group_width = 1 + static_cast<int64_t>(rng.below(rng.below(2) == 0 ? 20 : 1000));
    const int64_t whole = in * in * kBytesPerElement;
    const int64_t memory = static_cast<int64_t>(rng.uniform() * rng.uniform() * 1.2 * static_cast<double>(whole));
    SCOPED_TRACE(testing::Message() << in << " in groups of " << group_width << ", " << memory << " bytes");
    const std::vector<ColumnRange> ranges = split_columns(in, group_width, memory);
    ASSERT_TRUE(covers(ranges, in, group_width));
    if (bytes_of(in_parts_of(1, in, group_width)) <= memory) {
      ASSERT_LE(bytes_of(ranges), memory);
    }
    for (int64_t groups = 1; groups * group_width < in + group_width; ++groups) {
      const std::vector<ColumnRange> other = in_parts_of(groups, in, group_width);
      if (bytes_of(other) <= memory) {
        ASSERT_LE(ranges.size(), other.size()) << groups << " groups in a range fit as well";
      }
    }
  }
}

}  // namespace
}  // namespace hesse
