#include "data/statistics.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>
#include <string>
#include <unordered_set>

#include "base/divergence.h"

namespace hesse {
namespace {

constexpr int64_t kRun = 32;                       // tokens that make a repetition more than an idiom
constexpr int64_t kMostTokens = int64_t{4} << 20;  // that are looked at: the hashes of all runs stay in memory
constexpr int64_t kShownTokens = 60;

using Row = std::span<const int32_t>;

// The tokens of a window that are text: without BOS.
Row text_of(const Windows& windows, int64_t row) {
  return {windows.ids.row(row) + windows.bos, static_cast<size_t>(windows.length() - windows.bos)};
}

int64_t rows_looked_at(const Windows& windows) {
  return std::min(windows.count(), std::max<int64_t>(1, kMostTokens / std::max<int64_t>(1, windows.length())));
}

// Calls visit(first, hash) for every run of kRun tokens: a polynomial in the ids, rolled along.
template <class Visit>
void for_each_run(Row ids, Visit visit) {
  constexpr uint64_t kBase = 0x9E3779B97F4A7C15u;
  uint64_t leaving = 1;  // kBase^kRun
  for (int64_t i = 0; i < kRun; ++i) leaving *= kBase;
  const auto value = [&](size_t i) { return static_cast<uint64_t>(static_cast<uint32_t>(ids[i])) + 1; };
  uint64_t hash = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    hash = hash * kBase + value(i);
    if (i >= kRun) hash -= leaving * value(i - kRun);
    if (i + 1 >= kRun) visit(i + 1 - kRun, hash);
  }
}

// Tokens in runs for which known(hash) holds.
template <class Known>
int64_t covered(Row ids, Known known) {
  int64_t count = 0;
  size_t reached = 0;
  for_each_run(ids, [&](size_t first, uint64_t hash) {
    if (!known(hash)) return;
    count += static_cast<int64_t>(first + kRun - std::max(reached, first));
    reached = first + kRun;
  });
  return count;
}

struct Counts {
  std::vector<int64_t> lengths;
  int64_t padding = 0;
  int64_t unknown = 0;
  std::unordered_set<int32_t> distinct;
};

Counts count_tokens(const Windows& windows, int64_t unk, int64_t pad) {
  Counts counts;
  for (int64_t row = 0; row < windows.count(); ++row) {
    int64_t text = 0;
    for (const int32_t id : text_of(windows, row)) {
      if (id == pad) {
        ++counts.padding;
        continue;
      }
      ++text;
      if (id == unk) ++counts.unknown;
      counts.distinct.insert(id);
    }
    counts.lengths.push_back(text);
  }
  return counts;
}

void count_repeats(const Windows& windows, CalibrationFacts& facts) {
  std::set<std::vector<int32_t>> rows;
  std::unordered_set<uint64_t> seen;
  int64_t repeated = 0, tokens = 0;
  for (int64_t row = 0; row < rows_looked_at(windows); ++row) {
    const Row ids = text_of(windows, row);
    if (!rows.emplace(ids.begin(), ids.end()).second) ++facts.duplicate_sequences;
    repeated += covered(ids, [&](uint64_t hash) { return !seen.insert(hash).second; });
    tokens += static_cast<int64_t>(ids.size());
  }
  facts.repeated = tokens > 0 ? static_cast<double>(repeated) / static_cast<double>(tokens) : 0;
}

struct Script {
  char32_t first, last;
  const char* name;
};
// The blocks that letters of a script mostly stand in; what none names is "other".
constexpr std::array<Script, 25> kScripts = {{
    {U'0', U'9', "digits"},         {U'A', U'Z', "Latin"},        {U'a', U'z', "Latin"},
    {0x00C0, 0x024F, "Latin"},      {0x0370, 0x03FF, "Greek"},    {0x0400, 0x052F, "Cyrillic"},
    {0x0530, 0x058F, "Armenian"},   {0x0590, 0x05FF, "Hebrew"},   {0x0600, 0x077F, "Arabic"},
    {0x0900, 0x097F, "Devanagari"}, {0x0980, 0x09FF, "Bengali"},  {0x0A00, 0x0D7F, "other Indic"},
    {0x0E00, 0x0E7F, "Thai"},       {0x10A0, 0x10FF, "Georgian"}, {0x1100, 0x11FF, "Hangul"},
    {0x1E00, 0x1EFF, "Latin"},      {0x1F00, 0x1FFF, "Greek"},    {0x3040, 0x30FF, "Kana"},
    {0x3400, 0x4DBF, "Han"},        {0x4E00, 0x9FFF, "Han"},      {0xAC00, 0xD7AF, "Hangul"},
    {0xF900, 0xFAFF, "Han"},        {0xFB50, 0xFDFF, "Arabic"},   {0xFE70, 0xFEFF, "Arabic"},
    {0x20000, 0x323AF, "Han"},
}};

// nullptr: spaces, punctuation, symbols.
const char* script_of(char32_t c) {
  for (const Script& script : kScripts) {
    if (c >= script.first && c <= script.last) return script.name;
  }
  const bool symbol = c < 0x00C0 || (c >= 0x2000 && c <= 0x2BFF) || (c >= 0x3000 && c <= 0x303F) || c == 0xFFFD ||
                      (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xFF00 && c <= 0xFF0F);
  return symbol ? nullptr : "other";
}

// The next code point of valid UTF-8, whose bytes are taken from `text`.
char32_t take_code_point(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t size = byte(0) < 0x80 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  char32_t c = size == 1 ? byte(0) : byte(0) & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size && i < text.size(); ++i) c = (c << 6) | (byte(i) & 0x3Fu);
  text.remove_prefix(std::min(size, text.size()));
  return c;
}

}  // namespace

std::vector<int64_t> token_buckets(const Windows& windows, int64_t first, int64_t count) {
  constexpr int kBits = 8;
  constexpr uint64_t kSpread = 0x9E3779B97F4A7C15u;  // 2^64 / the golden ratio: the top bits are mixed (Knuth)
  std::vector<int64_t> buckets(size_t{1} << kBits, 0);
  for (int64_t row = first; row < first + count; ++row) {
    for (const int32_t id : text_of(windows, row)) ++buckets[(static_cast<uint64_t>(id) * kSpread) >> (64 - kBits)];
  }
  return buckets;
}

std::vector<ScriptShare> script_shares(std::string_view text) {
  std::map<std::string_view, int64_t> counts;
  int64_t all = 0;
  while (!text.empty()) {
    const char* script = script_of(take_code_point(text));
    if (script == nullptr) continue;
    ++counts[script];
    ++all;
  }
  std::vector<ScriptShare> shares;
  for (const auto& [name, count] : counts) {
    shares.push_back({std::string(name), static_cast<double>(count) / static_cast<double>(all)});
  }
  std::stable_sort(shares.begin(), shares.end(), [](const auto& a, const auto& b) { return a.share > b.share; });
  return shares;
}

std::vector<LengthBucket> length_buckets(const std::vector<int64_t>& lengths) {
  if (lengths.empty()) return {};
  const auto [low, high] = std::minmax_element(lengths.begin(), lengths.end());
  std::map<int64_t, LengthBucket> buckets;  // by their lower end
  for (const int64_t length : lengths) {
    int64_t from = length > 0 ? 1 : 0;
    while (from > 0 && from * 2 <= length) from *= 2;
    LengthBucket& bucket = buckets[from];
    bucket.from = std::max(from, *low);
    bucket.to = std::min(from > 0 ? 2 * from - 1 : 0, *high);
    ++bucket.count;
  }
  std::vector<LengthBucket> result;
  for (const auto& [from, bucket] : buckets) result.push_back(bucket);
  return result;
}

double overlap_share(const Windows& windows, const std::vector<int32_t>& text) {
  std::unordered_set<uint64_t> seen;
  for (int64_t row = 0; row < rows_looked_at(windows); ++row) {
    for_each_run(text_of(windows, row), [&](size_t, uint64_t hash) { seen.insert(hash); });
  }
  if (text.empty()) return 0;
  const int64_t known = covered(text, [&](uint64_t hash) { return seen.count(hash) != 0; });
  return static_cast<double>(known) / static_cast<double>(text.size());
}

CalibrationFacts describe_calibration(const Windows& windows, const Tokenizer& tokenizer, int64_t pad) {
  CalibrationFacts facts;
  facts.files = windows.files;
  facts.sequences = windows.count();
  facts.tokens = windows.ids.size();
  const Counts counts = count_tokens(windows, tokenizer.unk_id(), pad);
  const double tokens = static_cast<double>(std::max<int64_t>(1, facts.tokens - windows.bos * windows.count()));
  facts.lengths = length_buckets(counts.lengths);
  facts.padding = static_cast<double>(counts.padding) / tokens;
  facts.unknown = static_cast<double>(counts.unknown) / tokens;
  facts.distinct_tokens = static_cast<int64_t>(counts.distinct.size());
  facts.vocabulary_share =
      static_cast<double>(facts.distinct_tokens) / std::max(1.0, static_cast<double>(tokenizer.vocab_size()));
  facts.token_buckets = token_buckets(windows, 0, windows.count());
  const int64_t half = windows.count() / 2;
  facts.token_halves =
      jensen_shannon(token_buckets(windows, 0, half), token_buckets(windows, half, windows.count() - half));
  count_repeats(windows, facts);
  std::string text;
  for (int64_t row = 0; row < rows_looked_at(windows); ++row) text += tokenizer.decode(text_of(windows, row), true);
  facts.scripts = script_shares(text);
  const int64_t shown = std::min(kShownTokens, windows.length());
  facts.first_ids.assign(windows.ids.row(0), windows.ids.row(0) + shown);
  facts.first_text = tokenizer.decode(facts.first_ids, false);
  return facts;
}

}  // namespace hesse
