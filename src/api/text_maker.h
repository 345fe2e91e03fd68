// Text after prompts, for generate() and compare().
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/open_model.h"
#include "eval/generate.h"
#include "hesse/events.h"
#include "hesse/options.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

class TextMaker {
 public:
  // Opens options.model; its weights are read by prepare().
  explicit TextMaker(const GenerateOptions& options);

  // The prompt as it is, or as a message of the user in the chat template. Error(kUsage) when it gives no tokens.
  std::vector<int32_t> ids_of(const std::string& prompt) const;
  // For prompts of so many tokens at most.
  void prepare(int64_t prompt_tokens, Listener& listener);
  // What follows; pieces go to listener.on_text.
  GenerateResult make(std::vector<int32_t> prompt_ids, Listener& listener);

  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  std::vector<int32_t> chat_ids(const std::string& prompt) const;

  GenerateOptions options_;
  OpenModel opened_;
  Tokenizer tokenizer_;
  std::set<int32_t> ends_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace hesse
