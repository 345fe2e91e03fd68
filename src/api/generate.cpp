#include "eval/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/open_model.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "data/chat_template.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "model/compute.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

// Ids that end a text: from generation_config.json (a number or a list), config.json and the tokenizer.
std::set<int32_t> end_ids(const OpenModel& opened, const Tokenizer& tokenizer) {
  std::set<int32_t> ids;
  const auto take = [&](const Json& config, const std::string& where) {
    const Json* eos = config.find_value("eos_token_id");
    if (eos == nullptr) return;
    const Json::Array one{*eos};
    for (const Json& id : eos->is_array() ? eos->as_array(where) : one)
      ids.insert(static_cast<int32_t>(id.as_int(where)));
  };
  take(text_config(opened.config_json), "config.json, 'eos_token_id'");
  const auto path = opened.directory / "generation_config.json";
  if (std::filesystem::exists(path)) {
    take(Json::parse(read_text_file(path), "generation_config.json"), "generation_config.json, 'eos_token_id'");
  }
  if (tokenizer.eos_id() >= 0) ids.insert(tokenizer.eos_id());
  return ids;
}

// The prompt as it is, or as a message of the user in the chat template, which has its special tokens itself.
std::vector<int32_t> prompt_ids(const GenerateOptions& options, const OpenModel& opened, const Tokenizer& tokenizer) {
  if (!options.chat) return tokenizer.encode(options.prompt, Tokenizer::SpecialTokens::kAdd);
  const std::optional<ModelChat> chat = ModelChat::from_directory(opened.directory);
  if (!chat) throw Error(ErrorKind::kBadInput, "[generate] the model has no chat template; leave --chat out");
  Json messages = Json::array();
  if (!options.system.empty()) messages.push_back(Json::Object{{"role", "system"}, {"content", options.system}});
  messages.push_back(Json::Object{{"role", "user"}, {"content", options.prompt}});
  return tokenizer.encode(chat->render(messages, Json(), {.add_generation_prompt = true, .today = true}),
                          Tokenizer::SpecialTokens::kNone);
}

// Bytes of `text` that no later token can change: an unfinished character is held back.
size_t settled_bytes(const std::string& text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  size_t size = text.size();
  while (size > 0 && std::string_view(text).substr(0, size).ends_with(kReplacement)) size -= kReplacement.size();
  return size;
}

}  // namespace

GenerateResult generate(const GenerateOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  const OpenModel opened = open_model(options.model, options.as);
  const Tokenizer tokenizer = Tokenizer::from_directory(opened.directory);
  GenerateResult result;
  result.prompt_ids = prompt_ids(options, opened, tokenizer);
  if (result.prompt_ids.empty())
    throw Error(ErrorKind::kUsage, "[generate] the prompt gives no tokens; write some text");
  const int64_t capacity = static_cast<int64_t>(result.prompt_ids.size()) + options.max_tokens;
  if (capacity > opened.config.max_positions) {
    listener.on_warning(fmt::format("prompt and new tokens may reach {} positions, but the model was made for {}",
                                    capacity, opened.config.max_positions));
  }
  const Model model(opened.config, *opened.source, capacity, choose_compute(options.compute, opened.config_json).type);
  Decoder decoder(model, capacity);
  const std::set<int32_t> ends = end_ids(opened, tokenizer);
  Rng rng(options.seed);
  std::vector<float> logits = decoder.next_logits(result.prompt_ids);
  size_t told = 0;
  result.stop = "length";
  while (static_cast<int64_t>(result.ids.size()) < options.max_tokens) {
    if (listener.stop_requested()) throw Error(ErrorKind::kInterrupted, "[generate] stopped on request");
    const int32_t id = sample_token(logits, {options.temperature, options.top_p}, rng);
    if (ends.count(id) != 0) {
      result.stop = "end of text";
      break;
    }
    result.ids.push_back(id);
    result.text = tokenizer.decode(result.ids, true);
    if (const size_t settled = settled_bytes(result.text); settled > told) {
      listener.on_text(std::string_view(result.text).substr(told, settled - told));
      told = settled;
    }
    const int32_t last = result.ids.back();
    if (static_cast<int64_t>(result.ids.size()) < options.max_tokens) logits = decoder.next_logits({&last, 1});
  }
  if (told < result.text.size()) listener.on_text(std::string_view(result.text).substr(told));
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
