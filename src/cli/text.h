// Words and numbers for people. Pure functions: text in, text out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/events.h"

namespace hesse {

std::string format_duration(double seconds);  // "0.4 s", "42 s", "3 min 07 s", "2 h 05 min"; "?" when not known
std::string format_bytes(int64_t bytes);      // decimal units: "11.5 MB"
std::string format_count(int64_t count);      // "5.77 million"; below a million as it is
std::string format_percent(double share);     // three digits: 0.0042 -> "0.42 %"
std::string counted(int64_t count, std::string_view noun);  // "1 linear", "2 linears"

// The first `most` items separated by ", ", then how many are left.
std::string format_list(const std::vector<std::string>& items, size_t most);

// Columns that UTF-8 text takes, one for each code point.
int columns(std::string_view text);

// "[=====>      ]  31 %  layer 3 of 30  12 s, about 27 s left" in at most `width` columns. What does not fit is left
// out: first the bar, then the end of the line.
std::string format_progress(const Progress& progress, double elapsed, int width);

// The same without a bar, for logs: "layer 3 of 30 (31 %, 12 s, about 27 s left)".
std::string format_progress_line(const Progress& progress, double elapsed);

// `text` broken between words into lines of at most `width` columns; lines after the first begin with `indent` spaces,
// which count. A longer word has a line of its own.
std::string wrap(std::string_view text, int indent, int width);

// The candidate that `word` is a misspelling or the beginning of; empty when none is close.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// The key and its value in two columns: "family       llama\n".
std::string fact(std::string_view key, std::string_view value);

}  // namespace hesse
