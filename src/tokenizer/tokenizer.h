// Text to token ids and back, as the file tokenizer.json says: equal to Hugging Face's `tokenizers`, id for id.
// A Tokenizer is immutable after loading; encode and decode may be called by several threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/text.h"

namespace hesse {

// A token and the stretch of the text that it stands for, in bytes and in characters (code points; the offsets of the
// reference). Of what is not in the text, as a BOS that was put in front, both are {0, 0}. Tokens that are parts of one
// character have the whole of it.
struct TokenPlace {
  int32_t id = -1;
  Span bytes;
  Span chars;
};

class Tokenizer {
 public:
  // Whether encode applies the file's post-processor (BOS and EOS templates).
  enum class SpecialTokens { kNone, kAdd };

  // Reads DIR/tokenizer.json and, when there, DIR/tokenizer_config.json. Error(kBadInput) when missing, damaged, or
  // when a component is of a type that Hesse does not know: it is named, never skipped.
  static Tokenizer from_directory(const std::filesystem::path& directory);
  // The same from parsed JSON; `tokenizer_config` may be null.
  static Tokenizer from_json(const Json& tokenizer, const Json& tokenizer_config, const std::string& where);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // `text` must be valid UTF-8, else Error(kBadInput) naming the byte offset.
  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const;
  // The ids of encode() and where they come from; for people to look at, many times slower.
  std::vector<TokenPlace> trace(std::string_view text, SpecialTokens special) const;
  // Ids that no token has vanish. An added token is printed as its content; tokenizers 0.23 prints it normalized.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;

  int32_t vocab_size() const;  // largest id + 1, added tokens included
  // Id of the token whose content is exactly `token`; -1 when there is none.
  int32_t token_id(std::string_view token) const;
  const std::string& token(int32_t id) const;  // its content in the file; empty for an unused id
  bool is_added(int32_t id) const;             // cut out of the text before the model sees it, as special tokens are
  // From tokenizer_config.json, -1 when null or absent. Never from config.json: Qwen names a BOS there and has none.
  int32_t bos_id() const;
  int32_t eos_id() const;
  int32_t pad_id() const;
  int32_t unk_id() const;
  // Whether encode(text, kAdd) puts bos_id() in front.
  bool adds_bos() const;
  // What encode(text, kAdd) puts in front; -1: nothing.
  int32_t first_id() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesse
