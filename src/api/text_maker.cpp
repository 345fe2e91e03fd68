#include "api/text_maker.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <utility>

#include "base/process.h"
#include "data/chat_template.h"
#include "hesse/error.h"
#include "io/file.h"
#include "model/compute.h"

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

// Bytes of `text` that no later token can change: an unfinished character is held back.
size_t settled_bytes(const std::string& text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  size_t size = text.size();
  while (size > 0 && std::string_view(text).substr(0, size).ends_with(kReplacement)) size -= kReplacement.size();
  return size;
}

}  // namespace

TextMaker::TextMaker(const GenerateOptions& options)
    : options_(options),
      opened_(open_model(options.model, options.as)),
      tokenizer_(Tokenizer::from_directory(opened_.directory)),
      ends_(end_ids(opened_, tokenizer_)) {}

// The chat template has its special tokens itself.
std::vector<int32_t> TextMaker::chat_ids(const std::string& prompt) const {
  const std::optional<ModelChat> chat = ModelChat::from_directory(opened_.directory);
  if (!chat) throw Error(ErrorKind::kBadInput, "[generate] the model has no chat template; leave --chat out");
  Json messages = Json::array();
  if (!options_.system.empty()) messages.push_back(Json::Object{{"role", "system"}, {"content", options_.system}});
  messages.push_back(Json::Object{{"role", "user"}, {"content", prompt}});
  return tokenizer_.encode(chat->render(messages, Json(), {.add_generation_prompt = true, .today = true}),
                           Tokenizer::SpecialTokens::kNone);
}

std::vector<int32_t> TextMaker::ids_of(const std::string& prompt) const {
  std::vector<int32_t> ids =
      options_.chat ? chat_ids(prompt) : tokenizer_.encode(prompt, Tokenizer::SpecialTokens::kAdd);
  if (ids.empty()) throw Error(ErrorKind::kUsage, "[generate] the prompt gives no tokens; write some text");
  return ids;
}

void TextMaker::prepare(int64_t prompt_tokens, Listener& listener) {
  const int64_t capacity = prompt_tokens + options_.max_tokens;
  if (capacity > opened_.config.max_positions) {
    listener.on_warning(fmt::format("prompt and new tokens may reach {} positions, but the model was made for {}",
                                    capacity, opened_.config.max_positions));
  }
  const ComputeType compute = choose_compute(options_.compute, opened_.config_json).type;
  decoder_.reset();
  model_ = std::make_unique<Model>(opened_.config, *opened_.source, capacity, compute);
  const bool fits = bytes_of_blocks(*model_) <= available_memory_bytes() / 2;
  decoder_ =
      std::make_unique<Decoder>(*model_, capacity, fits ? Decoder::Blocks::kKeep : Decoder::Blocks::kReadEachTime);
}

GenerateResult TextMaker::make(std::vector<int32_t> prompt_ids, Listener& listener) {
  const Stopwatch watch;
  GenerateResult result;
  result.prompt_ids = std::move(prompt_ids);
  Rng rng(options_.seed);
  decoder_->forget();
  std::vector<float> logits = decoder_->next_logits(result.prompt_ids);
  size_t told = 0;
  result.stop = "length";
  while (static_cast<int64_t>(result.ids.size()) < options_.max_tokens) {
    if (listener.stop_requested()) throw Error(ErrorKind::kInterrupted, "[generate] stopped on request");
    const int32_t id = sample_token(logits, {options_.temperature, options_.top_p}, rng);
    if (ends_.count(id) != 0) {
      result.stop = "end of text";
      break;
    }
    result.ids.push_back(id);
    result.text = tokenizer_.decode(result.ids, true);
    if (const size_t settled = settled_bytes(result.text); settled > told) {
      listener.on_text(std::string_view(result.text).substr(told, settled - told));
      told = settled;
    }
    const int32_t last = result.ids.back();
    if (static_cast<int64_t>(result.ids.size()) < options_.max_tokens) logits = decoder_->next_logits({&last, 1});
  }
  if (told < result.text.size()) listener.on_text(std::string_view(result.text).substr(told));
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
