#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "api/hash_files.h"
#include "api/plan.h"
#include "api/prepare.h"
#include "api/problems.h"
#include "base/process.h"
#include "base/threads.h"
#include "data/statistics.h"
#include "hesse/api.h"
#include "hesse/error.h"
#include "io/file.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

std::string last_part(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

// How much of the evaluation text the calibration windows know.
void measure_overlap(const std::vector<std::string>& files, Prepared& prepared) {
  if (files.empty() || !prepared.calibration) return;
  prepared.findings.attempt({"calibration.overlap", "the overlap cannot be told", "give another --text"}, [&] {
    double known = 0, all = 0;
    for (const std::string& file : files) {
      const std::string name = fs::path(file).filename().string();
      const std::vector<int32_t> tokens = tokens_of(read_text_file(file), name, *prepared.tokenizer);
      known += overlap_share(*prepared.job.windows, tokens) * static_cast<double>(tokens.size());
      all += static_cast<double>(tokens.size());
    }
    prepared.calibration->overlap = all > 0 ? known / all : 0;
    judge_overlap(prepared.calibration->overlap, prepared.findings);
  });
}

// What the download noted of a file, in the folder that Hugging Face's client leaves behind: its SHA-256 where the file
// is a large one. Empty: nothing.
std::string noted_sha256(const fs::path& directory, const std::string& name) {
  const fs::path path = directory / ".cache/huggingface/download" / (name + ".metadata");
  if (!fs::exists(path)) return "";
  const std::string text = read_text_file(path);
  const size_t begin = text.find('\n');  // the first line is the commit
  if (begin == std::string::npos) return "";
  const std::string line = text.substr(begin + 1, text.find('\n', begin + 1) - begin - 1);
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  return line.size() == 64 && std::all_of(line.begin(), line.end(), is_hex) ? line : "";
}

std::vector<InputFile> check_hashes(Prepared& prepared, Listener& listener) {
  const Ticker ticker(listener, "SHA-256 of every file");
  std::vector<InputFile> files;
  int64_t compared = 0;
  const std::vector<fs::path> paths = input_files(prepared.job);
  for (const fs::path& path : paths) {
    ticker.tick(static_cast<double>(files.size()) / static_cast<double>(paths.size()));
    files.push_back(hash_file(path));
    const std::string noted = noted_sha256(prepared.job.model_directory, files.back().name);
    if (noted.empty()) continue;
    ++compared;
    if (noted == files.back().sha256) continue;
    prepared.findings.error(
        Error(ErrorKind::kBadInput, fmt::format("[checkpoint] {}: SHA-256 is {}, the download noted {}", path.string(),
                                                files.back().sha256, noted)),
        {"weights.sha256", "the file is not what was published", "fetch it again"});
  }
  for (InputFile& text : calibration_inputs(prepared.job)) files.push_back(std::move(text));
  prepared.findings.note("weights.sha256",
                         fmt::format("SHA-256 of {} files, {} of them compared with what the download "
                                     "noted",
                                     files.size(), compared));
  return files;
}

}  // namespace

CheckResult check(const CheckOptions& options, Listener& listener) {
  require_no_problems(options);
  set_threads(options.quantize.threads);
  const Stopwatch watch;
  Prepared prepared =
      options.config_only
          ? prepare_config(options.quantize)
          : prepare(options.quantize, {.read_weights = options.deep, .trial_at_any_cost = options.deep}, listener);
  const Job& job = prepared.job;
  CheckResult result;
  result.version = version();
  result.model_name = last_part(options.quantize.model);
  if (prepared.shapes) result.family = prepared.shapes->family;
  if (job.model != nullptr && !options.deep) {
    prepared.findings.note("weights.finite", "not every weight was read", "",
                           "--deep looks for NaN and infinity in all");
  }
  measure_overlap(options.text, prepared);
  if (prepared.shapes) result.plan = make_plan(plan_request(job, *prepared.shapes), prepared.findings);
  if (options.sha256) result.files = check_hashes(prepared, listener);
  result.findings = prepared.findings.worst_first();
  result.special_tokens = std::move(prepared.special_tokens);
  result.calibration = std::move(prepared.calibration);
  result.trial = prepared.trial;
  result.seconds = watch.seconds();
  return result;
}

}  // namespace hesse
