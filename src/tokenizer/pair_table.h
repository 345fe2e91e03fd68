// The merges of a BPE model: from a pair of token ids to its rank and the token it becomes. A hash table of its own,
// for it is asked several times for every character of text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hesse {

struct Merge {
  uint32_t rank = 0;
  int32_t id = -1;
};

class PairTable {
 public:
  explicit PairTable(size_t capacity) {
    size_t size = 16;
    while (size < capacity * 2) size *= 2;
    slots_.resize(size);
  }

  // Ids must not be negative. The last value given for a pair stays.
  void set(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[place(key_of(left, right))];
    slot.key = key_of(left, right);
    slot.merge = merge;
  }

  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place(key_of(left, right))];
    return slot.key == kFree ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };

  static uint64_t key_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    uint64_t hash = key * 0x9E3779B97F4A7C15u;
    size_t at = static_cast<size_t>(hash ^ (hash >> 32)) & mask;
    while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;  // a power of two, at most half of it in use
};

}  // namespace hesse
