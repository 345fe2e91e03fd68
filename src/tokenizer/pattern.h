// What a Split or a Replace looks for: a literal string, a regular expression, or characters of one kind.
#pragma once

#include <memory>
#include <string>

#include "tokenizer/component.h"
#include "tokenizer/pieces.h"

namespace hesse {

// Immutable; each search makes its own finder, which must not outlive the pattern.
class Pattern {
 public:
  virtual ~Pattern() = default;
  virtual std::unique_ptr<Finder> finder() const = 0;
};

using CharPredicate = bool (*)(char32_t);

std::unique_ptr<Pattern> literal_pattern(std::string text);  // an empty text never matches
std::unique_ptr<Pattern> regex_pattern(std::string_view regex, const std::string& where);
std::unique_ptr<Pattern> char_pattern(CharPredicate predicate);  // each character is a match by itself
// From {"String": ...} or {"Regex": ...} at "pattern".
std::unique_ptr<Pattern> read_pattern(const Component& component);

// `text` with all matches replaced by `content`, literally.
std::string replace_all(const Pattern& pattern, std::string_view text, std::string_view content);
Text replace_all(const Pattern& pattern, const Text& text, std::string_view content);

}  // namespace hesse
