#include <algorithm>
#include <cmath>
#include <filesystem>

#include "api/open_model.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "data/windows.h"
#include "eval/perplexity.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "model/compute.h"
#include "plan/work.h"

namespace hesse {

EvalResult evaluate(const EvalOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  const OpenModel opened = open_model(options.model, options.as);
  const Windows windows = evaluation_windows({options.text.begin(), options.text.end()}, opened.directory,
                                             {.length = options.window, .count = options.windows, .bos = options.bos});
  for (const std::string& note : windows.notes) listener.on_warning(note);
  require_ids_in_vocabulary(windows, opened.config.vocab);
  if (windows.length() > opened.config.max_positions) {
    listener.on_warning("the windows are longer than the positions that the model was made for");
  }
  // A measuring instrument: "auto" is not for it.
  const ComputeType compute = options.compute == "bf16" ? ComputeType::kBF16 : ComputeType::kF32;
  const Model model(opened.config, *opened.source, windows.length(), compute);
  const auto progress = [&](double share) {
    if (listener.stop_requested()) throw Error(ErrorKind::kInterrupted, "[eval] stopped on request");
    const double seconds = watch.seconds();
    listener.on_progress(
        {.what = "evaluating", .share = share, .seconds_left = share > 0 ? seconds / share - seconds : -1});
  };
  EvalResult result;
  result.flops = evaluation_work(opened.config, windows.count(), windows.length()).total();
  Likelihood sum;
  if (options.against.empty()) {
    sum = likelihood(model, windows, progress);
  } else {
    const OpenModel other = open_model(options.against, options.as);
    const Comparison both =
        compare_models(model, Model(other.config, *other.source, windows.length(), compute), windows, progress);
    const double predictions = static_cast<double>(both.model.predictions);
    sum = both.model;
    result.flops += evaluation_work(other.config, windows.count(), windows.length()).total();
    result.against = AgainstResult{.perplexity = std::exp(both.reference.nll / predictions),
                                   .kl = both.kl / predictions,
                                   .top1_agreement = static_cast<double>(both.same_top) / predictions};
  }
  result.mean_nll = sum.nll / static_cast<double>(sum.predictions);
  result.perplexity = std::exp(result.mean_nll);
  result.windows = windows.count();
  result.window = options.window;
  result.predictions = sum.predictions;
  result.seconds = watch.seconds();
  result.format = opened.format_name();
  result.compute = compute_name(compute);
  return result;
}

}  // namespace hesse
