// Jinja's tests: what `is` asks.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "template/filters.h"
#include "template/node.h"

namespace hesse::jinja {
namespace {

using Test = bool (*)(const Value& input, const Arguments& arguments, Budget& budget);

int order(const Value& v, const Arguments& a, Budget& budget) { return compare(v, a.get(0, ""), budget); }
bool same(const Value& v, const Arguments& a, Budget& budget) { return equal(v, a.get(0, ""), budget); }
bool all_in_case(const Value& v, Budget& budget, bool upper) {
  const std::string text = to_text(v, budget);
  return in_case(text, upper) == text && in_case(text, !upper) != text;
}

struct TestRow {
  std::string_view name;
  Test test;
};
constexpr TestRow kTests[] = {
    {"defined", [](const Value& v, const Arguments&, Budget&) { return !v.is_undefined(); }},
    {"undefined", [](const Value& v, const Arguments&, Budget&) { return v.is_undefined(); }},
    {"none", [](const Value& v, const Arguments&, Budget&) { return v.is_none(); }},
    {"boolean", [](const Value& v, const Arguments&, Budget&) { return v.is_bool(); }},
    {"true", [](const Value& v, const Arguments&, Budget&) { return v.is_bool() && v.integer() == 1; }},
    {"false", [](const Value& v, const Arguments&, Budget&) { return v.is_bool() && v.integer() == 0; }},
    {"integer", [](const Value& v, const Arguments&, Budget&) { return v.is_integer(); }},
    {"float", [](const Value& v, const Arguments&, Budget&) { return v.is_float(); }},
    {"number", [](const Value& v, const Arguments&, Budget&) { return v.is_number(); }},
    {"string", [](const Value& v, const Arguments&, Budget&) { return v.is_string(); }},
    {"mapping", [](const Value& v, const Arguments&, Budget&) { return v.is_dict(); }},
    {"sequence",
     [](const Value& v, const Arguments&, Budget&) {
       return v.is_string() || v.is_dict() || v.is_undefined() || (v.is_list() && !v.is_generator());
     }},
    {"iterable", [](const Value& v, const Arguments&,
                    Budget&) { return v.is_string() || v.is_dict() || v.is_undefined() || v.is_list(); }},
    {"callable", [](const Value& v, const Arguments&, Budget&) { return v.is_callable(); }},
    {"odd", [](const Value& v, const Arguments&, Budget&) { return integer(v, "what odd tests") % 2 != 0; }},
    {"even", [](const Value& v, const Arguments&, Budget&) { return integer(v, "what even tests") % 2 == 0; }},
    {"divisibleby", [](const Value& v, const Arguments& a,
                       Budget& b) { return equal(calculate("%", v, a.get(0, "num"), b), Value(int64_t{0}), b); }},
    {"eq", same},
    {"equalto", same},
    {"==", same},
    {"ne", [](const Value& v, const Arguments& a, Budget& b) { return !same(v, a, b); }},
    {"!=", [](const Value& v, const Arguments& a, Budget& b) { return !same(v, a, b); }},
    {"lt", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) < 0; }},
    {"lessthan", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) < 0; }},
    {"<", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) < 0; }},
    {"le", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) <= 0; }},
    {"<=", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) <= 0; }},
    {"gt", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) > 0; }},
    {"greaterthan", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) > 0; }},
    {">", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) > 0; }},
    {"ge", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) >= 0; }},
    {">=", [](const Value& v, const Arguments& a, Budget& b) { return order(v, a, b) >= 0; }},
    {"in", [](const Value& v, const Arguments& a, Budget& b) { return contains(a.get(0, "seq"), v, b); }},
    {"sameas",
     [](const Value& v, const Arguments& a, Budget& b) {
       const Value other = a.get(0, "other");
       return std::string_view(v.type_name()) == other.type_name() && equal(v, other, b);
     }},
    {"lower", [](const Value& v, const Arguments&, Budget& b) { return all_in_case(v, b, false); }},
    {"upper", [](const Value& v, const Arguments&, Budget& b) { return all_in_case(v, b, true); }},
};

const TestRow* look_up(std::string_view name) {
  const TestRow* row =
      std::find_if(std::begin(kTests), std::end(kTests), [&](const TestRow& one) { return one.name == name; });
  return row == std::end(kTests) ? nullptr : row;
}

}  // namespace

bool is_test(std::string_view name) { return look_up(name) != nullptr; }

bool apply_test(std::string_view name, const Value& input, const Arguments& arguments, Budget& budget) {
  budget.spend(1);
  const TestRow* row = look_up(name);
  if (row == nullptr) throw Failure(fmt::format("the test '{}' is not known", name));
  return row->test(input, arguments, budget);
}

}  // namespace hesse::jinja
