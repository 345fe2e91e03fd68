#include "tokenizer/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

#include "tokenizer/unicode.h"

namespace hesse {
namespace {

constexpr int64_t kLargestPower = 308;  // of ten, in a double
constexpr double kUnknownPenalty = 10;  // below the score of the least likely token, for one unknown character

const Json::Array& entries_of(const Json& model, const std::string& where) {
  return Component{model, where}.array("vocab");
}

std::vector<std::string> tokens_of(const Json& model, const std::string& where) {
  std::vector<std::string> tokens;
  for (const Json& entry : entries_of(model, where)) {
    const std::string place = where + ".vocab";
    const Json::Array& pair = entry.as_array(place);
    if (pair.size() != 2) {
      Component{entry, place}.refuse(
          fmt::format("entry {} has {} parts; it must be a token and its score", tokens.size(), pair.size()));
    }
    tokens.push_back(pair[0].as_string(place));
  }
  return tokens;
}

double power_of_ten(int64_t exponent) { return std::strtod(fmt::format("1e{}", exponent).c_str(), nullptr); }

// A number of JSON as serde_json reads it for the tokenizers library (without its feature float_roundtrip): as many
// digits as an integer of 64 bits holds, then one product or quotient with a power of ten. That can be the neighbour of
// the nearest double, and where two ways have the same sum of scores it decides which of them is taken.
double score_of(const std::string& number) {
  uint64_t digits = 0;
  int64_t exponent = 0;
  bool full = false, fraction = false;
  size_t at = number.front() == '-' ? 1 : 0;
  for (; at < number.size() && number[at] != 'e' && number[at] != 'E'; ++at) {
    if (number[at] == '.') {
      fraction = true;
      continue;
    }
    const auto digit = static_cast<uint64_t>(number[at] - '0');
    full = full || digits > (std::numeric_limits<uint64_t>::max() - digit) / 10;
    if (!full) digits = digits * 10 + digit;
    if (full != fraction) exponent += full ? 1 : -1;
  }
  if (at < number.size()) exponent += std::strtoll(number.c_str() + at + 1, nullptr, 10);
  if (std::abs(exponent) > kLargestPower) return std::strtod(number.c_str(), nullptr);
  const auto whole = static_cast<double>(digits);
  const double value = exponent < 0 ? whole / power_of_ten(-exponent) : whole * power_of_ten(exponent);
  return number.front() == '-' ? -value : value;
}

std::vector<double> scores_of(const Json& model, const std::string& where) {
  std::vector<double> scores;
  for (const Json& entry : entries_of(model, where)) {
    const Json& score = entry.as_array(where)[1];
    scores.push_back(score.is_number() ? score_of(score.dump()) : score.as_double(where + ".vocab"));
  }
  return scores;
}

// "unmatched" is ours: what text never is, for a tokenizer.model that is read as a tokenizer.json.
PieceTrie trie_of(const Vocabulary& vocabulary, const Json& model, const std::string& where) {
  std::vector<bool> unmatched(static_cast<size_t>(vocabulary.size()), false);
  if (const Json* ids = model.find_value("unmatched")) {
    for (const Json& id : ids->as_array(where + ".unmatched")) {
      const int64_t value = id.as_int(where + ".unmatched");
      if (value >= 0 && value < vocabulary.size()) unmatched[static_cast<size_t>(value)] = true;
    }
  }
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!unmatched[static_cast<size_t>(id)]) entries.emplace_back(vocabulary.token(id), id);
  }
  return PieceTrie(std::move(entries));
}

// The best way to the end of a character: its last token begins at `begin`.
struct Node {
  double score = 0;
  uint32_t begin = kNone;
  int32_t id = -1;
  static constexpr uint32_t kNone = 0xFFFFFFFF;
};

}  // namespace

UnigramModel::UnigramModel(const Json& model, const std::string& where)
    : vocabulary_(tokens_of(model, where)),
      scores_(scores_of(model, where)),
      trie_(trie_of(vocabulary_, model, where)),
      byte_ids_(vocabulary_.byte_ids()),
      where_(where) {
  const Component component{model, where};
  if (const Json* id = model.find_value("unk_id")) {
    const int64_t value = id->as_int(where + ".unk_id");
    if (value < 0 || value >= vocabulary_.size())
      component.refuse(fmt::format("the unk_id is {}, but there are {} tokens", value, vocabulary_.size()));
    unk_id_ = static_cast<int32_t>(value);
  }
  byte_fallback_ = component.boolean("byte_fallback", false);
  if (!scores_.empty()) unk_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
}

int32_t UnigramModel::unknown_id(std::string_view text) const {
  if (unk_id_ < 0)
    Component{Json(), where_}.refuse(fmt::format("the text '{}' is not known, and there is no unk_id", text));
  return unk_id_;
}

std::vector<UnigramModel::Cut> UnigramModel::best_cuts(std::string_view piece) const {
  constexpr size_t kMaxPiece = Node::kNone - 1;
  if (piece.size() > kMaxPiece)
    Component{Json(), where_}.refuse(fmt::format("a piece of {} bytes; at most {} go", piece.size(), kMaxPiece));
  std::vector<Node> nodes(piece.size() + 1);
  for (size_t at = 0; at < piece.size();) {
    const double so_far = nodes[at].score;
    size_t next = at;
    (void)next_char(piece, next);
    bool single = false;
    const auto offer = [&](size_t end, double score, int32_t id) {
      Node& node = nodes[end];
      if (node.begin == Node::kNone || so_far + score > node.score)
        node = {so_far + score, static_cast<uint32_t>(at), id};
    };
    trie_.for_each_prefix(piece.substr(at), [&](size_t length, int32_t id) {
      offer(at + length, scores_[static_cast<size_t>(id)], id);
      single = single || at + length == next;
    });
    if (!single) offer(next, unk_score_, unk_id_ >= 0 ? unk_id_ : unknown_id(piece.substr(at, next - at)));
    at = next;
  }
  std::vector<Cut> cuts;
  for (size_t end = piece.size(); end > 0;) {
    const Node& node = nodes[end];
    const bool unknown = unk_id_ >= 0 && node.id == unk_id_;
    if (unknown && !cuts.empty() && cuts.back().unknown) {
      cuts.back().begin = node.begin;
    } else {
      cuts.push_back({node.begin, end, unknown});
    }
    end = node.begin;
  }
  std::reverse(cuts.begin(), cuts.end());
  return cuts;
}

// Unknown stretches that stand side by side are one, and may together be a token.
void UnigramModel::append(std::string_view piece, const Cut& cut, std::vector<ModelToken>& tokens) const {
  const std::string_view text = piece.substr(cut.begin, cut.end - cut.begin);
  const Span span{cut.begin, cut.end};
  if (const int32_t id = vocabulary_.find(text); id >= 0) {
    tokens.push_back({id, span});
    return;
  }
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) { return byte_id(c) >= 0; })) {
    for (const char byte : text) tokens.push_back({byte_id(byte), span});
    return;
  }
  tokens.push_back({unknown_id(text), span});
}

void UnigramModel::trace(std::string_view piece, std::vector<ModelToken>& tokens) const {
  for (const Cut& cut : best_cuts(piece)) append(piece, cut, tokens);
}

void UnigramModel::encode(std::string_view piece, std::vector<int32_t>& ids) const {
  std::vector<ModelToken> tokens;
  trace(piece, tokens);
  for (const ModelToken& token : tokens) ids.push_back(token.id);
}

}  // namespace hesse
