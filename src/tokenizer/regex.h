// Regular expressions of tokenizer.json: written for Oniguruma, run by PCRE2 (with its JIT where there is one).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/pieces.h"

namespace hesse {

// Rewrites Oniguruma syntax (Ruby flavour) for PCRE2 so that both match the same: \s \d \w \h and their complements,
// nested and intersected classes, `(?m:` (the dot matches a newline), `(?i)` up to the end of the group, `{n}?`,
// `{n,m}+`, `{,n}`. Known difference: a case-insensitive "ss" does not match the single character U+00DF.
// Throws Error(kBadInput) naming the construct when there is no exact counterpart.
std::string translate_regex(std::string_view pattern, const std::string& where);

// Immutable; several threads may search with one Regex at once, each with its own finder.
class Regex {
 public:
  // `pattern` in Oniguruma syntax. Error(kBadInput) when it is not valid; `where` is its place in the file.
  Regex(std::string_view pattern, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Its find() throws Error(kBadInput) when a search takes too many steps. The Regex must outlive it.
  std::unique_ptr<Finder> finder() const;

  struct Compiled;

 private:
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace hesse
