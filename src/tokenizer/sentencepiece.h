// tokenizer.model: what sentencepiece writes, a protocol buffer of pieces with their scores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace hesse {

struct SentencePieceModel {
  enum class PieceType { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  enum class ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };
  std::vector<Piece> pieces;  // by id
  ModelType type = ModelType::kUnigram;
  bool byte_fallback = false;
  bool space_as_suffix = false;
  int64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;  // -1: there is none
  std::string character_map;                                // compiled; empty: text stays as it is
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Error(kBadInput) for bytes that are no such model, or one whose pieces cannot be: none, empty, twice, not UTF-8, or
// without an unknown piece.
SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where);

// The tokenizer.json that means the same. Its texts are cut as sentencepiece does; control and user-defined pieces are
// added tokens, as in the converters of transformers. Error(kBadInput) for models by words or characters, and for
// spaces as suffixes.
Json sentencepiece_as_json(const SentencePieceModel& model, const std::string& where);

// "bos_token", "eos_token", "unk_token" and "pad_token" as tokenizer_config.json would name them.
Json sentencepiece_special_tokens(const SentencePieceModel& model);

}  // namespace hesse
