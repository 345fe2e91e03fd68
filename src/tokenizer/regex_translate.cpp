#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "tokenizer/regex.h"
#include "tokenizer/regex_class.h"

namespace hesse {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);
constexpr size_t kMaxGroupDepth = 200;  // PCRE2 stops at 250

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern, where) { groups_.push_back({}); }

  std::string run() {
    while (!in_.at_end()) step();
    if (groups_.size() != 1) in_.refuse("a group is not closed");
    out_.append(groups_.back().extra_closes, ')');
    return std::move(out_);
  }

 private:
  struct Group {
    size_t begin = 0;         // in out_
    size_t extra_closes = 0;  // groups that an inline option opened inside this one
  };

  void step() {
    switch (const char32_t c = in_.peek()) {
      case '(':
        open_group();
        break;
      case ')':
        close_group();
        break;
      case '[':
        begin_atom();
        out_ += translate_class(in_);
        break;
      case '\\':
        escape();
        break;
      case '*':
      case '+':
      case '?':
        in_.take();
        quantify(std::string(1, static_cast<char>(c)), false);
        break;
      case '{':
        interval_or_literal();
        break;
      case '|':
      case '^':
      case '$':
        in_.take();
        out_ += static_cast<char>(c);
        atom_ = kNone;
        break;
      case '.':
        in_.take();
        begin_atom();
        out_ += '.';
        break;
      default:
        in_.take();
        begin_atom();
        append_literal(out_, c);
    }
  }

  void begin_atom() {
    atom_ = out_.size();
    quantified_ = false;
  }

  void push_group(std::string_view opening) {
    if (groups_.size() > kMaxGroupDepth) in_.refuse(fmt::format("groups nested deeper than {}", kMaxGroupDepth));
    groups_.push_back({out_.size(), 0});
    out_ += opening;
    atom_ = kNone;
  }

  void open_group() {
    in_.take();
    if (!in_.skip("?")) return push_group("(?:");
    if (in_.skip("#")) {
      while (!in_.at_end() && in_.peek() != ')') in_.take();
      if (!in_.skip(")")) in_.refuse("a comment is not closed");
      return;
    }
    for (const std::string_view same : {":", "=", "!", ">", "<=", "<!"}) {
      if (in_.skip(same)) return push_group("(?" + std::string(same));
    }
    if (in_.skip("<")) {
      while (!in_.at_end() && in_.peek() != '>') in_.take();
      if (!in_.skip(">")) in_.refuse("a group name is not closed");
      return push_group("(?:");
    }
    options();
  }

  // (?i-m:...) and (?i-m). Ruby's m is everybody else's s; an option without colon holds until its group ends, over
  // alternatives as well, so it is a group of its own.
  void options() {
    std::string flags;
    while (!in_.at_end() && in_.peek() != ':' && in_.peek() != ')') {
      const char32_t c = in_.take();
      if (c != 'i' && c != 'm' && c != '-') in_.refuse("a group option other than i and m");
      flags += c == 'm' ? 's' : static_cast<char>(c);
    }
    if (in_.skip(":")) return push_group("(?" + flags + ":");
    if (!in_.skip(")")) in_.refuse("a group is not closed");
    if (groups_.back().extra_closes >= kMaxGroupDepth) in_.refuse("too many inline options");
    ++groups_.back().extra_closes;
    out_ += "(?" + flags + ":";
    atom_ = kNone;
  }

  void close_group() {
    if (groups_.size() == 1) in_.refuse("a group is closed that was never opened");
    in_.take();
    const Group group = groups_.back();
    groups_.pop_back();
    out_.append(group.extra_closes + 1, ')');
    atom_ = group.begin;
    quantified_ = false;
  }

  void escape() {
    in_.take();
    const char32_t c = in_.at_end() ? U'\0' : in_.peek();
    if (c == 'b' || c == 'B') {
      in_.take();
      const std::string word = "[" + std::string(word_class()) + "]";
      const char* const form = c == 'b' ? "(?:(?<={0})(?!{0})|(?<!{0})(?={0}))" : "(?:(?<={0})(?={0})|(?<!{0})(?!{0}))";
      out_ += fmt::format(fmt::runtime(form), word);
      atom_ = kNone;
    } else if (c == 'A' || c == 'z' || c == 'Z') {
      in_.take();
      out_ += {'\\', static_cast<char>(c)};
      atom_ = kNone;
    } else {
      begin_atom();
      out_ += translate_escape(in_);
    }
  }

  // `interval`: quantifiers of the form {n,m}, after which Ruby gives ? and + another meaning.
  void quantify(const std::string& quantifier, bool interval) {
    if (atom_ == kNone) in_.refuse("a quantifier has nothing to repeat");
    if (quantified_) wrap();
    out_ += quantifier;
    quantified_ = true;
    if (in_.at_end()) return;
    const bool exact = interval && quantifier.find(',') == std::string::npos;
    if (in_.peek() == '?' && !exact) {
      in_.take();
      out_ += '?';
    } else if (in_.peek() == '+' && !interval) {
      in_.take();
      out_ += '+';
    }
    // {n}? and {n,m}+ repeat the repetition: step() comes back here and wraps it.
  }

  void wrap() {
    if (++wraps_ > kMaxGroupDepth) in_.refuse("too many quantifiers in a row");
    out_.insert(atom_, "(?:");
    out_ += ')';
  }

  void interval_or_literal() {
    if (const auto interval = in_.take_interval()) {
      quantify(*interval, true);
    } else {
      in_.take();
      begin_atom();
      append_literal(out_, '{');
    }
  }

  PatternReader in_;
  std::string out_;
  std::vector<Group> groups_;
  size_t atom_ = kNone;  // where the last thing that can be repeated begins in out_
  bool quantified_ = false;
  size_t wraps_ = 0;
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace hesse
