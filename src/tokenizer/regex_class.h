// The part of the translation from Oniguruma to PCRE2 that is about single characters: escapes and classes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hesse {

// Reads a pattern character by character.
class PatternReader {
 public:
  PatternReader(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}
  bool at_end() const { return at_ >= pattern_.size(); }
  char32_t peek() const;             // not at the end
  char32_t take();                   // not at the end
  bool skip(std::string_view text);  // takes `text` if it comes next
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  // A quantifier {n}, {n,}, {n,m} or {,m}, in PCRE2's spelling; nothing is taken when the braces are literal.
  std::optional<std::string> take_interval();
  char32_t take_hex(size_t min_digits, size_t max_digits);
  std::string take_until(char close);  // `close` is taken as well, and not returned
  // Throws Error(kBadInput) with the pattern, the offset and `why`.
  [[noreturn]] void refuse(std::string_view why) const;

 private:
  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
};

// Appends `c` so that it stands for itself inside and outside of a class.
void append_literal(std::string& out, char32_t c);
// The inside of a class that matches what Oniguruma's \w matches outside of one.
std::string_view word_class();
// The escape after a backslash that was taken already, as a PCRE2 expression for one character.
std::string translate_escape(PatternReader& in);
// The class that begins at the reader's "[", as a PCRE2 expression for one character.
std::string translate_class(PatternReader& in);

}  // namespace hesse
