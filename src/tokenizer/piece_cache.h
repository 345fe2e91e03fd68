// The ids of words seen before, during one call of encode: words repeat.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/model.h"

namespace hesse {

class PieceCache {
 public:
  explicit PieceCache(const TokenModel& model);
  // Appends what model.encode() would.
  void encode(std::string_view piece, std::vector<int32_t>& ids);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t text_begin = 0;  // in texts_
    uint32_t ids_begin = 0;   // in ids_
    uint16_t text_size = 0;   // 0: free
    uint16_t ids_size = 0;
  };
  void encode_word(std::string_view word, std::vector<int32_t>& ids);
  bool holds(const Slot& slot, uint64_t hash, std::string_view word) const;
  // The slot of `word`, or the free one where it belongs; nullptr when there is neither nearby.
  Slot* find(uint64_t hash, std::string_view word);
  void make_room();

  const TokenModel& model_;
  std::vector<Slot> slots_;  // a power of two, at most half of it in use
  size_t used_ = 0;
  std::vector<char> texts_;
  std::vector<int32_t> ids_;
};

}  // namespace hesse
