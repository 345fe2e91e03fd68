// Tokens into a tree: expressions. Statements are in template/parser.cpp, which goes on from here.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "template/lexer.h"
#include "template/node.h"

namespace hesse::jinja {

using NodePtr = std::unique_ptr<Node>;

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  // Counts how deep the parser is in itself; what it makes is as deep, and so is its rendering.
  class Level {
   public:
    explicit Level(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMostDepth) parser_.fail("it is nested too deeply");
    }
    ~Level() { --parser_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    static constexpr int kMostDepth = 120;
    ExpressionParser& parser_;
  };

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_operator(std::string_view text) const { return now().type == Token::Type::kOperator && now().text == text; }
  bool is_name(std::string_view text) const { return now().type == Token::Type::kName && now().text == text; }
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view text);
  std::string take_name(std::string_view what);
  [[noreturn]] void fail(std::string what) const { throw Damage{now().line, std::move(what)}; }
  std::string here() const;  // the token, for complaints

  NodePtr make(Kind kind, std::string text = "") const;
  template <class... Parts>
  NodePtr make_of(Kind kind, Parts... parts) const {
    NodePtr node = make(kind);
    (attach(*node, std::move(parts)), ...);
    return node;
  }
  // Adds a part, which may be nullptr.
  void attach(Node& node, NodePtr part) const {
    constexpr int kMostDepth = 600;
    if (part != nullptr) node.depth = std::max(node.depth, part->depth + 1);
    if (node.depth > kMostDepth) fail("it is nested too deeply");
    node.parts.push_back(std::move(part));
  }

  NodePtr expression();                  // with `a if b else c`
  NodePtr tuple(bool with_conditional);  // one expression, or several with commas between them
  NodePtr target();                      // a name, several, or an attribute of a namespace
  NodePtr filters(NodePtr input);        // name(...) | name(...), behind a first `|` or none
  NodePtr or_expression();
  NodePtr unary(bool with_filters);
  NodePtr primary();
  NodePtr postfix(NodePtr node);

 private:
  NodePtr and_expression();
  NodePtr not_expression();
  NodePtr comparison();
  NodePtr binary(NodePtr (ExpressionParser::*next)(), std::initializer_list<const char*> operators);
  NodePtr sum();
  NodePtr concatenation();
  NodePtr product();
  NodePtr power();
  NodePtr operand();
  NodePtr filter_expression(NodePtr node);
  NodePtr filter(NodePtr input);
  NodePtr test(NodePtr input);
  NodePtr name_or_constant();
  NodePtr dict();
  NodePtr index();
  void arguments(Node& call);
  bool ends_tuple() const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace hesse::jinja
