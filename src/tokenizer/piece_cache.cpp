#include "tokenizer/piece_cache.h"

#include <algorithm>
#include <cstring>

namespace hesse {
namespace {

constexpr size_t kMaxWordBytes = 64;  // longer ones hardly repeat, and would only fill it
constexpr size_t kFirstSlots = size_t{1} << 10;
constexpr size_t kMaxSlots = size_t{1} << 17;
// Text made to collide finds no place and goes without the cache, instead of searching all of it.
constexpr size_t kMaxProbes = 16;

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 32);
}

// Eight bytes at a time; the last eight may overlap those before.
uint64_t hash_of(std::string_view word) {
  uint64_t hash = word.size() * 0xC2B2AE3D27D4EB4Fu, next = 0;
  if (word.size() < sizeof next) {
    std::memcpy(&next, word.data(), word.size());
    return mix(hash, next);
  }
  for (size_t i = 0; i + sizeof next < word.size(); i += sizeof next) {
    std::memcpy(&next, word.data() + i, sizeof next);
    hash = mix(hash, next);
  }
  std::memcpy(&next, word.data() + word.size() - sizeof next, sizeof next);
  return mix(hash, next);
}

}  // namespace

PieceCache::PieceCache(const TokenModel& model) : model_(model), slots_(kFirstSlots) {}

void PieceCache::encode(std::string_view piece, std::vector<int32_t>& ids) {
  if (piece.size() <= kMaxWordBytes) return encode_word(piece, ids);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = model_.word_end(piece, begin);
    encode_word(piece.substr(begin, end - begin), ids);
    begin = end;
  }
}

void PieceCache::encode_word(std::string_view word, std::vector<int32_t>& ids) {
  if (word.size() > kMaxWordBytes) return model_.encode(word, ids);
  const uint64_t hash = hash_of(word);
  if (const Slot* slot = find(hash, word); slot != nullptr && slot->text_size != 0) {
    const auto first = ids_.begin() + slot->ids_begin;
    ids.insert(ids.end(), first, first + slot->ids_size);
    return;
  }
  const size_t begin = ids.size();
  model_.encode(word, ids);
  const size_t count = ids.size() - begin;
  if (count > kMaxWordBytes) return;  // a suffix in bytes may be of any length
  if (2 * (used_ + 1) > slots_.size()) make_room();
  Slot* slot = find(hash, word);
  if (slot == nullptr) return;
  *slot = {hash, static_cast<uint32_t>(texts_.size()), static_cast<uint32_t>(ids_.size()),
           static_cast<uint16_t>(word.size()), static_cast<uint16_t>(count)};
  texts_.insert(texts_.end(), word.begin(), word.end());
  ids_.insert(ids_.end(), ids.begin() + static_cast<ptrdiff_t>(begin), ids.end());
  ++used_;
}

bool PieceCache::holds(const Slot& slot, uint64_t hash, std::string_view word) const {
  return slot.hash == hash && slot.text_size == word.size() &&
         std::memcmp(texts_.data() + slot.text_begin, word.data(), word.size()) == 0;
}

PieceCache::Slot* PieceCache::find(uint64_t hash, std::string_view word) {
  for (size_t probe = 0; probe < kMaxProbes; ++probe) {
    Slot& slot = slots_[(hash + probe) & (slots_.size() - 1)];
    if (slot.text_size == 0 || holds(slot, hash, word)) return &slot;
  }
  return nullptr;
}

// Twice the slots; at the limit it forgets all, since the words of now are more likely to come again.
void PieceCache::make_room() {
  if (slots_.size() >= kMaxSlots) {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    texts_.clear();
    ids_.clear();
    used_ = 0;
    return;
  }
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.text_size == 0) continue;
    Slot* place = find(slot.hash, {texts_.data() + slot.text_begin, slot.text_size});
    if (place != nullptr) {
      *place = slot;
    } else {
      --used_;
    }
  }
}

}  // namespace hesse
