// What the calibration windows are made of, and what is wrong with them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/findings.h"
#include "data/windows.h"
#include "hesse/types.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

// `pad`: the id of padding, -1 for none. `widest` and `overlap` are left to the caller.
CalibrationFacts describe_calibration(const Windows& windows, const Tokenizer& tokenizer, int64_t pad);

// How often the tokens of rows first ... first + count - 1 of the windows occur, BOS left out: 256 counts, by a hash of
// the id. What two texts have in common shows in them, what they say does not.
std::vector<int64_t> token_buckets(const Windows& windows, int64_t first, int64_t count);

// Share of the tokens of `text` that lie in a run of 32 that the windows have too.
double overlap_share(const Windows& windows, const std::vector<int32_t>& text);

// Scripts of the letters of valid UTF-8 and the digits, the most frequent first.
std::vector<ScriptShare> script_shares(std::string_view text);

// The sizes of sequences in buckets of powers of two; one bucket when all are equal.
std::vector<LengthBucket> length_buckets(const std::vector<int64_t>& lengths);

// What of it a user should act upon. `notes`: what the making of the windows had to say; `length`: tokens a window.
void judge_calibration(const CalibrationFacts& facts, const std::vector<std::string>& notes, int64_t length,
                       Findings& findings);
// Documents that were skipped, and sources that were not read whole.
void judge_reading(const Windows& windows, Findings& findings);
void judge_overlap(double share, Findings& findings);

}  // namespace hesse
