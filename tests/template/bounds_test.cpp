// What a template may not do, and how it is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "hesse/error.h"
#include "template/chat.h"

namespace hesse {
namespace {

using testing::HasSubstr;

std::string render(const std::string& source) {
  return render_chat(ChatTemplate(source, "t.jinja"), Json::array(), {});
}

std::string refusal(const std::string& source) {
  try {
    render(source);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  ADD_FAILURE() << "rendered: " << source.substr(0, 200);
  return "";
}

TEST(Templates, WhatIsOutsideTheSubsetIsNamedWithItsLine) {
  const struct {
    const char* source;
    const char* words;
  } rows[] = {
      {"a\nb{% include 'x' %}", "line 2: the tag 'include' is not supported"},
      {"{{ x | xmlattr }}", "line 1: the filter 'xmlattr' is not known"},
      {"{{ 1 is prime }}", "the test 'prime' is not known"},
      {"\n\n{% for x in y %}", "line 3: the tag 'endfor' is missing"},
      {"{% endif %}", "'endif'"},
      {"{{ 1 +", "'}}' is missing"},
      {"{{ 1 + }}", "expected an expression"},
      {"{# open", "a comment has no end"},
      {"{{ 'open }}", "a string has no end"},
      {"{% break %}", "outside a loop"},
      {"{{ (1 }}", "'}' closes nothing"},
      {"{{ 1 ] }}", "closes nothing"},
      {"{{ f(*a) }}", "not supported"},
      {"{{ 99999999999999999999 }}", "too large"},
      {"{% for x in y recursive %}{% endfor %}", "recursive"},
      {"{% raw %}", "endraw"},
  };
  for (const auto& row : rows) {
    const std::string said = refusal(row.source);
    EXPECT_THAT(said, HasSubstr(row.words)) << row.source;
    EXPECT_THAT(said, HasSubstr("[template] t.jinja: line "));
    EXPECT_THAT(said, HasSubstr("give them as text"));
  }
}

TEST(Templates, WrongValuesAreNamedWithTheirLine) {
  const struct {
    const char* source;
    const char* words;
  } rows[] = {
      {"\n{{ raise_exception('no\nway') }}", "line 2: the template refuses the messages: no\\nway"},
      {"{{ a.b.c }}", "'a' is undefined, and has no 'b'"},
      {"{% set a = {} %}{{ a.b.c }}", "'a.b' is undefined, and has no 'c'"},
      {"{{ 1 + 'a' }}", "'+' of int and str is not possible"},
      {"{{ 1 < 'a' }}", "cannot be compared"},
      {"{{ [].append(1) }}", "a list has no method 'append' here"},
      {"{{ nothing() }}", "'nothing' is undefined, and cannot be called"},
      {"{{ 1 // 0 }}", "division by zero"},
      {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
      {"{{ '\u00e9' | upper }}", "ASCII only"},
      {"{% set a, b = [1] %}", "1 values for 2 names"},
      {"{% set x = {} %}{% set x.y = 1 %}", "is no namespace"},
      {"{% set x = namespace() %}{% set x.__class__ = 1 %}", "takes no name"},
      {"{{ {}.items().__class__.x }}", "is undefined"},
      {"{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "at most 1 arguments"},
      {"{% macro f(a) %}{% endmacro %}{{ f(b=2) }}", "no argument 'b'"},
  };
  for (const auto& row : rows) EXPECT_THAT(refusal(row.source), HasSubstr(row.words)) << row.source;
}

std::string many(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string many_variables() {
  std::string all;
  for (int i = 0; i < 20000; ++i) all += "{% set v" + std::to_string(i) + " = 1 %}";
  return all;
}

// None of these may hang, fill the memory or overflow the stack.
TEST(Templates, WhatNeverEndsIsStopped) {
  const std::string kLoops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  const std::string rows[] = {
      kLoops,
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(n) %}{% for i in range(3) %}{{ f(n + 1) }}{% endfor %}{% endmacro %}{{ f(0) }}",
      "{% set n = namespace(x='0123456789') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x + [1] "
      "or "
      "n.x | tojson }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
      "{{ 'x' * 99999999999 }}",
      "{{ ['x'] * 99999999999 }}",
      "{{ range(999999999) }}",
      "{{ 'aaaaaaaaaa' * 1000000 | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaa') }}",
      "{{ ('a' * 1000000) | replace('a', 'a' * 100) }}",
      "{{ ('\n' * 1000000) | indent(900, true, true) }}",
      many("(", 5000),
      "{{ " + many("(", 5000) + "1" + many(")", 5000) + " }}",
      "{{ " + many("[", 5000) + many("]", 5000) + " }}",
      "{{ " + many("not ", 5000) + "1 }}",
      "{{ " + many("-", 5000) + "1 }}",
      many("{% if 1 %}", 5000) + many("{% endif %}", 5000),
      "{% if 0 %}" + many("{% elif 0 %}", 5000) + "{% endif %}",
      "{{ 1" + many(" if 1 else 1", 5000) + " }}",
      "{{ 1" + many(" + 1", 5000) + " }}",
      "{{ x" + many(".x", 5000) + " }}",
      "{{ x" + many("|trim", 5000) + " }}",
      "{{ x" + many("()", 5000) + " }}",
      "{% set n = namespace() %}{% for a in range(99999) %}{% set n = namespace(x=n) %}{% endfor %}",
      "{% for a in range(99999) %}{% macro f() %}{% endmacro %}{% endfor %}{% for a in range(99999) %}{{ a }}{% endfor "
      "%}",
      many_variables() + "{% for a in range(99999) %}{{ v0 }}{% endfor %}",
      "{{ {" + many("1: 1, ", 20000) + "} }}",
      many("a", (1 << 20) + 1),
  };
  for (const std::string& row : rows) {
    if (row == many("(", 5000)) {
      EXPECT_EQ(render(row), row);
    } else {
      refusal(row);
    }
  }
}

// Namespaces and macros that hold themselves are let go of (the address sanitizer says so).
TEST(Templates, WhatHoldsItselfIsFreed) {
  EXPECT_EQ(render("{% set n = namespace() %}{% set n.me = n %}{% set n.all = [n, n] %}ok"), "ok");
  EXPECT_EQ(render("{% set n = namespace() %}{% macro f() %}x{% endmacro %}{% set n.f = f %}{{ n.f() }}"), "x");
  EXPECT_EQ(render("{% for i in range(3) %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}"), "012");
}

TEST(Templates, LongChainsAreNoDeepOnes) {
  EXPECT_EQ(render("{{ 0" + many(" + 1", 400) + " }}"), "400");
  EXPECT_EQ(render(many("{% if true %}x{% endif %}", 2000)), many("x", 2000));
}

}  // namespace
}  // namespace hesse
