#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hesse/error.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/component.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/piece_cache.h"
#include "tokenizer/postprocessor.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/tokenizer_files.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

const Json kNull;

const Json& member(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value == nullptr ? kNull : *value;
}

// Offsets in characters of the bytes 0 to size of `text`.
std::vector<size_t> char_offsets(std::string_view text) {
  std::vector<size_t> offsets(text.size() + 1);
  size_t count = 0;
  for (size_t end = 0; end < text.size(); ++count) {
    const size_t begin = end;
    (void)next_char(text, end);
    std::fill(offsets.begin() + static_cast<ptrdiff_t>(begin), offsets.begin() + static_cast<ptrdiff_t>(end), count);
  }
  offsets[text.size()] = count;
  return offsets;
}

void refuse_invalid_utf8(std::string_view text) {
  const size_t offset = first_invalid_utf8(text);
  if (offset == kNoOffset) return;
  throw Error(
      ErrorKind::kBadInput,
      fmt::format("[tokenizer] text: byte {} of {} is not valid UTF-8; convert the text first", offset, text.size()));
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<TokenModel> model;
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
  // `use_token(id, text, span)` for added tokens, `use_piece(pieces, span)` for what the model gets, in their order.
  template <class UseToken, class UsePiece>
  void cut(Text text, UseToken use_token, UsePiece use_piece) const;
  void trace_pieces(std::string_view text, std::vector<ModelToken>& tokens) const;
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

template <class UseToken, class UsePiece>
void Tokenizer::Impl::cut(Text text, UseToken use_token, UsePiece use_piece) const {
  if (normalizer != nullptr) text = normalizer->apply(std::move(text));
  for (const Segment& segment : added.split(text.bytes, true)) {
    const Span span{segment.begin, segment.end};
    if (segment.id >= 0) {
      use_token(segment.id, text, span);
      continue;
    }
    Pieces pieces(text.part(span));
    if (pretokenizer != nullptr) pretokenizer->apply(pieces);
    for (const Span& piece : pieces.spans) use_piece(pieces, piece);
  }
}

// The tokens with their places in bytes of `text`.
void Tokenizer::Impl::trace_pieces(std::string_view text, std::vector<ModelToken>& tokens) const {
  for (const Segment& segment : added.split(text, false)) {
    if (segment.id >= 0) {
      tokens.push_back({segment.id, {segment.begin, segment.end}});
      continue;
    }
    Text part = Text::traced_from(std::string(text.substr(segment.begin, segment.end - segment.begin)), segment.begin);
    cut(
        std::move(part),
        [&](int32_t id, const Text& all, const Span& span) {
          tokens.push_back({id, all.origin_of(span)});
        },
        [&](const Pieces& pieces, const Span& piece) {
          const size_t first = tokens.size();
          model->trace(pieces.view(piece), tokens);
          for (size_t i = first; i < tokens.size(); ++i) {
            Span& span = tokens[i].span;
            span = pieces.text.origin_of(
                {std::min(piece.begin + span.begin, piece.end), std::min(piece.begin + span.end, piece.end)});
          }
        });
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Tokenizer Tokenizer::from_directory(const std::filesystem::path& directory) {
  const TokenizerFiles files = read_tokenizer_files(directory);
  return from_json(files.tokenizer, files.config, files.where);
}

Tokenizer Tokenizer::from_json(const Json& tokenizer, const Json& tokenizer_config, const std::string& where) {
  auto impl = std::make_unique<Impl>();
  impl->where = where;
  (void)tokenizer.as_object(where);
  impl->model = read_model({Component{tokenizer, where}.required("model"), where + ": model"});
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
  refuse_invalid_utf8(text);
  std::vector<int32_t> ids;
  PieceCache cache(*impl_->model);
  for (const Segment& segment : impl_->added.split(text, false)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
      continue;
    }
    impl_->cut(
        Text(std::string(text.substr(segment.begin, segment.end - segment.begin)), segment.begin == 0),
        [&](int32_t id, const Text&, const Span&) { ids.push_back(id); },
        [&](const Pieces& pieces, const Span& piece) { cache.encode(pieces.view(piece), ids); });
  }
  if (special == SpecialTokens::kAdd && impl_->postprocessor != nullptr)
    return impl_->postprocessor->apply(std::move(ids));
  return ids;
}

std::vector<TokenPlace> Tokenizer::trace(std::string_view text, SpecialTokens special) const {
  refuse_invalid_utf8(text);
  std::vector<ModelToken> tokens;
  impl_->trace_pieces(text, tokens);
  const std::vector<size_t> chars = char_offsets(text);
  std::vector<PlacedToken> placed;
  for (const ModelToken& token : tokens) placed.push_back({token.id, {chars[token.span.begin], chars[token.span.end]}});
  if (impl_->postprocessor != nullptr) {
    impl_->postprocessor->trim(placed, [this](int32_t id) { return impl_->content_of(id); });
    if (special == SpecialTokens::kAdd) placed = impl_->postprocessor->apply(std::move(placed));
  }
  const auto byte_of = [&](size_t offset) {
    return static_cast<size_t>(std::lower_bound(chars.begin(), chars.end(), offset) - chars.begin());
  };
  std::vector<TokenPlace> places;
  for (const PlacedToken& token : placed)
    places.push_back({token.id, {byte_of(token.chars.begin), byte_of(token.chars.end)}, token.chars});
  return places;
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
  const std::vector<int32_t> around = impl_->postprocessor->apply(std::vector<int32_t>{-1});  // -1 stands for any text
  return around.empty() ? -1 : around[0];
}

}  // namespace hesse
