// Which linears the run is about, and the result that it changes.
#include <filesystem>
#include <utility>

#include "api/prepare.h"
#include "hesse/error.h"
#include "io/staged_directory.h"
#include "plan/selection.h"

namespace hesse {

void prepare_selection(Prepared& prepared) {
  Job& job = prepared.job;
  const QuantizeOptions& options = job.options;
  if (job.model == nullptr || (options.layers.empty() && options.redo.empty())) return;
  const Advice advice = {"run.selection", "", "`hesse inspect` lists the linears of a model"};
  const bool selected = prepared.findings.attempt(
      advice, [&] { job.chosen = select_linears(stages_by_layer(job.model->config()), options.layers, options.redo); });
  if (!selected || options.redo.empty()) return;
  prepared.findings.attempt({"run.redo", "", "give OUT, MODEL and the options of the run that made the result"}, [&] {
    job.earlier.emplace(output_path(options.output), kRecordFile,
                        EarlierResult::Expected{*job.checkpoint, *job.format, job.spec});
  });
}

}  // namespace hesse
