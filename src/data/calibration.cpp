#include "data/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>

#include "base/rng.h"
#include "base/sha256.h"
#include "data/chat_template.h"
#include "data/documents.h"
#include "data/statistics.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr int64_t kBytesPerToken = 32;  // more than any tokenizer takes on average: text that is worth reading
constexpr size_t kShownTokens = 60;

// Documents into ids.
class Encoder {
 public:
  Encoder(const std::filesystem::path& directory, const Tokenizer& tokenizer)
      : directory_(directory), tokenizer_(tokenizer) {}

  // The template is read when the first conversation comes.
  void prepare(const Document& document) {
    if (document.kind != Document::Kind::kMessages || chat_) return;
    chat_ = ModelChat::from_directory(directory_);
    if (chat_) return;
    throw Error(ErrorKind::kBadInput,
                fmt::format("[calibration] {}: messages, but the model has no chat template; give its "
                            "chat_template.jinja, or the conversations as text",
                            document.where));
  }

  std::vector<int32_t> encode(Document& document) const {
    switch (document.kind) {
      case Document::Kind::kText:
        return tokens_of(document.text, document.where, tokenizer_);
      case Document::Kind::kMessages:
        return tokens_of(rendered(document), document.where, tokenizer_);
      case Document::Kind::kIds:
        break;
    }
    for (const int32_t id : document.ids) {
      if (id < tokenizer_.vocab_size()) continue;
      throw Error(ErrorKind::kBadInput, fmt::format("[calibration] {}: token {}, but the tokenizer has {}",
                                                    document.where, id, tokenizer_.vocab_size()));
    }
    return std::move(document.ids);
  }

 private:
  std::string rendered(const Document& document) const {
    try {
      return chat_->render(document.messages, document.tools, {});
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("[calibration] {}: {}", document.where, error.what()));
    }
  }

  const std::filesystem::path& directory_;
  const Tokenizer& tokenizer_;
  std::optional<ModelChat> chat_;
};

// The ids of a source, and where its documents end.
struct Pool {
  std::vector<int32_t> ids;
  std::vector<size_t> ends;
  SourceFacts source;
};

std::string digest_of(const Document& document) {
  Sha256 hash;
  const char kind = static_cast<char>('0' + static_cast<int>(document.kind));
  hash.update(&kind, 1);
  const std::string messages = document.messages.dump() + document.tools.dump();
  hash.update(messages.data(), messages.size());
  hash.update(document.text.data(), document.text.size());
  hash.update(document.ids.data(), document.ids.size() * sizeof(int32_t));
  return hash.bytes();
}

class Calibration {
 public:
  Calibration(const std::filesystem::path& directory, const Tokenizer& tokenizer, const CalibrationOptions& options)
      : tokenizer_(tokenizer), options_(options), encoder_(directory, tokenizer) {
    bos_ = options.bos ? require_bos(tokenizer) : -1;
    text_length_ = options.length - (options.bos ? 1 : 0);
    const double random = std::clamp(options.random_share, 0.0, 1.0) * static_cast<double>(options.count);
    random_ = static_cast<int64_t>(std::llround(random));
  }

  Windows make(const std::vector<std::string>& sources) {
    for (const std::string& word : sources) {
      pools_.push_back(read(parse_source(word)));
      starts_.push_back(starts_of(pools_.back(), starts_.size()));
    }
    choose(options_.count - random_);
    Windows windows = gather();
    for (size_t i = 0; i < pools_.size(); ++i) tell(i, windows);
    if (random_ > 0) add_random(windows);
    const int64_t made = windows.count();
    if (made < options_.count) {
      windows.notes.push_back(fmt::format("the calibration text gives {} windows of {} tokens, not the {} asked for",
                                          made, options_.length, options_.count));
    }
    return windows;
  }

 private:
  struct Choice {
    size_t source;
    size_t first;
  };

  Pool read(const CalibrationSource& source) {
    Pool pool;
    int64_t duplicates = 0;
    std::vector<int64_t> lengths;
    const auto take = [&](Document& document) {
      std::string digest = digest_of(document);
      if (seen_.count(digest) != 0) {
        ++duplicates;
        return;
      }
      const std::vector<int32_t> ids = encoder_.encode(document);
      seen_.insert(std::move(digest));
      pool.ids.insert(pool.ids.end(), ids.begin(), ids.end());
      pool.ends.push_back(pool.ids.size());
      lengths.push_back(static_cast<int64_t>(ids.size()));
    };
    const ReadingOptions reading = {
        .strict = options_.strict,
        .most_bytes = std::max(options_.most_bytes, kBytesPerToken * options_.count * options_.length)};
    pool.source = read_documents(source, reading, {[&](const Document& d) { encoder_.prepare(d); }, take});
    TextFacts& facts = pool.source.facts;
    facts.tokens = static_cast<int64_t>(pool.ids.size());
    facts.duplicates = duplicates;
    facts.lengths = length_buckets(lengths);
    return pool;
  }

  // Where a window of text may begin behind `at`: BOS that the text has itself gives way to the one of the window.
  size_t behind_bos(const Pool& pool, size_t at) const {
    return bos_ >= 0 && at < pool.ids.size() && pool.ids[at] == bos_ ? at + 1 : at;
  }

  void cut(const Pool& pool, size_t begin, size_t end, std::vector<size_t>& starts) const {
    const size_t length = static_cast<size_t>(text_length_);
    for (size_t at = behind_bos(pool, begin); at + length <= end; at = behind_bos(pool, at + length)) {
      starts.push_back(at);
    }
  }

  // Of all windows of a source, shuffled.
  std::vector<size_t> starts_of(const Pool& pool, size_t number) const {
    std::vector<size_t> starts;
    size_t begin = 0;
    for (const size_t end : pool.ends) {
      if (!options_.pack) cut(pool, begin, end, starts);
      begin = end;
    }
    if (options_.pack) cut(pool, 0, pool.ids.size(), starts);
    if (starts.empty()) refuse_short(pool);
    Rng rng(options_.seed + number);
    rng.shuffle(starts);
    return starts;
  }

  [[noreturn]] void refuse_short(const Pool& pool) const {
    const TextFacts& facts = pool.source.facts;
    const std::string copies =
        facts.duplicates > 0 ? fmt::format(" ({} documents stand elsewhere already)", facts.duplicates) : "";
    const std::string skipped = pool.source.skipped.empty() ? "" : fmt::format("; {}", pool.source.skipped.front());
    if (facts.tokens >= text_length_ && !options_.pack) {
      throw Error(ErrorKind::kBadInput,
                  fmt::format("[calibration] {}: none of {} documents has {} tokens, as many as a window; leave "
                              "--no-pack out or give a smaller --length",
                              facts.name, facts.documents, text_length_));
    }
    throw Error(
        ErrorKind::kBadInput,
        fmt::format("[calibration] {} has {} tokens{}, fewer than one window of {}; give more text or a smaller "
                    "--length{}",
                    facts.name, facts.tokens, copies, text_length_, skipped));
  }

  // The next window comes from the source that has had the smallest part of its due; of equals, the first.
  void choose(int64_t wanted) {
    std::vector<size_t> taken(pools_.size(), 0);
    while (static_cast<int64_t>(choices_.size()) < wanted) {
      size_t next = pools_.size();
      double least = 0;
      for (size_t i = 0; i < pools_.size(); ++i) {
        if (taken[i] == starts_[i].size()) continue;
        const double due = static_cast<double>(taken[i]) / pools_[i].source.facts.weight;
        if (next < pools_.size() && due >= least) continue;
        next = i;
        least = due;
      }
      if (next == pools_.size()) return;
      choices_.push_back({next, starts_[next][taken[next]++]});
      ++pools_[next].source.facts.windows;
    }
  }

  Windows gather() const {
    Windows windows;
    windows.bos = bos_ >= 0 ? 1 : 0;
    windows.ids = Matrix<int32_t>(static_cast<int64_t>(choices_.size()) + random_, options_.length);
    for (size_t i = 0; i < choices_.size(); ++i) {
      int32_t* row = windows.ids.row(static_cast<int64_t>(i));
      if (bos_ >= 0) *row++ = bos_;
      const auto& ids = pools_[choices_[i].source].ids;
      std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(choices_[i].first), text_length_, row);
    }
    return windows;
  }

  void tell(size_t i, Windows& windows) {
    SourceFacts& source = pools_[i].source;
    const auto begins = [&](const Choice& choice) { return choice.source == i; };
    const auto first = std::find_if(choices_.begin(), choices_.end(), begins);
    if (first != choices_.end()) source.facts.first_text = shown(windows, first - choices_.begin());
    windows.files.push_back(std::move(source.facts));
    for (std::string& note : source.skipped) windows.skipped.push_back(std::move(note));
    for (std::string& note : source.parts) windows.parts.push_back(std::move(note));
  }

  std::string shown(const Windows& windows, int64_t row) const {
    const size_t count = std::min(kShownTokens, static_cast<size_t>(windows.length()));
    return tokenizer_.decode(std::span(windows.ids.row(row), count), false);
  }

  // Any tokens of text, each as likely as the other.
  void add_random(Windows& windows) const {
    std::vector<int32_t> known;
    for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
      if (!tokenizer_.is_added(id) && !tokenizer_.token(id).empty()) known.push_back(id);
    }
    if (known.empty()) throw Error(ErrorKind::kBadInput, "[calibration] the tokenizer has no tokens but special ones");
    constexpr uint64_t kApart = 0x72616E646F6D;  // from the seeds of the sources
    Rng rng(options_.seed + kApart);
    TextFacts facts;
    facts.name = facts.kind = "random";
    facts.windows = random_;
    for (int64_t row = windows.count() - random_; row < windows.count(); ++row) {
      for (int64_t i = 0; i < windows.length(); ++i) {
        const bool first = i < windows.bos;
        windows.ids(row, i) = first ? bos_ : known[rng.below(known.size())];
      }
    }
    facts.tokens = random_ * text_length_;
    facts.first_text = shown(windows, windows.count() - random_);
    windows.files.push_back(std::move(facts));
  }

  const Tokenizer& tokenizer_;
  const CalibrationOptions& options_;
  Encoder encoder_;
  int32_t bos_ = -1;
  int64_t text_length_ = 0;
  int64_t random_ = 0;  // windows
  std::unordered_set<std::string> seen_;
  std::vector<Pool> pools_;
  std::vector<std::vector<size_t>> starts_;  // of each pool
  std::vector<Choice> choices_;
};

}  // namespace

Windows calibration_windows(const std::vector<std::string>& sources, const std::filesystem::path& model_directory,
                            const Tokenizer& tokenizer, const CalibrationOptions& options) {
  return Calibration(model_directory, tokenizer, options).make(sources);
}

}  // namespace hesse
