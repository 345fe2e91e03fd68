// A model of sentencepiece written as a tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "hesse/error.h"
#include "tokenizer/precompiled.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using Model = SentencePieceModel;

const std::string kSpaceMark = "\xE2\x96\x81";  // U+2581

struct MergeRow {
  std::string_view left, right;
  float score = 0;        // of what they make
  size_t left_chars = 0;  // longer left parts first, then longer right ones
  size_t right_chars = 0;
};

bool comes_first(const MergeRow& a, const MergeRow& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.left_chars != b.left_chars) return a.left_chars > b.left_chars;
  return a.right_chars > b.right_chars;
}

size_t count_chars(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) (void)next_char(text, i);
  return count;
}

// sentencepiece joins neighbours that together are a piece, the best score first. Those are merges, in that order.
Json merges_of(const Model& model) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < model.pieces.size(); ++id) ids.emplace(model.pieces[id].text, id);
  std::vector<MergeRow> rows;
  for (const Model::Piece& piece : model.pieces) {
    const std::string_view text = piece.text;
    const size_t chars = count_chars(text);
    size_t at = 0, left_chars = 0;
    const auto first = static_cast<ptrdiff_t>(rows.size());
    while (at < text.size()) {
      (void)next_char(text, at);
      ++left_chars;
      if (at < text.size() && ids.count(text.substr(0, at)) != 0 && ids.count(text.substr(at)) != 0)
        rows.push_back({text.substr(0, at), text.substr(at), piece.score, left_chars, chars - left_chars});
    }
    std::stable_sort(rows.begin() + first, rows.end(), [&](const MergeRow& a, const MergeRow& b) {
      return std::pair(ids[a.left], ids[a.right]) < std::pair(ids[b.left], ids[b.right]);
    });
  }
  std::stable_sort(rows.begin(), rows.end(), comes_first);
  Json::Array merges;
  for (const MergeRow& row : rows) merges.push_back(Json::Array{std::string(row.left), std::string(row.right)});
  return merges;
}

Json bpe_of(const Model& model) {
  Json::Object vocab;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    vocab.emplace_back(model.pieces[id].text, static_cast<int64_t>(id));
  return Json::Object{{"type", "BPE"},
                      {"unk_token", model.pieces[static_cast<size_t>(model.unk_id)].text},
                      {"fuse_unk", true},
                      {"byte_fallback", model.byte_fallback},
                      {"vocab", std::move(vocab)},
                      {"merges", merges_of(model)}};
}

Json unigram_of(const Model& model) {
  Json::Array vocab, unmatched;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Model::Piece& piece = model.pieces[id];
    vocab.push_back(Json::Array{piece.text, static_cast<double>(piece.score)});
    if (piece.type != Model::PieceType::kNormal && piece.type != Model::PieceType::kUserDefined)
      unmatched.push_back(static_cast<int64_t>(id));
  }
  return Json::Object{{"type", "Unigram"},
                      {"unk_id", model.unk_id},
                      {"byte_fallback", model.byte_fallback},
                      {"unmatched", std::move(unmatched)},
                      {"vocab", std::move(vocab)}};
}

Json replace(const char* kind, const std::string& pattern, const std::string& content) {
  return Json::Object{{"type", "Replace"}, {"pattern", Json::Object{{kind, pattern}}}, {"content", content}};
}

Json normalizer_of(const Model& model) {
  Json::Array parts;
  if (!model.character_map.empty()) {
    parts.push_back(Json::Object{
        {"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(model.character_map)}, {"longest", true}});
  }
  const std::string space = model.escape_whitespaces ? kSpaceMark : " ";
  if (model.remove_extra_whitespaces) {
    parts.push_back(replace("Regex", "\\A +", ""));
    parts.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.add_dummy_prefix) parts.push_back(Json::Object{{"type", "Prepend"}, {"prepend", space}});
  if (model.escape_whitespaces) parts.push_back(replace("String", " ", kSpaceMark));
  // A mark that the text itself has at its end goes with the spaces.
  if (model.remove_extra_whitespaces) parts.push_back(replace("Regex", space + "+\\z", ""));
  return Json::Object{{"type", "Sequence"}, {"normalizers", std::move(parts)}};
}

Json decoder_of(const Model& model) {
  Json::Array parts;
  parts.push_back(replace("String", kSpaceMark, " "));
  parts.push_back(Json::Object{{"type", "ByteFallback"}});
  parts.push_back(Json::Object{{"type", "Fuse"}});
  if (model.add_dummy_prefix)
    parts.push_back(Json::Object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return Json::Object{{"type", "Sequence"}, {"decoders", std::move(parts)}};
}

Json added_tokens_of(const Model& model) {
  Json::Array tokens;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Model::Piece& piece = model.pieces[id];
    const bool control = piece.type == Model::PieceType::kControl || piece.type == Model::PieceType::kUnknown;
    if (!control && piece.type != Model::PieceType::kUserDefined) continue;
    tokens.push_back(Json::Object{{"id", static_cast<int64_t>(id)},
                                  {"content", piece.text},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", control}});
  }
  return tokens;
}

}  // namespace

Json sentencepiece_as_json(const SentencePieceModel& model, const std::string& where) {
  const auto refuse = [&](const char* what) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[tokenizer] {}: {} are not supported; save the tokenizer as tokenizer.json", where, what));
  };
  if (model.type == Model::ModelType::kWord) refuse("models by words");
  if (model.type == Model::ModelType::kChar) refuse("models by characters");
  if (model.space_as_suffix) refuse("spaces as suffixes");
  return Json::Object{{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", added_tokens_of(model)},
                      {"normalizer", normalizer_of(model)},
                      {"pre_tokenizer", nullptr},
                      {"post_processor", nullptr},
                      {"decoder", decoder_of(model)},
                      {"model", model.type == Model::ModelType::kBpe ? bpe_of(model) : unigram_of(model)}};
}

}  // namespace hesse
