// Lines of JSONL into documents.
#include <fmt/format.h>

#include <limits>
#include <string>

#include "data/documents.h"
#include "hesse/error.h"

namespace hesse {
namespace {

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(ErrorKind::kBadInput, fmt::format("[calibration] {}: {}", where, what));
}

struct RoleName {
  std::string_view from, role;
};
// ShareGPT's names; a name that stands in no row is the role itself.
constexpr RoleName kRoles[] = {{"human", "user"},      {"gpt", "assistant"},   {"chatgpt", "assistant"},
                               {"bot", "assistant"},   {"model", "assistant"}, {"function_response", "tool"},
                               {"observation", "tool"}};

std::string role_of(const std::string& from) {
  for (const RoleName& row : kRoles) {
    if (row.from == from) return std::string(row.role);
  }
  return from;
}

// {"from": ..., "value": ...} as {"role": ..., "content": ...}; what has a role already stays as it is.
Json to_message(const Json& turn, const std::string& where) {
  if (!turn.is_object()) refuse(where, "a message is no object");
  if (turn.find_value("role") != nullptr) {
    (void)turn.find_value("role")->as_string(where + ": role");
    return turn;
  }
  const Json* from = turn.find_value("from");
  const Json* value = turn.find_value("value");
  if (from == nullptr || value == nullptr) refuse(where, "a message has neither 'role' nor 'from' and 'value'");
  return Json::Object{{"role", role_of(from->as_string(where + ": from"))},
                      {"content", value->as_string(where + ": value")}};
}

Document conversation(const Json& line, const Json& turns, const std::string& where) {
  Document document;
  document.kind = Document::Kind::kMessages;
  document.messages = Json::array();
  const Json* system = line.find_value("system");
  if (system != nullptr && system->is_string() && !system->as_string(where).empty()) {
    document.messages.push_back(Json::Object{{"role", "system"}, {"content", *system}});
  }
  for (const Json& turn : turns.as_array(where + ": messages")) document.messages.push_back(to_message(turn, where));
  if (document.messages.as_array(where).empty()) refuse(where, "a conversation without messages");
  if (const Json* tools = line.find_value("tools")) {
    // Some collections keep the list as a string.
    document.tools = tools->is_string() ? Json::parse(tools->as_string(where), where + ": tools") : *tools;
  }
  return document;
}

Document token_ids(const Json& ids, const std::string& where) {
  Document document;
  document.kind = Document::Kind::kIds;
  for (const Json& id : ids.as_array(where + ": input_ids")) {
    const int64_t value = id.as_int(where + ": input_ids");
    if (value < 0 || value > std::numeric_limits<int32_t>::max()) refuse(where, fmt::format("{} is no token", value));
    document.ids.push_back(static_cast<int32_t>(value));
  }
  return document;
}

}  // namespace

Document parse_jsonl_line(std::string_view line, const std::string& where) {
  const Json json = Json::parse(line, where);
  if (!json.is_object()) refuse(where, "the line is no JSON object");
  Document document;
  const Json* turns = json.find_value("messages");
  if (turns == nullptr) turns = json.find_value("conversations");
  if (turns != nullptr) {
    document = conversation(json, *turns, where);
  } else if (const Json* text = json.find_value("text")) {
    document.text = text->as_string(where + ": text");
  } else if (const Json* ids = json.find_value("input_ids")) {
    document = token_ids(*ids, where);
  } else {
    refuse(where, "none of the members text, messages, conversations and input_ids is there");
  }
  document.where = where;
  return document;
}

}  // namespace hesse
