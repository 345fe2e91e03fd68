#include "api/quantize_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "api/machine.h"
#include "api/plan.h"
#include "api/prepare.h"
#include "base/process.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/staged_directory.h"
#include "plan/selection.h"
#include "report/report.h"
#include "run/pipeline.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostWindows = 16;
constexpr double kLongestSeconds = 60;  // that windows are given up for; one always remains

// The first, the middle and the last layer of which something is chosen.
std::vector<int64_t> trial_layers(const LayerStages& stages, const std::optional<std::set<std::string>>& chosen) {
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < std::ssize(stages); ++layer) {
    bool any = !chosen;
    for (const StageShape& stage : stages[static_cast<size_t>(layer)]) {
      for (const LinearShape& linear : stage.linears) any = any || chosen->count(linear.name) != 0;
    }
    if (any) layers.push_back(layer);
  }
  const std::set<int64_t> three = {layers.front(), layers[layers.size() / 2], layers.back()};
  return {three.begin(), three.end()};
}

void choose_layers(Job& job, const std::vector<int64_t>& layers) {
  std::set<std::string> of_trial =
      select_linears(stages_by_layer(job.model->config()), fmt::format("{}", fmt::join(layers, ",")), {});
  if (job.chosen) std::erase_if(of_trial, [&](const std::string& name) { return job.chosen->count(name) == 0; });
  job.chosen = std::move(of_trial);
}

// `count` of them, from all over the text.
void take_some(Windows& windows, int64_t count) {
  Matrix<int32_t> some(count, windows.length());
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(windows.ids.row(i * windows.count() / count), windows.length(), some.row(i));
  windows.ids = std::move(some);
}

class Trial {
 public:
  Trial(Prepared prepared, Listener& listener)
      : job_(std::move(prepared.job)),
        calibration_(std::move(prepared.calibration)),
        trial_(std::move(prepared.trial)),
        shapes_(std::move(*prepared.shapes)),
        listener_(listener) {}

  RunRecord run(const Stopwatch& watch) {
    PlanRequest whole = plan_request(job_, shapes_);
    fit_into_memory(job_, whole);
    const MachineRates rates = measure_rates(whole);
    Forecast forecast{.layers = trial_layers(stages_by_layer(job_.model->config()), job_.chosen),
                      .seconds = predict_seconds(whole, rates).total(),
                      .peak_memory_bytes = plan_memory(whole.shapes, whole.settings).peak_bytes()};
    choose_layers(job_, forecast.layers);
    const PlanRequest part = cut_windows(rates);
    job_.predicted = predict_seconds(part, rates);
    const Prediction predicted{watch.seconds() + job_.predicted->total(),
                               plan_memory(part.shapes, part.settings).peak_bytes()};
    const double checked = watch.seconds();
    RunRecord record = solve(predicted);
    // The plan was wrong for the part as it will be for the whole.
    forecast.seconds *= (watch.seconds() - checked) / solving_seconds(*job_.predicted);
    describe_machine(record);
    keep_worst_weight_errors(record);
    const double memory_ratio =
        static_cast<double>(record.peak_memory_bytes) / static_cast<double>(predicted.peak_memory_bytes);
    forecast.peak_memory_bytes =
        static_cast<int64_t>(static_cast<double>(forecast.peak_memory_bytes) * std::max(1.0, memory_ratio));
    record.forecast = std::move(forecast);
    record.calibration = calibration_;
    record.tokenizer_trial = trial_;
    record.predicted_seconds = predicted.seconds;
    record.predicted_peak_memory_bytes = predicted.peak_memory_bytes;
    record.seconds = watch.seconds();
    return record;
  }

 private:
  // A trial writes no result, and reads none back.
  static double solving_seconds(const RunSeconds& run) { return run.total() - run.write - run.verify - run.hash; }

  // As few as keep the trial short.
  PlanRequest cut_windows(const MachineRates& rates) {
    for (int64_t count = std::min(kMostWindows, job_.windows->count());; count = (count + 1) / 2) {
      take_some(*job_.windows, count);
      PlanRequest part = plan_request(job_, shapes_);
      if (count == 1 || solving_seconds(predict_seconds(part, rates)) <= kLongestSeconds) return part;
    }
  }

  RunRecord solve(const Prediction& predicted) {
    WorkDirectory work(work_setup(job_, scratch_target(), /*resume=*/false));
    work.begin();
    const auto run_all = [&] {
      Run run(job_, work, listener_, version());
      listener_.on_prediction(predicted);
      run.solve({.worth = std::numeric_limits<double>::infinity()});
      return run.record();
    };
    try {
      RunRecord record = run_all();
      work.remove();
      return record;
    } catch (...) {
      work.remove();
      throw;
    }
  }

  fs::path scratch_target() const {
    if (!job_.options.output.empty()) return output_path(job_.options.output).string() + ".trial";
    return fs::temp_directory_path() / fmt::format("hesse-{}.trial", process_id());
  }

  Job job_;
  std::optional<CalibrationFacts> calibration_;  // of all windows
  std::optional<TrialFacts> trial_;
  ModelShapes shapes_;
  Listener& listener_;
};

}  // namespace

RunRecord quantize_trial(const QuantizeOptions& options, Listener& listener) {
  const Stopwatch watch;
  Prepared prepared = prepare(options, {}, listener);
  prepared.findings.throw_if_error();
  return Trial(std::move(prepared), listener).run(watch);
}

}  // namespace hesse
