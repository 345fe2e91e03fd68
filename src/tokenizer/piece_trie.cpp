#include "tokenizer/piece_trie.h"

#include <algorithm>

namespace hesse {
namespace {

// Entries [begin, end) share their first `depth` bytes, which lead to `node`.
struct Range {
  uint32_t node = 0;
  size_t begin = 0;
  size_t end = 0;
  size_t depth = 0;
};

}  // namespace

// Breadth first, so that the children of a node get neighbouring places.
PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, int32_t>> entries) : nodes_(1) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Range> ranges = {{0, 0, entries.size(), 0}};
  for (size_t next = 0; next < ranges.size(); ++next) {
    Range range = ranges[next];
    // An entry that ends here stands before those that go on.
    for (; range.begin < range.end && entries[range.begin].first.size() == range.depth; ++range.begin) {
      if (range.depth > 0) nodes_[range.node].value = entries[range.begin].second;
    }
    nodes_[range.node].first_child = static_cast<uint32_t>(nodes_.size());
    for (size_t begin = range.begin; begin < range.end;) {
      const char byte = entries[begin].first[range.depth];
      size_t end = begin;
      while (end < range.end && entries[end].first[range.depth] == byte) ++end;
      const auto node = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({0, 0, static_cast<unsigned char>(byte), -1});
      ++nodes_[range.node].children;
      if (range.node == 0) roots_[static_cast<unsigned char>(byte)] = node;
      ranges.push_back({node, begin, end, range.depth + 1});
      begin = end;
    }
  }
}

}  // namespace hesse
