#include "run/job.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <utility>

#include "base/process.h"
#include "hesse/error.h"
#include "plan/group_sizes.h"
#include "quant/held_out.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

// A linear that the format cannot store stops the run here, with the sizes that would do.
void require_storable(const Job& job) {
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) {
      const std::string why = job.format->why_not(linear.out, linear.in, job.spec);
      if (why.empty()) continue;
      throw Error(ErrorKind::kUsage,
                  fmt::format("[{}] '{}' [{}, {}]: {}; group sizes that divide every width: {}", job.format->name(),
                              linear.name, linear.out, linear.in, why, group_size_advice(job.stages)));
    }
  }
}

std::set<std::string> linear_weights(const Job& job) {
  std::set<std::string> names;
  for (const StageShape& stage : job.stages) {
    for (const LinearShape& linear : stage.linears) names.insert(linear.name + ".weight");
  }
  return names;
}

// Reads every weight once. What is not finite stops the run here, or leaves a linear alone where the user wants that.
void check_weights(Job& job) {
  const std::set<std::string> linears = linear_weights(job);
  for (const TensorView* tensor : job.checkpoint->tensors()) {
    const std::optional<BadValue> bad = job.source->find_nonfinite(*tensor);
    job.checkpoint->release(*tensor);
    if (!bad) continue;
    const std::string& name = tensor->spec.name;
    if (job.options.on_nonfinite == "stop" || linears.count(name) == 0) job.source->refuse_nonfinite(*tensor, *bad);
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    job.source->pardon(module);
    job.skipped.insert(module);
    job.notes.push_back(
        fmt::format("'{}' has {} at row {}, column {}: not quantized, and taken for 0 in the forward pass", name,
                    bad->value, bad->row, bad->column));
  }
}

void read_calibration(Job& job) {
  const QuantizeOptions& options = job.options;
  const std::vector<fs::path> files(options.calibration.begin(), options.calibration.end());
  job.windows =
      calibration_windows(files, job.model_directory,
                          {.length = options.length, .count = options.samples, .bos = options.bos}, options.seed);
  require_ids_in_vocabulary(*job.windows, job.model->config().vocab);
  for (const std::string& note : job.windows->notes) job.notes.push_back(note);
  const int64_t tokens = job.windows->ids.size();
  int64_t widest = 0;
  for (const StageShape& stage : job.stages) widest = std::max(widest, stage.in());
  if (tokens < widest) {
    job.notes.push_back(
        fmt::format("{} tokens for {} channels: the Hessian of the widest linears is rank-deficient and rests on its "
                    "damping; more calibration text would help",
                    tokens, widest));
  }
  if (options.length > job.model->config().max_positions) {
    job.notes.push_back(fmt::format("windows of {} tokens, but the model was made for {} positions", options.length,
                                    job.model->config().max_positions));
  }
}

}  // namespace

GptqOptions gptq_options(const QuantizeOptions& options) {
  GptqOptions gptq{.damping = options.damping,
                   .joint_candidates = static_cast<int>(options.joint),
                   .sweeps = static_cast<int>(options.sweeps),
                   .targets = {.shift = options.shift, .residual = options.residual, .ridge = options.ridge}};
  gptq.grid = {.search = options.scale_search == "minmax" ? ScaleSearch::kMinMax : ScaleSearch::kWeighted,
               .negative_scales = !options.positive_scales};
  gptq.order = options.order == "file"         ? ColumnOrder::kFile
               : options.order == "activation" ? ColumnOrder::kActivation
                                               : ColumnOrder::kGroups;
  return gptq;
}

QuantizeSize size_of(const Job& job) {
  return {.sequences = job.windows ? job.windows->count() : 0,
          .length = job.windows ? job.windows->length() : 0,
          .solves = job.solver->needs_hessian,
          .targets = job.gptq.targets,
          .group_size = job.options.group_size,
          .hessian_bytes = job.hessian_memory_bytes,
          .trials = job.gptq.damping == kDampingByData ? std::ssize(kDampings) : 0};
}

Job prepare_job(const QuantizeOptions& options) {
  Job job;
  job.options = options;
  job.solver = &solver(options.method);
  job.gptq = gptq_options(options);
  constexpr double kBytesPerGb = 1e9;
  job.hessian_memory_bytes = options.hessian_memory > 0 ? static_cast<int64_t>(options.hessian_memory * kBytesPerGb)
                                                        : physical_memory_bytes() / 2;
  job.format = &export_format(options.symmetric ? "gptq" : "gptq_v2");
  job.model_directory = options.model;
  job.config_json = read_config_json(job.model_directory);
  if (const Json* quantized = job.config_json.find_value("quantization_config")) {
    const Json* method = quantized->find_value("quant_method");
    throw Error(ErrorKind::kBadInput,
                fmt::format("[config] config.json: the model is quantized already (quant_method {}); give the "
                            "full-precision model",
                            method != nullptr ? method->dump() : "unknown"));
  }
  ModelConfig config = parse_model_config(job.config_json, "config.json");
  job.checkpoint = std::make_unique<Checkpoint>(job.model_directory);
  job.source = std::make_unique<CheckpointSource>(*job.checkpoint);
  job.compute = options.calibration.empty() ? ComputeChoice{ComputeType::kF32, "no forward pass"}
                                            : choose_compute(options.compute, job.config_json);
  job.model = std::make_unique<Model>(std::move(config), *job.source, options.length, job.compute.type);
  job.stages = model_stages(job.model->config());
  // The record shows the size that was taken.
  if (options.group_size == kAutoGroupSize) job.options.group_size = largest_common_group_size(job.stages);
  job.spec = {.bits = options.bits, .group_size = job.options.group_size, .symmetric = options.symmetric};
  require_storable(job);
  const std::string note = ragged_group_note(job.stages, job.spec);
  if (!note.empty()) job.notes.push_back(note);
  if (!options.calibration.empty()) read_calibration(job);
  check_weights(job);
  return job;
}

}  // namespace hesse
