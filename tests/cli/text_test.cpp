#include "cli/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace hesse {
namespace {

TEST(Text, Durations) {
  EXPECT_EQ(format_duration(0), "0.0 s");
  EXPECT_EQ(format_duration(9.94), "9.9 s");
  EXPECT_EQ(format_duration(9.96), "10 s");
  EXPECT_EQ(format_duration(59.4), "59 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(187), "3 min 07 s");
  EXPECT_EQ(format_duration(3599.6), "1 h 00 min");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(360000), "100 h 00 min");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::quiet_NaN()), "?");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "?");
}

TEST(Text, SizesAndCounts) {
  EXPECT_EQ(format_bytes(0), "0 bytes");
  EXPECT_EQ(format_bytes(999), "999 bytes");
  EXPECT_EQ(format_bytes(11'546'984), "11.5 MB");
  EXPECT_EQ(format_bytes(999'999), "1 MB");
  EXPECT_EQ(format_bytes(123'456'789'000), "123 GB");
  EXPECT_EQ(format_bytes(std::numeric_limits<int64_t>::max()), "9223372 TB");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(5'770'000), "5.77 million");
  EXPECT_EQ(format_count(999'600'000), "1 billion");
  EXPECT_EQ(format_percent(0.0042), "0.42 %");
  EXPECT_EQ(format_percent(0.18234), "18.2 %");
  EXPECT_EQ(format_percent(12.345), "1234 %");
  EXPECT_EQ(counted(1, "linear"), "1 linear");
  EXPECT_EQ(counted(0, "linear"), "0 linears");
}

TEST(Text, ListsAreCutWithACount) {
  EXPECT_EQ(format_list({}, 2), "");
  EXPECT_EQ(format_list({"a", "b"}, 2), "a, b");
  EXPECT_EQ(format_list({"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

TEST(Text, ProgressIsABarWithTimes) {
  const Progress progress{"layer 3 of 30", 0.5, 27};
  EXPECT_EQ(format_progress(progress, 12, 80), "[==========>         ]  50 %  layer 3 of 30  12 s, about 27 s left");
  EXPECT_EQ(format_progress(progress, 12, 30), " 50 %  layer 3 of 30  12 s, ab");
  EXPECT_EQ(format_progress({"layer 1 of 30", 0, -1}, 0, 60), "[>              ]   0 %  layer 1 of 30  0.0 s");
  EXPECT_EQ(format_progress({"done", 1, 0}, 9, 40), "100 %  done  9.0 s, about 0.0 s left");
  EXPECT_EQ(format_progress({"done", 1, 0, 400000000, 6000000000}, 9, 60),
            "100 %  done  9.0 s, about 0.0 s left, 400 MB of 6 GB");
  EXPECT_EQ(format_progress_line(progress, 12), "layer 3 of 30 (50 %, 12 s, about 27 s left)");
}

TEST(Text, ProgressNeverExceedsTheWidthNorSplitsALetter) {
  const double shares[] = {-1, 0, 0.001, 0.999, 1, 7, std::numeric_limits<double>::quiet_NaN()};
  for (int width = 0; width < 200; ++width) {
    for (const double share : shares) {
      const std::string line = format_progress({"Größe \xE2\x82\xAC of 30", share, 100}, 12, width);
      EXPECT_LE(columns(line), width);
      EXPECT_EQ(line.find('\n'), std::string::npos);
      // A cut letter would leave a lead byte at the end.
      EXPECT_FALSE(!line.empty() && (line.back() & 0xC0) == 0xC0) << width;
    }
  }
}

TEST(Text, WrappingKeepsTheWords) {
  EXPECT_EQ(wrap("one two three", 0, 7), "one two\nthree");
  EXPECT_EQ(wrap("one two three", 2, 9), "one two\n  three");
  EXPECT_EQ(wrap("incomprehensibilities no", 2, 9), "incomprehensibilities\n  no");
  EXPECT_EQ(wrap("", 2, 9), "");
}

TEST(Text, NearestFindsSlipsAndBeginningsOnly) {
  const std::vector<std::string> flags = {"--bits", "--bos", "--group-size", "--samples", "--sym"};
  EXPECT_EQ(nearest("--bitz", flags), "--bits");
  EXPECT_EQ(nearest("--groupsize", flags), "--group-size");
  EXPECT_EQ(nearest("--group", flags), "--group-size");
  EXPECT_EQ(nearest("--smaples", flags), "--samples");
  EXPECT_EQ(nearest("--temperature", flags), "");
  EXPECT_EQ(nearest("-x", flags), "");
  EXPECT_EQ(nearest("", flags), "");
}

}  // namespace
}  // namespace hesse
