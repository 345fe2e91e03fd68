// What a run will need, before it: memory, disk, time, and which engines will load its result.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/findings.h"
#include "formats/format.h"
#include "hesse/types.h"
#include "plan/memory.h"
#include "plan/prediction.h"
#include "plan/shapes.h"
#include "run/job.h"

namespace hesse {

struct PlanRequest {
  ModelShapes shapes;
  MemorySettings settings;
  LinearSpec spec;                 // of most linears
  std::vector<LinearSpec> others;  // that some of them have
  GptqOptions gptq;
  const ExportFormat* format = nullptr;
  bool bf16 = false;             // the model's own type
  int64_t model_bytes = 0;       // of all weight files
  int64_t shard_bytes = 0;       // of a weight file of the result at most
  int64_t memory_budget = 0;     // bytes
  std::filesystem::path output;  // where the result will lie
  StageParts parts;              // that the run computes
};

// Of a model of which nothing but the shapes need be known. Where the job has no windows (yet), those that its options
// ask for.
PlanRequest plan_request(const Job& job, ModelShapes shapes);

// Of the options, or of this machine.
int64_t memory_budget(const QuantizeOptions& options);

// How the run keeps its budget: whether its activations lie in files. Error when that does not help; it names the
// smallest budget that would do.
void fit_into_memory(Job& job, PlanRequest& request);

// Those that decide the time of this run, in a second or so.
MachineRates measure_rates(const PlanRequest& request);
// The seconds of all phases behind the checks.
RunSeconds predict_seconds(const PlanRequest& request, const MachineRates& rates);

PlanFacts make_plan(const PlanRequest& request, Findings& findings);

}  // namespace hesse
