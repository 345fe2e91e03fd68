// Filters of sequences: sorting, choosing, going through attributes.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "template/filters.h"
#include "template/node.h"

namespace hesse::jinja {
namespace {

// What sort, unique, min and max compare: letters of either case are the same unless they say otherwise.
Value key_of(const Value& item, const Value& attribute, bool case_matters, Budget& budget) {
  const Value key = attribute.is_none() ? item : path_of(item, attribute, budget);
  return !case_matters && key.is_string() ? Value(in_case(key.string(), false)) : key;
}

std::vector<std::pair<Value, Value>> keyed(const Value& input, const Value& attribute, bool case_matters,
                                           Budget& budget) {
  std::vector<std::pair<Value, Value>> all;
  for (const Value& item : iterate(input, budget))
    all.emplace_back(key_of(item, attribute, case_matters, budget), item);
  return all;
}

template <class Pairs>
void sort_by_key(Pairs& all, bool reverse, Budget& budget) {
  std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
    return reverse ? compare(b.first, a.first, budget) < 0 : compare(a.first, b.first, budget) < 0;
  });
}

template <bool of_largest>
Value extreme(const Value& input, const Arguments& a, Budget& budget) {
  auto all = keyed(input, a.get(1, "attribute", None{}), a.get(0, "case_sensitive", Value(false)).truth(), budget);
  if (all.empty()) return {};
  const auto less = [&](const auto& x, const auto& y) { return compare(x.first, y.first, budget) < 0; };
  if (!of_largest) return std::min_element(all.begin(), all.end(), less)->second;
  return std::max_element(all.begin(), all.end(), less)->second;
}

// The arguments behind the first `count`.
Arguments behind(const Arguments& a, size_t count) {
  Arguments rest;
  for (size_t i = count; i < a.plain.size(); ++i) rest.plain.push_back(a.plain[i]);
  rest.named = a.named;
  return rest;
}

// select, reject: items that a test takes; selectattr, rejectattr: whose attribute it takes.
template <bool keep, bool by_attribute>
Value select_if(const Value& input, const Arguments& a, Budget& budget) {
  constexpr size_t kTest = by_attribute ? 1 : 0;
  if (by_attribute && a.plain.empty()) throw Failure("selectattr needs the name of an attribute");
  const Value test = a.get(kTest, "");
  if (!test.is_undefined() && (!test.is_string() || !is_test(test.string())))
    throw Failure("select needs a test's name");
  std::vector<Value> kept;
  for (const Value& item : iterate(input, budget)) {
    const Value value = by_attribute ? path_of(item, a.plain[0], budget) : item;
    const bool holds =
        test.is_undefined() ? value.truth() : apply_test(test.string(), value, behind(a, kTest + 1), budget);
    if (holds == keep) kept.push_back(item);
  }
  return Value::generator(std::move(kept));
}

}  // namespace

int64_t integer(const Value& value, const char* what) {
  if (!value.is_number() || value.is_float())
    throw Failure(fmt::format("{} is to be an int, not {}", what, value.type_name()));
  return value.integer();
}

// "a.b.0" of an item, as `attribute` arguments have it.
Value path_of(const Value& item, const Value& path, Budget& budget) {
  if (!path.is_string()) return get_item(item, path, "an item", budget);
  Value value = item;
  std::string_view rest = path.string();
  for (bool more = true; more;) {
    const size_t dot = rest.find('.');
    const std::string name(rest.substr(0, dot));
    int64_t number = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool whole = !name.empty() && read.ec == std::errc() && read.ptr == name.data() + name.size();
    value = get_item(value, whole ? Value(number) : Value(name), "an item", budget);
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  return value;
}

Value sort(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("sort", 3, {"reverse", "case_sensitive", "attribute"});
  auto all = keyed(input, a.get(2, "attribute", None{}), a.get(1, "case_sensitive", Value(false)).truth(), budget);
  sort_by_key(all, a.get(0, "reverse", Value(false)).truth(), budget);
  std::vector<Value> items;
  for (auto& one : all) items.push_back(std::move(one.second));
  return Value::list(std::move(items));
}

Value dictsort(const Value& input, const Arguments& a, Budget& budget) {
  a.expect("dictsort", 3, {"case_sensitive", "by", "reverse"});
  if (!input.is_dict()) throw Failure(fmt::format("dictsort of a {}", input.type_name()));
  const bool case_matters = a.get(0, "case_sensitive", Value(false)).truth();
  const Value by = a.get(1, "by", Value(std::string("key")));
  const bool by_value = by.is_string() && by.string() == "value";
  std::vector<std::pair<Value, Value>> all;
  for (const auto& [key, value] : input.members()) {
    all.emplace_back(key_of(by_value ? value : key, None{}, case_matters, budget), Value::tuple({key, value}));
  }
  sort_by_key(all, a.get(2, "reverse", Value(false)).truth(), budget);
  std::vector<Value> items;
  for (auto& one : all) items.push_back(std::move(one.second));
  return Value::list(std::move(items));
}

Value smallest(const Value& input, const Arguments& arguments, Budget& budget) {
  return extreme<false>(input, arguments, budget);
}

Value largest(const Value& input, const Arguments& arguments, Budget& budget) {
  return extreme<true>(input, arguments, budget);
}

Value unique(const Value& input, const Arguments& a, Budget& budget) {
  std::vector<Value> items, seen;
  for (auto& [key, item] :
       keyed(input, a.get(1, "attribute", None{}), a.get(0, "case_sensitive", Value(false)).truth(), budget)) {
    if (std::any_of(seen.begin(), seen.end(),
                    [&, &sought = key](const Value& one) { return equal(one, sought, budget); }))
      continue;
    seen.push_back(key);
    items.push_back(item);
  }
  return Value::generator(std::move(items));
}

Value batch(const Value& input, const Arguments& a, Budget& budget) {
  const int64_t size = integer(a.get(0, "linecount"), "linecount");
  if (size < 1) throw Failure("batch of less than one");
  std::vector<Value> groups, group;
  for (const Value& item : iterate(input, budget)) {
    group.push_back(item);
    if (static_cast<int64_t>(group.size()) == size) groups.push_back(Value::list(std::exchange(group, {})));
  }
  const Value fill = a.get(1, "fill_with", None{});
  while (!group.empty() && !fill.is_none() && static_cast<int64_t>(group.size()) < size) {
    budget.spend(1);
    group.push_back(fill);
  }
  if (!group.empty()) groups.push_back(Value::list(std::move(group)));
  return Value::generator(std::move(groups));
}

Value map(const Value& input, const Arguments& a, Budget& budget) {
  std::vector<Value> mapped;
  const Value attribute = a.plain.empty() ? a.get(0, "attribute") : Value();
  if (attribute.is_undefined() && (a.plain.empty() || !a.plain[0].is_string()))
    throw Failure("map needs a filter's name");
  const Value otherwise = a.get(99, "default");
  for (const Value& item : iterate(input, budget)) {
    if (attribute.is_undefined()) {
      mapped.push_back(apply_filter(a.plain[0].string(), item, behind(a, 1), budget));
    } else {
      const Value value = path_of(item, attribute, budget);
      mapped.push_back(value.is_undefined() ? otherwise : value);
    }
  }
  return Value::generator(std::move(mapped));
}

Value select(const Value& input, const Arguments& arguments, Budget& budget) {
  return select_if<true, false>(input, arguments, budget);
}

Value reject(const Value& input, const Arguments& arguments, Budget& budget) {
  return select_if<false, false>(input, arguments, budget);
}

Value select_by_attribute(const Value& input, const Arguments& arguments, Budget& budget) {
  return select_if<true, true>(input, arguments, budget);
}

Value reject_by_attribute(const Value& input, const Arguments& arguments, Budget& budget) {
  return select_if<false, true>(input, arguments, budget);
}

}  // namespace hesse::jinja
