// Every template of tests/data/templates with every conversation, against what transformers made of them
// (tools/make_template_golden.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "hesse/error.h"
#include "io/file.h"
#include "template/chat.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(HESSE_SOURCE_DIR) / "tests/data/templates";

std::vector<Json> golden_rows() {
  const std::string text = read_text_file(kFolder / "golden.jsonl");
  std::vector<Json> rows;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    rows.push_back(Json::parse(text.substr(begin, end - begin), "golden.jsonl"));
    begin = end + 1;
  }
  return rows;
}

ChatOptions options_of(const Json& conversation, const Json& special) {
  ChatOptions options;
  options.variables = special;
  if (const Json* tools = conversation.find_value("tools")) options.tools = *tools;
  if (const Json* prompt = conversation.find_value("add_generation_prompt"))
    options.add_generation_prompt = prompt->as_bool("golden");
  if (const Json* more = conversation.find_value("variables")) {
    for (const auto& [name, value] : more->as_object("golden")) options.variables.set(name, value);
  }
  std::tm date{};
  date.tm_year = 124;
  date.tm_mon = 6;
  date.tm_mday = 26;
  options.now = date;
  return options;
}

// As ModelChat does it, which is tested on its own.
Json with_thinking(const Json& messages) {
  Json result = Json::array();
  for (Json message : messages.as_array("golden")) {
    if (const Json* reasoning = message.find_value("reasoning_content")) message.set("thinking", Json(*reasoning));
    result.push_back(std::move(message));
  }
  return result;
}

TEST(Templates, RenderAsTransformersDoes) {
  const std::vector<Json> rows = golden_rows();
  const Json& conversations = *rows[0].find("conversations");
  std::map<std::string, ChatTemplate> templates;
  int equal = 0, refused = 0;
  for (size_t i = 1; i < rows.size(); ++i) {
    const std::string name = rows[i].find("template")->as_string("golden");
    const std::string conversation_name = rows[i].find("conversation")->as_string("golden");
    SCOPED_TRACE(name + " with " + conversation_name);
    if (templates.count(name) == 0) {
      templates.emplace(name, ChatTemplate(read_text_file(kFolder / (name + ".jinja")), name));
    }
    const Json& conversation = *conversations.find(conversation_name);
    const ChatOptions options = options_of(conversation, *rows[0].find("special"));
    const Json messages = with_thinking(*conversation.find("messages"));
    if (const Json* text = rows[i].find("text")) {
      EXPECT_NO_THROW({ EXPECT_EQ(render_chat(templates.at(name), messages, options), text->as_string("golden")); });
      ++equal;
    } else {
      EXPECT_THROW(render_chat(templates.at(name), messages, options), Error);
      ++refused;
    }
  }
  EXPECT_GE(templates.size(), 25u);
  EXPECT_GT(equal, 5 * refused);
  std::cout << templates.size() << " templates, " << equal << " texts equal, " << refused << " refusals equal\n";
}

}  // namespace
}  // namespace hesse
