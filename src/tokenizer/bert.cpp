#include "tokenizer/bert.h"

#include <algorithm>
#include <iterator>

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

// `use(character, begin, end)` for each character.
template <class Use>
void for_each_char(const Text& text, Use use) {
  for (size_t end = 0; end < text.bytes.size();) {
    const size_t begin = end;
    const char32_t c = next_char(text.bytes, end);
    use(c, begin, end);
  }
}

bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

bool is_line_or_tab(char32_t c) { return c == '\t' || c == '\n' || c == '\r'; }

struct CharRange {
  char32_t first, last;
};

// The reference asks tables of Unicode 8 for the kinds of characters: marks and format characters that came later are
// none there.
constexpr CharRange kLaterMarks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8E1},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
    {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x180F},   {0x1885, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},
    {0xA9BD, 0xA9BD},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x111C9, 0x111C9},
    {0x111CF, 0x111CF}, {0x1123E, 0x1123E}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1143F},
    {0x11442, 0x11444}, {0x11446, 0x11446}, {0x1145E, 0x1145E}, {0x1182F, 0x11837}, {0x11839, 0x1183A},
    {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11943}, {0x119D4, 0x119D7}, {0x119DA, 0x119DB},
    {0x119E0, 0x119E0}, {0x11A01, 0x11A0A}, {0x11A33, 0x11A38}, {0x11A3B, 0x11A3E}, {0x11A47, 0x11A47},
    {0x11A51, 0x11A56}, {0x11A59, 0x11A5B}, {0x11A8A, 0x11A96}, {0x11A98, 0x11A99}, {0x11C30, 0x11C36},
    {0x11C38, 0x11C3D}, {0x11C3F, 0x11C3F}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0}, {0x11CB2, 0x11CB3},
    {0x11CB5, 0x11CB6}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45},
    {0x11D47, 0x11D47}, {0x11D90, 0x11D91}, {0x11D95, 0x11D95}, {0x11D97, 0x11D97}, {0x11EF3, 0x11EF4},
    {0x11F00, 0x11F01}, {0x11F36, 0x11F3A}, {0x11F40, 0x11F40}, {0x11F42, 0x11F42}, {0x13440, 0x13440},
    {0x13447, 0x13455}, {0x16F4F, 0x16F4F}, {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46},
    {0x1E000, 0x1E006}, {0x1E008, 0x1E018}, {0x1E01B, 0x1E021}, {0x1E023, 0x1E024}, {0x1E026, 0x1E02A},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1E944, 0x1E94A}};
constexpr CharRange kLaterFormats[] = {{0x890, 0x891}, {0x8E2, 0x8E2}, {0x110CD, 0x110CD}, {0x13430, 0x1343F}};

template <size_t n>
bool among(const CharRange (&ranges)[n], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const CharRange& range) { return in(c, range.first, range.last); });
}

bool is_removed_mark(char32_t c) { return c == 0x1734 || (is_nonspacing_mark(c) && !among(kLaterMarks, c)); }

// The blocks that the original Python lists; extension E begins later there than in Unicode.
bool is_ideograph(char32_t c) {
  return in(c, 0x4E00, 0x9FFF) || in(c, 0x3400, 0x4DBF) || in(c, 0x20000, 0x2A6DF) || in(c, 0x2A700, 0x2B73F) ||
         in(c, 0x2B740, 0x2B81F) || in(c, 0x2B920, 0x2CEAF) || in(c, 0xF900, 0xFAFF) || in(c, 0x2F800, 0x2FA1F);
}

bool nmt_removes(char32_t c) {
  return in(c, 0x01, 0x08) || c == 0x0B || in(c, 0x0E, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

bool nmt_is_space(char32_t c) {
  return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || in(c, 0x200B, 0x200F) || c == 0x2028 ||
         c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

}  // namespace

Text bert_clean(const Text& text) {
  Rewriter out(text);
  for_each_char(text, [&](char32_t c, size_t begin, size_t end) {
    if (c == 0 || c == 0xFFFD || (!is_line_or_tab(c) && is_control(c) && !among(kLaterFormats, c))) return;
    is_whitespace(c) ? out.put(" ", begin) : out.keep(begin, end);
  });
  return out.take();
}

Text bert_space_ideographs(const Text& text) {
  Rewriter out(text);
  for_each_char(text, [&](char32_t c, size_t begin, size_t end) {
    if (!is_ideograph(c)) return out.keep(begin, end);
    out.put(" ", begin);
    out.keep(begin, end);
    out.put(" ", begin);
  });
  return out.take();
}

Text without_nonspacing_marks(const Text& text) {
  Rewriter out(text);
  for_each_char(text, [&](char32_t c, size_t begin, size_t end) {
    if (!is_removed_mark(c)) out.keep(begin, end);
  });
  return out.take();
}

Text nmt_clean(const Text& text) {
  Rewriter out(text);
  for_each_char(text, [&](char32_t c, size_t begin, size_t end) {
    if (nmt_removes(c)) return;
    nmt_is_space(c) ? out.put(" ", begin) : out.keep(begin, end);
  });
  return out.take();
}

}  // namespace hesse
