#include "tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

constexpr char32_t kAlphabetEnd = 0x100 + 68;

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> make_chars() {
  std::array<char32_t, 256> chars{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) chars[byte] = stands_for_itself(byte) ? byte : next++;
  return chars;
}

constexpr std::array<char32_t, 256> kChars = make_chars();

// -1 outside of the alphabet.
constexpr std::array<int16_t, kAlphabetEnd> make_bytes() {
  std::array<int16_t, kAlphabetEnd> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) bytes[kChars[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kBytes = make_bytes();

}  // namespace

void append_byte_char(std::string& out, unsigned char byte) {
  const char32_t c = kChars[byte];  // below 0x800: at most two bytes
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

void append_byte_chars(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_byte_char(out, static_cast<unsigned char>(byte));
}

void put_byte_chars(Rewriter& out, Span span) {
  const std::string_view old = out.old().bytes;
  const size_t step = out.old().traced ? 1 : span.end - span.begin;  // nobody asks where the bytes come from
  for (size_t at = span.begin; at < span.end; at += step) {
    out.put_with(at, [&](std::string& bytes) { append_byte_chars(bytes, old.substr(at, step)); });
  }
}

bool append_bytes_of(std::string& out, std::string_view text) {
  const size_t size = out.size();
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_char(text, i);
    if (c >= kAlphabetEnd || kBytes[c] < 0) {
      out.resize(size);
      return false;
    }
    out += static_cast<char>(kBytes[c]);
  }
  return true;
}

}  // namespace hesse
