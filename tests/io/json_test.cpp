#include "io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "hesse/error.h"

namespace hesse {
namespace {

std::string message_of(const std::string& text) {
  try {
    Json::parse(text, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    return error.what();
  }
  return "no error";
}

TEST(Json, KeepsOrderAndSpellingOfNumbers) {
  const std::string text =
      R"({"z": 1e-05, "a": 10000.0, "big": 18446744073709551615, "s": "é\n\"", "l": [1, -2, null, true]})";
  EXPECT_EQ(Json::parse(text, "t").dump(), text);
}

TEST(Json, PrettyPrintingParsesBackToTheSame) {
  const Json value = Json::parse(R"({"a": {"b": [1, {"c": []}], "d": {}}, "e": "x"})", "t");
  EXPECT_EQ(Json::parse(value.dump(2), "t").dump(), value.dump());
  EXPECT_EQ(Json::parse(R"({"a":[1]})", "t").dump(2), "{\n  \"a\": [\n    1\n  ]\n}");
}

TEST(Json, EscapesAndSurrogatePairsAreDecoded) {
  EXPECT_EQ(Json::parse("\"\\u00e9\\ud83d\\ude00\\u0000\"", "t").as_string("t"),
            std::string("\xC3\xA9\xF0\x9F\x98\x80\0", 7));
}

TEST(Json, TypesAreChecked) {
  const Json value = Json::parse(R"({"bits": 4, "half": 2.5, "two": 2.0, "name": "x", "none": null})", "t");
  EXPECT_EQ(value.find("bits")->as_int("bits"), 4);
  EXPECT_EQ(value.find("two")->as_int("two"), 2);
  EXPECT_THROW(value.find("half")->as_int("half"), Error);
  EXPECT_THROW(value.find("name")->as_double("name"), Error);
  EXPECT_NE(value.find("none"), nullptr);
  EXPECT_EQ(value.find_value("none"), nullptr);
  EXPECT_EQ(value.find("absent"), nullptr);
}

TEST(Json, HostileTextIsRefusedWithThePlace) {
  using testing::HasSubstr;
  EXPECT_THAT(message_of("{\"a\": 1"), HasSubstr("config.json"));
  EXPECT_THAT(message_of("{} x"), HasSubstr("line 1"));
  EXPECT_THAT(message_of("{\"a\": 1, \"a\": 2}"), HasSubstr("'a' stands twice"));
  EXPECT_THAT(message_of(std::string(100000, '[')), HasSubstr("nested deeper than 200"));
  EXPECT_THAT(message_of("\"\xC3\x28\""), HasSubstr("invalid string"));
  EXPECT_THAT(message_of(""), HasSubstr("config.json"));
  EXPECT_THAT(message_of("nan"), HasSubstr("config.json"));
}

}  // namespace
}  // namespace hesse
