#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "hesse/error.h"

namespace hesse {
namespace {

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Length of the valid character at `i`, or minus the length of the maximal invalid subsequence (at least 1).
int char_length(std::string_view text, size_t i) {
  const uint8_t lead = byte_at(text, i);
  if (lead < 0x80) return 1;
  const int length = (lead >= 0xC2 && lead <= 0xDF)   ? 2
                     : (lead & 0xF0) == 0xE0          ? 3
                     : (lead >= 0xF0 && lead <= 0xF4) ? 4
                                                      : 0;
  if (length == 0) return -1;
  // The second byte alone rules out overlong forms, surrogates and values above U+10FFFF.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (int k = 1; k < length; ++k) {
    const size_t at = i + static_cast<size_t>(k);
    const bool second = (k == 1);
    if (at >= text.size() || byte_at(text, at) < (second ? low : 0x80) || byte_at(text, at) > (second ? high : 0xBF)) {
      return -k;
    }
  }
  return length;
}

bool in_range(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

// Alphabetic beyond L, Nl and M: the circled, squared and parenthesised Latin letters. A closed list since Unicode 6.
bool is_enclosed_letter(char32_t c) {
  return in_range(c, 0x24B6, 0x24E9) || in_range(c, 0x1F130, 0x1F149) || in_range(c, 0x1F150, 0x1F169) ||
         in_range(c, 0x1F170, 0x1F189);
}

struct CharRange {
  char32_t first;
  char32_t last;
};

// The reference asks tables of Unicode 8 for punctuation: what came later is none there.
constexpr CharRange kLaterPunctuation[] = {
    {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},     {0xC84, 0xC84},
    {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},   {0x10D6E, 0x10D6E},
    {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x113D4, 0x113D5}, {0x113D7, 0x113D8},
    {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
    {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46}, {0x11A9A, 0x11A9C},
    {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11BE1, 0x11BE1}, {0x11C41, 0x11C45}, {0x11C70, 0x11C71},
    {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16D6D, 0x16D6F},
    {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E5FF, 0x1E5FF}, {0x1E95E, 0x1E95F},
};

bool is_later_punctuation(char32_t c) {
  return std::any_of(std::begin(kLaterPunctuation), std::end(kLaterPunctuation),
                     [c](const CharRange& range) { return in_range(c, range.first, range.last); });
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

}  // namespace

size_t first_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const int length = char_length(text, i);
    if (length < 0) return i;
    i += static_cast<size_t>(length);
  }
  return kNoOffset;
}

std::string utf8_lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    const int length = char_length(bytes, i);
    const size_t step = static_cast<size_t>(length < 0 ? -length : length);
    if (length < 0) {
      append_utf8(out, 0xFFFD);
    } else {
      out.append(bytes.substr(i, step));
    }
    i += step;
  }
  return out;
}

char32_t next_char(std::string_view text, size_t& offset) {
  const uint8_t lead = byte_at(text, offset++);
  if (lead < 0x80) return lead;
  const int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
  char32_t c = lead & (0x3F >> more);
  for (int k = 0; k < more; ++k) c = (c << 6) | (byte_at(text, offset++) & 0x3F);
  return c;
}

size_t previous_offset(std::string_view text, size_t offset) {
  do {
    --offset;
  } while ((byte_at(text, offset) & 0xC0) == 0x80);
  return offset;
}

void append_utf8(std::string& out, char32_t c) {
  utf8proc_uint8_t buffer[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(size));
}

bool is_whitespace(char32_t c) {
  return in_range(c, 0x09, 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || in_range(c, 0x2000, 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_ND || cat == UTF8PROC_CATEGORY_NL || cat == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return in_range(c, 0x21, 0x2F) || in_range(c, 0x3A, 0x40) || in_range(c, 0x5B, 0x60) || in_range(c, 0x7B, 0x7E);
  if (c == 0x166D || c == 0x111C9) return true;  // symbols of today that were punctuation in Unicode 8
  const auto cat = category(c);
  return cat >= UTF8PROC_CATEGORY_PC && cat <= UTF8PROC_CATEGORY_PO && !is_later_punctuation(c);
}

bool is_mark(char32_t c) {
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_MC || cat == UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

bool is_control(char32_t c) {
  const auto cat = category(c);
  return cat == UTF8PROC_CATEGORY_CC || cat == UTF8PROC_CATEGORY_CF || cat == UTF8PROC_CATEGORY_CO;
}

bool is_word(char32_t c) {
  const auto cat = category(c);
  const bool letter = cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
  return letter || is_mark(c) || cat == UTF8PROC_CATEGORY_ND || cat == UTF8PROC_CATEGORY_NL ||
         cat == UTF8PROC_CATEGORY_PC || is_enclosed_letter(c) || c == 0x200C || c == 0x200D;
}

void append_lowercase(std::string& out, char32_t c) {
  if (c == 0x130) {  // the only unconditional mapping to more than one character
    out += "i\xCC\x87";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

namespace {

// Below this, no character decomposes, composes with a neighbour or moves.
char32_t unchanged_below(NormalForm form) {
  switch (form) {
    case NormalForm::kNfc:
      return 0x300;
    case NormalForm::kNfd:
      return 0xC0;
    case NormalForm::kNfkc:
    case NormalForm::kNfkd:
      return 0xA0;
  }
  return 0;
}

std::vector<utf8proc_int32_t> decompose(std::string_view text, utf8proc_option_t options) {
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  utf8proc_int32_t one[64];  // the longest decomposition has 18 characters
  for (size_t i = 0; i < text.size();) {
    int last_boundclass = 0;
    const auto c = static_cast<utf8proc_int32_t>(next_char(text, i));
    const auto count = utf8proc_decompose_char(c, one, 64, options, &last_boundclass);
    if (count < 0 || count > 64) throw Error(ErrorKind::kInternal, "[unicode] utf8proc refused a valid character");
    chars.insert(chars.end(), one, one + count);
  }
  return chars;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical ordering. utf8proc's own is quadratic in the length of a run.
void order_marks(std::vector<utf8proc_int32_t>& chars) {
  for (size_t i = 0; i < chars.size();) {
    size_t end = i;
    while (end < chars.size() && combining_class(chars[end]) != 0) ++end;
    std::stable_sort(chars.begin() + static_cast<ptrdiff_t>(i), chars.begin() + static_cast<ptrdiff_t>(end),
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    i = end + 1;
  }
}

}  // namespace

std::string normalize_unicode(std::string_view text, NormalForm form) {
  const char32_t limit = unchanged_below(form);
  bool unchanged = true;
  for (size_t i = 0; i < text.size() && unchanged;) unchanged = next_char(text, i) < limit;
  if (unchanged) return std::string(text);

  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0) |
                                                      (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE));
  std::vector<utf8proc_int32_t> chars = decompose(text, options);
  order_marks(chars);
  size_t size = chars.size();
  if (compose) {
    const auto left = utf8proc_normalize_utf32(chars.data(), static_cast<utf8proc_ssize_t>(size), options);
    if (left < 0) throw Error(ErrorKind::kInternal, "[unicode] utf8proc could not compose valid text");
    size = static_cast<size_t>(left);
  }
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < size; ++i) append_utf8(out, static_cast<char32_t>(chars[i]));
  return out;
}

}  // namespace hesse
