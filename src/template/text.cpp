// Values in words: str, repr and JSON, as Python writes them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "template/value.h"

namespace hesse::jinja {
namespace {

// The shortest digits that read back the same, laid out as Python does.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const std::string sign = text.starts_with('-') ? "-" : "";
  text.remove_prefix(sign.size());
  const size_t e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2) digits += text.substr(2, e - 2);
  int exponent = 0;
  const std::string_view power = text.substr(text[e + 1] == '+' ? e + 2 : e + 1);
  std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (exponent < -4 || exponent >= 16) {
    const std::string tail = digits.size() > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], tail, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

// A string as Python's repr writes it. Characters beyond ASCII are taken for printable.
std::string quoted(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + quote;
}

class Printer {
 public:
  Printer(std::string& out, Budget& budget) : out_(out), budget_(budget) {}

  void print(const Value& value, bool repr) {
    if (value.is_string()) {
      put(repr ? quoted(value.string()) : value.string());
    } else if (value.is_list() && !value.is_generator()) {
      print_list(value);
    } else if (value.is_dict()) {
      put("{");
      for (size_t i = 0; i < value.members().size(); ++i) {
        if (i > 0) put(", ");
        print(value.members()[i].first, true);
        put(": ");
        print(value.members()[i].second, true);
      }
      put("}");
    } else if (value.is_bool()) {
      put(value.integer() != 0 ? "True" : "False");
    } else if (value.is_integer()) {
      put(std::to_string(value.integer()));
    } else if (value.is_float()) {
      put(float_text(value.number()));
    } else if (value.is_none()) {
      put("None");
    } else if (!value.is_undefined()) {
      throw Failure(fmt::format("a {} cannot be printed", value.type_name()));
    } else if (repr) {
      put("Undefined");
    }
  }

 private:
  void print_list(const Value& value) {
    const bool tuple = value.is_tuple();
    put(tuple ? "(" : "[");
    for (size_t i = 0; i < value.items().size(); ++i) {
      if (i > 0) put(", ");
      print(value.items()[i], true);
    }
    if (tuple && value.items().size() == 1) put(",");
    put(tuple ? ")" : "]");
  }
  void put(std::string_view text) {
    budget_.spend_bytes(text.size());
    out_ += text;
    if (out_.size() > Budget::kMostBytes) budget_.spend_bytes(out_.size());
  }

  std::string& out_;
  Budget& budget_;
};

// A code point of valid UTF-8.
uint32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(character[i])); };
  if (character.size() == 1) return byte(0);
  if (character.size() > 4) return 0xFFFD;  // not reached: all text is valid
  uint32_t c = byte(0) & (0xFFu >> (character.size() + 1));
  for (size_t i = 1; i < character.size(); ++i) c = (c << 6) | (byte(i) & 0x3Fu);
  return c;
}

std::string escaped_ascii(std::string_view character) {
  const uint32_t c = code_point(character);
  if (c < 0x10000) return fmt::format("\\u{:04x}", c);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
}

class JsonPrinter {
 public:
  JsonPrinter(std::string& out, const JsonManner& manner, Budget& budget)
      : out_(out), manner_(manner), budget_(budget) {}

  void print(const Value& value, int level) {
    if (value.is_string()) {
      put(json_string(value.string()));
    } else if (value.is_none()) {
      put("null");
    } else if (value.is_bool()) {
      put(value.integer() != 0 ? "true" : "false");
    } else if (value.is_integer()) {
      put(std::to_string(value.integer()));
    } else if (value.is_float()) {
      put(number_text(value.number()));
    } else if (value.is_list() && !value.is_generator()) {
      print_parts(value.items(), level, "[", "]", [&](const Value& item) { print(item, level + 1); });
    } else if (value.is_dict()) {
      print_dict(value, level);
    } else {
      throw Failure(fmt::format("a {} cannot become JSON", value.type_name()));
    }
  }

 private:
  static std::string number_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }

  std::string json_string(std::string_view text) const {
    std::string out = "\"";
    for (const std::string_view one : characters(text)) {
      const unsigned char byte = static_cast<unsigned char>(one[0]);
      const size_t known = std::string_view("\"\\\n\r\t\b\f").find(one[0]);
      if (known != std::string_view::npos) {
        out += '\\';
        out += "\"\\nrtbf"[known];
      } else if (byte < 0x20 || (manner_.ascii && byte >= 0x7F)) {
        // DEL is no ASCII that json escapes.
        out += byte == 0x7F ? std::string(one) : escaped_ascii(one);
      } else {
        out += one;
      }
    }
    return out + '"';
  }

  std::string key_text(const Value& key) {
    if (key.is_string()) return key.string();
    if (key.is_none()) return "null";
    if (key.is_bool()) return key.integer() != 0 ? "true" : "false";
    if (key.is_number()) return to_text(key, budget_);
    throw Failure(fmt::format("a {} cannot be a key of JSON", key.type_name()));
  }

  void print_dict(const Value& value, int level) {
    std::vector<const std::pair<Value, Value>*> members;
    for (const auto& member : value.members()) members.push_back(&member);
    if (manner_.sort_keys) {
      std::stable_sort(members.begin(), members.end(),
                       [&](const auto* a, const auto* b) { return compare(a->first, b->first, budget_) < 0; });
    }
    print_parts(members, level, "{", "}", [&](const auto* member) {
      put(json_string(key_text(member->first)));
      put(manner_.key_separator);
      print(member->second, level + 1);
    });
  }

  template <class Parts, class Print>
  void print_parts(const Parts& parts, int level, std::string_view open, std::string_view close, Print print_part) {
    put(open);
    bool first = true;
    for (const auto& part : parts) {
      if (!first) put(manner_.item_separator);
      first = false;
      new_line(level + 1);
      print_part(part);
    }
    if (!first) new_line(level);
    put(close);
  }

  void new_line(int level) {
    if (!manner_.pretty) return;
    put("\n");
    for (int i = 0; i < level; ++i) put(manner_.indent);
  }
  void put(std::string_view text) {
    budget_.spend_bytes(text.size());
    out_ += text;
    if (out_.size() > Budget::kMostBytes) budget_.spend_bytes(out_.size());
  }

  std::string& out_;
  const JsonManner& manner_;
  Budget& budget_;
};

}  // namespace

std::string to_text(const Value& value, Budget& budget) {
  std::string out;
  Printer(out, budget).print(value, false);
  return out;
}

std::string to_repr(const Value& value, Budget& budget) {
  std::string out;
  Printer(out, budget).print(value, true);
  return out;
}

std::string to_json_text(const Value& value, const JsonManner& manner, Budget& budget) {
  std::string out;
  JsonPrinter(out, manner, budget).print(value, 0);
  return out;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    result.push_back(text.substr(at, end - at));
    at = end;
  }
  return result;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool is_space(std::string_view character) {
  const unsigned char byte = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 0x1C && byte <= 0x1F);
  if (character.size() > 3) return false;
  const uint32_t c = code_point(character);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    size_t size = 1;
    while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) ++size;
    if (!is_space(text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_space(text.substr(begin))) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

}  // namespace hesse::jinja
