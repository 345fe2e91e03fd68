#include "template/chat.h"

#include <fmt/format.h>

#include <string>

#include "hesse/error.h"
#include "template/interpreter.h"
#include "template/lexer.h"
#include "template/node.h"

namespace hesse {
namespace {

constexpr size_t kMostSource = size_t{1} << 20;

// Whether a continuation byte stands at `i`.
bool continues(std::string_view text, size_t i) {
  return i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
}

// The offset of the first byte that is not part of valid UTF-8. What is rendered of valid parts is valid.
size_t first_invalid(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char lead = byte(i);
    const size_t size = lead < 0x80                   ? 1
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
    if (size == 0) return i;
    for (size_t k = 1; k < size; ++k) {
      if (!continues(text, i + k)) return i;
    }
    const bool overlong = (lead == 0xE0 && byte(i + 1) < 0xA0) || (lead == 0xF0 && byte(i + 1) < 0x90);
    const bool outside = (lead == 0xED && byte(i + 1) >= 0xA0) || (lead == 0xF4 && byte(i + 1) >= 0x90);
    if (overlong || outside) return i;
    i += size;
  }
  return text.size();
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, const std::string& name) : name_(name) {
  if (source.size() > kMostSource) {
    throw Error(ErrorKind::kBadInput, fmt::format("[template] {}: {} bytes, more than {}; no chat template", name,
                                                  source.size(), kMostSource));
  }
  if (const size_t offset = first_invalid(source); offset < source.size()) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[template] {}: byte {} of {} is not valid UTF-8", name, offset, source.size()));
  }
  try {
    root_ = jinja::parse(source);
  } catch (const jinja::Damage& damage) {
    throw Error(
        ErrorKind::kBadInput,
        fmt::format("[template] {}: line {}: {}; render the conversations with transformers and give them as text",
                    name, damage.line, damage.what));
  }
}

std::string render_chat(const ChatTemplate& chat, const Json& messages, const ChatOptions& options) {
  jinja::Interpreter interpreter(options.now);
  try {
    for (const auto& [name, value] : options.variables.as_object("variables"))
      interpreter.set(name, jinja::Value::from_json(value));
    interpreter.set("messages", jinja::Value::from_json(messages));
    interpreter.set("tools", jinja::Value::from_json(options.tools));
    interpreter.set("documents", jinja::Value::from_json(options.documents));
    interpreter.set("add_generation_prompt", options.add_generation_prompt);
    return interpreter.run(*chat.root_);
  } catch (const jinja::Failure& failure) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[template] {}: line {}: {}", chat.name_, interpreter.line(), failure.what()));
  }
}

}  // namespace hesse
