// The alphabet of byte-level BPE: each of the 256 bytes as one printable character. Printable bytes of Latin-1 stand
// for themselves, the other 68 are U+0100, U+0101, ... in increasing order.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/text.h"

namespace hesse {

void append_byte_char(std::string& out, unsigned char byte);  // as UTF-8
void append_byte_chars(std::string& out, std::string_view bytes);
void put_byte_chars(Rewriter& out, Span span);  // those of a stretch of the old text
// Appends the bytes that the characters of `text` stand for. False, with nothing appended, when one of them is outside
// of the alphabet.
bool append_bytes_of(std::string& out, std::string_view text);

}  // namespace hesse
