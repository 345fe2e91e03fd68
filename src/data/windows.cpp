#include "data/windows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "base/sha256.h"
#include "base/threads.h"
#include "data/special_tokens.h"
#include "hesse/error.h"
#include "io/file.h"
#include "tokenizer/tokenizer.h"

namespace hesse {
namespace {

// The first `count` windows of `tokens`.
Windows cut(const std::vector<int32_t>& tokens, int64_t count, int64_t text_length, int32_t bos) {
  Windows windows;
  windows.bos = bos >= 0 ? 1 : 0;
  windows.ids = Matrix<int32_t>(count, text_length + windows.bos);
  for (int64_t i = 0; i < count; ++i) {
    int32_t* row = windows.ids.row(i);
    if (bos >= 0) *row++ = bos;
    std::copy_n(tokens.begin() + i * text_length, text_length, row);
  }
  return windows;
}

// Bytes of the text behind the first token of each window, or of all of it behind a BOS token. A character that is cut
// at an edge counts as the three bytes that stand for it.
int64_t predicted_bytes(const Windows& windows, const Tokenizer& tokenizer) {
  std::vector<int64_t> bytes(static_cast<size_t>(windows.count()), 0);
  parallel_for(windows.count(), [&](int64_t row) {
    const auto decoded = [&](int64_t tokens) {
      const std::span<const int32_t> ids(windows.ids.row(row) + windows.bos, static_cast<size_t>(tokens));
      return static_cast<int64_t>(tokenizer.decode(ids, false).size());
    };
    bytes[static_cast<size_t>(row)] = decoded(windows.length() - windows.bos) - (windows.bos != 0 ? 0 : decoded(1));
  });
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
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
  if (bos < 0) throw Error(ErrorKind::kUsage, "[bos] this tokenizer has no BOS token; give --bos never");
  return bos;
}

Windows evaluation_windows(const std::vector<std::filesystem::path>& files,
                           const std::filesystem::path& model_directory, const WindowOptions& options) {
  const Tokenizer tokenizer = Tokenizer::from_directory(model_directory);
  const int32_t bos = begins_with_bos(options.bos, model_directory, tokenizer) ? require_bos(tokenizer) : -1;
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
  Windows windows = cut(tokens, count, options.length, bos);
  if (count < options.count) {
    windows.notes.push_back(fmt::format("the text gives {} windows of {} tokens, not the {} asked for", count,
                                        options.length, options.count));
  }
  windows.predicted_bytes = predicted_bytes(windows, tokenizer);
  windows.text_sha256 = sha256_hex(text);
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
