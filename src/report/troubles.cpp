// What was wrong with a linear or its data, by name.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hesse/events.h"

namespace hesse {
namespace {

constexpr double kNearOverflowLimit = 3e4;
constexpr double kMoreDataWouldHelp = 1.5;  // held-out error over fitted error

double largest(const LinearRecord& l) { return std::max(l.largest_activation, l.largest_output); }

struct Row {
  Trouble trouble;
  std::string_view name;
  bool (*applies)(const LinearRecord&);
  std::string (*text)(const LinearRecord&);
};

const std::array<Row, 16> kRows{{
    {Trouble::kFewTokens, "few-tokens", [](const LinearRecord& l) { return l.tokens > 0 && l.tokens < l.in; },
     [](const LinearRecord& l) {
       return fmt::format("{} tokens for {} channels: the Hessian rests on its damping; give more calibration text",
                          l.tokens, l.in);
     }},
    {Trouble::kMoreCalibration, "more-calibration",
     [](const LinearRecord& l) { return l.fit_error > 0 && l.held_out_error > kMoreDataWouldHelp * l.fit_error; },
     [](const LinearRecord& l) {
       return fmt::format(
           "error {:.3g} % on the text it was fitted to, {:.3g} % on held-out text: more calibration "
           "would help here",
           100 * l.fit_error, 100 * l.held_out_error);
     }},
    {Trouble::kDeadChannels, "dead-channels", [](const LinearRecord& l) { return l.dead_channels > 0; },
     [](const LinearRecord& l) {
       return fmt::format("{} of {} channels were zero in every token; their weights are rounded to nearest",
                          l.dead_channels, l.in);
     }},
    {Trouble::kDuplicateChannels, "duplicate-channels", [](const LinearRecord& l) { return l.duplicate_channels > 0; },
     [](const LinearRecord& l) {
       return fmt::format("{} of {} channels were equal to another in every token", l.duplicate_channels, l.in);
     }},
    {Trouble::kNonFiniteActivations, "nonfinite-activations",
     [](const LinearRecord& l) { return l.tokens_left_out > 0; },
     [](const LinearRecord& l) {
       return fmt::format("{} tokens were left out for values that are not finite, {} were used", l.tokens_left_out,
                          l.tokens);
     }},
    {Trouble::kNonFiniteWeights, "nonfinite-weights",
     [](const LinearRecord& l) { return l.status == LinearStatus::kSkipped; },
     [](const LinearRecord&) { return std::string("weights that are not finite; the linear was not quantized"); }},
    {Trouble::kNearOverflow, "near-fp16-overflow",
     [](const LinearRecord& l) { return largest(l) > kNearOverflowLimit; },
     [](const LinearRecord& l) {
       return fmt::format(
           "inputs reach {:.3g}, outputs {:.3g}, and float16 ends at 65504: serve as bfloat16 or keep this "
           "linear in 16 bit",
           l.largest_activation, l.largest_output);
     }},
    {Trouble::kScaleFloor, "scale-floor", [](const LinearRecord& l) { return l.floored_scales > 0; },
     [](const LinearRecord& l) {
       return fmt::format("{} groups have weights so small that their scale was raised to 1e-5", l.floored_scales);
     }},
    {Trouble::kBlockDiagonal, "block-diagonal", [](const LinearRecord& l) { return l.hessian_blocks > 1; },
     [](const LinearRecord& l) {
       return fmt::format(
           "the Hessian of {} channels does not fit the memory and was cut into {} diagonal blocks; "
           "--hessian-memory gives it more",
           l.in, l.hessian_blocks);
     }},
    {Trouble::kFailedFirstMinor, "failed-first-minor", [](const LinearRecord& l) { return l.failed_minor == 1; },
     [](const LinearRecord&) {
       return std::string("the factorization failed at its first minor: zero or not a number, so look upstream");
     }},
    {Trouble::kFailedLateMinor, "failed-late-minor", [](const LinearRecord& l) { return l.failed_minor > 1; },
     [](const LinearRecord& l) {
       return fmt::format("the factorization failed at minor {} of {}: too few or too similar tokens, or rounding",
                          l.failed_minor, l.in);
     }},
    {Trouble::kDampingRaised, "damping-raised",
     [](const LinearRecord& l) { return l.status == LinearStatus::kDampingRaised; },
     [](const LinearRecord& l) {
       return fmt::format("lambda was raised {} times, to {:.3g} of mean diag(H)", l.factorizations - 1, l.damping);
     }},
    {Trouble::kEigenvalueFloor, "eigenvalue-floor",
     [](const LinearRecord& l) { return l.status == LinearStatus::kEigenvalueFloor; },
     [](const LinearRecord& l) {
       return fmt::format("{} values of lambda gave no factor; small eigenvalues were raised instead",
                          l.factorizations);
     }},
    {Trouble::kRoundingBetter, "rounding-better",
     [](const LinearRecord& l) { return l.status == LinearStatus::kRoundingBetter; },
     [](const LinearRecord&) {
       return std::string("the solution lost more than rounding to nearest, which was taken");
     }},
    {Trouble::kUnreachedExpert, "unreached-expert",
     [](const LinearRecord& l) { return l.status == LinearStatus::kUnreached; },
     [](const LinearRecord&) {
       return std::string(
           "no token was sent to this expert; rounded to nearest with scales for tokens in general: give "
           "more or broader calibration text");
     }},
    {Trouble::kFallback, "fallback", [](const LinearRecord& l) { return l.status == LinearStatus::kFallback; },
     [](const LinearRecord&) { return std::string("the Hessian has no factor; rounded to nearest"); }},
}};

const Row& row_of(Trouble trouble) {
  return *std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.trouble == trouble; });
}

}  // namespace

std::string_view trouble_name(Trouble trouble) { return row_of(trouble).name; }

std::string trouble_text(Trouble trouble, const LinearRecord& linear) { return row_of(trouble).text(linear); }

std::vector<Trouble> troubles_of(const LinearRecord& linear) {
  std::vector<Trouble> found;
  for (const Row& row : kRows) {
    if (row.applies(linear)) found.push_back(row.trouble);
  }
  return found;
}

}  // namespace hesse
