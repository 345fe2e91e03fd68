#include "data/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 7> kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                       "pad_token", "cls_token", "mask_token"};

Json read_json(const fs::path& path) {
  return fs::exists(path) ? Json::parse(read_text_file(path), path.filename().string()) : Json();
}

// A template by its name, from a string or a list of {"name", "template"}; nullptr: there is none.
const std::string* find_template(const Json* value, std::string_view name, const std::string& where) {
  if (value == nullptr) return nullptr;
  if (value->is_string()) return name == "default" ? &value->as_string(where) : nullptr;
  for (const Json& entry : value->as_array(where)) {
    const Json* key = entry.find_value("name");
    const Json* text = entry.find_value("template");
    if (key != nullptr && text != nullptr && key->as_string(where) == name) return &text->as_string(where);
  }
  return nullptr;
}

// The date that Llama 3.1 falls back to.
std::tm fixed_date() {
  std::tm date{};
  date.tm_year = 2024 - 1900;
  date.tm_mon = 6;
  date.tm_mday = 26;
  date.tm_wday = 5;
  date.tm_yday = 207;
  return date;
}

// transformers gives reasoning under all of its names.
Json with_reasoning_names(const Json& messages) {
  Json result = Json::array();
  for (Json message : messages.as_array("messages")) {
    const Json* reasoning = nullptr;
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
      if (reasoning == nullptr) reasoning = message.find_value(name);
    }
    if (reasoning != nullptr) {
      const Json text = *reasoning;
      if (message.find("thinking") == nullptr) message.set("thinking", text);
      message.set("reasoning_content", text);
    }
    result.push_back(std::move(message));
  }
  return result;
}

}  // namespace

std::optional<ModelChat> ModelChat::from_directory(const fs::path& directory) {
  const Json config = read_json(directory / "tokenizer_config.json");
  const Json legacy = read_json(directory / "chat_template.json");
  std::string text, tools, where;
  if (const fs::path file = directory / "chat_template.jinja"; fs::exists(file)) {
    where = "chat_template.jinja";
    text = read_text_file(file);
    const fs::path more = directory / "additional_chat_templates" / "tool_use.jinja";
    if (fs::exists(more)) tools = read_text_file(more);
  } else {
    for (const auto& [json, name] : {std::pair{&config, "tokenizer_config.json"}, {&legacy, "chat_template.json"}}) {
      if (!text.empty()) break;
      where = fmt::format("{}: chat_template", name);
      const Json* value = json->find_value("chat_template");
      if (const std::string* found = find_template(value, "default", where)) text = *found;
      if (const std::string* found = find_template(value, "tool_use", where)) tools = *found;
    }
  }
  if (text.empty()) return std::nullopt;
  ModelChat chat(ChatTemplate(text, where));
  if (!tools.empty()) chat.with_tools_ = ChatTemplate(tools, where + " (tool_use)");
  for (const char* key : kSpecialTokens) {
    const Json* token = config.find_value(key);
    if (token != nullptr && token->is_object()) token = token->find_value("content");
    if (token != nullptr && token->is_string()) chat.variables_.set(key, *token);
  }
  return chat;
}

std::string ModelChat::render(const Json& messages, const Json& tools, const Manner& manner) const {
  ChatOptions options;
  options.tools = tools;
  options.add_generation_prompt = manner.add_generation_prompt;
  options.variables = variables_;
  if (!manner.today) options.now = fixed_date();
  const bool special = with_tools_ && !tools.is_null();
  return render_chat(special ? *with_tools_ : plain_, with_reasoning_names(messages), options);
}

}  // namespace hesse
