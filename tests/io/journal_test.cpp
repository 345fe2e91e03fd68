#include "io/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "io/faulty_file_system.h"
#include "io/test_files.h"

namespace hesse {
namespace {

using testing::HasSubstr;

std::vector<std::string> payloads(const JournalContents& contents) {
  std::vector<std::string> texts;
  for (const JournalEntry& entry : contents.entries) texts.push_back(entry.payload);
  return texts;
}

const std::vector<std::string> kPayloads = {"the first", "x", std::string(5000, '\0'), "a\nb", "the last one"};

// A file of kPayloads.
std::string make_journal(const std::filesystem::path& path) {
  Journal::create(path, kPayloads[0]);
  Journal journal(path, read_journal(path).good_bytes());
  for (size_t i = 1; i < kPayloads.size(); ++i) journal.append(kPayloads[i]);
  return get_file(path);
}

std::vector<std::string> first(size_t count) {
  return {kPayloads.begin(), kPayloads.begin() + static_cast<long>(count)};
}

TEST(Journal, GivesBackWhatWasAppended) {
  const TestDirectory directory;
  EXPECT_TRUE(read_journal(directory / "absent").entries.empty());
  make_journal(directory / "j");
  const JournalContents contents = read_journal(directory / "j");
  EXPECT_EQ(payloads(contents), kPayloads);
  EXPECT_FALSE(contents.damaged);
  EXPECT_EQ(contents.good_bytes(), contents.file_bytes);
  EXPECT_EQ(directory.names(), std::set<std::string>{"j"});
  Journal::create(directory / "j", "again");
  EXPECT_EQ(payloads(read_journal(directory / "j")), std::vector<std::string>{"again"});
}

// The example of docs/FORMATS.md.
TEST(Journal, TheBytesAreThoseOfTheDocument) {
  const TestDirectory directory;
  Journal::create(directory / "j", "{}");
  std::string hex;
  for (const char c : get_file(directory / "j")) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
    hex += digits;
  }
  EXPECT_EQ(hex,
            "6865737365206a6f75726e616c20310a"
            "0200000000000000"
            "69d4179a3ae6681166ed3282c778409e54baa9e983338464808860e0d06d979e"
            "7b7d");
}

TEST(Journal, CutAtEveryByteItEndsWithTheLastWholeEntry) {
  const TestDirectory directory;
  const std::string whole = make_journal(directory / "j");
  const std::vector<JournalEntry> entries = read_journal(directory / "j").entries;
  for (size_t size = 0; size < whole.size(); ++size) {
    put_file(directory / "cut", whole.substr(0, size));
    const JournalContents contents = read_journal(directory / "cut");
    size_t count = 0;
    while (count < entries.size() && entries[count].end <= static_cast<int64_t>(size)) ++count;
    ASSERT_EQ(payloads(contents), first(count)) << size;
    ASSERT_FALSE(contents.damaged) << size;
  }
}

// What a power cut may leave: the length of the file without its bytes.
TEST(Journal, ATailOfZerosIsNoDamage) {
  const TestDirectory directory;
  put_file(directory / "j", make_journal(directory / "j") + std::string(4096, '\0'));
  const JournalContents contents = read_journal(directory / "j");
  EXPECT_EQ(payloads(contents), kPayloads);
  EXPECT_FALSE(contents.damaged);
  Journal(directory / "j", contents.good_bytes()).append("more");
  EXPECT_EQ(read_journal(directory / "j").entries.back().payload, "more");
  EXPECT_FALSE(read_journal(directory / "j").damaged);
}

TEST(Journal, NoFlippedBitGoesUnnoticed) {
  const TestDirectory directory;
  const std::string whole = make_journal(directory / "j");
  const std::vector<JournalEntry> entries = read_journal(directory / "j").entries;
  const uint64_t seed = 11 + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  for (size_t byte = 0; byte < whole.size(); byte += byte < 300 ? 1 : 1 + rng.below(40)) {
    std::string damaged = whole;
    damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << rng.below(8)));
    put_file(directory / "flipped", damaged);
    const JournalContents contents = read_journal(directory / "flipped");
    size_t count = 0;
    if (byte >= 16) {
      while (entries[count].end <= static_cast<int64_t>(byte)) ++count;
    }
    ASSERT_EQ(payloads(contents), first(count)) << byte;
    // Something good stands behind it, unless it is in the last entry.
    ASSERT_EQ(contents.damaged, byte < 16 || count + 1 < entries.size()) << byte;
  }
}

// Entries that change places are not the entries they were.
TEST(Journal, AnEntryAtAnotherPlaceIsNone) {
  const TestDirectory directory;
  Journal::create(directory / "j", "aaaa");
  Journal(directory / "j", read_journal(directory / "j").good_bytes()).append("bbbb");
  const std::string whole = get_file(directory / "j");
  const size_t size = (whole.size() - 16) / 2;
  put_file(directory / "j", whole.substr(0, 16) + whole.substr(16 + size) + whole.substr(16, size));
  EXPECT_TRUE(read_journal(directory / "j").entries.empty());
}

TEST(Journal, RandomBytesAreRead) {
  const TestDirectory directory;
  const uint64_t seed = 5 + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  for (int round = 0; round < 50; ++round) {
    std::string bytes = round % 2 == 0 ? "hesse journal 1\n" : "";
    const uint64_t size = rng.below(400);
    for (uint64_t i = 0; i < size; ++i) bytes += static_cast<char>(rng.below(round % 3 == 0 ? 2 : 256));
    put_file(directory / "j", bytes);
    EXPECT_TRUE(read_journal(directory / "j").entries.empty());
  }
}

// At every call in turn: the entry is there whole or not at all, and those in front of it always are.
TEST(Journal, AFailureOfAnyCallLosesAtMostTheEntryUnderWay) {
  const TestDirectory directory;
  int points = 0;
  for (const int number : {ENOSPC, EIO, EROFS}) {
    for (int64_t call = 1;; ++call) {
      std::filesystem::remove(directory / "j");
      int done = 0;
      bool failed = false;
      {
        FaultyFileSystem disk({.what = Fault::What::kFail, .call = call, .number = number});
        try {
          Journal::create(directory / "j", "one");
          done = 1;
          Journal journal(directory / "j", read_journal(directory / "j").good_bytes());
          journal.append("two");
          done = 2;
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::kEnvironment) << error.what();
          failed = true;
        }
        if (disk.calls() < call) break;
      }
      ++points;
      const JournalContents contents = read_journal(directory / "j");
      EXPECT_GE(std::ssize(contents.entries), done) << call;
      EXPECT_FALSE(contents.damaged);
      // Only closing at the very end may fail unnoticed.
      EXPECT_TRUE(failed || done == 2);
    }
  }
  EXPECT_GE(points, 3 * 8);
}

TEST(Journal, NothingIsAppendedAfterAFailure) {
  const TestDirectory directory;
  Journal::create(directory / "j", "one");
  Journal journal(directory / "j", read_journal(directory / "j").good_bytes());
  {
    const FaultyFileSystem disk({.what = Fault::What::kFail, .call = 2, .number = EIO});
    EXPECT_THAT(message_of(ErrorKind::kEnvironment, [&] { journal.append("two"); }), HasSubstr("cannot sync"));
  }
  EXPECT_THAT(message_of(ErrorKind::kInternal, [&] { journal.append("three"); }), HasSubstr("after a failure"));
}

TEST(Journal, ShortWritesAreGoneOnWith) {
  const TestDirectory directory;
  const FaultyFileSystem disk({.what = Fault::What::kShortWrites, .number = 7, .real_sync = false});
  make_journal(directory / "j");
  EXPECT_EQ(payloads(read_journal(directory / "j")), kPayloads);
}

}  // namespace
}  // namespace hesse
