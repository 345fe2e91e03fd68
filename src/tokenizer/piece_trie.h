// All tokens that a text goes on with at one place, the shorter ones first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hesse {

class PieceTrie {
 public:
  // Of equal texts the last value counts; empty texts are never found.
  explicit PieceTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // `use(length in bytes, value)` for each entry that `text` begins with.
  template <class Use>
  void for_each_prefix(std::string_view text, Use use) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) return;
      if (nodes_[node].value >= 0) use(i + 1, nodes_[node].value);
    }
  }

 private:
  // The children of a node stand side by side, ordered by their bytes. The root is 0 and nobody's child.
  struct Node {
    uint32_t first_child = 0;
    uint16_t children = 0;
    unsigned char byte = 0;  // that leads here
    int32_t value = -1;
  };
  uint32_t child(uint32_t node, unsigned char byte) const {
    if (node == 0) return roots_[byte];
    const Node& parent = nodes_[node];
    uint32_t low = parent.first_child, high = parent.first_child + parent.children;
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (nodes_[middle].byte == byte) return middle;
      nodes_[middle].byte < byte ? low = middle + 1 : high = middle;
    }
    return 0;
  }

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> roots_{};
};

}  // namespace hesse
