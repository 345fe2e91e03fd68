// Expressions.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "template/level.h"

namespace hesse::jinja {
namespace {

// An expression in words, for complaints about what it gives.
std::string described(const Node& node) {
  switch (node.kind) {
    case Kind::kName:
      return "'" + node.text + "'";
    case Kind::kAttribute: {
      const std::string object = described(*node.parts[0]);
      return object.starts_with('\'') ? fmt::format("{}.{}'", object.substr(0, object.size() - 1), node.text)
                                      : "'" + node.text + "'";
    }
    case Kind::kItem:
      return "an item of " + described(*node.parts[0]);
    default:
      return "a value";
  }
}

Value piece(const Value& object, int64_t begin, int64_t count, int64_t step, Budget& budget) {
  const bool is_string = object.is_string();
  const std::vector<std::string_view> all = is_string ? characters(object.string()) : std::vector<std::string_view>();
  std::string text;
  std::vector<Value> items;
  for (int64_t i = 0; i < count; ++i) {
    budget.spend(1);
    const size_t place = static_cast<size_t>(begin + i * step);
    if (is_string) {
      text += all[place];
    } else {
      items.push_back(object.items()[place]);
    }
  }
  if (is_string) return Value(std::move(text));
  return object.is_tuple() ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

}  // namespace

Value Interpreter::evaluate_name(const Node& node, const ScopePtr& scope) {
  for (const Scope* one = scope.get(); one != nullptr; one = one->around.get())
    budget_.spend(1 + one->variables.size() / 8);
  const Value* value = scope->find(node.text);
  return value != nullptr ? *value : global(node.text);
}

std::vector<Value> Interpreter::evaluate_all(const Node& node, const ScopePtr& scope) {
  std::vector<Value> values;
  for (const auto& part : node.parts) values.push_back(evaluate(*part, scope));
  return values;
}

Value Interpreter::evaluate(const Node& node, const ScopePtr& scope) {
  const Level level(depth_);
  budget_.spend(1);
  line_ = node.line;
  const auto part = [&](size_t i) { return evaluate(*node.parts[i], scope); };
  switch (node.kind) {
    case Kind::kConstant:
      return node.value;
    case Kind::kName:
      return evaluate_name(node, scope);
    case Kind::kList:
      return Value::list(evaluate_all(node, scope));
    case Kind::kTuple:
      return Value::tuple(evaluate_all(node, scope));
    case Kind::kDict: {
      std::vector<std::pair<Value, Value>> members;
      for (size_t i = 0; i + 1 < node.parts.size(); i += 2) {
        Value key = part(i);
        members.emplace_back(std::move(key), part(i + 1));
      }
      return Value::dict(std::move(members));
    }
    case Kind::kAttribute:
      return get_attribute(part(0), node.text, described(*node.parts[0]), budget_);
    case Kind::kItem:
      return evaluate_item(node, scope);
    case Kind::kCall:
      return evaluate_call(node, scope, nullptr);
    case Kind::kFilter:
      return filter(node, scope, nullptr);
    case Kind::kTest:
      return apply_test(node.text, part(0), arguments(node, scope), budget_);
    case Kind::kNot:
      return !part(0).truth();
    case Kind::kNegative:
      return calculate("*", part(0), Value(int64_t{-1}), budget_);
    case Kind::kPositive:
      return calculate("*", part(0), Value(int64_t{1}), budget_);
    case Kind::kAnd: {
      const Value left = part(0);
      return left.truth() ? part(1) : left;
    }
    case Kind::kOr: {
      const Value left = part(0);
      return left.truth() ? left : part(1);
    }
    case Kind::kBinary: {
      const Value left = part(0);
      return calculate(node.text, left, part(1), budget_);
    }
    case Kind::kConcat: {
      std::string text;
      for (const Value& value : evaluate_all(node, scope)) append(text, to_text(value, budget_));
      return Value(std::move(text));
    }
    case Kind::kCompare:
      return evaluate_compare(node, scope);
    case Kind::kConditional:
      if (part(0).truth()) return part(1);
      return node.parts[2] != nullptr ? part(2) : Value();
    default:
      throw Failure("a statement stands where an expression should");
  }
}

Value Interpreter::evaluate_compare(const Node& node, const ScopePtr& scope) {
  Value left = evaluate(*node.parts[0], scope);
  for (size_t i = 0; i < node.names.size(); ++i) {
    const std::string& name = node.names[i];
    Value right = evaluate(*node.parts[i + 1], scope);
    bool holds = false;
    if (name == "==" || name == "!=") {
      holds = equal(left, right, budget_) == (name == "==");
    } else if (name == "in" || name == "not in") {
      holds = contains(right, left, budget_) == (name == "in");
    } else {
      const int order = compare(left, right, budget_);
      holds = name == "<" ? order < 0 : name == "<=" ? order <= 0 : name == ">" ? order > 0 : order >= 0;
    }
    if (!holds) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::evaluate_item(const Node& node, const ScopePtr& scope) {
  const Value object = evaluate(*node.parts[0], scope);
  if (node.parts[1]->kind == Kind::kSlice) return evaluate_slice(object, *node.parts[1], scope);
  const Value key = evaluate(*node.parts[1], scope);
  return get_item(object, key, described(*node.parts[0]), budget_);
}

// Python's rules: what is missing or outside is cut to the ends.
Value Interpreter::evaluate_slice(const Value& object, const Node& slice, const ScopePtr& scope) {
  if (!object.is_string() && (!object.is_list() || object.is_generator())) {
    if (object.is_undefined()) throw Failure("a slice of a value that is undefined");
    throw Failure(fmt::format("a slice of a {}", object.type_name()));
  }
  if (object.is_string()) budget_.spend_bytes(object.string().size());
  const int64_t size =
      static_cast<int64_t>(object.is_string() ? count_characters(object.string()) : object.items().size());
  const auto number = [&](size_t i, int64_t otherwise) {
    if (slice.parts[i] == nullptr) return otherwise;
    const Value value = evaluate(*slice.parts[i], scope);
    if (value.is_none()) return otherwise;
    if (!value.is_number() || value.is_float()) throw Failure("a slice by a value that is no int");
    return value.integer();
  };
  const int64_t step = std::clamp<int64_t>(number(2, 1), -Budget::kMostBytes, Budget::kMostBytes);
  if (step == 0) throw Failure("a slice with a step of zero");
  const auto bound = [&](int64_t value) {
    if (value < 0) value = value < -size ? -1 : value + size;
    return step > 0 ? std::clamp<int64_t>(value, 0, size) : std::clamp<int64_t>(value, -1, size - 1);
  };
  const bool has_begin = slice.parts[0] != nullptr, has_end = slice.parts[1] != nullptr;
  const int64_t none = INT64_MIN;
  const int64_t first = has_begin ? number(0, none) : none, last = has_end ? number(1, none) : none;
  const int64_t begin = first == none ? (step > 0 ? 0 : size - 1) : bound(first);
  const int64_t end = last == none ? (step > 0 ? size : -1) : bound(last);
  const int64_t span = step > 0 ? end - begin : begin - end;
  const int64_t count = span <= 0 ? 0 : (span - 1) / (step > 0 ? step : -step) + 1;
  return piece(object, begin, count, step, budget_);
}

Arguments Interpreter::arguments(const Node& node, const ScopePtr& scope) {
  Arguments result;
  for (size_t i = 1; i < node.parts.size(); ++i) {
    const Node& part = *node.parts[i];
    if (part.kind == Kind::kKeyword) {
      result.named.emplace_back(part.text, evaluate(*part.parts[0], scope));
    } else {
      result.plain.push_back(evaluate(part, scope));
    }
  }
  return result;
}

Value Interpreter::filter(const Node& node, const ScopePtr& scope, const Value* block) {
  const Node* input = node.parts[0].get();
  Value value;
  if (input == nullptr) {
    value = *block;
  } else {
    value = input->kind == Kind::kFilter ? filter(*input, scope, block) : evaluate(*input, scope);
  }
  return apply_filter(node.text, value, arguments(node, scope), budget_);
}

Value Interpreter::evaluate_call(const Node& node, const ScopePtr& scope, const Value* caller) {
  const Node& callee = *node.parts[0];
  Value target;
  Value object;
  const bool dotted = callee.kind == Kind::kAttribute;
  if (dotted) object = evaluate(*callee.parts[0], scope);
  const bool method = dotted && has_method(object, callee.text);
  if (dotted && !method) {
    target = get_attribute(object, callee.text, described(*callee.parts[0]), budget_);
  } else if (!method) {
    target = evaluate(callee, scope);
  }
  Arguments given = arguments(node, scope);
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  line_ = node.line;
  if (method) return call_method(object, callee.text, given, budget_);
  if (target.is_undefined() && dotted && !object.is_undefined()) {
    throw Failure(fmt::format("a {} has no method '{}' here", object.type_name(), callee.text));
  }
  if (target.is_undefined()) throw Failure(fmt::format("{} is undefined, and cannot be called", described(callee)));
  if (!target.is_callable())
    throw Failure(fmt::format("{} is a {}, and cannot be called", described(callee), target.type_name()));
  budget_.spend(1);
  return target.callable()->call(given);
}

}  // namespace hesse::jinja
