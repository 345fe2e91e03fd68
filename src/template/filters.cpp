// Jinja's filters, as far as chat templates use them: the table, and those of texts and numbers.
#include "template/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "template/node.h"

namespace hesse::jinja {
namespace {

std::string text_of(const Value& value, Budget& budget) { return to_text(value, budget); }

Value trim(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("trim", 1, {"chars"});
  return call_method(Value(text_of(input, budget)), "strip", a, budget);
}

Value length(const Value& input, const Arguments&, Budget& budget) {
  if (input.is_string()) {
    budget.spend_bytes(input.string().size());
    return static_cast<int64_t>(count_characters(input.string()));
  }
  if (input.is_list() && !input.is_generator()) return static_cast<int64_t>(input.items().size());
  if (input.is_dict()) return static_cast<int64_t>(input.members().size());
  if (input.is_undefined()) return int64_t{0};
  throw Failure(fmt::format("a {} has no length", input.type_name()));
}

Value join(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("join", 2, {"d", "attribute"});
  const std::string between = text_of(a.get(0, "d", Value(std::string())), budget);
  const Value attribute = a.get(1, "attribute", None{});
  std::string out;
  bool first = true;
  for (const Value& item : iterate(input, budget)) {
    if (!first) out += between;
    first = false;
    out += text_of(attribute.is_none() ? item : path_of(item, attribute, budget), budget);
    budget.spend_bytes(between.size());
    if (out.size() > Budget::kMostBytes) budget.spend_bytes(out.size());
  }
  return Value(std::move(out));
}

Value default_value(const Value& input, const Arguments& a, Budget&) {
  const bool empty_too = a.get(1, "boolean", Value(false)).truth();
  const bool use = input.is_undefined() || (empty_too && !input.truth());
  return use ? a.get(0, "default_value", Value(std::string())) : input;
}

Value capitalize(const Value& input, const Arguments&, Budget& budget) {
  std::string text = in_case(text_of(input, budget), false);
  if (!text.empty()) text.replace(0, 1, in_case(text.substr(0, 1), true));
  return Value(std::move(text));
}

// A letter behind white space, a dash or an opening bracket is a capital.
Value title(const Value& input, const Arguments&, Budget& budget) {
  std::string text = in_case(text_of(input, budget), false);
  bool begins = true;
  for (char& c : text) {
    if (begins && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    begins = std::string_view("-({[<").find(c) != std::string_view::npos || is_space(std::string_view(&c, 1));
  }
  return Value(std::move(text));
}

Value to_integer(const Value& input, const Arguments& a, Budget&) {
  const Value otherwise = a.get(0, "default", Value(int64_t{0}));
  if (input.is_number() && !input.is_float()) return input.integer();
  double number = 0;
  if (input.is_float()) {
    number = input.number();
  } else if (input.is_string()) {
    const std::string_view text = strip(input.string(), true, true);
    int64_t value = 0;
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* end = text.data() + text.size();
    if (auto r = std::from_chars(begin, end, value); begin < end && r.ec == std::errc() && r.ptr == end) return value;
    if (auto r = std::from_chars(begin, end, number); begin == end || r.ec != std::errc() || r.ptr != end)
      return otherwise;
  } else {
    return otherwise;
  }
  if (!std::isfinite(number) || std::abs(number) >= 9.2e18) return otherwise;
  return static_cast<int64_t>(number);
}

Value to_float(const Value& input, const Arguments& a, Budget&) {
  if (input.is_number()) return input.number();
  const Value otherwise = a.get(0, "default", Value(0.0));
  if (!input.is_string()) return otherwise;
  const std::string_view text = strip(input.string(), true, true);
  double number = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.empty() || r.ec != std::errc() || r.ptr != text.data() + text.size() ? otherwise : Value(number);
}

Value first(const Value& input, const Arguments&, Budget& budget) {
  const std::vector<Value> items = iterate(input, budget);
  return items.empty() ? Value() : items.front();
}

Value last(const Value& input, const Arguments&, Budget& budget) {
  const std::vector<Value> items = iterate(input, budget);
  return items.empty() ? Value() : items.back();
}

Value tojson(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("tojson", 4, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonManner manner;
  manner.ascii = a.get(0, "ensure_ascii", Value(false)).truth();
  manner.sort_keys = a.get(3, "sort_keys", Value(false)).truth();
  const Value indent = a.get(1, "indent", None{});
  if (!indent.is_none()) {
    manner.pretty = true;
    manner.item_separator = ",";
    const size_t width =
        indent.is_string() ? 0 : static_cast<size_t>(std::clamp<int64_t>(integer(indent, "indent"), 0, 1000));
    manner.indent = indent.is_string() ? indent.string() : std::string(width, ' ');
  }
  const Value separators = a.get(2, "separators", None{});
  if (!separators.is_none()) {
    if (!separators.is_list() || separators.items().size() != 2) throw Failure("separators of tojson are two strings");
    manner.item_separator = text_of(separators.items()[0], budget);
    manner.key_separator = text_of(separators.items()[1], budget);
  }
  return Value(to_json_text(input, manner, budget));
}

Value replace(const Value& input, const Arguments& a, Budget& budget) {
  const Value most = a.get(2, "count", None{});
  return Value(replaced(text_of(input, budget), text_of(a.get(0, "old"), budget), text_of(a.get(1, "new"), budget),
                        most.is_none() ? -1 : integer(most, "count"), budget));
}

Value indent(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("indent", 3, {"width", "first", "blank"});
  const Value width = a.get(0, "width", Value(int64_t{4}));
  const std::string margin =
      width.is_string() ? width.string()
                        : std::string(static_cast<size_t>(std::clamp<int64_t>(integer(width, "width"), 0, 1000)), ' ');
  const bool first_too = a.get(1, "first", Value(false)).truth(), blank_too = a.get(2, "blank", Value(false)).truth();
  const std::string text = text_of(input, budget) + "\n";  // so that a line break at the end stays one
  std::string out = first_too ? margin : "";
  bool first_line = true;
  for (const std::string_view line : lines_of(text, false)) {
    if (!first_line) out += '\n';
    if (!first_line && (blank_too || !line.empty())) out += margin;
    first_line = false;
    out += line;
    budget.spend_bytes(line.size() + margin.size());
    if (out.size() > Budget::kMostBytes) budget.spend_bytes(out.size());
  }
  return Value(std::move(out));
}

Value escape(const Value& input, const Arguments&, Budget& budget) {
  std::string out;
  for (const char c : text_of(input, budget)) {
    const size_t known = std::string_view("&<>'\"").find(c);
    constexpr const char* kNames[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    if (known == std::string_view::npos) {
      out += c;
    } else {
      out += kNames[known];
    }
  }
  budget.spend_bytes(out.size());
  return Value(std::move(out));
}

Value absolute(const Value& input, const Arguments&, Budget&) {
  if (input.is_float()) return std::abs(input.number());
  const int64_t value = integer(input, "what abs takes");
  if (value == INT64_MIN) throw Failure("a whole number beyond 64 bits arises");
  return value < 0 ? -value : value;
}

Value round_number(const Value& input, const Arguments& a, Budget&) {
  if (!input.is_number()) throw Failure(fmt::format("round of a {}", input.type_name()));
  const int64_t digits = integer(a.get(0, "precision", Value(int64_t{0})), "precision");
  const Value method = a.get(1, "method", Value(std::string("common")));
  const double scale = std::pow(10.0, static_cast<double>(std::clamp<int64_t>(digits, -20, 20)));
  const std::string name = method.is_string() ? method.string() : "";
  if (name == "ceil") return std::ceil(input.number() * scale) / scale;
  if (name == "floor") return std::floor(input.number() * scale) / scale;
  if (name != "common") throw Failure("round knows common, ceil and floor");
  return std::nearbyint(input.number() * scale) / scale;  // halves to even, as Python does
}

Value sum(const Value& input, const Arguments& a, Budget& budget) {
  const Value attribute = a.get(0, "attribute", None{});
  Value total = a.get(1, "start", Value(int64_t{0}));
  for (const Value& item : iterate(input, budget)) {
    total = calculate("+", total, attribute.is_none() ? item : path_of(item, attribute, budget), budget);
  }
  return total;
}

Value reverse(const Value& input, const Arguments&, Budget& budget) {
  std::vector<Value> items = iterate(input, budget);
  std::reverse(items.begin(), items.end());
  if (!input.is_string()) return Value::generator(std::move(items));
  std::string text;
  for (const Value& one : items) text += one.string();
  return Value(std::move(text));
}

Value items(const Value& input, const Arguments& a, Budget& budget) {
  if (input.is_undefined()) return Value::generator({});
  if (!input.is_dict()) throw Failure(fmt::format("items of a {}", input.type_name()));
  return Value::generator(call_method(input, "items", a, budget).items());
}

Value attribute_of(const Value& input, const Arguments& a, Budget& budget) {
  const Value name = a.get(0, "name");
  return name.is_string() && !input.is_dict() ? get_attribute(input, name.string(), "a value", budget) : Value();
}

Value wordcount(const Value& input, const Arguments&, Budget& budget) {
  int64_t words = 0;
  bool inside = false;
  for (const char c : text_of(input, budget)) {
    const unsigned char byte = static_cast<unsigned char>(c);
    const bool word =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || byte >= 0x80;
    if (word && !inside) ++words;
    inside = word;
  }
  return words;
}

struct FilterRow {
  std::string_view name;
  Filter filter;
};
constexpr FilterRow kFilters[] = {
    {"trim", trim},
    {"length", length},
    {"count", length},
    {"join", join},
    {"default", default_value},
    {"d", default_value},
    {"upper", [](const Value& v, const Arguments&, Budget& b) { return Value(in_case(text_of(v, b), true)); }},
    {"lower", [](const Value& v, const Arguments&, Budget& b) { return Value(in_case(text_of(v, b), false)); }},
    {"capitalize", capitalize},
    {"title", title},
    {"string", [](const Value& v, const Arguments&, Budget& b) { return Value(text_of(v, b)); }},
    {"safe", [](const Value& v, const Arguments&, Budget& b) { return Value(text_of(v, b)); }},
    {"int", to_integer},
    {"float", to_float},
    {"first", first},
    {"last", last},
    {"list", [](const Value& v, const Arguments&, Budget& b) { return Value::list(iterate(v, b)); }},
    {"items", items},
    {"tojson", tojson},
    {"replace", replace},
    {"indent", indent},
    {"escape", escape},
    {"e", escape},
    {"abs", absolute},
    {"round", round_number},
    {"sum", sum},
    {"sort", sort},
    {"dictsort", dictsort},
    {"min", smallest},
    {"max", largest},
    {"unique", unique},
    {"reverse", reverse},
    {"batch", batch},
    {"map", map},
    {"select", select},
    {"reject", reject},
    {"selectattr", select_by_attribute},
    {"rejectattr", reject_by_attribute},
    {"attr", attribute_of},
    {"format",
     [](const Value& v, const Arguments& a, Budget& b) { return Value(format_percent(text_of(v, b), a.plain, b)); }},
    {"wordcount", wordcount},
};

const FilterRow* look_up(std::string_view name) {
  const FilterRow* row =
      std::find_if(std::begin(kFilters), std::end(kFilters), [&](const FilterRow& one) { return one.name == name; });
  return row == std::end(kFilters) ? nullptr : row;
}

}  // namespace

bool is_filter(std::string_view name) { return look_up(name) != nullptr; }

Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments, Budget& budget) {
  budget.spend(1);
  const FilterRow* row = look_up(name);
  if (row == nullptr) throw Failure(fmt::format("the filter '{}' is not known", name));
  return row->filter(input, arguments, budget);
}

}  // namespace hesse::jinja
