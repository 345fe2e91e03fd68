// The tree of a template. Which parts a node has stands beside its kind; an optional part that is missing is nullptr.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "template/value.h"

namespace hesse::jinja {

enum class Kind {
  // Statements.
  kBlock,        // statements...
  kText,         // `text`
  kPrint,        // expression
  kIf,           // test, body, else or null
  kFor,          // target, iterable, test or null, body, else or null
  kSet,          // target, expression
  kSetBlock,     // target, filters or null, body
  kMacro,        // body, then defaults of the last of `names`, which are its parameters; `text`: its name
  kCallBlock,    // call, macro
  kFilterBlock,  // filters, body
  kScope,        // body, with variables of its own
  kWith,         // body, then target and expression of each variable
  kBreak,
  kContinue,
  // Expressions.
  kConstant,   // `value`
  kName,       // `text`
  kList,       // items...
  kTuple,      // items...
  kDict,       // key, value, key, value...
  kAttribute,  // object; `text`: its name
  kItem,       // object, index
  kSlice,      // begin, end, step, each or null; only as the index of kItem
  kCall,       // callee, arguments...
  kKeyword,    // expression; `text`: its name; only among arguments
  kFilter,     // input or null (the text of a block), arguments...; `text`: its name
  kTest,       // input, arguments...; `text`: its name
  kNot,        // expression
  kNegative,   // expression
  kPositive,   // expression
  kAnd,
  kOr,           // left, right
  kBinary,       // left, right; `text`: the operator
  kConcat,       // parts...
  kCompare,      // first, then the operands of `names`, which are operators
  kConditional,  // test, then, else or null
};

struct Node {
  Kind kind;
  int line = 1;
  int depth = 1;  // of the tree below; what walks it is recursive
  std::string text;
  Value value;
  std::vector<std::string> names;
  std::vector<std::unique_ptr<Node>> parts;
};

// Throws Damage (template/lexer.h).
std::unique_ptr<const Node> parse(std::string_view source);

// Whether there is a filter, or a test, of this name.
bool is_filter(std::string_view name);
bool is_test(std::string_view name);

}  // namespace hesse::jinja
