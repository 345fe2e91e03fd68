// What a run begins with. Whoever makes a Job has checked all of it before.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/windows.h"
#include "formats/format.h"
#include "hesse/events.h"
#include "hesse/options.h"
#include "io/checkpoint.h"
#include "model/block.h"
#include "model/compute.h"
#include "model/model.h"
#include "model/padded_source.h"
#include "plan/choice.h"
#include "plan/prediction.h"
#include "plan/shapes.h"
#include "quant/solver.h"
#include "run/earlier_result.h"

namespace hesse {

struct Job {
  QuantizeOptions options;
  std::filesystem::path model_directory;
  Json config_json;  // as in the file; of padded MLPs the width is that of the result
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<CheckpointSource> source;
  const PaddedSource* padded = nullptr;  // the source, where the MLPs are wider than in the files
  ComputeChoice compute;
  std::unique_ptr<Model> model;
  std::vector<StageShape> stages;  // of all layers, and of the head where that is packed
  std::optional<StageShape> head;  // where the result has it packed: the stage of a layer behind the last
  std::optional<Windows> windows;  // none: no calibration (method rtn)
  const ExportFormat* format = nullptr;
  const Solver* solver = nullptr;
  LinearSpec spec;  // of the linears without a choice of their own
  GptqOptions gptq;
  std::map<std::string, LinearChoice> choices;    // of single linears, by name
  int64_t hessian_memory_bytes = 0;               // for the Hessians of one stage and their factors
  int64_t memory_bytes = 0;                       // that the run may take
  bool spill = false;                             // activations lie in files of the work directory
  std::vector<PredictedDamage> predicted_damage;  // of the choices, where they were measured
  std::set<std::string> skipped;                  // linears with weights that are not finite; they stay as they are
  std::optional<std::set<std::string>> chosen;    // linears that the run is about; none: all
  std::optional<EarlierResult> earlier;  // that the run changes; the linears that are not chosen come from there
  std::vector<std::string> notes;        // what the user should know
  // For the time that is left; whoever knows the rates of the machine sets it. None: it is guessed from what is done.
  std::optional<RunSeconds> predicted;
};

// Layers with the head as one of its own, where that is packed, and the stages of each.
int64_t layer_count(const Job& job);
std::vector<StageShape> stages_of_layer(const Job& job, int64_t layer);
// The shapes of all of that.
ModelShapes shapes_of(const Job& job);

// What is decided for a linear: a choice of its own, else what holds for all.
LinearChoice choice_of(const Job& job, const std::string& linear);
// Columns of a stage that are never parted: whole groups of all of its linears.
int64_t group_width(const Job& job, const Block::Stage& stage);

// What the options mean for the solver.
GptqOptions gptq_options(const QuantizeOptions& options);

// What decides the work of the job.
QuantizeSize size_of(const Job& job);

}  // namespace hesse
