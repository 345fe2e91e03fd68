// The merge loop of BPE by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/pair_table.h"

namespace hesse {

// Both join neighbours in `symbols` while `merges` has their pair, lowest rank first, leftmost among equal ranks, and
// append what is left to `ids`.

// O(n log n), for whole texts. Like the reference it takes a pair that waited for its turn whenever the neighbours of
// then become the same token as those of now. `firsts`, when given, gets the first symbol of each id.
void apply_merges(std::vector<int32_t> symbols, const PairTable& merges, std::vector<int32_t>& ids,
                  std::vector<size_t>* firsts = nullptr);

// O(n^2) without allocation, for words; `symbols` is overwritten. Equal to apply_merges when no merge makes a token
// that is its own left part, so that a pair can make the same token only while it is the same pair.
inline constexpr size_t kMaxShortSymbols = 48;
void apply_merges_to_word(std::span<int32_t> symbols, const PairTable& merges, std::vector<int32_t>& ids);

}  // namespace hesse
