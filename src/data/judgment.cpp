// What of the calibration's facts a user should act upon.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/statistics.h"

namespace hesse {
namespace {

// Bounds: measured texts of prose and code stay far below the shares, and repeated or padded ones far above.
constexpr double kMostPadding = 0.1;
constexpr double kMostRepeated = 0.1;
constexpr double kMostUnknown = 0.001;
constexpr double kMostOverlap = 0.01;
constexpr int64_t kTokensOfOneKind = 200;  // tokens a different one, from which on a text is called monotonous
constexpr double kMonotonousShare = 0.05;  // of the vocabulary, below which it is

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

void judge_size(const CalibrationFacts& facts, int64_t length, Findings& findings) {
  const char* const id = "calibration.tokens";
  if (facts.widest == 0) return;
  const std::string what = fmt::format("{} tokens for {} channels", facts.tokens, facts.widest);
  if (facts.tokens >= facts.widest) {
    findings.good(id, what + " of the widest linears");
    return;
  }
  const int64_t missing = facts.widest - facts.tokens;
  int64_t bytes = 0, tokens = 0;
  for (const TextFacts& file : facts.files) {
    bytes += file.bytes;
    tokens += file.tokens;
  }
  const double kilobytes = static_cast<double>(missing) * static_cast<double>(bytes) /
                           static_cast<double>(std::max<int64_t>(1, tokens)) / 1000;
  findings.warning(
      id, what,
      "the Hessian of the widest linears is rank-deficient and rests on its damping; more calibration text would help",
      fmt::format("take {} tokens more at least: {:.0f} kB of text like this in all files, and --samples {}", missing,
                  std::ceil(kilobytes), (facts.widest + length - 1) / length));
}

void judge_repeats(const CalibrationFacts& facts, Findings& findings) {
  const char* const id = "calibration.duplicates";
  if (facts.duplicate_sequences == 0 && facts.repeated <= kMostRepeated) return;
  findings.warning(id,
                   fmt::format("{} of {} windows are copies of another, and {} of the tokens stand in the text before",
                               facts.duplicate_sequences, facts.sequences, percent(facts.repeated)),
                   "what is said twice counts twice, and the Hessian knows less than the number of tokens says",
                   "remove repeated passages (licences, headers, the same document again) from the text");
}

void judge_tokens(const CalibrationFacts& facts, Findings& findings) {
  if (facts.padding > kMostPadding) {
    findings.warning("calibration.padding", fmt::format("{} of the tokens are padding", percent(facts.padding)),
                     "the solver would fit what the model does with padding", "remove the padding from the text");
  }
  if (facts.unknown > kMostUnknown) {
    findings.warning(
        "calibration.unknown",
        fmt::format("{} of the tokens stand for text that the tokenizer does not know", percent(facts.unknown)),
        "the model cannot have learnt such text", "take text in a language that the model was made for");
  }
  const std::string what =
      fmt::format("{} different tokens, {} of the vocabulary", facts.distinct_tokens, percent(facts.vocabulary_share));
  if (facts.distinct_tokens * kTokensOfOneKind < facts.tokens && facts.vocabulary_share < kMonotonousShare) {
    findings.warning("calibration.coverage", what, "the text says the same things over and over",
                     "mix texts of different kinds: prose, code, the languages that will be used");
  } else {
    findings.good("calibration.coverage", what);
  }
}

}  // namespace

void judge_calibration(const CalibrationFacts& facts, const std::vector<std::string>& notes, int64_t length,
                       Findings& findings) {
  for (const std::string& note : notes) {
    findings.warning("calibration.windows", note, "", "add text, or give a smaller --samples or --length");
  }
  judge_size(facts, length, findings);
  judge_repeats(facts, findings);
  judge_tokens(facts, findings);
}

void judge_reading(const Windows& windows, Findings& findings) {
  for (const std::string& what : windows.skipped) {
    findings.warning("calibration.skipped", what, "", "correct the line, or leave it out");
  }
  for (const std::string& what : windows.parts) findings.note("calibration.part", what, "", "");
}

void judge_overlap(double share, Findings& findings) {
  const char* const id = "calibration.overlap";
  const std::string what = fmt::format("{} of the evaluation text stand in the calibration text", percent(share));
  if (share > kMostOverlap) {
    findings.warning(id, what, "a result looks better on text that it was fitted to",
                     "evaluate on text that is not calibrated on");
  } else {
    findings.good(id, what);
  }
}

}  // namespace hesse
