#include "api/prepare.h"

#include <utility>

#include "api/families.h"
#include "base/process.h"
#include "hesse/error.h"

namespace hesse {
namespace {

constexpr double kMoment = 1;  // seconds that need no progress line

int64_t hessian_memory(const QuantizeOptions& options) {
  constexpr double kBytesPerGb = 1e9;
  return options.hessian_memory > 0 ? static_cast<int64_t>(options.hessian_memory * kBytesPerGb)
                                    : physical_memory_bytes() / 2;
}

// What follows from the options alone.
Prepared begin(const QuantizeOptions& options) {
  Prepared prepared;
  Job& job = prepared.job;
  job.options = options;
  job.model_directory = options.model;
  job.solver = &solver(options.method);
  job.spec = {.bits = options.bits, .group_size = options.group_size, .symmetric = options.symmetric};
  job.gptq = gptq_options(options);
  job.hessian_memory_bytes = hessian_memory(options);
  const std::string_view standard = options.symmetric ? "gptq" : "gptq_v2";
  job.format = &export_format(options.format == "auto" ? standard : options.format);
  return prepared;
}

}  // namespace

std::string one_line(const Finding& finding) {
  std::string text = finding.what;
  if (!finding.why.empty()) text += ": " + finding.why;
  if (!finding.remedy.empty()) text += "; " + finding.remedy;
  return text;
}

void Ticker::tick(double share) const {
  if (listener_.stop_requested()) throw Error(ErrorKind::kInterrupted, "[check] stopped on request");
  const double seconds = watch_.seconds();
  if (seconds < kMoment) return;
  listener_.on_progress({.what = what_, .share = share, .seconds_left = share > 0 ? seconds / share - seconds : -1});
}

Prepared prepare(const QuantizeOptions& options, const Depth& depth, Listener& listener) {
  Prepared prepared = begin(options);
  Job& job = prepared.job;
  if (!std::filesystem::is_directory(job.model_directory)) {
    prepared.findings.error(
        Error(ErrorKind::kBadInput, "[model] " + job.model_directory.string() + ": no such directory"),
        {"config.file", "", "give a Hugging Face model directory"});
    return prepared;
  }
  read_recipe(prepared);
  prepare_model(prepared);
  apply_recipe(prepared);
  prepare_selection(prepared);
  if (job.model != nullptr) prepare_head(prepared, job.model->config());
  prepare_text(prepared);
  if (depth.read_weights) read_weights(prepared, listener);
  run_trial(prepared, depth, listener);
  for (const Finding& finding : prepared.findings.list()) {
    if (finding.severity == Severity::kWarning) job.notes.push_back(one_line(finding));
  }
  return prepared;
}

Prepared prepare_config(const QuantizeOptions& options) {
  Prepared prepared = begin(options);
  Job& job = prepared.job;
  read_recipe(prepared);
  if (job.model_directory.filename() == "config.json") job.model_directory = job.model_directory.parent_path();
  const bool read = prepared.findings.attempt({"config.file", "", "fetch config.json of the model"},
                                              [&] { job.config_json = read_config_json(job.model_directory); });
  if (!read) return prepared;
  prepared.findings.attempt(
      {"config.fields", "nothing can be planned without it", "take config.json of the original model"}, [&] {
        if (options.pad_intermediate != 0) {
          const ModelConfig config = parse_model_config(config_as(job.config_json, options.as), "config.json");
          job.config_json = with_intermediate(job.config_json, config, width_of_mlps(options, config));
        }
        prepared.shapes = shapes_of_config(config_as(job.config_json, job.options.as), "config.json");
      });
  if (!prepared.shapes) return prepared;
  prepared.findings.add(family_finding(*prepared.shapes));
  job.compute = choose_compute(job.options.compute, job.config_json);
  for (const PlannedLayer& layer : prepared.shapes->layers)
    job.stages.insert(job.stages.end(), layer.stages.begin(), layer.stages.end());
  check_group_size(prepared);
  apply_recipe(prepared);
  prepare_head(prepared, parse_model_config(config_as(job.config_json, job.options.as), "config.json"));
  return prepared;
}

}  // namespace hesse
