#include "data/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "data/special_tokens.h"
#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

class ModelChatTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("model-chat-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void put(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  std::string rendered(const char* messages, const char* tools = "null", ModelChat::Manner manner = {}) {
    const std::optional<ModelChat> chat = ModelChat::from_directory(folder_);
    return chat ? chat->render(Json::parse(messages, "m"), Json::parse(tools, "t"), manner) : "none";
  }
  fs::path folder_;
};

constexpr const char* kHello = R"([{"role": "user", "content": "Hello"}])";

TEST_F(ModelChatTest, TheFileWinsOverTheConfigAndThatOverTheOldFile) {
  EXPECT_EQ(rendered(kHello), "none");
  put("chat_template.json", R"({"chat_template": "old {{ messages[0].content }}"})");
  EXPECT_EQ(rendered(kHello), "old Hello");
  put("tokenizer_config.json", R"({"chat_template": "config {{ messages[0].content }}"})");
  EXPECT_EQ(rendered(kHello), "config Hello");
  put("chat_template.jinja", "file {{ messages[0].content }}");
  EXPECT_EQ(rendered(kHello), "file Hello");
}

TEST_F(ModelChatTest, NamedTemplatesServeTools) {
  put("tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "{{ tools | length }} tools"}]})");
  EXPECT_EQ(rendered(kHello), "plain");
  EXPECT_EQ(rendered(kHello, "[1, 2]"), "2 tools");
  put("chat_template.jinja", "file");
  put("additional_chat_templates/tool_use.jinja", "file with tools");
  EXPECT_EQ(rendered(kHello), "file");
  EXPECT_EQ(rendered(kHello, "[1]"), "file with tools");
}

TEST_F(ModelChatTest, SpecialTokensAreStringsOrObjects) {
  put("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null})");
  put("chat_template.jinja", "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}|{{ tools is none }}");
  EXPECT_EQ(rendered(kHello), "<s>|</s>|False|True");
}

TEST_F(ModelChatTest, ReasoningHasAllOfItsNames) {
  put("chat_template.jinja", "{% for m in messages %}{{ m.reasoning_content }}/{{ m.thinking }};{% endfor %}");
  EXPECT_EQ(rendered(R"([{"reasoning": "a"}, {"thinking": "b"}, {"thinking": "c", "reasoning_content": "d"}, {}])"),
            "a/a;b/b;d/c;/;");
}

// Else a run that goes on after midnight would have another calibration text.
TEST_F(ModelChatTest, TheDateOfCalibrationIsFixed) {
  put("chat_template.jinja", "{{ strftime_now('%d %b %Y %A %j') }}{{ '!' if add_generation_prompt }}");
  EXPECT_EQ(rendered(kHello), "26 Jul 2024 Friday 208");
  EXPECT_EQ(rendered(kHello, "null", {.add_generation_prompt = true}), "26 Jul 2024 Friday 208!");
  EXPECT_NE(rendered(kHello, "null", {.today = true}), "26 Jul 2024 Friday 208");
}

TEST_F(ModelChatTest, BosByTheRuleOfTheClass) {
  const fs::path demo = fs::path(HESSE_SOURCE_DIR) / "models/tiny-llama";
  Json tokenizer = Json::parse(read_text_file(demo / "tokenizer.json"), "tokenizer.json");
  const auto rule = [&](const std::string& config, const char* word = "auto") {
    put("tokenizer_config.json", config);
    return begins_with_bos(word, folder_, Tokenizer::from_directory(folder_));
  };
  put("tokenizer.json", tokenizer.dump());
  EXPECT_TRUE(
      rule(R"({"bos_token": "<|begin|>", "tokenizer_class": "PreTrainedTokenizerFast"})"));  // the post-processor
  EXPECT_FALSE(rule(R"({"bos_token": "<|begin|>"})", "never"));
  tokenizer.set("post_processor", Json());
  put("tokenizer.json", tokenizer.dump());
  const std::string bos = R"({"bos_token": "<|begin|>", "tokenizer_class": )";
  EXPECT_FALSE(rule(bos + R"("PreTrainedTokenizerFast", "add_bos_token": true})"));
  EXPECT_TRUE(rule(bos + R"("LlamaTokenizerFast"})"));
  EXPECT_TRUE(rule(bos + R"("GemmaTokenizer", "add_bos_token": true})"));
  EXPECT_FALSE(rule(bos + R"("LlamaTokenizer", "add_bos_token": false})"));
  EXPECT_FALSE(rule(bos + R"("GPTNeoXTokenizerFast"})"));
  EXPECT_TRUE(rule(bos + R"("GPTNeoXTokenizerFast", "add_bos_token": true})"));
  EXPECT_FALSE(rule(R"({"bos_token": null, "tokenizer_class": "LlamaTokenizer"})"));
  EXPECT_TRUE(rule(R"({"bos_token": "<|begin|>"})", "always"));
  EXPECT_THROW(rule(R"({"bos_token": null})", "always"), Error);
}

}  // namespace
}  // namespace hesse
