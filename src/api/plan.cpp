#include "api/plan.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "api/machine_rates.h"
#include "api/prepare.h"
#include "base/dtype.h"
#include "base/process.h"
#include "base/threads.h"
#include "hesse/error.h"
#include "io/file.h"
#include "plan/findings.h"
#include "plan/group_sizes.h"
#include "plan/loaders.h"
#include "run/fates.h"

namespace hesse {
namespace {

namespace fs = std::filesystem;

constexpr double kBytesPerGb = 1e9;

// `path`, or the nearest folder above it that is there; this folder for a result that has no name yet.
fs::path existing_part(fs::path path) {
  std::error_code error;
  path = path.empty() ? fs::current_path(error) : fs::absolute(path, error);
  while (path.has_relative_path() && !fs::exists(path, error)) path = path.parent_path();
  return path;
}

int64_t element_bytes(const Job& job) {
  const TensorView* embedding = nullptr;
  if (job.model != nullptr) embedding = job.checkpoint->find(job.model->config().embedding_module() + ".weight");
  return embedding != nullptr ? dtype_size(embedding->spec.dtype) : 2;
}

int64_t file_bytes(const Job& job, const ModelShapes& shapes) {
  if (job.checkpoint == nullptr) return static_cast<int64_t>(2 * shapes.parameters());
  int64_t bytes = 0;
  for (const fs::path& file : job.checkpoint->files()) bytes += static_cast<int64_t>(fs::file_size(file));
  return bytes;
}

// What needs the most room of all that may be chosen.
LinearSpec largest_spec(const Job& job) {
  LinearSpec spec = job.spec;
  const auto widen = [&](int bits, int64_t group_size) {
    spec.bits = std::max(spec.bits, bits);
    if (group_size != -1 && (spec.group_size == -1 || group_size < spec.group_size)) spec.group_size = group_size;
  };
  for (const auto& [name, choice] : job.choices) {
    const bool head = job.head && name == job.head->linears.front().name;
    if (!choice.skip && !head) widen(choice.spec.bits, choice.spec.group_size);
  }
  if (job.options.bits_target > 0) widen(std::min(8, static_cast<int>(std::ceil(job.options.bits_target))), 32);
  return spec;
}

// Whether the result has the experts of a layer as one tensor, as the model's files do.
bool assembles_experts(const Job& job, const ModelShapes& shapes) {
  if (job.format->keeps_codes()) return false;
  return job.source == nullptr ? shapes.experts_together : !job.source->packed_experts().tensors().empty();
}

void add_loaders(const PlanRequest& request, const DiskPlan& disk, PlanFacts& facts, Findings& findings) {
  const std::vector<LoaderRow> table =
      loader_table(request.shapes, {.spec = request.spec,
                                    .others = request.others,
                                    .format = request.format->name(),
                                    .negative_scales = request.gptq.grid.negative_scales,
                                    .bf16 = request.bf16,
                                    .sharded = disk.result_bytes > request.shard_bytes});
  for (Finding& finding : loader_findings(table)) {
    // An engine that somebody may never use is no reason to stop, nor to worry.
    finding.severity = std::min(finding.severity, Severity::kNote);
    findings.add(std::move(finding));
  }
  for (const LoaderRow& row : table) {
    facts.loaders.push_back({std::string(row.engine), std::string(row.kernel), row.devices,
                             std::string(verdict_name(row.verdict)), row.why, std::string(row.source),
                             std::string(row.date)});
  }
}

void add_group_sizes(const PlanRequest& request, PlanFacts& facts) {
  std::vector<StageShape> stages;
  for (const PlannedLayer& layer : request.shapes.layers)
    stages.insert(stages.end(), layer.stages.begin(), layer.stages.end());
  for (const LinearGroupSizes& row : group_size_table(stages, request.spec, *request.format)) {
    GroupSizeFacts linear{row.linear, row.out, row.in, row.count, {}};
    for (const auto& size : row.sizes) linear.sizes.push_back({size.group_size, std::string(group_fit_name(size.fit))});
    facts.group_sizes.push_back(std::move(linear));
  }
}

}  // namespace

PlanRequest plan_request(const Job& job, ModelShapes shapes) {
  PlanRequest request;
  request.shapes = std::move(shapes);
  request.spec = job.spec;
  for (const auto& [name, choice] : job.choices) {
    const auto& others = request.others;
    const bool known = choice.spec == job.spec || std::find(others.begin(), others.end(), choice.spec) != others.end();
    if (!choice.skip && !known) request.others.push_back(choice.spec);
  }
  request.gptq = job.gptq;
  request.format = job.format;
  request.output = job.options.output;
  request.memory_budget = memory_budget(job.options);
  QuantizeSize size = size_of(job);
  if (!job.windows && job.solver->needs_hessian) {
    size.sequences = job.options.samples;
    size.length = job.options.length;
  }
  request.settings = {.size = size,
                      .spec = largest_spec(job),
                      .head = job.head ? choice_of(job, job.head->linears.front().name).spec : LinearSpec(),
                      .sweeps = job.gptq.sweeps,
                      .compute_bytes = job.compute.type == ComputeType::kF32 ? 4 : 2,
                      .file_bytes = element_bytes(job),
                      .threads = threads(),
                      .assembles = assembles_experts(job, request.shapes)};
  if (job.model != nullptr) request.parts = parts_of(job);
  request.bf16 = is_stored_as_bf16(job.config_json);
  request.model_bytes = file_bytes(job, request.shapes);
  request.shard_bytes = static_cast<int64_t>(job.options.shard_size * kBytesPerGb);
  return request;
}

int64_t memory_budget(const QuantizeOptions& options) {
  constexpr double kShare = 0.8;
  if (options.memory > 0) return static_cast<int64_t>(options.memory * kBytesPerGb);
  return static_cast<int64_t>(kShare * static_cast<double>(available_memory_bytes()));
}

void fit_into_memory(Job& job, PlanRequest& request) {
  job.memory_bytes = request.memory_budget;
  const Finding finding = memory_finding(request.shapes, request.settings, request.memory_budget);
  if (finding.severity == Severity::kError) {
    const ErrorKind kind = job.options.memory > 0 ? ErrorKind::kUsage : ErrorKind::kEnvironment;
    const std::string limit = address_space_is_limited() ? "; ulimit -v limits the address space" : "";
    throw Error(kind, "[memory] " + one_line(finding) + limit);
  }
  job.spill = request.settings.spill = finding.check == "memory.spill";
  if (job.spill) job.notes.push_back(one_line(finding));
}

MachineRates measure_rates(const PlanRequest& request) {
  const RateMeter meter(Care::kQuick);
  meter.warm_up();
  MachineRates rates = measure_products(meter, request.shapes, request.settings.size);
  measure_solver(meter, request.shapes, request.settings.spec, request.gptq, rates);
  return rates;
}

RunSeconds predict_seconds(const PlanRequest& request, const MachineRates& rates) {
  RunSeconds seconds = predict_quantize(request.shapes, request.settings.size, request.model_bytes, rates);
  seconds.keep(request.parts);
  return seconds;
}

PlanFacts make_plan(const PlanRequest& request, Findings& findings) {
  PlanFacts facts;
  facts.parameters = static_cast<int64_t>(request.shapes.parameters());
  facts.layers = std::ssize(request.shapes.layers) - (request.shapes.plans_head() ? 1 : 0);
  const MemoryPlan memory = plan_memory(request.shapes, request.settings);
  for (const PhaseMemory& phase : memory.phases)
    facts.memory.push_back({std::string(phase.phase), phase.where, static_cast<int64_t>(phase.bytes())});
  facts.peak_memory_bytes = memory.peak_bytes();
  facts.available_memory_bytes = available_memory_bytes();
  findings.add(memory_finding(request.shapes, request.settings, request.memory_budget));
  const DiskPlan disk = plan_disk(request.shapes, request.settings, *request.format, request.parts);
  facts.result_bytes = disk.result_bytes;
  facts.work_bytes = disk.journal_bytes + disk.spill_bytes;
  facts.free_disk_bytes = free_disk_bytes(existing_part(request.output));
  findings.add(disk_finding(disk, facts.free_disk_bytes));
  if (request.settings.size.solves && request.settings.size.tokens() > 0) {
    const RunSeconds seconds = predict_seconds(request, measure_rates(request));
    facts.seconds = seconds.total();
    facts.phases = seconds.phases();
    for (const LayerSeconds& layer : seconds.layers) facts.layer_seconds.push_back(layer.total());
  }
  add_group_sizes(request, facts);
  add_loaders(request, disk, facts, findings);
  return facts;
}

}  // namespace hesse
