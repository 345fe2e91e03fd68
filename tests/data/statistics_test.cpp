#include "data/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "base/rng.h"

namespace hesse {
namespace {

uint64_t seed() {
  const uint64_t value = 20250717u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  testing::Test::RecordProperty("seed", std::to_string(value));
  return value;
}

// Rows of random ids, so many that no run of 32 stands twice by chance.
Windows random_windows(Rng& rng, int64_t count, int64_t length) {
  Windows windows;
  windows.ids = Matrix<int32_t>(count, length);
  for (int64_t i = 0; i < windows.ids.size(); ++i) windows.ids.data()[i] = static_cast<int32_t>(2 + rng.below(4000));
  return windows;
}

std::vector<int32_t> row(const Windows& windows, int64_t r) {
  return {windows.ids.row(r), windows.ids.row(r) + windows.length()};
}

const Tokenizer& tokenizer() {
  static const Tokenizer demo = Tokenizer::from_directory(std::string(HESSE_SOURCE_DIR) + "/models/tiny-llama");
  return demo;
}

CalibrationFacts described(const Windows& windows) { return describe_calibration(windows, tokenizer(), 1); }

TEST(Statistics, TokenBucketsCountEveryTokenOfTheTextOnce) {
  Rng rng(seed());
  Windows windows = random_windows(rng, 8, 100);
  const auto sum = [](const std::vector<int64_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), int64_t{0});
  };
  const std::vector<int64_t> all = token_buckets(windows, 0, 8);
  EXPECT_EQ(all.size(), 256u);
  EXPECT_EQ(sum(all), 800);
  std::vector<int64_t> parts = token_buckets(windows, 0, 3);
  const std::vector<int64_t> rest = token_buckets(windows, 3, 5);
  for (size_t i = 0; i < parts.size(); ++i) parts[i] += rest[i];
  EXPECT_EQ(parts, all);
  windows.bos = 1;
  EXPECT_EQ(sum(token_buckets(windows, 0, 8)), 792);
  const CalibrationFacts facts = described(windows);
  EXPECT_EQ(facts.token_buckets, token_buckets(windows, 0, 8));
  EXPECT_GT(facts.token_halves, 0);
  EXPECT_EQ(described(random_windows(rng, 1, 100)).token_halves, -1);
}

TEST(Statistics, BucketsHoldEveryLengthOnce) {
  const uint64_t value = seed();
  SCOPED_TRACE(value);
  Rng rng(value);
  for (int64_t count : {1, 2, 50}) {
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < count; ++i) lengths.push_back(static_cast<int64_t>(rng.below(3000)));
    const std::vector<LengthBucket> buckets = length_buckets(lengths);
    int64_t sum = 0;
    for (const LengthBucket& bucket : buckets) {
      const auto inside = [&](int64_t length) { return length >= bucket.from && length <= bucket.to; };
      EXPECT_EQ(bucket.count, std::count_if(lengths.begin(), lengths.end(), inside));
      sum += bucket.count;
    }
    EXPECT_EQ(sum, count);
    EXPECT_EQ(buckets.front().from, *std::min_element(lengths.begin(), lengths.end()));
  }
  EXPECT_TRUE(length_buckets({}).empty());
  EXPECT_EQ(length_buckets({512, 512}).at(0).from, 512);
  EXPECT_EQ(length_buckets({512, 512}).at(0).to, 512);
}

TEST(Statistics, CopiesOfAWindowAreCounted) {
  const uint64_t value = seed();
  SCOPED_TRACE(value);
  Rng rng(value);
  Windows windows = random_windows(rng, 8, 100);
  EXPECT_EQ(described(windows).duplicate_sequences, 0);
  EXPECT_EQ(described(windows).repeated, 0);
  for (const int64_t copy : {3, 7}) std::copy_n(windows.ids.row(1), 100, windows.ids.row(copy));
  EXPECT_EQ(described(windows).duplicate_sequences, 2);
  EXPECT_DOUBLE_EQ(described(windows).repeated, 2.0 / 8);
}

// A passage that is said again at another place of a window makes no equal windows.
TEST(Statistics, RepeatedPassagesAreCountedByTheirTokens) {
  const uint64_t value = seed();
  SCOPED_TRACE(value);
  for (const int64_t length : {31, 32, 33, 60}) {
    Rng rng(value);
    Windows windows = random_windows(rng, 2, 200);
    std::copy_n(windows.ids.row(0) + 10, length, windows.ids.row(1) + 90);
    const CalibrationFacts facts = described(windows);
    EXPECT_EQ(facts.duplicate_sequences, 0);
    EXPECT_DOUBLE_EQ(facts.repeated * 400, length < 32 ? 0.0 : static_cast<double>(length)) << length;
  }
}

TEST(Statistics, OverlapIsTheShareOfTheTextThatIsKnown) {
  const uint64_t value = seed();
  SCOPED_TRACE(value);
  Rng rng(value);
  const Windows windows = random_windows(rng, 4, 128), others = random_windows(rng, 1, 128);
  EXPECT_EQ(overlap_share(windows, row(windows, 2)), 1);
  EXPECT_EQ(overlap_share(windows, row(others, 0)), 0);
  EXPECT_EQ(overlap_share(windows, {}), 0);
  std::vector<int32_t> mixed = row(others, 0);
  const std::vector<int32_t> known = row(windows, 3);
  mixed.insert(mixed.begin() + 50, known.begin() + 20, known.begin() + 84);
  EXPECT_DOUBLE_EQ(overlap_share(windows, mixed), 64.0 / 192);
}

TEST(Statistics, PaddingAndBosAreNoText) {
  Rng rng(1);
  Windows windows = random_windows(rng, 4, 65);
  windows.bos = 1;
  for (int64_t r = 0; r < 4; ++r) windows.ids(r, 0) = 0;
  std::fill(windows.ids.row(2) + 33, windows.ids.row(2) + 65, 1);
  const CalibrationFacts facts = described(windows);
  EXPECT_EQ(facts.tokens, 4 * 65);
  EXPECT_DOUBLE_EQ(facts.padding, 32.0 / 256);
  EXPECT_EQ(facts.lengths.size(), 2u);  // 32 and 64
  EXPECT_EQ(facts.first_ids.size(), 60u);
  EXPECT_THAT(facts.first_text, testing::StartsWith("<|begin|>"));
}

TEST(Statistics, ScriptsByTheirLetters) {
  const auto shares = script_shares("abcd, \xD0\xB6\xD0\xB6 12! \xE4\xB8\xAD \xF0\x9D\x84\x9E");
  std::vector<std::string> names;
  double sum = 0;
  for (const ScriptShare& share : shares) {
    names.push_back(share.name);
    sum += share.share;
  }
  EXPECT_THAT(names, testing::ElementsAre("Latin", "Cyrillic", "digits", "Han", "other"));
  EXPECT_DOUBLE_EQ(shares[0].share, 0.4);
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_TRUE(script_shares(" .,!").empty());
}

TextFacts text_of_a() {
  TextFacts facts;
  facts.name = "a";
  facts.bytes = 4000;
  facts.tokens = 1000;
  return facts;
}

std::vector<std::string> judged(const CalibrationFacts& facts) {
  Findings findings;
  judge_calibration(facts, {}, 512, findings);
  std::vector<std::string> checks;
  for (const Finding& finding : findings.list()) {
    if (finding.severity == Severity::kWarning) checks.push_back(finding.check);
  }
  return checks;
}

TEST(Statistics, EachBoundIsJudged) {
  CalibrationFacts good;
  good.files = {text_of_a()};
  good.sequences = 2;
  good.tokens = 1024;
  good.widest = 1024;
  good.distinct_tokens = 500;
  good.vocabulary_share = 0.1;
  EXPECT_THAT(judged(good), testing::IsEmpty());
  CalibrationFacts facts = good;
  facts.widest = 1025;
  EXPECT_THAT(judged(facts), testing::ElementsAre("calibration.tokens"));
  facts = good;
  facts.duplicate_sequences = 1;
  EXPECT_THAT(judged(facts), testing::ElementsAre("calibration.duplicates"));
  facts = good;
  facts.unknown = 0.01;
  EXPECT_THAT(judged(facts), testing::ElementsAre("calibration.unknown"));
  facts = good;
  facts.tokens = 200 * 500 + 1;
  facts.vocabulary_share = 0.01;
  EXPECT_THAT(judged(facts), testing::ElementsAre("calibration.coverage"));
}

// The sentence says what to add: tokens, text of this kind, windows.
TEST(Statistics, TooFewTokensAreSaidWithWhatToAdd) {
  CalibrationFacts facts;
  facts.files = {text_of_a()};
  facts.tokens = 1024;
  facts.widest = 3072;
  Findings findings;
  judge_calibration(facts, {}, 512, findings);
  EXPECT_EQ(findings.list().at(0).what, "1024 tokens for 3072 channels");
  EXPECT_EQ(findings.list().at(0).remedy,
            "take 2048 tokens more at least: 9 kB of text like this in all files, and --samples 6");
}

}  // namespace
}  // namespace hesse
