#include "data/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "base/rng.h"
#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

// The start of every chosen window, in the order of choice.
struct Choice {
  const std::vector<int32_t>* tokens;
  int64_t first;
};

Windows gather(const std::vector<Choice>& choices, int64_t text_length, int32_t bos) {
  Windows windows;
  windows.bos = bos >= 0 ? 1 : 0;
  windows.ids = Matrix<int32_t>(static_cast<int64_t>(choices.size()), text_length + windows.bos);
  for (size_t i = 0; i < choices.size(); ++i) {
    int32_t* row = windows.ids.row(static_cast<int64_t>(i));
    if (bos >= 0) *row++ = bos;
    std::copy_n(choices[i].tokens->begin() + choices[i].first, text_length, row);
  }
  return windows;
}

}  // namespace

std::vector<int32_t> tokens_of(const std::string& text, const std::string& name, const Tokenizer& tokenizer) {
  try {
    return tokenizer.encode(text, Tokenizer::SpecialTokens::kNone);
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("[text] {}: {}", name, error.what()));
  }
}

int32_t require_bos(const Tokenizer& tokenizer) {
  const int32_t bos = tokenizer.bos_id();
  if (bos < 0) throw Error(ErrorKind::kUsage, "[bos] this tokenizer has no BOS token; leave --bos out");
  return bos;
}

Windows calibration_windows(const std::vector<std::filesystem::path>& files,
                            const std::filesystem::path& model_directory, const WindowOptions& options, uint64_t seed) {
  return calibration_windows(files, Tokenizer::from_directory(model_directory), options, seed);
}

Windows calibration_windows(const std::vector<std::filesystem::path>& files, const Tokenizer& tokenizer,
                            const WindowOptions& options, uint64_t seed) {
  const int32_t bos = options.bos ? require_bos(tokenizer) : -1;
  const int64_t text_length = options.length - (options.bos ? 1 : 0);
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<int64_t>> starts;  // of each file, shuffled
  std::vector<TextFacts> facts;
  for (size_t file = 0; file < files.size(); ++file) {
    const std::string name = files[file].filename().string();
    const std::string text = read_text_file(files[file]);
    tokens.push_back(tokens_of(text, name, tokenizer));
    const int64_t size = static_cast<int64_t>(tokens.back().size());
    facts.push_back({name, static_cast<int64_t>(text.size()), size});
    if (size < text_length) {
      throw Error(
          ErrorKind::kBadInput,
          fmt::format("[calibration] {} has {} tokens, fewer than one window of {}; give more text or a smaller "
                      "--length",
                      name, size, text_length));
    }
    std::vector<int64_t> own(static_cast<size_t>(size / text_length));
    for (size_t i = 0; i < own.size(); ++i) own[i] = static_cast<int64_t>(i) * text_length;
    Rng rng(seed + file);
    rng.shuffle(own);
    starts.push_back(std::move(own));
  }
  std::vector<Choice> choices;
  size_t longest = 0;
  for (const auto& own : starts) longest = std::max(longest, own.size());
  const size_t wanted = static_cast<size_t>(options.count);
  for (size_t turn = 0; turn < longest && choices.size() < wanted; ++turn) {
    for (size_t file = 0; file < starts.size() && choices.size() < wanted; ++file) {
      if (turn < starts[file].size()) choices.push_back({&tokens[file], starts[file][turn]});
    }
  }
  Windows windows = gather(choices, text_length, bos);
  windows.files = std::move(facts);
  if (choices.size() < wanted) {
    windows.notes.push_back(fmt::format("the calibration text gives {} windows of {} tokens, not the {} asked for",
                                        choices.size(), options.length, wanted));
  }
  return windows;
}

Windows evaluation_windows(const std::vector<std::filesystem::path>& files,
                           const std::filesystem::path& model_directory, const WindowOptions& options) {
  const Tokenizer tokenizer = Tokenizer::from_directory(model_directory);
  const int32_t bos = options.bos ? require_bos(tokenizer) : -1;
  std::string text;
  for (const auto& file : files) text += read_text_file(file);
  const std::vector<int32_t> tokens = tokens_of(text, files.front().filename().string(), tokenizer);
  const int64_t available = static_cast<int64_t>(tokens.size()) / options.length;
  if (available == 0) {
    throw Error(ErrorKind::kBadInput,
                fmt::format("[text] {} has {} tokens, fewer than one window of {}; give more text or "
                            "a smaller --window",
                            files.front().filename().string(), tokens.size(), options.length));
  }
  const int64_t count = options.count > 0 ? std::min(options.count, available) : available;
  std::vector<Choice> choices;
  for (int64_t i = 0; i < count; ++i) choices.push_back({&tokens, i * options.length});
  Windows windows = gather(choices, options.length, bos);
  if (count < options.count) {
    windows.notes.push_back(fmt::format("the text gives {} windows of {} tokens, not the {} asked for", count,
                                        options.length, options.count));
  }
  return windows;
}

void require_ids_in_vocabulary(const Windows& windows, int64_t vocab) {
  const int32_t* end = windows.ids.data() + windows.ids.size();
  const int32_t* outside = std::find_if(windows.ids.data(), end, [&](int32_t id) { return id >= vocab; });
  if (outside == end) return;
  throw Error(ErrorKind::kBadInput,
              fmt::format("[tokenizer] token id {} in the text, but the model has {} embeddings; does "
                          "this tokenizer belong to the model?",
                          *outside, vocab));
}

}  // namespace hesse
