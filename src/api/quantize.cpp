#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "api/machine_rates.h"
#include "api/problems.h"
#include "base/dtype.h"
#include "base/process.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "hesse/api.h"
#include "io/file.h"
#include "io/staged_directory.h"
#include "kernels/kernels.h"
#include "linalg/gemm.h"
#include "plan/memory.h"
#include "report/report.h"
#include "run/job.h"
#include "run/pipeline.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRecordFile = "hesse-run.json";

InputFile hash_file(const fs::path& path) {
  constexpr int64_t kPiece = int64_t{8} << 20;  // mapped at a time
  const MappedFile file(path);
  Sha256 hash;
  for (int64_t first = 0; first < file.size(); first += kPiece) {
    const int64_t size = std::min(kPiece, file.size() - first);
    hash.update(file.bytes().data() + first, static_cast<size_t>(size));
    file.dont_need(first, size);
  }
  return {path.filename().string(), file.size(), hash.hex()};
}

// What decides the result: configuration, tokenizer, weights and calibration text.
std::vector<InputFile> hash_inputs(const Job& job) {
  std::vector<fs::path> files;
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
    if (fs::exists(job.model_directory / name)) files.push_back(job.model_directory / name);
  }
  files.insert(files.end(), job.checkpoint->files().begin(), job.checkpoint->files().end());
  files.insert(files.end(), job.options.calibration.begin(), job.options.calibration.end());
  std::vector<InputFile> inputs;
  for (const fs::path& file : files) inputs.push_back(hash_file(file));
  return inputs;
}

// Method rtn and a run without calibration text are over too soon to be worth a prediction.
std::optional<RunSeconds> predict(const Job& job) {
  if (!job.windows || !job.solver->needs_hessian) return std::nullopt;
  const RateMeter meter(Care::kQuick);
  const ModelConfig& config = job.model->config();
  const QuantizeSize size = size_of(job);
  meter.warm_up();
  MachineRates rates = measure_products(meter, config, size);
  measure_solver(meter, config, job.spec, job.gptq, rates);
  int64_t bytes = 0;
  for (const fs::path& file : job.checkpoint->files()) bytes += static_cast<int64_t>(fs::file_size(file));
  return predict_quantize(config, size, bytes, rates);
}

int64_t predict_memory(const Job& job) {
  const std::string embedding(job.model->config().family->embedding);
  return plan_memory(job.model->config(), {.size = size_of(job),
                                           .spec = job.spec,
                                           .sweeps = job.gptq.sweeps,
                                           .compute_bytes = job.compute.type == ComputeType::kF32 ? 4 : 2,
                                           .file_bytes = dtype_size(job.checkpoint->at(embedding).spec.dtype),
                                           .threads = threads()})
      .peak_bytes();
}

}  // namespace

RunRecord quantize(const QuantizeOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.threads);
  const Stopwatch watch;
  Job job = prepare_job(options);
  StagedDirectory staged(options.output, options.overwrite, kRecordFile);
  const double checks = watch.seconds();
  job.predicted = predict(job);
  const double measured = watch.seconds();
  Prediction predicted{-1, -1};
  if (job.predicted) {
    predicted = {measured + job.predicted->total(), predict_memory(job)};
    listener.on_prediction(predicted);
  }
  RunRecord record = run_job(job, staged.path(), version(), listener);
  record.predicted_seconds = predicted.seconds;
  record.predicted_peak_memory_bytes = predicted.peak_memory_bytes;
  const Stopwatch hashing;
  record.inputs = hash_inputs(job);
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
