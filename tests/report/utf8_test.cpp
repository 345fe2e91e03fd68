#include "report/utf8.h"

#include <gtest/gtest.h>

#include <random>

#include "io/json.h"

namespace hesse {
namespace {

const std::string kReplacement = "\xEF\xBF\xBD";

TEST(Utf8, ValidTextStays) {
  for (const std::string text : {"", "plain", "\x7F", "é ß", "\xE2\x82\xAC", "\xED\x9F\xBF", "\xEF\xBF\xBF",
                                 "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(valid_utf8(text), text);
  }
  EXPECT_EQ(valid_utf8(std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Utf8, EachWrongByteIsReplaced) {
  EXPECT_EQ(valid_utf8("a\x80z"), "a" + kReplacement + "z");                                             // no lead byte
  EXPECT_EQ(valid_utf8("\xC0\xAF"), kReplacement + kReplacement);                                        // overlong
  EXPECT_EQ(valid_utf8("\xE0\x80\xAF"), kReplacement + kReplacement + kReplacement);                     // overlong
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), kReplacement + kReplacement + kReplacement);                     // surrogate
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), kReplacement + kReplacement + kReplacement + kReplacement);  // > U+10FFFF
  EXPECT_EQ(valid_utf8("x\xE2\x82"), "x" + kReplacement + kReplacement);                                 // cut short
  EXPECT_EQ(valid_utf8("\xC3("), kReplacement + "(");
}

// Whatever comes in, what comes out is a JSON string that a strict parser reads back unchanged.
TEST(Utf8, RandomBytesBecomeTextThatJsonAccepts) {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 12, '\0');
    // Mostly lead and continuation bytes, since plain ones prove little.
    for (char& byte : bytes) byte = static_cast<char>(random() % 4 == 0 ? random() % 256 : 0x80 + random() % 128);
    const std::string text = valid_utf8(bytes);
    ASSERT_EQ(Json::parse(Json(text).dump(), "t").as_string("t"), text) << "seed " << seed << ", round " << round;
    ASSERT_EQ(valid_utf8(text), text) << "seed " << seed << ", round " << round;
  }
}

}  // namespace
}  // namespace hesse
