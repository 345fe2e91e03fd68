#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/choose_bits.h"
#include "api/hash_files.h"
#include "api/machine.h"
#include "api/model_card.h"
#include "api/plan.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "api/quantize_trial.h"
#include "api/quantize_with.h"
#include "base/process.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "io/file.h"
#include "io/staged_directory.h"
#include "report/page.h"
#include "report/report.h"
#include "run/job.h"
#include "run/pipeline.h"
#include "run/work_directory.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

bool may_replace(const QuantizeOptions& options) { return options.overwrite || !options.redo.empty(); }

// Full disks and failing ones: what is done is not lost.
[[noreturn]] void tell_what_is_safe(const Error& error, const WorkDirectory& work) {
  if (error.kind() != ErrorKind::kEnvironment || work.units().empty()) throw error;
  throw Error(error.kind(), fmt::format("{}; {} linears are safe in {}, and the same command goes on", error.what(),
                                        work.linears_done(), work.path().string()));
}

// From the first linear that is not done to a result in its place.
class Quantization {
 public:
  Quantization(Prepared prepared, PlanRequest plan, WorkDirectory& work, Listener& listener,
               const QuantizeSettings& settings)
      : job_(std::move(prepared.job)),
        calibration_(std::move(prepared.calibration)),
        trial_(std::move(prepared.trial)),
        plan_(std::move(plan)),
        work_(work),
        listener_(listener),
        settings_(settings) {}

  // Of the time since the watch began, choosing the bits took `choosing` seconds.
  RunRecord run(const Stopwatch& watch, double choosing) {
    const double checks = watch.seconds();
    const Prediction predicted = predict(watch);
    const double measured = watch.seconds();
    Run run(job_, work_, listener_, version());
    if (job_.predicted) listener_.on_prediction(predicted);
    run.solve(settings_.snapshots);
    const Stopwatch hashing;
    std::vector<InputFile> inputs;
    for (const fs::path& file : input_files(job_)) inputs.push_back(hash_file(file));
    for (InputFile& text : calibration_inputs(job_)) inputs.push_back(std::move(text));
    const double hashed = hashing.seconds();
    const auto record_now = [&] {
      RunRecord record = run.record();
      record.predicted_seconds = predicted.seconds;
      record.predicted_peak_memory_bytes = predicted.peak_memory_bytes;
      record.inputs = inputs;
      record.calibration = calibration_;
      record.tokenizer_trial = trial_;
      if (job_.predicted) record.phases.insert(record.phases.begin(), {"predict", measured - checks});
      if (job_.options.chooses_bits()) record.phases.insert(record.phases.begin(), {"measure", choosing});
      record.phases.insert(record.phases.begin(), {"check", checks - choosing});
      record.phases.push_back({"hash", hashed});
      describe_machine(record);
      keep_worst_weight_errors(record);
      record.seconds = watch.seconds();
      return record;
    };
    if (work_.published()) return record_now();
    StagedDirectory staged(job_.options.output, may_replace(job_.options), kRecordFile);
    run.write_result(staged.path());
    RunRecord record = record_now();
    write_model_card({.model = job_.model_directory,
                      .directory = staged.path(),
                      .config_json = job_.config_json,
                      .format = record.format,
                      .hub = job_.options.hub_layout},
                     &record);
    publish(record, staged);
    return record;
  }

 private:
  // Method rtn and a run without calibration text are over too soon to be worth a prediction.
  Prediction predict(const Stopwatch& watch) {
    const bool worth = settings_.predict && job_.windows && job_.solver->needs_hessian && !work_.is_complete();
    if (!worth) return {-1, -1};
    plan_.parts = parts_left(job_, work_);
    job_.predicted = predict_seconds(plan_, measure_rates(plan_));
    return {watch.seconds() + job_.predicted->total(), plan_memory(plan_.shapes, plan_.settings).peak_bytes()};
  }

  // Whoever finds the result in its place and the work directory still there knows by the checksum that they belong
  // together.
  void publish(const RunRecord& record, StagedDirectory& staged) {
    const std::string text = to_json(record) + "\n";
    write_text_file(staged.path() / kRecordFile, text);
    const std::string name = output_path(job_.options.output).filename().string();
    write_text_file(staged.path() / kPageFile,
                    page_of({{.name = name, .record = record, .evaluation = {}, .record_json = text}}));
    work_.note_result(sha256_hex(text));
    staged.publish();
  }

  Job job_;
  std::optional<CalibrationFacts> calibration_;
  std::optional<TrialFacts> trial_;
  PlanRequest plan_;
  WorkDirectory& work_;
  Listener& listener_;
  const QuantizeSettings& settings_;
};

}  // namespace

RunRecord quantize(const QuantizeOptions& options, Listener& listener) { return quantize_with(options, listener, {}); }

RunRecord quantize_with(const QuantizeOptions& options, Listener& listener, const QuantizeSettings& settings) {
  require_no_problems(options);
  if (options.print_recipe)
    throw Error(ErrorKind::kUsage, "[recipe] print-recipe writes no result; see resolve_recipe()");
  set_threads(options.threads);
  if (options.trial) return quantize_trial(options, listener);
  const Stopwatch watch;
  if (!options.redo.empty()) settle_output(options.output);  // else there may be no result to change
  Prepared prepared = prepare(options, {.read_weights = true}, listener);
  prepared.findings.throw_if_error();
  PlanRequest plan = plan_request(prepared.job, *prepared.shapes);
  fit_into_memory(prepared.job, plan);
  const Stopwatch choosing_watch;
  choose_bits(prepared.job, *prepared.shapes, listener);
  const double choosing = choosing_watch.seconds();
  WorkDirectory work(work_setup(prepared.job, output_path(options.output), options.resume));
  require_output_free(options.output, may_replace(options) || work.published(), kRecordFile);
  if (!work.published()) work.begin();
  RunRecord record;
  try {
    record = Quantization(std::move(prepared), std::move(plan), work, listener, settings).run(watch, choosing);
    sync_path(output_path(options.output).parent_path());
  } catch (const Error& error) {
    tell_what_is_safe(error, work);
  }
  if (!work.remove()) {
    listener.on_warning(fmt::format("the result is complete, but {} could not be removed", work.path().string()));
  }
  return record;
}

}  // namespace hesse
