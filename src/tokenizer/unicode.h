// UTF-8 and the character properties that tokenizers ask for. The tables are utf8proc's (Unicode 14 in Ubuntu 22.04,
// 15 in Debian 12); a letter that is newer counts as unassigned. The reference has older tables for normal forms and
// StripAccents (about Unicode 9): there, marks and compatibility characters of later versions may differ.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hesse {

inline constexpr size_t kNoOffset = static_cast<size_t>(-1);

// The offset of the first byte that is not part of valid UTF-8; kNoOffset when `text` is valid.
size_t first_invalid_utf8(std::string_view text);
// `bytes` with U+FFFD for each maximal invalid subsequence, as the Unicode standard recommends.
std::string utf8_lossy(std::string_view bytes);

// The character at `offset` of valid UTF-8; `offset` moves behind it.
char32_t next_char(std::string_view text, size_t& offset);
// The offset where the character that ends at `offset` (> 0) begins.
size_t previous_offset(std::string_view text, size_t offset);
void append_utf8(std::string& out, char32_t c);

bool is_whitespace(char32_t c);                       // White_Space
bool is_numeric(char32_t c);                          // Nd, Nl, No
bool is_punctuation(char32_t c);                      // all 32 of ASCII, and P* as of Unicode 8 elsewhere
bool is_word(char32_t c);                             // Alphabetic, M, Nd, Pc, Join_Control
bool is_mark(char32_t c);                             // M*
bool is_nonspacing_mark(char32_t c);                  // Mn
bool is_control(char32_t c);                          // Cc, Cf, Cn, Co
void append_lowercase(std::string& out, char32_t c);  // full mapping without context: no final sigma

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// Linearithmic in the longest run of marks, so that a megabyte of combining marks is no attack.
std::string normalize_unicode(std::string_view text, NormalForm form);

}  // namespace hesse
