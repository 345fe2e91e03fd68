// What a run would calibrate on, from tokenizer and text alone.
#include <filesystem>
#include <utility>

#include "api/problems.h"
#include "base/findings.h"
#include "base/process.h"
#include "data/calibration.h"
#include "data/special_tokens.h"
#include "data/statistics.h"
#include "hesse/api.h"
#include "hesse/error.h"

namespace hesse {

DataResult describe_data(const DataOptions& options) {
  require_no_problems(options);
  const Stopwatch watch;
  const std::filesystem::path directory = options.model;
  const Tokenizer tokenizer = Tokenizer::from_directory(directory);
  const Windows windows = calibration_windows(options.calibration, directory, tokenizer,
                                              {.length = options.length,
                                               .count = options.samples,
                                               .bos = begins_with_bos(options.bos, directory, tokenizer),
                                               .seed = options.seed,
                                               .pack = options.pack,
                                               .random_share = options.random_share,
                                               .strict = options.strict});
  Findings findings;
  judge_reading(windows, findings);
  DataResult result;
  result.calibration = describe_calibration(windows, tokenizer, tokenizer.pad_id());
  judge_calibration(result.calibration, windows.notes, options.length, findings);
  result.version = version();
  result.model_name = std::filesystem::weakly_canonical(directory).filename().string();
  result.begins_with_bos = windows.bos != 0;
  result.findings = findings.worst_first();
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
