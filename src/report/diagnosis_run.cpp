// Rules about the calibration text and the run as a whole. Every bound says where it comes from; the healthy runs are
// those of docs/QUALITY.md: the demo model, SmolLM2-135M and Gemma-3-270M.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/diagnosis.h"

namespace hesse {
namespace {

// Of ln(vocabulary): models on text they know stay below a half; shuffled tokens come to the whole and above.
constexpr double kMostOfUniform = 0.85;
// As in `hesse check`: measured texts of prose and code stay far below.
constexpr double kMostRepeated = 0.1, kMostPadding = 0.1, kMostUnknown = 0.001;
constexpr int64_t kTokensOfOneKind = 200;
constexpr double kMonotonousShare = 0.05;
// Median of effective rank / inputs: 0.7 and above in healthy runs, single linears down to 0.12.
constexpr double kLeastRank = 0.1;
// Held-out over fitted error: 1.0 to 1.1 in the median of healthy runs; above 1.5 in a quarter of the linears of
// SmolLM2 on 8,192 tokens, in more than a third of those of the demo model on 2,048.
constexpr double kHeldOutRatio = 1.5, kHeldOutShare = 1.0 / 3, kGoodRatio = 1.15;
// Experts share the text unevenly when all is well; a tenth of the mean share is not enough for a Hessian.
constexpr double kStarvingShare = 0.1;

std::string percent(double share) { return fmt::format("{:.3g} %", 100 * share); }

double vocabulary_nats(const RunRecord& record) {
  if (record.tokenizer_trial && record.tokenizer_trial->uniform > 0) return record.tokenizer_trial->uniform;
  if (!record.calibration || !(record.calibration->vocabulary_share > 0)) return 0;
  return std::log(static_cast<double>(record.calibration->distinct_tokens) / record.calibration->vocabulary_share);
}

}  // namespace

Verdict judge_tokenizer(const Patient& patient) {
  const char* const advice =
      "take tokenizer.json and the weights from the same place, and calibrate on text the model was made for";
  const double uniform = vocabulary_nats(patient.record);
  if (const auto& trial = patient.record.tokenizer_trial) {
    const double nll = trial->nll_bos >= 0 ? std::min(trial->nll, trial->nll_bos) : trial->nll;
    if (uniform > 0 && !(nll <= kMostOfUniform * uniform)) {
      return {Severity::kError, "tokenizer",
              fmt::format("before the run the model took {:.3g} nats a token on {} text, where knowing nothing gives "
                          "{:.3g}: it does not know these tokens",
                          nll, trial->text, uniform),
              advice};
    }
  }
  if (patient.evaluation == nullptr || !(uniform > 0)) return {};
  const auto& against = patient.evaluation->against;
  const double perplexity = against ? against->perplexity : patient.evaluation->perplexity;
  if (std::log(perplexity) <= kMostOfUniform * uniform) return {};
  return {Severity::kError, "tokenizer",
          fmt::format("the {} model has a perplexity of {:.3g} where knowing nothing gives {:.3g}: it does not know "
                      "these tokens",
                      against ? "original" : "quantized", perplexity, std::exp(uniform)),
          advice};
}

Verdict judge_repetition(const Patient& patient) {
  const char* const advice = "calibrate on mixed text (builtin:general is some), without copies, headers and licences";
  if (const auto& text = patient.record.calibration) {
    const bool monotonous =
        text->distinct_tokens * kTokensOfOneKind < text->tokens && text->vocabulary_share < kMonotonousShare;
    if (text->repeated > kMostRepeated || text->duplicate_sequences > 0 || monotonous) {
      return {Severity::kWarning, "calibration",
              fmt::format("{} different tokens in {}, {} of the text stands there before, {} of {} windows are copies: "
                          "the Hessians know less than the number of tokens says",
                          text->distinct_tokens, text->tokens, percent(text->repeated), text->duplicate_sequences,
                          text->sequences),
              advice};
    }
  }
  std::vector<double> ranks;
  for (const LinearRecord& linear : patient.record.linears) {
    if (linear.expert < 0 && linear.in > 0 && linear.tokens >= linear.in && linear.effective_rank > 0)
      ranks.push_back(static_cast<double>(linear.effective_rank) / static_cast<double>(linear.in));
  }
  if (ranks.empty() || median(ranks) >= kLeastRank) return {};
  return {Severity::kWarning, "calibration",
          fmt::format("in half of the linears the text moves less than {} of the inputs' directions: it says the same "
                      "things over and over",
                      percent(median(ranks))),
          advice};
}

Verdict judge_text(const Patient& patient) {
  const auto& text = patient.record.calibration;
  if (!text || (text->unknown <= kMostUnknown && text->padding <= kMostPadding)) return {};
  return {Severity::kWarning, "calibration",
          fmt::format("{} of the tokens stand for text that the tokenizer does not know, {} are padding",
                      percent(text->unknown), percent(text->padding)),
          "take text in languages that the model was made for, without padding"};
}

Verdict judge_held_out(const Patient& patient) {
  std::vector<double> high;
  const LinearRecord* worst = nullptr;
  double worst_ratio = 0;
  int64_t measured = 0;
  for (const LinearRecord& linear : patient.record.linears) {
    if (linear.expert >= 0 || !(linear.fit_error > 0) || !(linear.held_out_error >= 0)) continue;
    ++measured;
    const double ratio = linear.held_out_error / linear.fit_error;
    if (ratio <= kHeldOutRatio) continue;
    high.push_back(ratio);
    if (ratio <= worst_ratio) continue;
    worst_ratio = ratio;
    worst = &linear;
  }
  if (worst == nullptr) return {};
  const bool many = static_cast<double>(high.size()) > kHeldOutShare * static_cast<double>(measured);
  // What is lost for want of text falls as 1 / tokens.
  const double factor = std::max(1.0, (median(high) - 1) / (kGoodRatio - 1));
  const auto samples =
      static_cast<int64_t>(std::ceil(factor * static_cast<double>(patient.record.calibration_sequences)));
  return {
      many ? Severity::kWarning : Severity::kNote, worst->name,
      fmt::format("{} of {} linears lose over {} times as much on held-out text as on the text they were fitted to; "
                  "the worst {:.3g} % against {:.3g} %",
                  high.size(), measured, kHeldOutRatio, 100 * worst->held_out_error, 100 * worst->fit_error),
      fmt::format("more calibration text, about --samples {}{}", samples,
                  many ? "" : "; the other linears would gain little")};
}

Verdict judge_experts(const Patient& patient) {
  int64_t starving = 0, of = 0, least = -1;
  std::string place;
  for (const ExpertTokens& layer : expert_tokens(patient.record)) {
    double sum = 0;
    int64_t count = 0;
    for (const int64_t tokens : layer.tokens) {
      if (tokens < 0) continue;
      sum += static_cast<double>(tokens);
      ++count;
    }
    of += count;
    for (size_t expert = 0; expert < layer.tokens.size(); ++expert) {
      const int64_t tokens = layer.tokens[expert];
      if (tokens < 0 || static_cast<double>(tokens) * static_cast<double>(count) >= kStarvingShare * sum) continue;
      ++starving;
      if (least >= 0 && tokens >= least) continue;
      least = tokens;
      place = fmt::format("layer {}, expert {}", layer.layer, expert);
    }
  }
  if (starving == 0) return {};
  return {Severity::kWarning, place,
          fmt::format("{} of {} experts got less than a tenth of their share of the text; this one {} tokens", starving,
                      of, least),
          fmt::format("more and broader calibration text: --samples {}, another language or code beside it",
                      4 * std::max<int64_t>(1, patient.record.calibration_sequences))};
}

}  // namespace hesse
