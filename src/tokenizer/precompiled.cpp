#include "tokenizer/precompiled.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include "hesse/error.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t k = 0; k < 4; ++k) value |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + k])) << (8 * k);
  return value;
}

// Fields of a unit of the double array.
uint32_t label_of(uint32_t unit) { return unit & 0x800000FFu; }
bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }

size_t count_chars(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) (void)next_char(text, i);
  return count;
}

// `becomes` in the place of all characters of `old`: one for one, and the rest is put in or left out at the end.
void replace(std::vector<Change>& changes, std::string_view old, std::string_view becomes) {
  const int before = static_cast<int>(count_chars(old));
  const int after = static_cast<int>(count_chars(becomes));
  for (size_t i = 0; i < becomes.size();) changes.push_back({next_char(becomes, i), 0});
  const size_t more = after > before ? static_cast<size_t>(after - before) : 0;
  for (size_t k = 0; k < more; ++k) changes[changes.size() - 1 - k].change = 1;
  if (after < before && !changes.empty()) changes.back().change += after - before;
}

// The end of the grapheme cluster that begins at `from`.
size_t cluster_end(std::string_view text, size_t from, utf8proc_int32_t& state) {
  size_t end = from;
  auto left = static_cast<utf8proc_int32_t>(next_char(text, end));
  while (end < text.size()) {
    size_t next = end;
    const auto right = static_cast<utf8proc_int32_t>(next_char(text, next));
    if (utf8proc_grapheme_break_stateful(left, right, &state)) break;
    left = right;
    end = next;
  }
  return end;
}

}  // namespace

std::string decode_base64(std::string_view text, const std::string& where) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) {
      throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: not base64: byte {:#04x}", where,
                                                    static_cast<unsigned>(static_cast<uint8_t>(c))));
    }
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>((bits >> count) & 0xFF);
  }
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = (bits << 8) | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kBase64[(bits >> (18 - 6 * k)) & 63];
  }
  return text;
}

CharacterMap::CharacterMap(std::string_view bytes, const std::string& where) {
  if (bytes.empty()) return;
  const size_t size = bytes.size() < 4 ? 0 : read_u32(bytes, 0);
  if (bytes.size() < 4 || size > bytes.size() - 4 || size % 4 != 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: the map of {} bytes says that its array has {}; damaged file?", where,
                            bytes.size(), size));
  }
  for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(read_u32(bytes, at));
  texts_ = bytes.substr(4 + size);
  if (const size_t bad = first_invalid_utf8(texts_); bad != kNoOffset) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: byte {} of the {} bytes of text in the map is not UTF-8; damaged file?",
                            where, bad, texts_.size()));
  }
}

std::string_view CharacterMap::text_at(size_t offset) const {
  if (offset >= texts_.size()) return {};
  // An offset into the middle of a character, from a damaged file, would make text that is no UTF-8.
  if ((static_cast<uint8_t>(texts_[offset]) & 0xC0) == 0x80) return {};
  return std::string_view(texts_).substr(offset, texts_.find('\0', offset) - offset);
}

std::optional<CharacterMap::Entry> CharacterMap::find(std::string_view text, Which which) const {
  if (units_.empty()) return std::nullopt;
  std::optional<Entry> found;
  size_t at = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label_of(units_[at]) != byte) break;
    const uint32_t unit = units_[at];
    at ^= offset_of(unit);
    if (!has_leaf(unit) || at >= units_.size()) continue;
    found = Entry{i + 1, text_at(value_of(units_[at]))};
    if (which == Which::kShortest) break;
  }
  return found;
}

std::optional<std::string_view> CharacterMap::shortest(std::string_view text) const {
  const auto entry = find(text, Which::kShortest);
  return entry ? std::optional(entry->becomes) : std::nullopt;
}

Text CharacterMap::apply(const Text& text) const {
  constexpr size_t kShortCluster = 6;
  const std::string_view bytes = text.bytes;
  std::vector<Change> changes;
  utf8proc_int32_t state = 0;
  for (size_t begin = 0; begin < bytes.size();) {
    const std::string_view cluster = bytes.substr(begin, cluster_end(bytes, begin, state) - begin);
    begin += cluster.size();
    const auto whole = cluster.size() < kShortCluster ? shortest(cluster) : std::nullopt;
    if (whole) {
      replace(changes, cluster, *whole);
      continue;
    }
    for (size_t end = 0; end < cluster.size();) {
      const size_t first = end;
      const char32_t c = next_char(cluster, end);
      const std::string_view one = cluster.substr(first, end - first);
      if (const auto becomes = shortest(one)) {
        replace(changes, one, *becomes);
      } else {
        changes.push_back({c, 0});
      }
    }
  }
  Rewriter out(text);
  out.change(changes);
  return out.take();
}

Text CharacterMap::apply_longest(const Text& text) const {
  const std::string_view bytes = text.bytes;
  Rewriter out(text);
  for (size_t begin = 0; begin < bytes.size();) {
    size_t end = begin;
    (void)next_char(bytes, end);
    const auto entry = find(bytes.substr(begin), Which::kLongest);
    // An entry of a damaged file may end inside of a character.
    if (entry && begin + entry->bytes >= end) {
      out.put(entry->becomes, begin);
      end = begin + entry->bytes;
      while (end < bytes.size() && (static_cast<uint8_t>(bytes[end]) & 0xC0) == 0x80) ++end;
    } else {
      out.keep(begin, end);
    }
    begin = end;
  }
  return out.take();
}

}  // namespace hesse
