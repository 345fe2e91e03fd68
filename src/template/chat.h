// Chat templates: the subset of Jinja that models carry, rendered as transformers renders it (trim_blocks,
// lstrip_blocks, loop controls, an immutable sandbox). What a template does is bounded: depth, steps, and bytes of
// output.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "io/json.h"

namespace hesse {

namespace jinja {
struct Node;
}

// A parsed template; immutable, may be rendered by several threads at once.
class ChatTemplate {
 public:
  // Error(kBadInput) with the line and the construct where it is damaged or uses what is not known here. `name` stands
  // in complaints.
  ChatTemplate(std::string_view source, const std::string& name);

 private:
  friend std::string render_chat(const ChatTemplate&, const Json&, const struct ChatOptions&);
  std::string name_;
  std::shared_ptr<const jinja::Node> root_;
};

struct ChatOptions {
  Json tools;      // array of function schemas; null: none
  Json documents;  // array; null: none
  bool add_generation_prompt = false;
  Json variables = Json::object();  // more of them: "bos_token" and others as strings
  std::optional<std::tm> now;       // what strftime_now() tells; empty: the clock of this machine
};

// Error(kBadInput) with the line when the template refuses the messages (raise_exception), when a value is of the wrong
// type, or when a bound is reached.
std::string render_chat(const ChatTemplate& chat, const Json& messages, const ChatOptions& options);

}  // namespace hesse
