// BOS, EOS and padding as four files tell them: config.json, generation_config.json, tokenizer_config.json and
// tokenizer.json. Which of them counts, and where they disagree.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/findings.h"
#include "hesse/types.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

// bos, eos and pad. BOS is the tokenizer's alone: Qwen and Falcon name one in config.json and have none. Text ends at
// every EOS that any file names.
std::vector<SpecialTokenFacts> read_special_tokens(const std::filesystem::path& directory, const Json& config,
                                                   const Tokenizer& tokenizer);

// What is wrong with them in a model of `vocab` embeddings (0: not known); `bos`: windows will begin with BOS.
struct SpecialTokenUse {
  int64_t vocab = 0;
  bool bos = false;
};
void check_special_tokens(const std::vector<SpecialTokenFacts>& tokens, const SpecialTokenUse& use, Findings& findings);

// Whether the model was made for texts that begin with BOS: the post-processor of tokenizer.json adds it; or the class
// of the tokenizer is one whose files leave it to 'add_bos_token' of tokenizer_config.json, and that says so.
bool expects_bos(const std::filesystem::path& directory, const Tokenizer& tokenizer);

// What --bos means here: "never", "always" (Error(kUsage) when there is no BOS token), or "auto": as expects_bos()
// says.
bool begins_with_bos(const std::string& rule, const std::filesystem::path& directory, const Tokenizer& tokenizer);

// Tokens that have no embedding, and embeddings that have no token.
void check_vocabulary(const Tokenizer& tokenizer, int64_t vocab, Findings& findings);

}  // namespace hesse
