// Hessians that do not fit the memory.
#pragma once

#include <cstdint>
#include <vector>

namespace hesse {

// Inputs [first, first + count) of a stage, and their own block of H. Nearly always there is one range for all; a stage
// too wide for the memory has several, and what lies outside of the diagonal blocks counts as zero.
struct ColumnRange {
  int64_t first = 0;
  int64_t count = 0;
};

// As few ranges as have room, each a multiple of `group_width` but the last: H and its factor share 8 bytes an element.
std::vector<ColumnRange> split_columns(int64_t in, int64_t group_width, int64_t memory_bytes);

}  // namespace hesse
