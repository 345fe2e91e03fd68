#include "plan/split_columns.h"

#include <algorithm>

#include "base/checked.h"

namespace hesse {

std::vector<ColumnRange> split_columns(int64_t in, int64_t group_width, int64_t memory_bytes) {
  constexpr int64_t kBytes = sizeof(double);
  const int64_t groups = ceil_div(in, group_width);
  int64_t width = 0;
  for (int64_t parts = 1; parts <= groups; ++parts) {
    width = ceil_div(groups, parts) * group_width;
    const int64_t rest = in % width;
    if (kBytes * (in / width * width * width + rest * rest) <= memory_bytes) break;
  }
  std::vector<ColumnRange> ranges;
  for (int64_t first = 0; first < in; first += width) ranges.push_back({first, std::min(width, in - first)});
  return ranges;
}

}  // namespace hesse
