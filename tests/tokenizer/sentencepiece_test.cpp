// tokenizer.model and vocab.json with merges.txt: the same tokenizers as a tokenizer.json would say, and damaged files.
#include "tokenizer/sentencepiece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_files.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;
using Special = Tokenizer::SpecialTokens;
using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kModels = fs::path(HESSE_SOURCE_DIR) / "tests/data/tokenizer/sentencepiece";

std::string refusal(const std::string& bytes) {
  try {
    (void)sentencepiece_as_json(parse_sentencepiece(bytes, "t.model"), "t.model");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput) << error.what();
    return error.what();
  }
  return "no error";
}

// One message of a protocol buffer, short enough for lengths of one byte.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number * 8 + 2), static_cast<char>(bytes.size())} + bytes;
}
std::string number_field(int number, char value) { return {static_cast<char>(number * 8), value}; }
std::string piece(const std::string& text, char type) { return field(1, field(1, text) + number_field(3, type)); }

TEST(SentencePiece, MessagesAreRead) {
  const std::string bytes = piece("<unk>", 2) + piece("a", 1) + piece("<s>", 3) + field(2, number_field(3, 2));
  const SentencePieceModel model = parse_sentencepiece(bytes, "t.model");
  ASSERT_EQ(model.pieces.size(), 3u);
  EXPECT_EQ(model.type, SentencePieceModel::ModelType::kBpe);
  EXPECT_EQ(model.unk_id, 0);
  EXPECT_TRUE(model.add_dummy_prefix);
  EXPECT_EQ(refusal(bytes), "no error");
}

TEST(SentencePiece, DamagedModelsAreRefused) {
  const std::string unknown = piece("<unk>", 2);
  EXPECT_THAT(refusal(""), HasSubstr("no pieces"));
  EXPECT_THAT(refusal("{\"model\": 1}"), HasSubstr("t.model"));
  EXPECT_THAT(refusal(piece("a", 1)), HasSubstr("unknown text"));
  EXPECT_THAT(refusal(unknown + piece("", 1)), HasSubstr("is empty"));
  EXPECT_THAT(refusal(unknown + piece("a", 1) + piece("a", 1)), HasSubstr("there twice"));
  EXPECT_THAT(refusal(unknown + piece("\xFF", 1)), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(refusal(unknown + piece("a", 9)), HasSubstr("type of piece 9"));
  EXPECT_THAT(refusal(unknown + field(2, number_field(3, 3))), HasSubstr("by words"));
  EXPECT_THAT(refusal(unknown + field(2, number_field(3, 4))), HasSubstr("by characters"));
  EXPECT_THAT(refusal(unknown.substr(0, unknown.size() - 1)), HasSubstr("incomplete download?"));
  EXPECT_THAT(refusal(std::string(12, '\xFF')), HasSubstr("more than 64 bits"));
  EXPECT_THAT(refusal(std::string("\x0B", 1)), HasSubstr("kind 3"));
  EXPECT_THAT(refusal(std::string("\x08\x01", 2)), HasSubstr("kind 0, expected 2"));
}

TEST(SentencePiece, AnyPrefixIsReadOrRefused) {
  const std::string bytes = read_text_file(kModels / "bpe/tokenizer.model");
  for (size_t size = 0; size < bytes.size(); size += 7) (void)refusal(bytes.substr(0, size));
}

TEST(SentencePiece, NamesItsSpecialTokensAndDecodes) {
  const Tokenizer tokenizer = Tokenizer::from_directory(kModels / "bpe");
  EXPECT_EQ(tokenizer.token(tokenizer.bos_id()), "<s>");
  EXPECT_EQ(tokenizer.token(tokenizer.eos_id()), "</s>");
  EXPECT_EQ(tokenizer.pad_id(), -1);
  for (const std::string text : {"Once upon a time", "  two  spaces ", "caf\xC3\xA9 \xF0\x9F\x98\x80\n\t"})
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, Special::kNone), false), text);
  EXPECT_EQ(Tokenizer::from_directory(kModels / "bpe/tokenizer.model").vocab_size(), tokenizer.vocab_size());
}

class Folder {
 public:
  Folder()
      : path_(fs::temp_directory_path() /
              ("hesse-tokenizer-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const char* name, const std::string& text) const { std::ofstream(path_ / name) << text; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Gpt2Files, AreReadWithTheirSpecialTokens) {
  const Folder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4, "<|endoftext|>": 5})");
  folder.write("merges.txt", "#version: 0.2\na b\nĠ ab\n");
  folder.write("added_tokens.json", R"({"<x>": 7, "<w>": 6})");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  folder.write("special_tokens_map.json", R"({"eos_token": "<|endoftext|>"})");
  const Tokenizer tokenizer = Tokenizer::from_directory(folder.path());
  EXPECT_THAT(tokenizer.encode("ab ab<x>a<|endoftext|>", Special::kNone), ElementsAre(2, 4, 7, 0, 5));
  EXPECT_EQ(tokenizer.eos_id(), 5);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab ab<w>", Special::kNone), false), "ab ab<w>");
}

TEST(Gpt2Files, AnUnknownClassIsRefusedByName) {
  const Folder folder;
  folder.write("vocab.json", R"({"a": 0})");
  folder.write("merges.txt", "");
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "CLIPTokenizer"})");
  try {
    (void)Tokenizer::from_directory(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'CLIPTokenizer'"));
  }
}

TEST(TokenizerFiles, NoneIsSaidWithAllTheirNames) {
  const Folder folder;
  EXPECT_FALSE(has_tokenizer_files(folder.path()));
  try {
    (void)Tokenizer::from_directory(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no tokenizer.json, no tokenizer.model, and no vocab.json"));
  }
}

}  // namespace
}  // namespace hesse
