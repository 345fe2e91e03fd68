// The scripts of Unicode, as UnicodeScripts of tokenizer.json sees them.
#pragma once

namespace hesse {

inline constexpr int kAnyScript = 0;  // of a space, and of what has none: unassigned

// A number that characters of one script share. Hiragana and Katakana count as Han.
int script_of(char32_t c);

}  // namespace hesse
