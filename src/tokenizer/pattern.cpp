#include "tokenizer/pattern.h"

#include <utility>

#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

class LiteralFinder : public Finder {
 public:
  explicit LiteralFinder(const std::string& text) : text_(text) {}
  bool find(std::string_view text, size_t from, Span& match) override {
    if (text_.empty()) return false;
    const size_t at = text.find(text_, from);
    if (at == std::string_view::npos) return false;
    match = {at, at + text_.size()};
    return true;
  }

 private:
  const std::string& text_;
};

class LiteralPattern : public Pattern {
 public:
  explicit LiteralPattern(std::string text) : text_(std::move(text)) {}
  std::unique_ptr<Finder> finder() const override { return std::make_unique<LiteralFinder>(text_); }

 private:
  std::string text_;
};

class RegexPattern : public Pattern {
 public:
  RegexPattern(std::string_view regex, const std::string& where) : regex_(regex, where) {}
  std::unique_ptr<Finder> finder() const override { return regex_.finder(); }

 private:
  Regex regex_;
};

class CharFinder : public Finder {
 public:
  explicit CharFinder(CharPredicate predicate) : predicate_(predicate) {}
  bool find(std::string_view text, size_t from, Span& match) override {
    while (from < text.size()) {
      const size_t begin = from;
      if (predicate_(next_char(text, from))) {
        match = {begin, from};
        return true;
      }
    }
    return false;
  }

 private:
  CharPredicate predicate_;
};

class CharPattern : public Pattern {
 public:
  explicit CharPattern(CharPredicate predicate) : predicate_(predicate) {}
  std::unique_ptr<Finder> finder() const override { return std::make_unique<CharFinder>(predicate_); }

 private:
  CharPredicate predicate_;
};

}  // namespace

std::unique_ptr<Pattern> literal_pattern(std::string text) { return std::make_unique<LiteralPattern>(std::move(text)); }

std::unique_ptr<Pattern> regex_pattern(std::string_view regex, const std::string& where) {
  return std::make_unique<RegexPattern>(regex, where);
}

std::unique_ptr<Pattern> char_pattern(CharPredicate predicate) { return std::make_unique<CharPattern>(predicate); }

std::unique_ptr<Pattern> read_pattern(const Component& component) {
  const Component pattern{component.required("pattern"), component.where + ".pattern"};
  if (const Json* text = pattern.json.find("String"))
    return literal_pattern(text->as_string(pattern.where + ".String"));
  return regex_pattern(pattern.string("Regex"), pattern.where + ".Regex");
}

std::string replace_all(const Pattern& pattern, std::string_view text, std::string_view content) {
  std::vector<Span> matches;
  find_all(*pattern.finder(), text, matches);
  std::string out;
  out.reserve(text.size() + matches.size() * content.size());
  size_t done = 0;
  for (const Span& match : matches) {
    out.append(text.substr(done, match.begin - done)).append(content);
    done = match.end;
  }
  return out.append(text.substr(done));
}

Text replace_all(const Pattern& pattern, const Text& text, std::string_view content) {
  std::vector<Span> matches;
  find_all(*pattern.finder(), text.bytes, matches);
  Rewriter out(text);
  size_t done = 0;
  for (const Span& match : matches) {
    out.keep(done, match.begin);
    out.insert(content, match.end);
    done = match.end;
  }
  out.keep(done, text.bytes.size());
  return out.take();
}

}  // namespace hesse
