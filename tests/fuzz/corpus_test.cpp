// What the fuzzers found or began with, and damaged copies of it: a short look in every test run, with any compiler.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "fuzz/targets.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

uint64_t test_seed() { return 7u + static_cast<uint64_t>(testing::GTEST_FLAG(random_seed)); }

std::vector<fs::path> corpus_of(std::string_view target) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(HESSE_SOURCE_DIR) / "tests/fuzz/corpus" / target))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Bytes flipped, cut out, doubled, or the end cut off.
std::string damaged(std::string bytes, Rng& rng) {
  const auto place = [&] { return static_cast<size_t>(rng.below(bytes.size() + 1)); };
  for (uint64_t changes = 1 + rng.below(3); changes > 0 && !bytes.empty(); --changes) {
    const size_t at = place(), length = std::min<size_t>(rng.below(16), bytes.size() - at);
    switch (rng.below(5)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng.below(8)));
        break;
      case 1:
        bytes.erase(at, length);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, length));
        break;
      case 3:
        bytes.insert(at, std::string(length, "0-{}[]\",:\\9e\0"[rng.below(13)]));
        break;
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

class Fuzz : public testing::TestWithParam<fuzz::Target> {};
INSTANTIATE_TEST_SUITE_P(Reader, Fuzz, testing::ValuesIn(fuzz::targets().begin(), fuzz::targets().end()),
                         [](const auto& row) { return std::string(row.param.name); });

// A promise that does not hold ends the process.
TEST_P(Fuzz, KeepsItsPromisesOverTheCorpus) {
  const std::vector<fs::path> files = corpus_of(GetParam().name);
  ASSERT_GE(files.size(), 3u);
  for (const fs::path& file : files) GetParam().run(read_text_file(file));
}

TEST_P(Fuzz, KeepsItsPromisesOverDamagedFiles) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  Rng rng(test_seed());
  const std::vector<fs::path> files = corpus_of(GetParam().name);
  for (int i = 0; i < 400; ++i) GetParam().run(damaged(read_text_file(files[rng.below(files.size())]), rng));
}

}  // namespace
}  // namespace hesse
