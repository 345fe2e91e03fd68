#include "template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "template/value.h"

namespace hesse::jinja {
namespace {

// The longest first.
constexpr std::array<std::string_view, 27> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", "!"};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Line breaks as one character, and none at the end.
std::string normalized(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text += source[i];
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void append_code_point(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : text_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < text_.size()) {
      const size_t open = find_open();
      if (open == std::string::npos) {
        add_text(text_.substr(at_));
        break;
      }
      enter(open);
    }
    add(Token::Type::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(text_).substr(at_); }
  [[noreturn]] void fail(std::string what) const { throw Damage{line_, std::move(what)}; }

  size_t find_open() const {
    for (size_t i = at_; i + 1 < text_.size(); ++i) {
      if (text_[i] == '{' && (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#')) return i;
    }
    return std::string::npos;
  }

  // Text up to `open`, and what begins there.
  void enter(size_t open) {
    const char kind = text_[open + 1];
    const char sign = open + 2 < text_.size() ? text_[open + 2] : '\0';
    const bool has_sign = sign == '-' || sign == '+';
    std::string text = text_.substr(at_, open - at_);
    const size_t size = text.size();
    const bool line_starts = line_starts_;
    if (sign == '-') {
      text.resize(strip(text, false, true).size());
    } else if (sign != '+' && kind != '{') {
      const size_t begin = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
      if ((begin > 0 || line_starts) && strip(std::string_view(text).substr(begin), true, false).empty())
        text.resize(begin);
    }
    const int lines = static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                  text_.begin() + static_cast<std::ptrdiff_t>(at_ + size), '\n'));
    add_text(std::move(text));
    line_ += lines;
    at_ = open + (has_sign ? 3 : 2);
    line_starts_ = false;
    if (kind == '#') return skip_comment();
    if (kind == '{') return read_inside(Token::Type::kOpenExpression, Token::Type::kCloseExpression, "}}");
    if (take_raw()) return;
    read_inside(Token::Type::kOpenTag, Token::Type::kCloseTag, "%}");
  }

  void skip_comment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) fail("a comment has no end '#}'");
    const char sign = end > at_ ? text_[end - 1] : '\0';
    move_to(end + 2);
    behind_tag(sign);
  }

  // What a closing tag does to the white space behind it.
  void behind_tag(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && at_ < text_.size() && text_[at_] == '\n') {
      move_to(at_ + 1);
    }
    line_starts_ = at_ > 0 && text_[at_ - 1] == '\n';
  }

  void skip_space() { move_to(text_.size() - strip(rest(), true, false).size()); }

  void move_to(size_t place) {
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(place), '\n'));
    at_ = place;
  }

  // {% raw %} ... {% endraw %}: text as it stands. False: another tag.
  bool take_raw() {
    const size_t before = at_;
    const int line = line_;
    skip_space();
    if (!rest().starts_with("raw") || (rest().size() > 3 && (is_letter(rest()[3]) || is_digit(rest()[3])))) {
      at_ = before;
      line_ = line;
      return false;
    }
    at_ += 3;
    skip_space();
    const bool strips = rest().starts_with("-%}");
    if (!strips && !rest().starts_with("%}")) fail("the tag 'raw' has no end '%}'");
    move_to(at_ + (strips ? 3 : 2));
    // Jinja trims no line break behind it.
    if (strips) skip_space();
    size_t open = at_;
    for (;; ++open) {
      open = text_.find("{%", open);
      if (open == std::string::npos) fail("the tag 'raw' has no 'endraw'");
      const size_t sign = open + 2 < text_.size() && (text_[open + 2] == '-' || text_[open + 2] == '+') ? 1 : 0;
      std::string_view inside = strip(std::string_view(text_).substr(open + 2 + sign), true, false);
      if (!inside.starts_with("endraw")) continue;
      inside = strip(inside.substr(6), true, false);
      const char close = inside.empty() ? '\0' : inside[0];
      if (close == '-' || close == '+') inside.remove_prefix(1);
      if (!inside.starts_with("%}")) continue;
      std::string text = text_.substr(at_, open - at_);
      if (sign == 1 && text_[open + 2] == '-') {
        text.resize(strip(text, false, true).size());
      } else if (sign == 0) {
        const size_t begin = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
        if (begin > 0 && strip(std::string_view(text).substr(begin), true, false).empty()) text.resize(begin);
      }
      add_text(std::move(text));
      move_to(text_.size() - inside.size() + 2);
      behind_tag(close);
      return true;
    }
  }

  void read_inside(Token::Type open, Token::Type close, std::string_view end) {
    add(open, "");
    std::string brackets;
    for (;;) {
      skip_space();
      if (rest().empty()) fail(fmt::format("'{}' is missing", end));
      if (brackets.empty()) {
        const char sign = rest()[0] == '-' || (rest()[0] == '+' && end == "%}") ? rest()[0] : '\0';
        if (rest().substr(sign == '\0' ? 0 : 1).starts_with(end)) {
          add(close, "");
          move_to(at_ + end.size() + (sign == '\0' ? 0 : 1));
          if (end == "%}") {
            behind_tag(sign);
          } else {
            if (sign == '-') skip_space();
            line_starts_ = at_ > 0 && text_[at_ - 1] == '\n';
          }
          return;
        }
      }
      read_token(brackets);
    }
  }

  void read_token(std::string& brackets) {
    const char c = rest()[0];
    if (is_letter(c)) {
      const auto end = std::find_if(rest().begin(), rest().end(), [](char x) { return !is_letter(x) && !is_digit(x); });
      add(Token::Type::kName, std::string(rest().substr(0, static_cast<size_t>(end - rest().begin()))));
      at_ += tokens_.back().text.size();
    } else if (is_digit(c)) {
      read_number();
    } else if (c == '"' || c == '\'') {
      read_string(c);
    } else {
      read_operator(brackets);
    }
  }

  void read_operator(std::string& brackets) {
    for (const std::string_view one : kOperators) {
      if (!rest().starts_with(one) || one == "!") continue;
      if (one == "(" || one == "[" || one == "{") brackets += one == "(" ? ')' : one == "[" ? ']' : '}';
      if (one == ")" || one == "]" || one == "}") {
        if (brackets.empty() || brackets.back() != one[0]) fail(fmt::format("'{}' closes nothing", one));
        brackets.pop_back();
      }
      add(Token::Type::kOperator, std::string(one));
      at_ += one.size();
      return;
    }
    fail(fmt::format("the character '{}' has no meaning here", characters(rest().substr(0, 4)).front()));
  }

  void read_number() {
    const auto digits = [&](size_t from) {
      size_t end = from;
      while (end < text_.size() && (is_digit(text_[end]) || (text_[end] == '_' && end > from))) ++end;
      return end;
    };
    size_t end = digits(at_);
    bool whole = true;
    if (end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
      end = digits(end + 1);
      whole = false;
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const size_t sign = end + 1 < text_.size() && (text_[end + 1] == '+' || text_[end + 1] == '-') ? 1 : 0;
      if (end + 1 + sign < text_.size() && is_digit(text_[end + 1 + sign])) {
        end = digits(end + 1 + sign);
        whole = false;
      }
    }
    std::string spelled = text_.substr(at_, end - at_);
    spelled.erase(std::remove(spelled.begin(), spelled.end(), '_'), spelled.end());
    add(whole ? Token::Type::kInteger : Token::Type::kFloat, spelled);
    const char* last = spelled.data() + spelled.size();
    const auto result = whole ? std::from_chars(spelled.data(), last, tokens_.back().integer)
                              : std::from_chars(spelled.data(), last, tokens_.back().number);
    if (result.ec != std::errc()) fail(fmt::format("the number {} is too large", spelled));
    at_ = end;
  }

  void read_string(char quote) {
    const int line = line_;
    std::string value;
    size_t i = at_ + 1;
    for (;; ++i) {
      if (i >= text_.size()) fail("a string has no end");
      if (text_[i] == quote) break;
      if (text_[i] != '\\') {
        value += text_[i];
      } else if (++i < text_.size()) {
        i = read_escape(i, value);
      }
    }
    tokens_.push_back({Token::Type::kString, std::move(value), line, 0, 0});
    move_to(i + 1);
  }

  // The escape behind a backslash at `i`; returns the place of its last character.
  size_t read_escape(size_t i, std::string& value) const {
    const char c = text_[i];
    const size_t simple = std::string_view("ntr\\'\"abfv").find(c);
    if (simple != std::string_view::npos) {
      value += "\n\t\r\\'\"\a\b\f\v"[simple];
      return i;
    }
    if (c == '\n') return i;
    const size_t length = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (length == 0 && !(c >= '0' && c <= '7')) {
      value += '\\';
      value += c;
      return i;
    }
    uint32_t code = 0;
    const size_t first = length > 0 ? i + 1 : i;
    size_t last = first;
    while (last < text_.size() && last - first < (length > 0 ? length : 3) &&
           digit(text_[last]) < (length > 0 ? 16 : 8))
      code = code * (length > 0 ? 16 : 8) + static_cast<uint32_t>(digit(text_[last++]));
    if ((length > 0 && last - first != length) || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      fail("a string has an escape that is no character");
    append_code_point(value, code);
    return last - 1;
  }

  static int digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
  }

  void add_text(std::string text) {
    if (!text.empty()) tokens_.push_back({Token::Type::kText, std::move(text), line_, 0, 0});
  }
  void add(Token::Type type, std::string text) { tokens_.push_back({type, std::move(text), line_, 0, 0}); }

  std::string text_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starts_ = true;  // what stands at `at_` begins a line
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace hesse::jinja
