// Statements, macros and what is known everywhere. Expressions: template/evaluate.cpp.
#include "template/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "template/level.h"

namespace hesse::jinja {
namespace {

constexpr size_t kStepsOfKept = 100;     // what stays until the end costs memory, not only time
constexpr int64_t kMostRange = 100'000;  // as Jinja's sandbox has it

Value range(const Arguments& a) {
  a.expect("range", 3);
  std::vector<int64_t> numbers;
  for (const Value& value : a.plain) {
    if (!value.is_number() || value.is_float()) throw Failure("range() of a value that is no int");
    numbers.push_back(value.integer());
  }
  if (numbers.empty()) throw Failure("range() without an argument");
  const int64_t begin = numbers.size() > 1 ? numbers[0] : 0;
  const int64_t end = numbers.size() > 1 ? numbers[1] : numbers[0];
  const int64_t step = numbers.size() > 2 ? numbers[2] : 1;
  if (step == 0) throw Failure("range() with a step of zero");
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    items.emplace_back(i);
    if (static_cast<int64_t>(items.size()) > kMostRange) throw Failure("range() of more than 100000 numbers");
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(items));
}

Value make_dict(const Arguments& a) {
  std::vector<std::pair<Value, Value>> members;
  if (!a.plain.empty()) {
    if (!a.plain[0].is_dict()) throw Failure("dict() of a value that is no dict");
    members = a.plain[0].members();
  }
  for (const auto& [name, value] : a.named) members.emplace_back(Value(name), value);
  return Value::dict(std::move(members));
}

Value raise_exception(const Arguments& a) {
  const Value message = a.get(0, "message");
  throw Failure(
      fmt::format("the template refuses the messages: {}", message.is_string() ? message.string() : "no reason"));
}

}  // namespace

const Value* Scope::find(const std::string& name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->around.get()) {
    for (const auto& [key, value] : scope->variables) {
      if (key == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(const std::string& name, Value value) {
  for (auto& [key, old] : variables) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

// Namespaces and macros may hold themselves: nobody else would let go of them.
Interpreter::~Interpreter() {
  for (const auto& one : namespaces_) {
    const auto items = std::move(one->items);
    one->items.clear();
  }
  for (const ScopePtr& scope : kept_) scope->variables.clear();
  root_->variables.clear();
}

std::string Interpreter::run(const Node& root) {
  std::string out;
  const auto scope = std::make_shared<Scope>();
  scope->around = root_;
  kept_.push_back(scope);
  execute(root, scope, out);
  return out;
}

void Interpreter::append(std::string& out, const std::string& text) {
  budget_.spend_bytes(out.size() + text.size() > Budget::kMostBytes ? out.size() + text.size() : text.size());
  out += text;
}

Interpreter::Flow Interpreter::execute_block(const Node& node, const ScopePtr& scope, std::string& out) {
  for (const auto& part : node.parts) {
    if (const Flow flow = execute(*part, scope, out); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

// The text of a block with variables of its own, through filters or none.
std::string Interpreter::block_text(const Node& body, const Node* filters, const ScopePtr& scope) {
  const auto inner = std::make_shared<Scope>();
  inner->around = scope;
  std::string text;
  execute(body, inner, text);
  if (filters == nullptr) return text;
  const Value block(std::move(text));
  return to_text(filter(*filters, scope, &block), budget_);
}

Interpreter::Flow Interpreter::execute(const Node& node, const ScopePtr& scope, std::string& out) {
  const Level level(depth_);
  budget_.spend(1);
  line_ = node.line;
  switch (node.kind) {
    case Kind::kBlock:
      return execute_block(node, scope, out);
    case Kind::kText:
      append(out, node.text);
      break;
    case Kind::kPrint:
      append(out, to_text(evaluate(*node.parts[0], scope), budget_));
      break;
    case Kind::kIf:
      if (evaluate(*node.parts[0], scope).truth()) return execute(*node.parts[1], scope, out);
      return node.parts[2] != nullptr ? execute(*node.parts[2], scope, out) : Flow::kOn;
    case Kind::kFor:
      return execute_for(node, scope, out);
    case Kind::kSet:
      assign(*node.parts[0], evaluate(*node.parts[1], scope), scope);
      break;
    case Kind::kSetBlock:
      assign(*node.parts[0], Value(block_text(*node.parts[2], node.parts[1].get(), scope)), scope);
      break;
    case Kind::kMacro:
      scope->set(node.text, macro(node, scope));
      break;
    case Kind::kCallBlock: {
      const Value caller = macro(*node.parts[1], scope);
      append(out, to_text(evaluate_call(*node.parts[0], scope, &caller), budget_));
      break;
    }
    case Kind::kFilterBlock:
      append(out, block_text(*node.parts[1], node.parts[0].get(), scope));
      break;
    case Kind::kScope:
      append(out, block_text(*node.parts[0], nullptr, scope));
      break;
    case Kind::kWith: {
      const auto inner = std::make_shared<Scope>();
      inner->around = scope;
      for (size_t i = 1; i + 1 < node.parts.size(); i += 2)
        inner->set(node.parts[i]->text, evaluate(*node.parts[i + 1], scope));
      return execute(*node.parts[0], inner, out);
    }
    case Kind::kBreak:
      return Flow::kBreak;
    case Kind::kContinue:
      return Flow::kContinue;
    default:
      throw Failure("an expression stands where a statement should");
  }
  return Flow::kOn;
}

Interpreter::Flow Interpreter::execute_for(const Node& node, const ScopePtr& scope, std::string& out) {
  const Node *target = node.parts[0].get(), *test = node.parts[2].get(), *otherwise = node.parts[4].get();
  std::vector<Value> items = iterate(evaluate(*node.parts[1], scope), budget_);
  if (test != nullptr) {
    std::vector<Value> kept;
    for (Value& item : items) {
      const auto inner = std::make_shared<Scope>();
      inner->around = scope;
      assign(*target, item, inner);
      if (evaluate(*test, inner).truth()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) return otherwise != nullptr ? execute(*otherwise, scope, out) : Flow::kOn;
  const auto loop = std::make_shared<Loop>();
  loop->items = std::move(items);
  loop->depth = ++loops_;
  for (; loop->index < loop->items.size(); ++loop->index) {
    const auto inner = std::make_shared<Scope>();
    inner->around = scope;
    inner->set("loop", loop);
    assign(*target, loop->items[loop->index], inner);
    if (execute(*node.parts[3], inner, out) == Flow::kBreak) break;
  }
  --loops_;
  return Flow::kOn;
}

void Interpreter::assign(const Node& target, Value value, const ScopePtr& scope) {
  if (target.kind == Kind::kName) {
    budget_.spend(1 + scope->variables.size() / 8);
    return scope->set(target.text, std::move(value));
  }
  if (target.kind == Kind::kTuple) {
    const std::vector<Value> items = iterate(value, budget_);
    if (items.size() != target.parts.size()) {
      throw Failure(fmt::format("{} values for {} names", items.size(), target.parts.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.parts[i], items[i], scope);
    return;
  }
  const Value* object = scope->find(target.parts[0]->text);
  if (object == nullptr || !object->is<std::shared_ptr<Namespace>>())
    throw Failure(fmt::format("'{}' is no namespace, whose attributes alone can be set", target.parts[0]->text));
  if (target.text.starts_with('_')) throw Failure(fmt::format("a namespace takes no name like '{}'", target.text));
  auto& members = object->name_space()->items;
  budget_.spend(1 + members.size() / 8);
  const auto known =
      std::find_if(members.begin(), members.end(), [&](const auto& member) { return member.first == target.text; });
  if (known == members.end()) {
    members.emplace_back(target.text, std::move(value));
  } else {
    known->second = std::move(value);
  }
}

Value Interpreter::macro(const Node& node, const ScopePtr& scope) {
  budget_.spend(kStepsOfKept);
  if (kept_.empty() || kept_.back() != scope) kept_.push_back(scope);
  // Weak: the scope holds the macro. It lives as long as this interpreter, which is longer than any value.
  return function(node.text, [this, &node, around = std::weak_ptr<Scope>(scope)](const Arguments& a) {
    return call_macro(node, around.lock(), a);
  });
}

Value Interpreter::call_macro(const Node& node, const ScopePtr& around, const Arguments& given) {
  const auto scope = std::make_shared<Scope>();
  scope->around = around;
  const size_t count = node.names.size(), defaults = node.parts.size() - 1;
  budget_.spend((1 + count) * (1 + given.named.size() + count / 8));
  if (given.plain.size() > count) {
    throw Failure(
        fmt::format("the macro '{}' takes at most {} arguments, not {}", node.text, count, given.plain.size()));
  }
  for (const auto& [name, value] : given.named) {
    if (name == "caller") {
      scope->set(name, value);
    } else if (std::find(node.names.begin(), node.names.end(), name) == node.names.end()) {
      throw Failure(fmt::format("the macro '{}' has no argument '{}'", node.text, name));
    }
  }
  for (size_t i = 0; i < count; ++i) {
    Value value = given.get(i, node.names[i]);
    const bool has_default = i + defaults >= count;
    if (value.is_undefined() && has_default) value = evaluate(*node.parts[1 + i - (count - defaults)], scope);
    scope->set(node.names[i], std::move(value));
  }
  const int line = line_;
  std::string text;
  execute(*node.parts[0], scope, text);
  line_ = line;
  return Value(std::move(text));
}

Value Interpreter::make_namespace(const Arguments& a) {
  auto result = std::make_shared<Namespace>();
  if (!a.plain.empty() && a.plain[0].is_dict()) {
    for (const auto& [key, value] : a.plain[0].members()) result->items.emplace_back(to_text(key, budget_), value);
  }
  for (const auto& member : a.named) result->items.push_back(member);
  for (const auto& member : result->items) {
    if (member.first.starts_with('_')) throw Failure(fmt::format("a namespace takes no name like '{}'", member.first));
  }
  budget_.spend(kStepsOfKept);
  namespaces_.push_back(result);
  return result;
}

Value Interpreter::time_text(const Arguments& a) {
  const Value format = a.get(0, "format");
  if (!format.is_string()) throw Failure("strftime_now() needs a format");
  std::tm time{};
  if (now_) {
    time = *now_;
  } else {
    const std::time_t clock = std::time(nullptr);
    (void)::localtime_r(&clock, &time);
  }
  char text[512];
  if (format.string().size() > 100) throw Failure("strftime_now() with a format of more than 100 bytes");
  return Value(std::string(text, std::strftime(text, sizeof text, format.string().c_str(), &time)));
}

Value Interpreter::global(const std::string& name) {
  if (name == "range") return function(name, range);
  if (name == "dict") return function(name, make_dict);
  if (name == "raise_exception") return function(name, raise_exception);
  if (name == "namespace") return function(name, [this](const Arguments& a) { return make_namespace(a); });
  if (name == "strftime_now") return function(name, [this](const Arguments& a) { return time_text(a); });
  return {};
}

}  // namespace hesse::jinja
