// What templates call: methods of strings, lists and dicts, filters, tests.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "template/value.h"

namespace hesse::jinja {

struct Arguments {
  std::vector<Value> plain;
  std::vector<std::pair<std::string, Value>> named;

  // By place or by name; undefined when it is not given.
  Value get(size_t place, std::string_view name) const;
  Value get(size_t place, std::string_view name, Value otherwise) const;
  // Failure for more arguments than `most`, or for a name that is none of `names`.
  void expect(std::string_view what, size_t most, std::initializer_list<std::string_view> names = {}) const;
};

struct Callable {
  std::string name;
  std::function<Value(const Arguments&)> call;
};
Value function(std::string name, std::function<Value(const Arguments&)> call);

// object.name(...) for strings, lists, dicts and `loop`.
bool has_method(const Value& object, std::string_view name);
Value call_method(const Value& object, std::string_view name, const Arguments& arguments, Budget& budget);

// Failure when a template uses a name that is_filter() or is_test() denies: only where the name is a value itself.
Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments, Budget& budget);
bool apply_test(std::string_view name, const Value& input, const Arguments& arguments, Budget& budget);

// object.name and object[key], undefined where there is none; Failure for an undefined object. `what` names the object.
Value get_attribute(const Value& object, const std::string& name, const std::string& what, Budget& budget);
Value get_item(const Value& object, const Value& key, const std::string& what, Budget& budget);

// left operator right, by Python's rules.
Value calculate(std::string_view operation, const Value& left, const Value& right, Budget& budget);
// "%s" and its like.
std::string format_percent(std::string_view pattern, const std::vector<Value>& values, Budget& budget);

// A text of ASCII in upper or lower case; Failure for letters beyond.
std::string in_case(std::string_view text, bool upper);
std::string replaced(std::string_view text, std::string_view from, std::string_view to, int64_t most, Budget& budget);
std::vector<std::string_view> lines_of(std::string_view text, bool keep_ends);

}  // namespace hesse::jinja
