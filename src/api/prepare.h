// Everything that is known and checked before the first layer is quantized: for `check`, which tells it, and for
// `quantize`, which goes on with the job when there is no error.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/findings.h"
#include "base/process.h"
#include "hesse/events.h"
#include "hesse/options.h"
#include "hesse/types.h"
#include "plan/recipe.h"
#include "plan/shapes.h"
#include "run/job.h"
#include "tokenizer/tokenizer.h"

namespace hesse {

inline constexpr const char* kRecordFile = "hesse-run.json";   // by which a result is known
inline constexpr const char* kPageFile = "hesse-report.html";  // the page beside it

// How thoroughly to look.
struct Depth {
  bool read_weights = false;       // all of them, for values that are not finite
  bool trial_at_any_cost = false;  // not only when it is over in about a minute
};

struct Prepared {
  Job job;  // whole when there are no errors; parts that could not be made are empty
  Findings findings;
  std::optional<Recipe> recipe;
  std::optional<ModelShapes> shapes;  // when config.json is good enough to plan by
  std::optional<Tokenizer> tokenizer;
  bool bos = false;  // texts begin with it
  std::vector<SpecialTokenFacts> special_tokens;
  std::optional<CalibrationFacts> calibration;
  std::optional<TrialFacts> trial;
};

// What is wrong with model, text or options is a finding; other kinds of errors are thrown.
Prepared prepare(const QuantizeOptions& options, const Depth& depth, Listener& listener);

// The same from config.json alone, which `options.model` may name by itself: no more than a plan can be made of it.
Prepared prepare_config(const QuantizeOptions& options);

// The parts of it, in their order. Each looks at what is there and leaves the rest.
void read_recipe(Prepared& prepared);       // and what it says of all linears
void prepare_model(Prepared& prepared);     // config.json, tensors, what the format can store
void check_group_size(Prepared& prepared);  // of job.stages
// The width that the MLPs of `config` are to have. Error(kUsage) when it is less than they have.
int64_t width_of_mlps(const QuantizeOptions& options, const ModelConfig& config);
void apply_recipe(Prepared& prepared);       // its rules
void prepare_selection(Prepared& prepared);  // the linears that the run is about
void prepare_head(Prepared& prepared, const ModelConfig& config);  // which may be one of them
// That the format can store what was decided for each, and that engines can load it. Error(kUsage).
void require_storable(const Job& job, const ModelShapes& shapes);
void read_weights(Prepared& prepared, Listener& listener);
void prepare_text(Prepared& prepared);  // tokenizer and calibration windows
void run_trial(Prepared& prepared, const Depth& depth, Listener& listener);

// A finding in one line: "what: why; remedy".
std::string one_line(const Finding& finding);

// Tells the listener how far `what` is, once it takes longer than a moment, and asks whether to stop.
class Ticker {
 public:
  Ticker(Listener& listener, std::string what) : listener_(listener), what_(std::move(what)) {}
  void tick(double share) const;
  double seconds() const { return watch_.seconds(); }

 private:
  Listener& listener_;
  std::string what_;
  Stopwatch watch_;
};

}  // namespace hesse
