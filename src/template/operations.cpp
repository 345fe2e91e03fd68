// Attributes, items, arithmetic, and the text functions that methods and filters share.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "template/calls.h"

namespace hesse::jinja {
namespace {

[[noreturn]] void too_large() { throw Failure("a whole number beyond 64 bits arises"); }

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) too_large();
    if (result == 0 || (base == 1) || (base == -1 && i > 64 && (exponent - i) % 2 == 1)) break;
  }
  return result;
}

Value whole(std::string_view operation, int64_t a, int64_t b) {
  int64_t result = 0;
  if (operation == "+" && !__builtin_add_overflow(a, b, &result)) return result;
  if (operation == "-" && !__builtin_sub_overflow(a, b, &result)) return result;
  if (operation == "*" && !__builtin_mul_overflow(a, b, &result)) return result;
  if (operation == "**" && b >= 0) return power(a, b);
  if (operation == "+" || operation == "-" || operation == "*") too_large();
  if (operation == "**") return std::pow(static_cast<double>(a), static_cast<double>(b));
  if (b == 0) throw Failure("a division by zero");
  if (operation == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1) {  // the least of all has no opposite
    if (operation == "%") return int64_t{0};
    if (__builtin_sub_overflow(int64_t{0}, a, &result)) too_large();
    return result;
  }
  const bool uneven = a % b != 0 && (a % b < 0) != (b < 0);
  if (operation == "//") return a / b - (uneven ? 1 : 0);
  return a % b + (uneven ? b : 0);
}

Value real(std::string_view operation, double a, double b) {
  if (operation == "+") return a + b;
  if (operation == "-") return a - b;
  if (operation == "*") return a * b;
  if (operation == "**") return std::pow(a, b);
  if (b == 0) throw Failure("a division by zero");
  if (operation == "/") return a / b;
  if (operation == "//") return std::floor(a / b);
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value repeated(const Value& what, int64_t times, Budget& budget) {
  const size_t count = times > 0 ? static_cast<size_t>(times) : 0;
  if (what.is_string()) {
    const size_t size = what.string().size();
    if (size > 0 && count > Budget::kMostBytes / size) budget.spend_bytes(Budget::kMostBytes + 1);
    budget.spend_bytes(size * count);
    std::string text;
    for (size_t i = 0; i < count && size > 0; ++i) text += what.string();
    return Value(std::move(text));
  }
  std::vector<Value> items;
  for (size_t i = 0; i < count && !what.items().empty(); ++i) {
    budget.spend(what.items().size());
    items.insert(items.end(), what.items().begin(), what.items().end());
  }
  return what.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value joined(const Value& left, const Value& right, Budget& budget) {
  if (left.is_string()) {
    budget.spend_bytes(left.string().size() + right.string().size());
    return Value(left.string() + right.string());
  }
  budget.spend(left.items().size() + right.items().size());
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return left.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value loop_attribute(const Loop& loop, std::string_view name) {
  const int64_t index = static_cast<int64_t>(loop.index), count = static_cast<int64_t>(loop.items.size());
  if (name == "index") return index + 1;
  if (name == "index0") return index;
  if (name == "revindex") return count - index;
  if (name == "revindex0") return count - index - 1;
  if (name == "first") return index == 0;
  if (name == "last") return index + 1 == count;
  if (name == "length") return count;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem" && index > 0) return loop.items[loop.index - 1];
  if (name == "nextitem" && index + 1 < count) return loop.items[loop.index + 1];
  return {};
}

// Where an index from the end or the beginning points; -1: outside.
int64_t place_of(int64_t index, size_t size) {
  const int64_t count = static_cast<int64_t>(size);
  if (index < 0) index += count;
  return index >= 0 && index < count ? index : -1;
}

}  // namespace

Value get_attribute(const Value& object, const std::string& name, const std::string& what, Budget& budget) {
  if (object.is_undefined()) throw Failure(fmt::format("{} is undefined, and has no '{}'", what, name));
  if (has_method(object, name)) {
    return function(name, [object, name, &budget](const Arguments& a) { return call_method(object, name, a, budget); });
  }
  if (object.is_dict()) {
    budget.spend(1 + object.members().size() / 8);
    const Value* value = object.find(name);
    return value != nullptr ? *value : Value();
  }
  if (object.is<std::shared_ptr<Namespace>>()) {
    budget.spend(1 + object.name_space()->items.size() / 8);
    for (const auto& [key, value] : object.name_space()->items) {
      if (key == name) return value;
    }
  }
  if (object.is<std::shared_ptr<Loop>>()) return loop_attribute(*object.loop(), name);
  return {};
}

Value get_item(const Value& object, const Value& key, const std::string& what, Budget& budget) {
  budget.spend(1);
  if (object.is_undefined()) throw Failure(fmt::format("{} is undefined, and has no items", what));
  if (object.is_dict()) {
    for (const auto& [name, value] : object.members()) {
      if (equal(name, key, budget)) return value;
    }
  } else if (object.is_list() && !object.is_generator() && key.is_number() && !key.is_float()) {
    const int64_t place = place_of(key.integer(), object.items().size());
    return place < 0 ? Value() : object.items()[static_cast<size_t>(place)];
  } else if (object.is_string() && key.is_number() && !key.is_float()) {
    budget.spend_bytes(object.string().size());
    const std::vector<std::string_view> all = characters(object.string());
    const int64_t place = place_of(key.integer(), all.size());
    return place < 0 ? Value() : Value(std::string(all[static_cast<size_t>(place)]));
  }
  return key.is_string() && !object.is_dict() ? get_attribute(object, key.string(), what, budget) : Value();
}

Value calculate(std::string_view operation, const Value& left, const Value& right, Budget& budget) {
  budget.spend(1);
  if (left.is_number() && right.is_number()) {
    if (left.is_float() || right.is_float()) return real(operation, left.number(), right.number());
    return whole(operation, left.integer(), right.integer());
  }
  const bool lists = left.is_list() && right.is_list() && left.is_tuple() == right.is_tuple() && !left.is_generator() &&
                     !right.is_generator();
  if (operation == "+" && ((left.is_string() && right.is_string()) || lists)) return joined(left, right, budget);
  const auto is_sequence = [](const Value& v) { return v.is_string() || (v.is_list() && !v.is_generator()); };
  if (operation == "*" && is_sequence(left) && right.is_integer()) return repeated(left, right.integer(), budget);
  if (operation == "*" && is_sequence(right) && left.is_integer()) return repeated(right, left.integer(), budget);
  if (operation == "%" && left.is_string()) {
    return Value(format_percent(left.string(), right.is_tuple() ? right.items() : std::vector<Value>{right}, budget));
  }
  throw Failure(fmt::format("'{}' of {} and {} is not possible", operation, left.type_name(), right.type_name()));
}

std::string format_percent(std::string_view pattern, const std::vector<Value>& values, Budget& budget) {
  std::string out;
  size_t next = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    const char kind = ++i < pattern.size() ? pattern[i] : '\0';
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'r') throw Failure("a format with '%' knows %s, %d, %r and %% only");
    if (next >= values.size()) throw Failure("a format with '%' has more places than values");
    const Value& value = values[next++];
    if (kind == 'd' && (!value.is_number() || value.is_float())) throw Failure("%d of a value that is no int");
    if (kind == 'd') {
      out += std::to_string(value.integer());
    } else {
      out += kind == 'r' ? to_repr(value, budget) : to_text(value, budget);
    }
    budget.spend_bytes(out.size());
  }
  if (next < values.size()) throw Failure("a format with '%' has fewer places than values");
  return out;
}

std::string in_case(std::string_view text, bool upper) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) >= 0x80) throw Failure("upper and lower case are known for ASCII only");
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to, int64_t most, Budget& budget) {
  budget.spend_bytes(text.size());
  std::string out;
  int64_t count = 0;
  const auto put = [&](std::string_view part) {
    if (out.size() + part.size() > Budget::kMostBytes) budget.spend_bytes(Budget::kMostBytes + 1);
    budget.spend_bytes(part.size());
    out += part;
  };
  size_t at = 0;
  if (from.empty()) {  // between all characters, and at both ends
    for (const std::string_view one : characters(text)) {
      if (most < 0 || count++ < most) put(to);
      put(one);
    }
    if (most < 0 || count < most) put(to);
    return out;
  }
  while (most < 0 || count++ < most) {
    const size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    put(text.substr(at, found - at));
    put(to);
    at = found + from.size();
  }
  put(text.substr(at));
  return out;
}

// Python also breaks at some rarer characters.
std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends) {
  const auto break_at = [&](size_t i) -> size_t {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '\r') return i + 1 < text.size() && text[i + 1] == '\n' ? 2 : 1;
    if ((c >= '\n' && c <= '\f') || (c >= 0x1C && c <= 0x1E)) return 1;
    if (text.substr(i).starts_with("\xC2\x85")) return 2;
    return text.substr(i).starts_with("\xE2\x80\xA8") || text.substr(i).starts_with("\xE2\x80\xA9") ? 3 : 0;
  };
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t size = break_at(i);
    if (size > 0) {
      lines.push_back(text.substr(begin, i - begin + (keep_ends ? size : 0)));
      begin = i + size;
    }
    i += std::max<size_t>(1, size);
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

}  // namespace hesse::jinja
