// Rules about an evaluation: how much was lost, on which text, and in which blocks. The healthy runs are those of
// docs/QUALITY.md: the demo model, SmolLM2-135M and Gemma-3-270M.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "report/diagnosis.h"

namespace hesse {
namespace {

// Growth of the perplexity: above the first it is told, above the second it is a warning. The first are those of models
// of billions of parameters; the second lie above what the balanced preset loses on the smallest real model
// (docs/QUALITY.md, SmolLM2-135M: 9.5, 40 and 260 %).
struct PerplexityBounds {
  int bits;
  double note;
  double warning;
};
constexpr PerplexityBounds kPerplexity[] = {{8, 0.005, 0.02}, {4, 0.03, 0.12}, {3, 0.15, 0.5}, {2, 0.6, 3}};

// Jensen-Shannon divergence of the tokens, in nats, beyond what two halves of the calibration text have, and beyond
// what so few tokens of the evaluation make. With the tokenizers of SmolLM2 and of the demo model and 24,576 or 65,536
// tokens of calibration text, 16,384 tokens of prose of other sources (web, books, Wikipedia) have 0.00 to 0.10, of
// Python and C++ 0.10 to 0.25, of other scripts 0.16 to 0.53. Fewer are no more than a hint: 4,096 tokens of such prose
// have up to 0.28, of one text about one thing.
constexpr double kOtherText = 0.11, kOfOneToken = 90, kEnoughTokens = 16384;
// A block that alone causes so many times the mean share of the KL divergence.
constexpr double kCostlyBlock = 3;
constexpr size_t kNamedBlocks = 3;

std::string range(const std::optional<Interval>& interval, double factor = 1, double shift = 0) {
  if (!interval) return "";
  return fmt::format(" ({:.3g} to {:.3g})", factor * (interval->low + shift), factor * (interval->high + shift));
}

// What can still be changed, in the order of its cost.
std::string next_steps(const RunRecord& record) {
  const QuantizeOptions& o = record.options;
  std::vector<std::string> steps;
  if (o.preset == "fast" || o.preset == "classic") steps.push_back("--preset balanced");
  if (o.samples < 128) steps.push_back("--samples 128");
  if (o.group_size == -1 || o.group_size > 64) steps.push_back("--group-size 64");
  if (o.group_size == 64) steps.push_back("--group-size 32");
  if (o.preset == "balanced") steps.push_back("--preset best");
  if (!o.chooses_bits()) steps.push_back("--protect 5");
  if (o.symmetric) steps.push_back("--asym");
  if (o.bits < 4) steps.push_back(fmt::format("--bits {}", o.bits + 1));
  if (o.bits == 4) steps.push_back("--bits 8");
  return steps.empty() ? "" : fmt::format("in the order of their cost: {}", fmt::join(steps, ", "));
}

// "model.layers.3." of what its linears are called.
std::string prefix_of_layer(const RunRecord& record, int64_t layer) {
  const std::string number = fmt::format(".{}.", layer);
  for (const LinearRecord& linear : record.linears) {
    const size_t at = linear.layer == layer ? linear.name.find(number) : std::string::npos;
    if (at != std::string::npos) return linear.name.substr(0, at + number.size());
  }
  return fmt::format("*{}", number);
}

}  // namespace

Verdict judge_perplexity(const Patient& patient) {
  if (patient.evaluation == nullptr || !patient.evaluation->against) return {};
  const EvalResult& result = *patient.evaluation;
  const double before = result.against->perplexity, growth = result.perplexity / before - 1;
  const int bits = patient.record.options.bits;
  const auto* bounds = std::find_if(std::begin(kPerplexity), std::end(kPerplexity),
                                    [&](const PerplexityBounds& row) { return row.bits == bits; });
  if (bounds == std::end(kPerplexity)) return {};
  const Severity severity = !(growth <= bounds->warning) ? Severity::kWarning
                            : growth > bounds->note      ? Severity::kNote
                                                         : Severity::kGood;
  const std::string evidence = fmt::format(
      "perplexity {:.4g}{}, {:.4g} of the original: {:+.2g} %{}; KL {:.3g}{} nats a token, the same most likely "
      "token in {:.3g} %",
      result.perplexity, range(result.interval), before, 100 * growth, range(result.against->ratio_interval, 100, -1),
      result.against->kl, range(result.against->kl_interval), 100 * result.against->top1_agreement);
  if (severity == Severity::kGood) return {severity, "", evidence, ""};
  const double bound = severity == Severity::kWarning ? bounds->warning : bounds->note;
  return {severity, "", fmt::format("{}: growth above {:.3g} % at {} bits", evidence, 100 * bound, bits),
          next_steps(patient.record)};
}

Verdict judge_other_text(const Patient& patient) {
  if (patient.evaluation == nullptr || !patient.record.calibration) return {};
  const double distance = patient.evaluation->calibration_distance;
  const double halves = std::max(0.0, patient.record.calibration->token_halves);
  const double tokens =
      static_cast<double>(patient.evaluation->windows) * static_cast<double>(patient.evaluation->window);
  if (!(distance > kOtherText + halves + kOfOneToken / std::max(1.0, tokens))) return {};
  return {
      tokens < kEnoughTokens ? Severity::kNote : Severity::kWarning, "calibration",
      fmt::format("the text of the evaluation is of another kind or language than the calibration text: their tokens "
                  "are {:.2g} nats apart of {:.2g} at most, those of two halves of the calibration text {:.2g}",
                  distance, std::numbers::ln2, halves),
      "calibrate on text like that which the model is for, or on both: a second file behind --calib"};
}

Verdict judge_blocks_of_kl(const Patient& patient) {
  if (patient.evaluation == nullptr) return {};
  std::vector<BlockEffect> blocks = patient.evaluation->blocks;
  std::stable_sort(blocks.begin(), blocks.end(),
                   [](const BlockEffect& a, const BlockEffect& b) { return a.share > b.share; });
  const double bound = kCostlyBlock / static_cast<double>(std::max<size_t>(1, blocks.size()));
  if (blocks.empty() || !(blocks.front().share > bound)) return {};
  std::string named;
  const size_t count = std::min(kNamedBlocks, blocks.size());
  for (size_t i = 0; i < count; ++i)
    named += fmt::format("{}{:.3g} % by layer {}", i == 0 ? "" : ", ", 100 * blocks[i].share, blocks[i].layer);
  return {Severity::kNote, fmt::format("layer {}", blocks.front().layer),
          fmt::format("of the KL divergence is caused {}, of {} layers", named, blocks.size()),
          patient.record.options.bits < 8
              ? fmt::format("more bits there, by a rule of a recipe (docs/RECIPES.md) or by "
                            "--redo '{}*' --bits 8",
                            prefix_of_layer(patient.record, blocks.front().layer))
              : ""};
}

}  // namespace hesse
