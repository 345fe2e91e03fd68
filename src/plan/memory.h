// Memory and disk of a quantization before it begins: sums of named parts, each as the code allocates it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"
#include "hesse/types.h"
#include "plan/shapes.h"
#include "plan/work.h"
#include "quant/spec.h"

namespace hesse {

// What decides the memory besides the model.
struct MemorySettings {
  QuantizeSize size = {};
  LinearSpec spec = {};
  LinearSpec head = {};       // of a head that is planned (ModelShapes::add_head)
  int64_t sweeps = 4;         // of the solver's descent; none needs less
  int64_t compute_bytes = 4;  // an element of weights and inputs in the forward pass: 4 (f32) or 2 (bf16)
  int64_t file_bytes = 2;     // an element in the weight files
  int64_t threads = 1;
  bool spill = false;      // activations lie in a file; a batch of rows is in memory
  bool assembles = false;  // the result has the experts of a layer as one tensor (run/expert_assembly.h)
};

struct MemoryPart {
  std::string_view name;
  double bytes = 0;
};

// The most that a phase needs at once, and where.
struct PhaseMemory {
  std::string_view phase;  // as in the record: "check", "forward", "hessian", "factor", "solve", "write", "verify"
  std::string where;       // the first linear of the stage; empty: not in a stage
  std::vector<MemoryPart> parts;
  double bytes() const;
};

struct MemoryPlan {
  std::vector<PhaseMemory> phases;
  const PhaseMemory& peak() const;
  int64_t peak_bytes() const;
};

// Resident set of the process. Of experts one is in memory at a time.
MemoryPlan plan_memory(const ModelShapes& model, const MemorySettings& settings);

// Plans have been right to a twelfth (docs/PERFORMANCE.md, "Predicted memory"); what must hold takes a tenth more.
constexpr int64_t with_margin(int64_t bytes) { return bytes + bytes / 10; }

// Whether the budget will do, and else with which knobs turned. In the order of what they cost: a file for the
// activations (time; settings.spill), blocks of the Hessians (quality), one stream (quality).
struct MemoryAdvice {
  bool fits = false;
  std::vector<std::string> flags;  // "--hessian-memory 1.5", "--shift 0 --residual 0"; a run spills by itself
  MemorySettings settings;
  int64_t peak_bytes = 0;
};
MemoryAdvice fit_memory(const ModelShapes& model, const MemorySettings& settings, int64_t budget_bytes);

struct DiskPlan {
  int64_t result_bytes = 0;   // tensors of the result
  int64_t journal_bytes = 0;  // of packed linears, until the result is whole
  int64_t spill_bytes = 0;    // activations
  int64_t total() const { return result_bytes + journal_bytes + spill_bytes; }
};
// What is not solved counts as it lies in the model's files, though it may come packed from an earlier result.
DiskPlan plan_disk(const ModelShapes& model, const MemorySettings& settings, const ExportFormat& format,
                   const StageParts& parts = {});

}  // namespace hesse
