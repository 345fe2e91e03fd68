#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "api/hash_files.h"
#include "api/plan.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "io/file.h"
#include "io/staged_directory.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"
#include "report/report.h"
#include "run/job.h"
#include "run/pipeline.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecordFile = "hesse-run.json";

}  // namespace

RunRecord quantize(const QuantizeOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  Prepared prepared = prepare(options, {.read_weights = true}, listener);
  prepared.findings.throw_if_error();
  Job& job = prepared.job;
  StagedDirectory staged(options.output, options.overwrite, kRecordFile);
  const double checks = watch.seconds();
  // Method rtn and a run without calibration text are over too soon to be worth a prediction.
  Prediction predicted{-1, -1};
  if (job.windows && job.solver->needs_hessian) {
    const PlanRequest request = plan_request(job, *prepared.shapes);
    job.predicted = predict_seconds(request);
    predicted = {watch.seconds() + job.predicted->total(), plan_memory(request.shapes, request.settings).peak_bytes()};
    listener.on_prediction(predicted);
  }
  const double measured = watch.seconds();
  RunRecord record = run_job(job, staged.path(), version(), listener);
  record.predicted_seconds = predicted.seconds;
  record.predicted_peak_memory_bytes = predicted.peak_memory_bytes;
  const Stopwatch hashing;
  for (const fs::path& file : input_files(job)) record.inputs.push_back(hash_file(file));
  if (job.predicted) record.phases.insert(record.phases.begin(), {"predict", measured - checks});
  record.phases.insert(record.phases.begin(), {"check", checks});
  record.phases.push_back({"hash", hashing.seconds()});
  record.version = version();
  record.processor = processor_name();
  record.simd = simd_target();
  record.libraries = fmt::format("{}, {}", onednn_version(), lapack_version());
  record.threads = threads();
  record.seconds = watch.seconds();
  record.peak_memory_bytes = peak_resident_bytes();
  write_text_file(staged.path() / kRecordFile, to_json(record) + "\n");
  staged.publish();
  return record;
}

}  // namespace hesse
