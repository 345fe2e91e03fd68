// Runs the tree of a template.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "template/calls.h"
#include "template/node.h"

namespace hesse::jinja {

// Variables of a block; those around it are seen through it.
struct Scope {
  std::shared_ptr<Scope> around;
  std::vector<std::pair<std::string, Value>> variables;

  const Value* find(const std::string& name) const;
  void set(const std::string& name, Value value);
};
using ScopePtr = std::shared_ptr<Scope>;

class Interpreter {
 public:
  explicit Interpreter(std::optional<std::tm> now) : now_(now) {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void set(const std::string& name, Value value) { root_->set(name, std::move(value)); }
  // Throws Failure; line() is then the place.
  std::string run(const Node& root);
  int line() const { return line_; }

 private:
  enum class Flow { kOn, kBreak, kContinue };
  class Level;

  Flow execute(const Node& node, const ScopePtr& scope, std::string& out);
  Flow execute_block(const Node& node, const ScopePtr& scope, std::string& out);
  Flow execute_for(const Node& node, const ScopePtr& scope, std::string& out);
  std::string block_text(const Node& body, const Node* filters, const ScopePtr& scope);
  void assign(const Node& target, Value value, const ScopePtr& scope);
  void append(std::string& out, const std::string& text);

  Value evaluate(const Node& node, const ScopePtr& scope);
  Value evaluate_name(const Node& node, const ScopePtr& scope);
  Value evaluate_item(const Node& node, const ScopePtr& scope);
  Value evaluate_slice(const Value& object, const Node& slice, const ScopePtr& scope);
  Value evaluate_call(const Node& node, const ScopePtr& scope, const Value* caller);
  Value evaluate_compare(const Node& node, const ScopePtr& scope);
  Value filter(const Node& node, const ScopePtr& scope, const Value* block);
  Arguments arguments(const Node& node, const ScopePtr& scope);
  std::vector<Value> evaluate_all(const Node& node, const ScopePtr& scope);
  Value macro(const Node& node, const ScopePtr& scope);
  Value call_macro(const Node& node, const ScopePtr& around, const Arguments& arguments);
  Value global(const std::string& name);
  Value make_namespace(const Arguments& arguments);
  Value time_text(const Arguments& arguments);

  Budget budget_;
  std::optional<std::tm> now_;
  ScopePtr root_ = std::make_shared<Scope>();
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // all of them: they may hold each other
  std::vector<ScopePtr> kept_;                          // scopes that macros see, for the same reason
  int64_t loops_ = 0;                                   // around what is executed
  int depth_ = 0;
  int line_ = 1;
};

}  // namespace hesse::jinja
