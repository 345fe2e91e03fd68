// The statements of a template.
#include "template/parser.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace hesse::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  NodePtr parse() {
    NodePtr root = body({});
    if (now().type != Token::Type::kEnd) fail(fmt::format("the tag {} opens or closes nothing", here()));
    return root;
  }

 private:
  // Statements up to a tag of one of these names, whose name is the token that comes next.
  NodePtr body(std::initializer_list<std::string_view> ends) {
    const Level level(*this);
    NodePtr block = make(Kind::kBlock);
    for (;;) {
      switch (now().type) {
        case Token::Type::kEnd:
          if (ends.size() > 0) fail(fmt::format("the tag '{}' is missing", *(ends.end() - 1)));
          return block;
        case Token::Type::kText:
          attach(*block, make(Kind::kText, now().text));
          take();
          break;
        case Token::Type::kOpenExpression: {
          take();
          NodePtr print = make(Kind::kPrint);
          attach(*print, tuple(true));
          if (now().type != Token::Type::kCloseExpression) fail(fmt::format("expected '}}}}', found {}", here()));
          take();
          attach(*block, std::move(print));
          break;
        }
        default: {
          take();  // the opening of a tag
          for (const std::string_view end : ends) {
            if (is_name(end)) return block;
          }
          attach(*block, statement());
        }
      }
    }
  }

  void close_tag() {
    if (now().type != Token::Type::kCloseTag) fail(fmt::format("expected the end of the tag, found {}", here()));
    take();
  }

  // The body of a tag that has been read, and its end.
  NodePtr body_until(std::string_view end) {
    close_tag();
    NodePtr block = body({end});
    take();
    if (end == "endmacro" || end == "endset") (void)(now().type == Token::Type::kName && (take(), true));
    close_tag();
    return block;
  }

  NodePtr statement() {
    const int line = now().line;
    const std::string tag = take_name("the name of a tag");
    NodePtr node = statement_of(tag);
    node->line = line;
    return node;
  }

  NodePtr statement_of(const std::string& tag) {
    if (tag == "if") return if_statement();
    if (tag == "for") return for_statement();
    if (tag == "set") return set_statement();
    if (tag == "macro") return macro();
    if (tag == "call") return call_block();
    if (tag == "with") return with_statement();
    if (tag == "generation") return make_of(Kind::kScope, outside_loop([&] { return body_until("endgeneration"); }));
    if (tag == "filter") {
      NodePtr chain = filters(nullptr);
      return make_of(Kind::kFilterBlock, std::move(chain), body_until("endfilter"));
    }
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) fail(fmt::format("'{}' stands outside a loop", tag));
      close_tag();
      return make(tag == "break" ? Kind::kBreak : Kind::kContinue);
    }
    fail(fmt::format("the tag '{}' is not supported", tag));
  }

  // The body of a node whose first part was left open for it.
  void set_body(Node& node, NodePtr inside) const {
    attach(node, std::move(inside));
    node.parts[0] = std::move(node.parts.back());
    node.parts.pop_back();
  }

  // What stands in a function of its own cannot leave a loop around it.
  template <class Body>
  NodePtr outside_loop(Body inside) {
    const int loops = std::exchange(loops_, 0);
    NodePtr node = inside();
    loops_ = loops;
    return node;
  }

  NodePtr if_statement() {
    const Level level(*this);
    NodePtr test = tuple(true);
    close_tag();
    NodePtr then = body({"elif", "else", "endif"});
    NodePtr otherwise;
    const std::string next = take().text;
    if (next == "elif") {
      otherwise = if_statement();  // ends with its own endif
      return make_of(Kind::kIf, std::move(test), std::move(then), std::move(otherwise));
    }
    if (next == "else") {
      close_tag();
      otherwise = body({"endif"});
      take();
    }
    close_tag();
    return make_of(Kind::kIf, std::move(test), std::move(then), std::move(otherwise));
  }

  NodePtr for_statement() {
    NodePtr names = target();
    expect_name("in");
    NodePtr items = or_expression_or_tuple();
    NodePtr test = skip_name("if") ? expression() : nullptr;
    if (is_name("recursive")) fail("'for ... recursive' is not supported");
    close_tag();
    ++loops_;
    NodePtr inside = body({"else", "endfor"});
    --loops_;
    NodePtr otherwise;
    if (take().text == "else") {
      close_tag();
      otherwise = body({"endfor"});
      take();
    }
    close_tag();
    return make_of(Kind::kFor, std::move(names), std::move(items), std::move(test), std::move(inside),
                   std::move(otherwise));
  }

  // No `if` for a conditional here: it begins the test of the loop.
  NodePtr or_expression_or_tuple() {
    NodePtr node = or_expression();
    if (!is_operator(",")) return node;
    NodePtr all = make_of(Kind::kTuple, std::move(node));
    while (skip_operator(",")) {
      if (now().type == Token::Type::kCloseTag) break;
      attach(*all, or_expression());
    }
    return all;
  }

  NodePtr set_statement() {
    NodePtr names = target();
    if (skip_operator("=")) {
      NodePtr value = tuple(true);
      close_tag();
      return make_of(Kind::kSet, std::move(names), std::move(value));
    }
    NodePtr chain = skip_operator("|") ? filters(nullptr) : nullptr;
    NodePtr inside = outside_loop([&] { return body_until("endset"); });
    return make_of(Kind::kSetBlock, std::move(names), std::move(chain), std::move(inside));
  }

  // The parameters of a macro, of which the last may have defaults.
  void signature(Node& macro) {
    expect_operator("(");
    bool defaults = false;
    while (!is_operator(")")) {
      macro.names.push_back(take_name("the name of a parameter"));
      if (skip_operator("=")) {
        attach(macro, expression());
        defaults = true;
      } else if (defaults) {
        fail("a parameter without a default stands behind one that has one");
      }
      if (!skip_operator(",")) break;
    }
    expect_operator(")");
  }

  NodePtr macro() {
    NodePtr node = make(Kind::kMacro, take_name("the name of a macro"));
    attach(*node, nullptr);
    signature(*node);
    set_body(*node, outside_loop([&] { return body_until("endmacro"); }));
    return node;
  }

  NodePtr call_block() {
    NodePtr node = make(Kind::kMacro, "caller");
    attach(*node, nullptr);
    if (is_operator("(")) signature(*node);
    NodePtr call = unary(true);
    if (call->kind != Kind::kCall) fail("the tag 'call' needs a call");
    set_body(*node, outside_loop([&] { return body_until("endcall"); }));
    return make_of(Kind::kCallBlock, std::move(call), std::move(node));
  }

  NodePtr with_statement() {
    NodePtr node = make(Kind::kWith);
    attach(*node, nullptr);
    while (now().type != Token::Type::kCloseTag) {
      attach(*node, make(Kind::kName, take_name("a name to assign to")));
      expect_operator("=");
      attach(*node, expression());
      if (!skip_operator(",")) break;
    }
    set_body(*node, body_until("endwith"));
    return node;
  }

  int loops_ = 0;  // around the statement
};

}  // namespace

std::unique_ptr<const Node> parse(std::string_view source) { return Parser(tokenize(source)).parse(); }

}  // namespace hesse::jinja
