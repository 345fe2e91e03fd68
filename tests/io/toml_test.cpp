#include "io/toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hesse/error.h"

namespace hesse {
namespace {

std::string problem(std::string_view text) {
  try {
    parse_toml(text, "r.toml");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "";
}

TEST(Toml, BecomesTheSameValuesAsJson) {
  const Json json =
      parse_toml("a = 1\nb = [1.5, true, 'x\\.y']\n[t]\nc = \"\\u00e9\"\n[[r]]\nd = -3\n[[r]]\n", "r.toml");
  EXPECT_EQ(json.find("a")->as_int("a"), 1);
  EXPECT_EQ(json.find("b")->dump(), R"([1.5, true, "x\\.y"])");
  EXPECT_EQ(json.find("t")->find("c")->as_string("c"), "\u00e9");
  EXPECT_EQ(json.find("r")->dump(), R"([{"d": -3}, {}])");
  EXPECT_EQ(parse_toml("", "r.toml").dump(), "{}");
}

TEST(Toml, ProblemsNameFileAndLine) {
  EXPECT_THAT(problem("a = 1\nb = \n"), testing::StartsWith("[toml] r.toml, line 2: "));
  EXPECT_THAT(problem("a = 1\na = 2\n"), testing::HasSubstr("line 2"));
  EXPECT_THAT(problem("a = 1\n\nd = 1979-05-27\n"), testing::HasSubstr("r.toml, line 3: dates and times"));
  EXPECT_THAT(problem("a = \"\xff\"\n"), testing::HasSubstr("line 1"));
  EXPECT_THAT(problem("[[a]]\n[a]\n"), testing::HasSubstr("line 2"));
}

}  // namespace
}  // namespace hesse
