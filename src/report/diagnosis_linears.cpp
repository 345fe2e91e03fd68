// Rules about single linears, by themselves or against the same linear of neighbouring layers. The healthy runs are
// those of docs/QUALITY.md: the demo model, SmolLM2-135M and Gemma-3-270M.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "report/diagnosis.h"

namespace hesse {
namespace {

// Root mean square of weights over the median of the same linear in all layers: 0.27 to 1.98 in single linears of
// healthy models, 0.9 to 1.1 in the median of a layer.
constexpr double kLinearScale = 5, kLayerScale = 3;
// Relative error against the neighbours': up to 3.2 in healthy runs.
constexpr double kJump = 6;
// Largest over mean of diag(H) against the neighbours': up to 3.6 in healthy runs, but for what comes out of an MLP,
// where one channel of one or two early layers holds nearly all (massive activations).
constexpr double kOutlier = 8, kOutlierShare = 0.25;
// The field's bounds in AutoGPTQ's units (layers 1 to 3). Losses grow with the square of the activations: of Gemma they
// come to 10,000 when all is well, so the relative error has to agree.
constexpr double kEarlyLoss = 1;
constexpr int64_t kEarlyLayers = 3;
// Of linears whose damping was raised: a tenth is no longer an accident.
constexpr double kManyRaised = 0.1;
constexpr double kManyDead = 0.05;  // of the inputs; healthy runs have a few channels at most
constexpr double kNearOverflow = 3e4;

// Relative error that no healthy run comes near; at 4 bits that of rounding to nearest.
double high_error(int bits) {
  if (bits >= 8) return 0.003;
  return bits == 4 ? 0.03 : bits == 3 ? 0.12 : 0.4;
}

using Measure = double (*)(const LinearRecord&);

// The largest of measure / median of the same measure in up to two layers on either side.
struct Peak {
  const LinearRecord* linear = nullptr;
  double ratio = 0;
  double neighbours = 0;
};

Peak largest_jump(const Patient& patient, Measure measure, const std::function<bool(const LinearRecord&)>& counts) {
  Peak peak;
  for (const auto& [kind, linears] : patient.kinds) {
    const auto size = std::ssize(linears);
    for (int64_t i = 0; i < size; ++i) {
      const LinearRecord& linear = *linears[static_cast<size_t>(i)];
      std::vector<double> near;
      for (int64_t j = std::max<int64_t>(0, i - 2); j < std::min<int64_t>(size, i + 3); ++j) {
        const double value = measure(*linears[static_cast<size_t>(j)]);
        if (j != i && value > 0) near.push_back(value);
      }
      const double middle = median(near);
      if (near.size() < 2 || !(middle > 0) || !counts(linear)) continue;
      const double ratio = measure(linear) / middle;
      if (ratio > peak.ratio) peak = {&linear, ratio, middle};
    }
  }
  return peak;
}

// What comes out of the MLP's activation, by the names of the table of families.
bool reads_mlp(const LinearRecord& linear) {
  for (const char* name :
       {"down_proj", "fc2", "dense_4h_to_h", "fc_out", "w2", "mlp.c_proj", "ff_out", "output_linear"}) {
    if (linear.name.ends_with(name)) return true;
  }
  return false;
}

// The first linear that `is` holds for, and how many there are.
struct Count {
  const LinearRecord* first = nullptr;
  int64_t count = 0;
};

Count count_if(const Patient& patient, const std::function<bool(const LinearRecord&)>& is) {
  Count found;
  for (const LinearRecord& linear : patient.record.linears) {
    if (!is(linear)) continue;
    if (found.count++ == 0) found.first = &linear;
  }
  return found;
}

std::string of_all(const Patient& patient, const Count& found) {
  return fmt::format("{} of {} linears", found.count, patient.record.linears.size());
}

}  // namespace

Verdict judge_skipped(const Patient& patient) {
  const Count found = count_if(patient, [](const LinearRecord& l) { return l.status == LinearStatus::kSkipped; });
  if (found.count == 0) return {};
  return {Severity::kError, found.first->name,
          of_all(patient, found) + " have weights that are not finite and were left as they are",
          "fetch the weights again: such a model does not work before quantization either"};
}

Verdict judge_unsolved(const Patient& patient) {
  const Count found = count_if(patient, [](const LinearRecord& l) {
    return l.status == LinearStatus::kFallback || l.status == LinearStatus::kRoundingBetter;
  });
  if (found.count == 0) return {};
  return {Severity::kWarning, found.first->name, of_all(patient, found) + " were rounded to nearest, not solved",
          "--damp 0.1 and more calibration text; --redo solves these alone"};
}

// All linears of a layer together, then single ones.
Verdict judge_weight_scale(const Patient& patient) {
  const char* const advice =
      "compare the weight files with those of the source: fetch them again, check how they were "
      "converted or merged";
  std::map<int64_t, std::vector<double>> layers;
  const LinearRecord* single = nullptr;
  double single_ratio = 0;
  for (const auto& [kind, linears] : patient.kinds) {
    std::vector<double> all;
    for (const LinearRecord* linear : linears) {
      if (linear->weight_rms > 0) all.push_back(linear->weight_rms);
    }
    if (all.size() < 3) continue;
    const double middle = median(all);
    for (const LinearRecord* linear : linears) {
      if (!(linear->weight_rms > 0)) continue;
      const double ratio = linear->weight_rms / middle;
      layers[linear->layer].push_back(ratio);
      if (ratio <= single_ratio) continue;
      single = linear;
      single_ratio = ratio;
    }
  }
  for (const auto& [layer, ratios] : layers) {
    const double ratio = median(ratios);
    if (ratio < kLayerScale && ratio > 1 / kLayerScale) continue;
    return {Severity::kWarning, fmt::format("layer {}", layer),
            fmt::format("its weights are {:.3g} times as large as those of the same linears in other layers", ratio),
            advice};
  }
  if (single == nullptr || single_ratio < kLinearScale) return {};
  return {
      Severity::kWarning, single->name,
      fmt::format("its weights are {:.3g} times as large as those of the same linear in other layers", single_ratio),
      advice};
}

Verdict judge_activations(const Patient& patient) {
  const Count found = count_if(patient, [](const LinearRecord& l) { return l.tokens_left_out > 0; });
  if (found.count == 0) return {};
  return {Severity::kWarning, found.first->name,
          fmt::format("{} left out tokens with values that are not finite; here {} of {}", of_all(patient, found),
                      found.first->tokens_left_out, found.first->tokens_left_out + found.first->tokens),
          "look at what stands before this linear: weights, --compute f32"};
}

Verdict judge_overflow(const Patient& patient) {
  const LinearRecord* worst = nullptr;
  double largest = kNearOverflow;
  for (const LinearRecord& linear : patient.record.linears) {
    const double value = std::max(linear.largest_activation, linear.largest_output);
    if (!(value > largest)) continue;
    largest = value;
    worst = &linear;
  }
  if (worst == nullptr) return {};
  return {Severity::kWarning, worst->name, fmt::format("values reach {:.3g}, and float16 ends at 65504", largest),
          "serve the result as bfloat16, or leave this layer in 16 bit (--layers)"};
}

Verdict judge_early_loss(const Patient& patient) {
  const LinearRecord* worst = nullptr;
  for (const LinearRecord& linear : patient.record.linears) {
    const bool high = linear.expert < 0 && linear.layer < kEarlyLayers && linear.loss > kEarlyLoss &&
                      linear.relative_error > high_error(linear.bits);
    if (high && (worst == nullptr || linear.relative_error > worst->relative_error)) worst = &linear;
  }
  if (worst == nullptr) return {};
  return {
      Severity::kWarning, worst->name,
      fmt::format("a loss of {:.3g} in layer {}, where 0.05 is usual and {} too much, and {:.3g} % of its output, "
                  "where {:.3g} % is much",
                  worst->loss, worst->layer, kEarlyLoss, 100 * worst->relative_error, 100 * high_error(worst->bits)),
      "suspect the tokenizer and the calibration text first: `hesse check MODEL --calib ...`"};
}

Verdict judge_jumps(const Patient& patient) {
  const Peak peak = largest_jump(
      patient, [](const LinearRecord& l) { return l.relative_error; },
      [](const LinearRecord& l) { return l.relative_error > high_error(l.bits) / 3; });
  if (peak.ratio <= kJump) return {};
  const LinearRecord& l = *peak.linear;
  return {
      Severity::kWarning, l.name,
      fmt::format("loses {:.3g} % of its output, its neighbours {:.3g} % ({} tokens for {} inputs, condition {:.2g}, "
                  "{} dead channels)",
                  100 * l.relative_error, 100 * peak.neighbours, l.tokens, l.in, l.condition, l.dead_channels),
      "--redo with more samples or another --damp; if it stays, leave its layer in 16 bit (--layers)"};
}

Verdict judge_outliers(const Patient& patient) {
  const auto measure = [](const LinearRecord& l) { return l.peak_diagonal; };
  const auto concentrated = [](const LinearRecord& l) {
    return l.in > 0 && l.peak_diagonal > kOutlierShare * static_cast<double>(l.in);
  };
  const auto evidence = [](const Peak& peak) {
    return fmt::format(
        "one input channel carries {:.3g} % of all input energy, {:.2g} times what it does in the layers "
        "beside it",
        100 * peak.linear->peak_diagonal / static_cast<double>(peak.linear->in), peak.ratio);
  };
  const Peak peak =
      largest_jump(patient, measure, [&](const LinearRecord& l) { return concentrated(l) && !reads_mlp(l); });
  if (peak.ratio > kOutlier) {
    return {Severity::kWarning, peak.linear->name, evidence(peak),
            "look at the norm in front of it; --group-size 32 keeps its scale from the others', serve as bfloat16"};
  }
  const Peak massive =
      largest_jump(patient, measure, [&](const LinearRecord& l) { return concentrated(l) && reads_mlp(l); });
  if (massive.ratio <= kOutlier) return {};
  return {Severity::kNote, massive.linear->name, evidence(massive) + ": usual for an MLP's output in one or two layers",
          ""};
}

Verdict judge_few_tokens(const Patient& patient) {
  const Count found =
      count_if(patient, [](const LinearRecord& l) { return l.expert < 0 && l.tokens > 0 && l.tokens < l.in; });
  if (found.count == 0) return {};
  int64_t widest = 0;
  for (const LinearRecord& linear : patient.record.linears) widest = std::max(widest, linear.in);
  const int64_t length = std::max<int64_t>(1, patient.record.options.length);
  return {Severity::kWarning, found.first->name,
          fmt::format("{} have fewer tokens than inputs; here {} for {}", of_all(patient, found), found.first->tokens,
                      found.first->in),
          fmt::format("--samples {} at least, ten times that is better", (widest + length - 1) / length)};
}

Verdict judge_damping(const Patient& patient) {
  const Count found = count_if(patient, [](const LinearRecord& l) {
    return l.status == LinearStatus::kDampingRaised || l.status == LinearStatus::kEigenvalueFloor;
  });
  if (found.count == 0) return {};
  const bool many = static_cast<double>(found.count) > kManyRaised * static_cast<double>(patient.record.linears.size());
  return {many ? Severity::kWarning : Severity::kNote, found.first->name,
          fmt::format("{} had a Hessian without a factor at first; damping was raised, here to {:.3g}",
                      of_all(patient, found), found.first->damping),
          "more calibration text of other kinds, without repetitions"};
}

Verdict judge_channels(const Patient& patient) {
  const LinearRecord* worst = nullptr;
  double share = 0;
  for (const LinearRecord& linear : patient.record.linears) {
    const double dead =
        static_cast<double>(linear.dead_channels) / static_cast<double>(std::max<int64_t>(1, linear.in));
    if (linear.expert >= 0 || dead <= share) continue;
    share = dead;
    worst = &linear;
  }
  if (share <= kManyDead) return {};
  return {Severity::kNote, worst->name,
          fmt::format("{} of {} inputs were zero in every token; their weights are rounded to nearest",
                      worst->dead_channels, worst->in),
          "broader calibration text, unless the model was pruned"};
}

Verdict judge_blocks(const Patient& patient) {
  const Count found = count_if(patient, [](const LinearRecord& l) { return l.hessian_blocks > 1; });
  if (found.count == 0) return {};
  return {Severity::kNote, found.first->name,
          fmt::format("{} have a Hessian cut into blocks, here {}, for want of memory", of_all(patient, found),
                      found.first->hessian_blocks),
          "--hessian-memory gives them more"};
}

// Growth with depth is what users ask about first.
Verdict judge_growth(const Patient& patient) {
  std::map<int64_t, double> losses;
  for (const LinearRecord& linear : patient.record.linears) {
    if (linear.loss >= 0 && linear.expert < 0) losses[linear.layer] += linear.loss;
  }
  if (losses.size() < 4) return {};
  const double first = losses.begin()->second, last = losses.rbegin()->second;
  if (!(first > 0) || !(last > first)) return {};
  return {
      Severity::kGood, "",
      fmt::format("the summed loss grows from {:.3g} in layer {} to {:.3g} in layer {}: as always, since activations "
                  "grow with depth",
                  first, losses.begin()->first, last, losses.rbegin()->first),
      ""};
}

}  // namespace hesse
