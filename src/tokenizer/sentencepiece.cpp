#include "tokenizer/sentencepiece.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_set>

#include "hesse/error.h"
#include "tokenizer/protobuf.h"
#include "tokenizer/unicode.h"

namespace hesse {
namespace {

using Model = SentencePieceModel;

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  throw Error(ErrorKind::kBadInput, fmt::format("[tokenizer] {}: {}", where, why));
}

template <class Enum>
Enum read_enum(const ProtobufReader& reader, int64_t last, const char* what) {
  const int64_t value = reader.integer();
  if (value < 1 || value > last)
    refuse(reader.where(), fmt::format("the {} {} is not known; they go from 1 to {}", what, value, last));
  return static_cast<Enum>(value);
}

// -1 and other negative numbers: there is none.
int64_t read_id(const ProtobufReader& reader) { return std::max<int64_t>(-1, reader.integer()); }

Model::Piece read_piece(ProtobufReader reader) {
  Model::Piece piece;
  while (reader.next()) {
    if (reader.field() == 1) piece.text = reader.bytes();
    if (reader.field() == 2) piece.score = reader.number();
    if (reader.field() == 3) piece.type = read_enum<Model::PieceType>(reader, 6, "type of piece");
  }
  return piece;
}

void read_trainer(ProtobufReader reader, Model& model) {
  while (reader.next()) {
    switch (reader.field()) {
      case 3:
        model.type = read_enum<Model::ModelType>(reader, 4, "type of model");
        break;
      case 24:
        model.space_as_suffix = reader.boolean();
        break;
      case 35:
        model.byte_fallback = reader.boolean();
        break;
      case 40:
        model.unk_id = read_id(reader);
        break;
      case 41:
        model.bos_id = read_id(reader);
        break;
      case 42:
        model.eos_id = read_id(reader);
        break;
      case 43:
        model.pad_id = read_id(reader);
        break;
      default:
        break;  // how it was trained
    }
  }
}

void read_normalizer(ProtobufReader reader, Model& model) {
  while (reader.next()) {
    if (reader.field() == 2) model.character_map = reader.bytes();
    if (reader.field() == 3) model.add_dummy_prefix = reader.boolean();
    if (reader.field() == 4) model.remove_extra_whitespaces = reader.boolean();
    if (reader.field() == 5) model.escape_whitespaces = reader.boolean();
  }
}

void check(Model& model, const std::string& where) {
  if (model.pieces.empty()) refuse(where, "there are no pieces; is this a sentencepiece model?");
  const auto count = static_cast<int64_t>(model.pieces.size());
  std::unordered_set<std::string_view> seen;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Model::Piece& piece = model.pieces[id];
    if (piece.text.empty()) refuse(where, fmt::format("piece {} of {} is empty", id, count));
    if (first_invalid_utf8(piece.text) != kNoOffset)
      refuse(where, fmt::format("piece {} of {} is not valid UTF-8", id, count));
    if (!seen.insert(piece.text).second) refuse(where, fmt::format("the piece '{}' is there twice", piece.text));
    if (!std::isfinite(piece.score)) refuse(where, fmt::format("the score of '{}' is not a number", piece.text));
    // The type is what sentencepiece goes by.
    if (piece.type == Model::PieceType::kUnknown) model.unk_id = static_cast<int64_t>(id);
  }
  if (model.unk_id < 0 || model.unk_id >= count ||
      model.pieces[static_cast<size_t>(model.unk_id)].type != Model::PieceType::kUnknown) {
    refuse(where, fmt::format("none of the {} pieces stands for unknown text", count));
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where) {
  Model model;
  ProtobufReader reader(bytes, where);
  while (reader.next()) {
    const auto inner = [&](const std::string& name) { return ProtobufReader(reader.bytes(), where + ": " + name); };
    if (reader.field() == 1) model.pieces.push_back(read_piece(inner(fmt::format("piece {}", model.pieces.size()))));
    if (reader.field() == 2) read_trainer(inner("trainer_spec"), model);
    if (reader.field() == 3) read_normalizer(inner("normalizer_spec"), model);
  }
  check(model, where);
  return model;
}

Json sentencepiece_special_tokens(const SentencePieceModel& model) {
  Json tokens = Json::object();
  const auto name = [&](const char* key, int64_t id) {
    if (id >= 0 && id < static_cast<int64_t>(model.pieces.size()))
      tokens.set(key, model.pieces[static_cast<size_t>(id)].text);
  };
  name("bos_token", model.bos_id);
  name("eos_token", model.eos_id);
  name("unk_token", model.unk_id);
  name("pad_token", model.pad_id);
  return tokens;
}

}  // namespace hesse
