// Which linears the run is about, and the result that it changes.
#include <fmt/format.h>

#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "api/prepare.h"
#include "hesse/error.h"
#include "io/staged_directory.h"
#include "plan/recipe.h"
#include "plan/selection.h"
#include "run/fates.h"

namespace hesse {
namespace {

// Of a result that keeps linears of an earlier one: `linears` have one spec where engines or the format want it.
void require_one_spec(const Job& job, const std::vector<LinearShape>& linears, std::string_view why) {
  const LinearShape* first = nullptr;
  for (const LinearShape& linear : linears) {
    if (!is_packed(fate_of(job, linear.name))) continue;
    if (first == nullptr) first = &linear;
    const LinearSpec one = spec_in_result(job, first->name), other = spec_in_result(job, linear.name);
    if (one == other) continue;
    throw Error(ErrorKind::kUsage, fmt::format("[redo] '{}' would have {}, '{}' {}; {}", first->name, to_text(one),
                                               linear.name, to_text(other), why));
  }
}

void require_one_result(const Job& job) {
  const LayerStages stages = stages_by_layer(job.model->config());
  for (const std::vector<LinearShape>& unit : fusion_units(stages))
    require_one_spec(job, unit, "engines make one linear of them, so that they have to agree");
  if (job.format->mixes()) return;
  std::vector<LinearShape> all;
  for (const StageShape& stage : job.stages) all.insert(all.end(), stage.linears.begin(), stage.linears.end());
  require_one_spec(job, all, fmt::format("format {} has one bits and group size for all linears", job.format->name()));
}

}  // namespace

void prepare_selection(Prepared& prepared) {
  Job& job = prepared.job;
  const QuantizeOptions& options = job.options;
  if (job.model == nullptr || (options.layers.empty() && options.redo.empty())) return;
  const Advice advice = {"run.selection", "", "`hesse inspect` lists the linears of a model"};
  const bool selected = prepared.findings.attempt(
      advice, [&] { job.chosen = select_linears(stages_by_layer(job.model->config()), options.layers, options.redo); });
  if (!selected || options.redo.empty()) return;
  prepared.findings.attempt({"run.redo", "", "give OUT, MODEL and the options of the run that made the result"}, [&] {
    job.earlier.emplace(output_path(options.output), kRecordFile, EarlierResult::Expected{*job.source, *job.format});
    require_one_result(job);
  });
}

}  // namespace hesse
