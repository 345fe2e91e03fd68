#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <string_view>
#include <vector>

#include "api/problems.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

TokenizedText with_places(const Tokenizer& tokenizer, const std::string& text, bool special) {
  TokenizedText result;
  result.text = text;
  for (const TokenPlace& place :
       tokenizer.trace(text, special ? Tokenizer::SpecialTokens::kAdd : Tokenizer::SpecialTokens::kNone)) {
    result.tokens.push_back({place.id, tokenizer.token(place.id), static_cast<int64_t>(place.bytes.begin),
                             static_cast<int64_t>(place.bytes.end), static_cast<int64_t>(place.chars.begin),
                             static_cast<int64_t>(place.chars.end)});
  }
  return result;
}

// "1 2,3": every id must be a token's.
std::vector<int32_t> read_ids(const Tokenizer& tokenizer, std::string_view text) {
  constexpr std::string_view kBetween = " ,\t\n[]";
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kBetween); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = -1;
    const auto read = std::from_chars(word.data(), word.data() + word.size(), id);
    if (read.ec != std::errc() || read.ptr != word.data() + word.size())
      throw Error(ErrorKind::kUsage, fmt::format("[tokenize] '{}' is no token id; ids are whole numbers", word));
    if (id < 0 || id >= tokenizer.vocab_size() || tokenizer.token(id).empty()) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("[tokenize] no token has the id {}; the largest is {}", id, tokenizer.vocab_size() - 1));
    }
    ids.push_back(id);
    at = text.find_first_not_of(kBetween, end);
  }
  return ids;
}

TokenizedText decoded(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  const std::vector<int32_t> ids = read_ids(tokenizer, options.decode);
  TokenizedText result;
  result.text = tokenizer.decode(ids, !options.special);
  for (const int32_t id : ids) result.tokens.push_back({id, tokenizer.token(id), 0, 0, 0, 0});
  return result;
}

}  // namespace

TokenizeResult tokenize(const TokenizeOptions& options) {
  require_no_problems(options);
  const Tokenizer tokenizer = Tokenizer::from_directory(options.model);
  TokenizeResult result;
  result.vocabulary = tokenizer.vocab_size();
  if (!options.decode.empty()) result.texts.push_back(decoded(tokenizer, options));
  if (!options.text.empty()) result.texts.push_back(with_places(tokenizer, options.text, options.special));
  for (const std::string& file : options.file) {
    result.texts.push_back(with_places(tokenizer, read_text_file(file), options.special));
    result.texts.back().name = std::filesystem::path(file).filename().string();
  }
  return result;
}

}  // namespace hesse
