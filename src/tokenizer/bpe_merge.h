// The merge loop of BPE by itself.
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/pair_table.h"

namespace hesse {

// Joins neighbours in `symbols` while `merges` has their pair, lowest rank first, leftmost among equal ranks, and
// appends what is left to `ids`. O(n log n).
void apply_merges(std::vector<int32_t> symbols, const PairTable& merges, std::vector<int32_t>& ids);

}  // namespace hesse
