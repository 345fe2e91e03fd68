#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "base/rng.h"
#include "tokenizer/byte_alphabet.h"

namespace hesse {
namespace {

TEST(Unicode, EveryCharacterRoundTrips) {
  for (char32_t c = 0; c < 0x110000; c = c == 0xD7FF ? 0xE000 : c + 1) {
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(first_invalid_utf8(text), kNoOffset);
    size_t offset = 0;
    ASSERT_EQ(next_char(text, offset), c);
    ASSERT_EQ(offset, text.size());
    ASSERT_EQ(previous_offset(text, text.size()), 0u);
    // Any proper prefix is invalid, and one U+FFFD.
    for (size_t size = 1; size < text.size(); ++size) {
      ASSERT_EQ(first_invalid_utf8(text.substr(0, size)), 0u);
      ASSERT_EQ(utf8_lossy(text.substr(0, size)), "\xEF\xBF\xBD");
    }
  }
}

TEST(Unicode, InvalidBytesAreFoundWhereTheyAre) {
  const auto at = [](const char* text) { return first_invalid_utf8(text); };
  EXPECT_EQ(at("abc\xFF"), 3u);
  EXPECT_EQ(at("\x80"), 0u);
  EXPECT_EQ(at("a\xC0\xAF"), 1u);         // overlong
  EXPECT_EQ(at("a\xE0\x80\xAF"), 1u);     // overlong
  EXPECT_EQ(at("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(at("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(at("\xC3\xA9\xC3"), 2u);
  EXPECT_EQ(utf8_lossy("a\xE2\x82z\xFF\xFE"), "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(utf8_lossy("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Unicode, NormalFormsAreStableAndAgree) {
  const uint64_t seed = 5;
  SCOPED_TRACE(seed);
  Rng rng(seed);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      const char32_t bases[] = {'a',
                                'e',
                                0xC5,
                                0x1E9B,
                                0x300 + static_cast<char32_t>(rng.below(0x70)),
                                0xAC00 + static_cast<char32_t>(rng.below(11172)),
                                0x1100 + static_cast<char32_t>(rng.below(19)),
                                0x1161,
                                0x11A8,
                                0x2126,
                                0xFB01};
      append_utf8(text, bases[rng.below(std::size(bases))]);
    }
    const std::string nfc = normalize_unicode(text, NormalForm::kNfc);
    const std::string nfd = normalize_unicode(text, NormalForm::kNfd);
    ASSERT_EQ(normalize_unicode(nfc, NormalForm::kNfc), nfc);
    ASSERT_EQ(normalize_unicode(nfd, NormalForm::kNfc), nfc);
    ASSERT_EQ(normalize_unicode(nfc, NormalForm::kNfd), nfd);
    ASSERT_EQ(normalize_unicode(normalize_unicode(text, NormalForm::kNfkd), NormalForm::kNfkc),
              normalize_unicode(text, NormalForm::kNfkc));
  }
}

TEST(Unicode, AMegabyteOfMarksIsQuick) {
  std::string text = "a";
  for (int i = 0; i < 250000; ++i)
    text += (i % 2 == 0) ? "\xCC\x81" : "\xCC\xA3";  // classes 230 and 220: all must move
  const std::clock_t begin = std::clock();           // processor time: other work on the machine is no failure
  const std::string nfc = normalize_unicode(text, NormalForm::kNfc);
  EXPECT_EQ(nfc.substr(0, 3), "\xE1\xBA\xA1");  // a with dot below
  EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 5);
}

TEST(ByteAlphabet, IsABijectionOfPrintableCharacters) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string chars;
  append_byte_chars(chars, all);
  for (size_t i = 0; i < chars.size();) EXPECT_FALSE(is_whitespace(next_char(chars, i)));
  std::string back;
  ASSERT_TRUE(append_bytes_of(back, chars));
  EXPECT_EQ(back, all);
  EXPECT_FALSE(append_bytes_of(back, "a "));
  EXPECT_EQ(back, all);
}

}  // namespace
}  // namespace hesse
