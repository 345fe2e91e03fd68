// Work directories that something has happened to: the result is right all the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/faulty_file_system.h"
#include "io/journal.h"
#include "run/resume_testing.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Damage : public Resume {
 protected:
  void SetUp() override {
    Resume::SetUp();
    expected_ = whole("s");
    clear("s");
    run_and_stop(options("s"), 10, "s");
    for (const auto& [name, bytes] : files_of(work())) saved_[name] = bytes;
    ASSERT_EQ(saved_.count("layer-001-stage-0.safetensors"), 1u);
    ASSERT_EQ(saved_.count("streams-001.safetensors"), 1u);
  }
  fs::path work() const { return folder_ / "out.hesse-work"; }
  void restore() {
    clear("s");
    fs::create_directory(work());
    for (const auto& [name, bytes] : saved_) put_file(work() / name, bytes);
  }
  // Whatever was done to the files: the result is right. Returns the linears that were found done.
  int64_t found_done() {
    const FaultyFileSystem disk({.real_sync = false});
    run(options("s"), "s");
    expect_result(expected_);
    return listener_.resumed.linears;
  }

  std::map<std::string, std::string> expected_, saved_;
};

TEST_F(Damage, WithoutAnyNothingIsDoneAgain) {
  EXPECT_EQ(found_done(), 10);
  EXPECT_THAT(listener_.warnings, testing::IsEmpty());
  EXPECT_EQ(listener_.resumed.first_layer, 1);
}

TEST_F(Damage, OfAUnitOrItsAbsence) {
  for (const bool absent : {true, false}) {
    restore();
    const fs::path unit = work() / "layer-000-stage-2.safetensors";
    std::string bytes = get_file(unit);
    bytes[bytes.size() / 2] ^= 4;
    fs::remove(unit);
    if (!absent) put_file(unit, bytes);
    EXPECT_EQ(found_done(), 4);
    EXPECT_THAT(listener_.warnings, testing::ElementsAre(HasSubstr("behind 'layer-000-stage-1.safetensors'")));
  }
}

TEST_F(Damage, OfASnapshotCostsForwardPassesOnly) {
  std::string bytes = saved_["streams-001.safetensors"];
  bytes[bytes.size() - 3] ^= 1;
  put_file(work() / "streams-001.safetensors", bytes);
  EXPECT_EQ(found_done(), 10);
  EXPECT_EQ(listener_.resumed.first_layer, 0);
}

TEST_F(Damage, OfTheJournalsBits) {
  const std::string journal = saved_["journal"];
  const uint64_t seed = 1 + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  Rng rng(seed);
  for (int round = 0; round < 40 && !HasFailure(); ++round) {
    restore();
    std::string bytes = journal;
    const size_t at = round < 20 ? static_cast<size_t>(round) : rng.below(bytes.size());
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
    put_file(work() / "journal", bytes);
    SCOPED_TRACE("byte " + std::to_string(at));
    EXPECT_LT(found_done(), 11);
    // A flipped bit in the last entry looks like one that was cut.
    if (listener_.resumed.linears < 7) {
      EXPECT_EQ(listener_.warnings.size(), 1u);
    }
  }
}

TEST_F(Damage, OfTheJournalsEnd) {
  const std::string journal = saved_["journal"];
  for (size_t size = 0; size < journal.size() && !HasFailure(); size += size < 64 ? 7 : 211) {
    restore();
    put_file(work() / "journal", journal.substr(0, size));
    SCOPED_TRACE("cut at " + std::to_string(size));
    EXPECT_LE(found_done(), 10);
  }
}

// An entry with a right checksum and a wrong meaning, as another version might write it.
TEST_F(Damage, OfTheMeaningOfAnEntry) {
  for (const char* entry : {"{}", "[]", "7", "{\"kind\": 1}", "{\"kind\": \"unit\"}", "{\"kind\": \"else\"}", "\"",
                            "{\"kind\": \"unit\", \"layer\": 9}", "{\"kind\": \"run\"}", "{\"kind\": \"streams\"}"}) {
    restore();
    { Journal(work() / "journal", read_journal(work() / "journal").good_bytes()).append(entry); }
    SCOPED_TRACE(entry);
    EXPECT_EQ(found_done(), 10);
    EXPECT_THAT(listener_.warnings, testing::ElementsAre(HasSubstr("done again")));
  }
}

}  // namespace
}  // namespace hesse
