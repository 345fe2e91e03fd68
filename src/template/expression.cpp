// The grammar of expressions, in Jinja's order of precedence.
#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "template/parser.h"

namespace hesse::jinja {

bool ExpressionParser::skip_operator(std::string_view text) {
  if (!is_operator(text)) return false;
  take();
  return true;
}

bool ExpressionParser::skip_name(std::string_view text) {
  if (!is_name(text)) return false;
  take();
  return true;
}

void ExpressionParser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) fail(fmt::format("expected '{}', found {}", text, here()));
}

void ExpressionParser::expect_name(std::string_view text) {
  if (!skip_name(text)) fail(fmt::format("expected '{}', found {}", text, here()));
}

std::string ExpressionParser::take_name(std::string_view what) {
  if (now().type != Token::Type::kName) fail(fmt::format("expected {}, found {}", what, here()));
  return take().text;
}

std::string ExpressionParser::here() const {
  switch (now().type) {
    case Token::Type::kEnd:
      return "the end of the template";
    case Token::Type::kCloseTag:
      return "the end of the tag";
    case Token::Type::kCloseExpression:
      return "the end of the expression";
    case Token::Type::kText:
    case Token::Type::kOpenTag:
    case Token::Type::kOpenExpression:
      return "text";
    case Token::Type::kString:
      return "a string";
    default:
      return "'" + now().text + "'";
  }
}

NodePtr ExpressionParser::make(Kind kind, std::string text) const {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  node->line = now().line;
  node->text = std::move(text);
  return node;
}

NodePtr ExpressionParser::expression() {
  const Level level(*this);
  NodePtr node = or_expression();
  while (skip_name("if")) {
    NodePtr test = or_expression();
    NodePtr otherwise = skip_name("else") ? expression() : nullptr;
    node = make_of(Kind::kConditional, std::move(test), std::move(node), std::move(otherwise));
  }
  return node;
}

NodePtr ExpressionParser::or_expression() {
  NodePtr node = and_expression();
  while (skip_name("or")) node = make_of(Kind::kOr, std::move(node), and_expression());
  return node;
}

NodePtr ExpressionParser::and_expression() {
  NodePtr node = not_expression();
  while (skip_name("and")) node = make_of(Kind::kAnd, std::move(node), not_expression());
  return node;
}

NodePtr ExpressionParser::not_expression() {
  if (!is_name("not")) return comparison();
  const Level level(*this);
  take();
  return make_of(Kind::kNot, not_expression());
}

NodePtr ExpressionParser::comparison() {
  NodePtr first = sum();
  NodePtr node;
  for (;;) {
    std::string name;
    for (const char* one : {"==", "!=", "<", "<=", ">", ">="}) {
      if (is_operator(one)) name = one;
    }
    if (!name.empty() || is_name("in")) {
      if (name.empty()) name = "in";
      take();
    } else if (is_name("not") && ahead().type == Token::Type::kName && ahead().text == "in") {
      take();
      take();
      name = "not in";
    } else {
      return node != nullptr ? std::move(node) : std::move(first);
    }
    if (node == nullptr) node = make_of(Kind::kCompare, std::move(first));
    node->names.push_back(name);
    attach(*node, sum());
  }
}

// Operands with any of the operators between them, taken from left to right.
NodePtr ExpressionParser::binary(NodePtr (ExpressionParser::*next)(), std::initializer_list<const char*> operators) {
  NodePtr node = (this->*next)();
  while (std::any_of(operators.begin(), operators.end(), [&](const char* one) { return is_operator(one); })) {
    NodePtr both = make(Kind::kBinary, take().text);
    attach(*both, std::move(node));
    attach(*both, (this->*next)());
    node = std::move(both);
  }
  return node;
}

NodePtr ExpressionParser::sum() { return binary(&ExpressionParser::concatenation, {"+", "-"}); }

NodePtr ExpressionParser::concatenation() {
  NodePtr node = product();
  if (!is_operator("~")) return node;
  NodePtr all = make_of(Kind::kConcat, std::move(node));
  while (skip_operator("~")) attach(*all, product());
  return all;
}

NodePtr ExpressionParser::product() { return binary(&ExpressionParser::power, {"*", "/", "//", "%"}); }

NodePtr ExpressionParser::power() { return binary(&ExpressionParser::operand, {"**"}); }

NodePtr ExpressionParser::operand() { return unary(true); }

NodePtr ExpressionParser::unary(bool with_filters) {
  const Level level(*this);
  NodePtr node;
  if (skip_operator("-")) {
    node = make_of(Kind::kNegative, unary(false));
  } else if (skip_operator("+")) {
    node = make_of(Kind::kPositive, unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filter_expression(std::move(node)) : std::move(node);
}

NodePtr ExpressionParser::name_or_constant() {
  NodePtr node = make(Kind::kConstant);
  const std::string name = take().text;
  if (name == "true" || name == "True") {
    node->value = true;
  } else if (name == "false" || name == "False") {
    node->value = false;
  } else if (name == "none" || name == "None") {
    node->value = None{};
  } else {
    node->kind = Kind::kName;
    node->text = name;
  }
  return node;
}

NodePtr ExpressionParser::primary() {
  NodePtr node = make(Kind::kConstant);
  switch (now().type) {
    case Token::Type::kName:
      return name_or_constant();
    case Token::Type::kString: {
      std::string value;
      while (now().type == Token::Type::kString) value += take().text;  // strings in a row are one
      node->value = Value(std::move(value));
      return node;
    }
    case Token::Type::kInteger:
      node->value = take().integer;
      return node;
    case Token::Type::kFloat:
      node->value = take().number;
      return node;
    default:
      break;
  }
  if (skip_operator("(")) {
    if (skip_operator(")")) return make(Kind::kTuple);
    NodePtr inside = tuple(true);
    expect_operator(")");
    return inside;
  }
  if (skip_operator("[")) {
    NodePtr list = make(Kind::kList);
    while (!is_operator("]")) {
      attach(*list, expression());
      if (!skip_operator(",")) break;
    }
    expect_operator("]");
    return list;
  }
  if (is_operator("{")) return dict();
  fail(fmt::format("expected an expression, found {}", here()));
}

NodePtr ExpressionParser::dict() {
  NodePtr node = make(Kind::kDict);
  expect_operator("{");
  while (!is_operator("}")) {
    attach(*node, expression());
    expect_operator(":");
    attach(*node, expression());
    if (!skip_operator(",")) break;
  }
  expect_operator("}");
  return node;
}

bool ExpressionParser::ends_tuple() const {
  return now().type == Token::Type::kCloseTag || now().type == Token::Type::kCloseExpression || is_operator(")") ||
         is_operator("=") || is_name("in");
}

NodePtr ExpressionParser::tuple(bool with_conditional) {
  const Level level(*this);
  const auto one = [&] { return with_conditional ? expression() : unary(true); };
  NodePtr node = one();
  if (!is_operator(",")) return node;
  NodePtr all = make_of(Kind::kTuple, std::move(node));
  while (skip_operator(",")) {
    if (ends_tuple()) break;
    attach(*all, one());
  }
  return all;
}

NodePtr ExpressionParser::target() {
  const auto one = [&]() -> NodePtr {
    if (skip_operator("(")) {
      NodePtr inside = target();
      expect_operator(")");
      return inside;
    }
    const std::string name = take_name("a name to assign to");
    NodePtr node = make(Kind::kName, name);
    if (!skip_operator(".")) return node;
    NodePtr attribute = make(Kind::kAttribute, take_name("the name of an attribute"));
    attach(*attribute, std::move(node));
    return attribute;
  };
  const Level level(*this);
  NodePtr node = one();
  if (!is_operator(",")) return node;
  NodePtr all = make_of(Kind::kTuple, std::move(node));
  while (skip_operator(",")) {
    if (ends_tuple()) break;
    attach(*all, one());
  }
  return all;
}

NodePtr ExpressionParser::postfix(NodePtr node) {
  for (;;) {
    if (skip_operator(".")) {
      NodePtr attribute;
      if (now().type == Token::Type::kInteger) {
        NodePtr number = make(Kind::kConstant);
        number->value = take().integer;
        attribute = make_of(Kind::kItem, std::move(node), std::move(number));
      } else {
        attribute = make(Kind::kAttribute, take_name("the name of an attribute"));
        attach(*attribute, std::move(node));
      }
      node = std::move(attribute);
    } else if (skip_operator("[")) {
      node = make_of(Kind::kItem, std::move(node), index());
      expect_operator("]");
    } else if (is_operator("(")) {
      NodePtr call = make_of(Kind::kCall, std::move(node));
      arguments(*call);
      node = std::move(call);
    } else {
      return node;
    }
  }
}

NodePtr ExpressionParser::index() {
  const auto part = [&]() -> NodePtr { return is_operator(":") || is_operator("]") ? nullptr : expression(); };
  NodePtr begin = part();
  if (begin != nullptr && is_operator(",")) fail("an index of several parts is not supported");
  if (!skip_operator(":")) {
    if (begin == nullptr) fail("an index is missing");
    return begin;
  }
  NodePtr end = part();
  NodePtr step = skip_operator(":") ? part() : nullptr;
  return make_of(Kind::kSlice, std::move(begin), std::move(end), std::move(step));
}

void ExpressionParser::arguments(Node& call) {
  const Level level(*this);
  expect_operator("(");
  while (!is_operator(")")) {
    if (is_operator("*") || is_operator("**")) fail("arguments from a list (*) or a dict (**) are not supported");
    if (now().type == Token::Type::kName && ahead().type == Token::Type::kOperator && ahead().text == "=") {
      NodePtr keyword = make(Kind::kKeyword, take().text);
      take();
      attach(*keyword, expression());
      attach(call, std::move(keyword));
    } else {
      attach(call, expression());
    }
    if (!skip_operator(",")) break;
  }
  expect_operator(")");
}

NodePtr ExpressionParser::filter_expression(NodePtr node) {
  for (;;) {
    if (skip_operator("|")) {
      node = filter(std::move(node));
    } else if (skip_name("is")) {
      node = test(std::move(node));
    } else if (is_operator("(")) {
      NodePtr call = make_of(Kind::kCall, std::move(node));
      arguments(*call);
      node = std::move(call);
    } else {
      return node;
    }
  }
}

NodePtr ExpressionParser::filter(NodePtr input) {
  NodePtr node = make(Kind::kFilter, take_name("the name of a filter"));
  if (!is_filter(node->text)) fail(fmt::format("the filter '{}' is not known", node->text));
  attach(*node, std::move(input));
  if (is_operator("(")) arguments(*node);
  return node;
}

NodePtr ExpressionParser::filters(NodePtr input) {
  NodePtr node = filter(std::move(input));
  while (skip_operator("|")) node = filter(std::move(node));
  return node;
}

NodePtr ExpressionParser::test(NodePtr input) {
  const bool negated = skip_name("not");
  NodePtr node = make(Kind::kTest, take_name("the name of a test"));
  if (!is_test(node->text)) fail(fmt::format("the test '{}' is not known", node->text));
  attach(*node, std::move(input));
  const bool word = now().type == Token::Type::kName && !is_name("else") && !is_name("or") && !is_name("and");
  const bool value = now().type == Token::Type::kString || now().type == Token::Type::kInteger ||
                     now().type == Token::Type::kFloat || is_operator("[") || is_operator("{");
  if (is_operator("(")) {
    arguments(*node);
  } else if (word || value) {
    if (is_name("is")) fail("tests with 'is' cannot be chained");
    attach(*node, postfix(primary()));
  }
  return negated ? make_of(Kind::kNot, std::move(node)) : std::move(node);
}

}  // namespace hesse::jinja
