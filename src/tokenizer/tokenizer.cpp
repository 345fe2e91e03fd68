#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/component.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/piece_cache.h"
#include "tokenizer/postprocessor.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

const Json kNull;

const Json& member(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value == nullptr ? kNull : *value;
}

const Json& bpe_part(const Json& tokenizer, const std::string& where) {
  const Component model{Component{tokenizer, where}.required("model"), where + ": model"};
  // Files of before 2020 have no type; theirs is BPE when there are merges.
  const std::string type = model.optional_string("type");
  if (type != "BPE" && !(type.empty() && model.json.find("merges") != nullptr)) {
    model.refuse(fmt::format("the model '{}' is not supported, only BPE is", type));
  }
  return model.json;
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<BpeModel> model;
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<PreTokenizer> pretokenizer;
  std::unique_ptr<PostProcessor> postprocessor;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added;
  int32_t next_added_id = 0;
  int32_t vocab_size = 0;
  int32_t bos_id = -1;
  int32_t eos_id = -1;
  int32_t pad_id = -1;
  int32_t unk_id = -1;
  std::string where;

  void add_token(AddedToken token, int64_t id_in_file);
  void read_tokens(const Json& tokenizer, const Json& config);
  int32_t id_of(std::string_view content) const;
  const std::string& content_of(int32_t id) const;
  void encode_text(std::string text, bool starts_input, PieceCache& cache, std::vector<int32_t>& ids) const;
};

// An added token that the model does not know gets the next free id. Files agree with that; one that does not would
// silently shift every id behind it.
void Tokenizer::Impl::add_token(AddedToken token, int64_t id_in_file) {
  if (token.content.empty()) return;
  int32_t id = id_of(token.content);
  const bool is_new = id < 0;
  if (is_new) id = next_added_id;
  if (id_in_file >= 0 && id_in_file != id) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: the added token '{}' has id {} in the file, but by its place it gets {}; "
                            "are tokens missing before it?",
                            where, token.content, id_in_file, id));
  }
  if (is_new && !model->vocabulary().token(id).empty()) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: the added token '{}' gets id {}, which is taken by '{}'", where,
                            token.content, id, model->vocabulary().token(id)));
  }
  token.id = id;
  next_added_id = std::max(next_added_id, id + 1);
  vocab_size = std::max(vocab_size, id + 1);
  added.set(std::move(token));
}

void Tokenizer::Impl::read_tokens(const Json& tokenizer, const Json& config) {
  next_added_id = model->vocabulary().entries();
  vocab_size = model->vocabulary().size();
  if (!member(tokenizer, "added_tokens").is_null()) {
    for_each_component({tokenizer, where}, "added_tokens", [&](const Component& entry) {
      const int64_t id = entry.required("id").as_int(entry.where + ".id");
      if (id < 0) entry.refuse(fmt::format("the id {} is negative", id));
      add_token(read_added_token(entry.json, entry.where), id);
    });
  }
  for (AddedToken& token : configured_tokens(config, where)) {
    const AddedToken* known = added.by_content(token.content);
    const int32_t id = token.id;
    if (known != nullptr && (id < 0 || known->same_flags(token))) continue;
    add_token(std::move(token), id);
  }
}

int32_t Tokenizer::Impl::id_of(std::string_view content) const {
  if (content.empty()) return -1;
  const AddedToken* token = added.by_content(content);
  return token != nullptr ? token->id : model->vocabulary().find(content);
}

const std::string& Tokenizer::Impl::content_of(int32_t id) const {
  const AddedToken* token = added.by_id(id);
  return token != nullptr ? token->content : model->vocabulary().token(id);
}

void Tokenizer::Impl::encode_text(std::string text, bool starts_input, PieceCache& cache,
                                  std::vector<int32_t>& ids) const {
  if (normalizer != nullptr) text = normalizer->apply(std::move(text));
  for (const Segment& segment : added.split(text, true)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
      continue;
    }
    Pieces pieces(text.substr(segment.begin, segment.end - segment.begin), starts_input && segment.begin == 0);
    if (pretokenizer != nullptr) pretokenizer->apply(pieces);
    for (const Span& span : pieces.spans) cache.encode(pieces.view(span), ids);
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::from_directory(const std::filesystem::path& directory) {
  const auto path = directory / "tokenizer.json";
  const Json tokenizer = Json::parse(read_text_file(path), path.string());
  Json config;
  if (const auto file = directory / "tokenizer_config.json"; std::filesystem::exists(file)) {
    config = Json::parse(read_text_file(file), file.string());
  }
  // Old checkpoints keep the special tokens in a file of their own.
  const auto legacy = directory / "special_tokens_map.json";
  if (config.is_object() && config.find("added_tokens_decoder") == nullptr && std::filesystem::exists(legacy)) {
    const Json map = Json::parse(read_text_file(legacy), legacy.string());
    for (const auto& [key, value] : map.as_object(legacy.string())) config.set(key, value);
  }
  return from_json(tokenizer, config, path.string());
}

Tokenizer Tokenizer::from_json(const Json& tokenizer, const Json& tokenizer_config, const std::string& where) {
  auto impl = std::make_unique<Impl>();
  impl->where = where;
  (void)tokenizer.as_object(where);
  impl->model = std::make_unique<BpeModel>(bpe_part(tokenizer, where), where + ": model");
  impl->normalizer = read_normalizer(member(tokenizer, "normalizer"), where + ": normalizer");
  const Json pretokenizer = with_prefix_space_rule(member(tokenizer, "pre_tokenizer"), tokenizer_config);
  impl->pretokenizer = read_pretokenizer(pretokenizer, where + ": pre_tokenizer");
  impl->read_tokens(tokenizer, tokenizer_config);
  impl->added.build(impl->normalizer.get());
  const auto known = [&](int64_t id) {
    return id >= 0 && id < impl->vocab_size && !impl->content_of(static_cast<int32_t>(id)).empty();
  };
  impl->postprocessor = read_postprocessor(member(tokenizer, "post_processor"), where + ": post_processor", known);
  impl->decoder = read_decoder(member(tokenizer, "decoder"), where + ": decoder");
  impl->bos_id = impl->id_of(special_token_content(tokenizer_config, "bos_token"));
  impl->eos_id = impl->id_of(special_token_content(tokenizer_config, "eos_token"));
  impl->pad_id = impl->id_of(special_token_content(tokenizer_config, "pad_token"));
  impl->unk_id = impl->id_of(special_token_content(tokenizer_config, "unk_token"));
  return Tokenizer(std::move(impl));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (const size_t offset = first_invalid_utf8(text); offset != kNoOffset) {
    throw Error(
        ErrorKind::kBadInput,
        fmt::format("[tokenizer] text: byte {} of {} is not valid UTF-8; convert the text first", offset, text.size()));
  }
  std::vector<int32_t> ids;
  PieceCache cache(*impl_->model);
  for (const Segment& segment : impl_->added.split(text, false)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      impl_->encode_text(std::string(text.substr(segment.begin, segment.end - segment.begin)), segment.begin == 0,
                         cache, ids);
    }
  }
  if (special == SpecialTokens::kAdd && impl_->postprocessor != nullptr)
    return impl_->postprocessor->apply(std::move(ids));
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    const std::string& content = impl_->content_of(id);
    if (content.empty()) continue;
    const AddedToken* token = impl_->added.by_content(content);
    if (skip_special_tokens && token != nullptr && token->special) continue;
    tokens.push_back(content);
  }
  const bool spaced = impl_->decoder == nullptr;
  if (!spaced) tokens = impl_->decoder->apply(std::move(tokens));
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (spaced && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

int32_t Tokenizer::vocab_size() const { return impl_->vocab_size; }
int32_t Tokenizer::token_id(std::string_view token) const { return impl_->id_of(token); }
const std::string& Tokenizer::token(int32_t id) const { return impl_->content_of(id); }
int32_t Tokenizer::bos_id() const { return impl_->bos_id; }
int32_t Tokenizer::eos_id() const { return impl_->eos_id; }

int32_t Tokenizer::pad_id() const { return impl_->pad_id; }
int32_t Tokenizer::unk_id() const { return impl_->unk_id; }
bool Tokenizer::is_added(int32_t id) const { return impl_->added.by_id(id) != nullptr; }
bool Tokenizer::adds_bos() const { return bos_id() >= 0 && first_id() == bos_id(); }

int32_t Tokenizer::first_id() const {
  if (impl_->postprocessor == nullptr) return -1;
  const std::vector<int32_t> around = impl_->postprocessor->apply({-1});  // -1 stands for any text
  return around.empty() ? -1 : around[0];
}

}  // namespace hesse
