// A template's source into tokens, with Jinja's rules for white space (trim_blocks and lstrip_blocks on).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hesse::jinja {

struct Token {
  enum class Type {
    kText,
    kOpenExpression,
    kCloseExpression,
    kOpenTag,
    kCloseTag,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Type type = Type::kEnd;
  std::string text;  // of a string: its value
  int line = 1;
  int64_t integer = 0;
  double number = 0;
};

// Throws Damage.
std::vector<Token> tokenize(std::string_view source);

// What is wrong with a template itself, and where.
struct Damage {
  int line = 1;
  std::string what;
};

}  // namespace hesse::jinja
