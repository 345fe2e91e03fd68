#include "tokenizer/regex_class.h"

#include <fmt/format.h>

#include <array>
#include <utility>
#include <vector>

#include "hesse/error.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

constexpr int kMaxClassDepth = 50;

// Oniguruma's sets. PCRE2's own \s has U+180E as well, and its \w differs from version to version.
constexpr std::string_view kSpace =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
// Outside of a class, the superscripts and fractions of Latin-1 are words as well; inside they are not. It is so there.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
constexpr std::string_view kWordAlone =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\xB2\xB3\xB9\xBC-\xBE\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
constexpr std::string_view kDigit = R"(\p{Nd})";
constexpr std::string_view kHex = "0-9A-Fa-f";

constexpr std::array<std::pair<std::string_view, std::string_view>, 36> kLongCategories = {{
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
}};

// What one element of a class stands for: characters that may stand inside brackets, or a whole expression.
struct Element {
  std::string inside;  // empty: `expression` it is
  std::string expression;
  bool single = false;  // one character, so that it may begin or end a range
  char32_t character = 0;
};

Element of_character(char32_t c) {
  Element element;
  append_literal(element.inside, c);
  element.single = true;
  element.character = c;
  return element;
}

Element of_inside(std::string inside) {
  Element element;
  element.inside = std::move(inside);
  return element;
}

Element of_expression(std::string expression) {
  Element element;
  element.expression = std::move(expression);
  return element;
}

Element of_class(std::string_view inside, bool negated) {
  return negated ? of_expression(fmt::format("[^{}]", inside)) : of_inside(std::string(inside));
}

std::string property_name(const std::string& name) {
  std::string key;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (c != ' ' && c != '_' && c != '-') key += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  for (const auto& [from, to] : kLongCategories) {
    if (key == from) return std::string(to);
  }
  return name;
}

Element property(PatternReader& in, bool negated) {
  if (!in.skip("{")) in.refuse("\\p without braces");
  std::string name = in.take_until('}');
  if (name.starts_with('^')) {
    negated = !negated;
    name.erase(0, 1);
  }
  const bool plain =
      !name.empty() &&
      name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_ -") == std::string::npos;
  if (!plain) in.refuse(fmt::format("the property '{}'", name));
  return of_inside(fmt::format("\\{}{{{}}}", negated ? 'P' : 'p', property_name(name)));
}

Element code_point(PatternReader& in, char32_t kind) {
  char32_t c = 0;
  if (kind == 'x' && in.skip("{")) {
    c = in.take_hex(1, 6);
    if (!in.skip("}")) in.refuse("\\x{ is not closed");
  } else {
    c = kind == 'x' ? in.take_hex(1, 2) : in.take_hex(4, 4);
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) in.refuse("a number that is no Unicode character");
  return of_character(c);
}

Element escape(PatternReader& in) {
  if (in.at_end()) in.refuse("a backslash at the end");
  const char32_t c = in.take();
  switch (c) {
    case 's':
      return of_class(kSpace, false);
    case 'S':
      return of_class(kSpace, true);
    case 'w':
      return of_class(kWord, false);
    case 'W':
      return of_class(kWord, true);
    case 'd':
      return of_class(kDigit, false);
    case 'D':
      return of_class(kDigit, true);
    case 'h':
      return of_class(kHex, false);
    case 'H':
      return of_class(kHex, true);
    case 'p':
      return property(in, false);
    case 'P':
      return property(in, true);
    case 'x':
    case 'u':
      return code_point(in, c);
    case 't':
      return of_character('\t');
    case 'n':
      return of_character('\n');
    case 'r':
      return of_character('\r');
    case 'f':
      return of_character('\f');
    case 'v':
      return of_character('\v');
    case 'a':
      return of_character('\a');
    case 'e':
      return of_character(0x1B);
    default:
      break;
  }
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (alphanumeric) in.refuse(fmt::format("the escape \\{}", static_cast<char>(c)));
  return of_character(c);
}

// One operand of an intersection: [inside] or any of the alternatives.
struct Union {
  std::string inside;
  std::vector<std::string> alternatives;
  bool flat() const { return alternatives.empty(); }
  bool empty() const { return alternatives.empty() && inside.empty(); }
  std::string expression() const {
    if (flat()) return fmt::format("[{}]", inside);
    std::string out = "(?:";
    if (!inside.empty()) out += fmt::format("[{}]|", inside);
    for (size_t i = 0; i < alternatives.size(); ++i) out += (i == 0 ? "" : "|") + alternatives[i];
    return out + ")";
  }
};

Element parse_class(PatternReader& in, int depth);

Element parse_element(PatternReader& in, int depth) {
  if (in.next_is("[:")) in.refuse("a POSIX bracket such as [:alpha:]");
  if (in.next_is("[")) return parse_class(in, depth + 1);
  const char32_t c = in.take();
  return c == '\\' ? escape(in) : of_character(c);
}

// "a-z" after "a" was read. A minus before "]", "[" or "&&" is literal.
void extend_to_range(PatternReader& in, Element& first) {
  if (!first.single || !in.next_is("-") || in.next_is("-]") || in.next_is("-[") || in.next_is("-&&")) return;
  in.take();
  if (in.at_end()) in.refuse("a class is not closed");
  const Element last = parse_element(in, 0);
  if (!last.single || last.character < first.character) in.refuse("a range whose end is not behind its beginning");
  first.inside += "-" + last.inside;
  first.single = false;
}

Union parse_union(PatternReader& in, int depth, bool first_operand) {
  Union result;
  bool first = first_operand;  // there "]" is literal
  while (true) {
    if (in.at_end()) in.refuse("a class is not closed");
    if (!first && in.next_is("]")) return result;
    if (in.next_is("&&")) return result;
    Element element = parse_element(in, depth);
    extend_to_range(in, element);
    if (element.inside.empty()) {
      result.alternatives.push_back(std::move(element.expression));
    } else {
      result.inside += element.inside;
    }
    first = false;
  }
}

Element parse_class(PatternReader& in, int depth) {
  if (depth > kMaxClassDepth) in.refuse(fmt::format("classes nested deeper than {}", kMaxClassDepth));
  in.take();  // "["
  const bool negated = in.skip("^");
  std::vector<Union> operands = {parse_union(in, depth, true)};
  while (in.skip("&&")) operands.push_back(parse_union(in, depth, false));
  in.take();  // "]"
  for (const Union& operand : operands) {
    if (operand.empty()) in.refuse("an empty class");
  }
  if (operands.size() == 1 && operands[0].flat()) return of_class(operands[0].inside, negated);

  std::string all;
  for (size_t i = 0; i + 1 < operands.size(); ++i) all += "(?=" + operands[i].expression() + ")";
  all += operands.back().expression();
  return of_expression(negated ? "(?:(?!" + all + ")(?s:.))" : "(?:" + all + ")");
}

std::string as_expression(const Element& element) {
  return element.inside.empty() ? element.expression : element.single ? element.inside : "[" + element.inside + "]";
}

}  // namespace

char32_t PatternReader::peek() const {
  size_t at = at_;
  return next_char(pattern_, at);
}

char32_t PatternReader::take() { return next_char(pattern_, at_); }

bool PatternReader::skip(std::string_view text) {
  if (!next_is(text)) return false;
  at_ += text.size();
  return true;
}

std::optional<std::string> PatternReader::take_interval() {
  const size_t close = pattern_.find('}', at_);
  if (close == std::string_view::npos) return std::nullopt;
  const std::string_view body = pattern_.substr(at_ + 1, close - at_ - 1);
  const size_t comma = body.find(',');
  const std::string_view low = body.substr(0, comma);
  const std::string_view high = comma == std::string_view::npos ? std::string_view() : body.substr(comma + 1);
  const auto digits = [](std::string_view text) {
    return text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (!digits(low) || !digits(high) || (low.empty() && high.empty())) return std::nullopt;
  at_ = close + 1;
  return fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma == std::string_view::npos ? "" : ",", high);
}

char32_t PatternReader::take_hex(size_t min_digits, size_t max_digits) {
  char32_t value = 0;
  size_t count = 0;
  for (; count < max_digits && at_ < pattern_.size(); ++count, ++at_) {
    const char c = pattern_[at_];
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<char32_t>(c - '0');
    } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
      value = value * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
    } else {
      break;
    }
  }
  if (count < min_digits) refuse("a hexadecimal number that is too short");
  return value;
}

std::string PatternReader::take_until(char close) {
  const size_t end = pattern_.find(close, at_);
  if (end == std::string_view::npos) refuse(fmt::format("'{}' is missing", close));
  std::string text(pattern_.substr(at_, end - at_));
  at_ = end + 1;
  return text;
}

void PatternReader::refuse(std::string_view why) const {
  throw Error(ErrorKind::kBadInput, fmt::format("[regex] {}: cannot use the pattern '{}': {} (byte {} of {})", where_,
                                                pattern_.substr(0, 200), why, at_, pattern_.size()));
}

void append_literal(std::string& out, char32_t c) {
  const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  if (alphanumeric) {
    out += static_cast<char>(c);
  } else {
    out += fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(c));
  }
}

std::string_view word_class() { return kWordAlone; }

std::string translate_escape(PatternReader& in) {
  if (in.skip("w")) return fmt::format("[{}]", kWordAlone);
  if (in.skip("W")) return fmt::format("[^{}]", kWordAlone);
  return as_expression(escape(in));
}

std::string translate_class(PatternReader& in) { return as_expression(parse_class(in, 0)); }

}  // namespace hesse
