// The chat template of a model directory, and the variables that it sees.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/json.h"
#include "template/chat.h"

namespace hesse {

class ModelChat {
 public:
  // chat_template.jinja, else "chat_template" of tokenizer_config.json (one, or a list of named ones), else
  // chat_template.json. Empty: the model has none. Error(kBadInput) when it is damaged or outside the known subset.
  static std::optional<ModelChat> from_directory(const std::filesystem::path& directory);

  // The text of a conversation; its special tokens are in it. `today`: whether strftime_now() tells the date, or always
  // the same one, so that a calibration gives the same tokens tomorrow.
  struct Manner {
    bool add_generation_prompt = false;
    bool today = false;
  };
  std::string render(const Json& messages, const Json& tools, const Manner& manner) const;

 private:
  ChatTemplate plain_;
  std::optional<ChatTemplate> with_tools_;  // the template named "tool_use"
  Json variables_ = Json::object();

  explicit ModelChat(ChatTemplate plain) : plain_(std::move(plain)) {}
};

}  // namespace hesse
