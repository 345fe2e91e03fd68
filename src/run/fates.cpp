#include "run/fates.h"

#include <algorithm>

namespace hesse {
namespace {

bool any(const StageShape& stage, const Job& job, bool (*condition)(Fate)) {
  return std::any_of(stage.linears.begin(), stage.linears.end(),
                     [&](const LinearShape& linear) { return condition(fate_of(job, linear.name)); });
}

bool is_touched(Fate fate) { return fate != Fate::kLeave; }

}  // namespace

Fate fate_of(const Job& job, const std::string& linear) {
  if (job.chosen && job.chosen->count(linear) == 0)
    return job.earlier && job.earlier->holds(linear) ? Fate::kKeep : Fate::kLeave;
  if (job.skipped.count(linear) != 0) return Fate::kSkip;
  return choice_of(job, linear).skip ? Fate::kLeave : Fate::kSolve;
}

LinearSpec spec_in_result(const Job& job, const std::string& linear) {
  return fate_of(job, linear) == Fate::kKeep ? job.earlier->spec(linear) : choice_of(job, linear).spec;
}

StageParts parts_of(const Job& job) {
  StageParts parts;
  size_t layers = 0;     // to the last that is worked on
  bool changed = false;  // some linear so far may have other weights than the original's
  for (int64_t layer = 0; layer < layer_count(job); ++layer) {
    const std::vector<StageShape> stages = stages_of_layer(job, layer);
    // The streams part in front of a layer.
    changed = changed || std::any_of(stages.begin(), stages.end(),
                                     [&](const StageShape& stage) { return any(stage, job, is_touched); });
    parts.emplace_back();
    for (const StageShape& stage : stages) {
      const bool worked_on = any(stage, job, is_worked_on);
      parts.back().push_back(worked_on ? StagePart::kAll : changed ? StagePart::kForward : StagePart::kOneStream);
      if (worked_on) layers = parts.size();
    }
  }
  for (size_t layer = layers; layer < parts.size(); ++layer)
    std::fill(parts[layer].begin(), parts[layer].end(), StagePart::kNothing);
  return parts;
}

}  // namespace hesse
