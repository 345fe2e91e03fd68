#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "tokenizer/bpe_merge.h"

namespace hesse {
namespace {

// The definition: join the leftmost pair of the lowest rank, until there is none.
std::vector<int32_t> merge_slowly(std::vector<int32_t> symbols, const PairTable& merges) {
  while (true) {
    const Merge* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge* merge = merges.find(symbols[i], symbols[i + 1]);
      if (merge != nullptr && (best == nullptr || merge->rank < best->rank)) {
        best = merge;
        at = i;
      }
    }
    if (best == nullptr) return symbols;
    symbols[at] = best->id;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

// As in training: a merge joins two symbols that exist by then, and each makes a new one.
TEST(BpeMerge, EqualsTheDefinitionOnRandomMerges) {
  const uint64_t seed = 11;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 400; ++round) {
    const auto letters = static_cast<int32_t>(1 + rng.below(4));
    int32_t next = letters;
    PairTable merges(40);
    for (uint32_t rank = 0; rank < 40; ++rank) {
      const auto left = static_cast<int32_t>(rng.below(static_cast<uint64_t>(next)));
      const auto right = static_cast<int32_t>(rng.below(static_cast<uint64_t>(next)));
      if (merges.find(left, right) == nullptr) merges.set(left, right, {rank, next++});
    }
    for (size_t size = 0; size < 60; size += 1 + rng.below(7)) {
      std::vector<int32_t> symbols(size);
      for (int32_t& symbol : symbols) symbol = static_cast<int32_t>(rng.below(static_cast<uint64_t>(letters)));
      std::vector<int32_t> ids = {-5};  // is appended to
      apply_merges(symbols, merges, ids);
      std::vector<int32_t> expected = merge_slowly(symbols, merges);
      expected.insert(expected.begin(), -5);
      ASSERT_EQ(ids, expected) << "round " << round << ", size " << size;
      if (size > kMaxShortSymbols) continue;
      ids = {-5};
      apply_merges_to_word(symbols, merges, ids);
      ASSERT_EQ(ids, expected) << "round " << round << ", size " << size;
    }
  }
}

TEST(PairTable, EqualsAMap) {
  const uint64_t seed = 3;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  PairTable table(5000);
  std::map<std::pair<int32_t, int32_t>, int32_t> map;
  for (int32_t i = 0; i < 5000; ++i) {
    const auto left = static_cast<int32_t>(rng.below(100));
    const auto right = static_cast<int32_t>(rng.below(100));
    table.set(left, right, {0, i});
    map[{left, right}] = i;
  }
  for (int32_t left = 0; left < 101; ++left) {
    for (int32_t right = 0; right < 101; ++right) {
      const auto found = map.find({left, right});
      const Merge* merge = table.find(left, right);
      ASSERT_EQ(merge == nullptr, found == map.end());
      if (merge != nullptr) {
        ASSERT_EQ(merge->id, found->second);
      }
    }
  }
}

}  // namespace
}  // namespace hesse
