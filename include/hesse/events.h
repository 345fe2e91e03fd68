// What happens during a job: the listener that is told, and the record of a run (hesse-run.json).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/options.h"
#include "hesse/types.h"

namespace hesse {

// How a linear came out, in order of severity. Anything but kOk is named in the log, the record and the exit summary.
enum class LinearStatus {
  kOk,
  kDampingRaised,    // the factorization failed at first; a larger lambda made it work
  kEigenvalueFloor,  // no lambda within bounds did; small eigenvalues of H were raised
  kRoundingBetter,   // the solver's answer lost more than rounding to nearest, which was taken
  kUnreached,        // an expert that no token reached: rounded to nearest, with scales for tokens in general
  kFallback,         // there was no factor; rounded to nearest instead
  kSkipped,          // weights that are not finite; left as it was
};
// "ok", "damping-raised", "eigenvalue-floor", "rounding-better", "unreached", "fallback", "skipped"
std::string_view status_name(LinearStatus status);

// The bins of LinearRecord::weight_errors, besides the two for what lies outside of them.
constexpr int kErrorBins = 25;       // of equal width; the middle one lies about 0
constexpr double kErrorSteps = 1.5;  // from minus this to this many steps

// One linear of a run. Symbols: W [out, in] the weights (with two streams their shifted target), E = W - Q the error of
// what was written, H = sum x x^T over the calibration tokens [in, in], tr the trace. Losses are -1 when the run had no
// calibration text (method rtn).
struct LinearRecord {
  std::string name;  // as in the file, without ".weight"
  int64_t layer = 0;
  int64_t expert = -1;  // whose it is; -1: of none that tokens are sent to
  int64_t out = 0;
  int64_t in = 0;
  int bits = 0;
  int64_t group_size = 0;  // as asked: -1 for a whole row
  bool symmetric = true;
  LinearStatus status = LinearStatus::kOk;
  double loss = -1;                // tr(E H E^T) / samples^2: the number that AutoGPTQ prints
  double relative_error = -1;      // tr(E H E^T) / tr(W H W^T)
  double rtn_relative_error = -1;  // the same for round-to-nearest, min/max scales
  // Relative errors of some rows, solved without one sequence in five: on the rest, and on those. -1: not measured.
  double fit_error = -1;
  double held_out_error = -1;
  double damping = 0;  // lambda / mean diag(H) that was used
  int factorizations = 0;
  int64_t failed_minor = 0;        // order of the minor at which the first factorization failed; 0: it did not
  int64_t tokens = 0;              // calibration tokens in H
  int64_t tokens_left_out = 0;     // those with a value that is not finite
  int64_t hessian_blocks = 1;      // diagonal blocks of H; more than one where all of H does not fit the memory
  int64_t effective_rank = 0;      // sum mu / (mu + lambda) over the eigenvalues mu of H, an estimate
  double condition = 0;            // lower bound for the condition number of H + lambda I
  double peak_diagonal = 0;        // largest / mean diag(H)
  int64_t dead_channels = 0;       // inputs that were zero in every calibration token
  int64_t duplicate_channels = 0;  // inputs that were equal to another in every calibration token
  double largest_activation = -1;  // max |x| over the calibration tokens
  double largest_output = -1;      // max |W x + b|, of the quantized weights
  int64_t floored_scales = 0;      // groups whose scale stands at the smallest that is written
  double clip_rate = 0;            // share of weights outside the range of their grid
  double weight_rms = -1;          // root of the mean square of the weights in the file
  // Weights by (w - q) / |scale|, w that of the file: those below -kErrorSteps, kErrorBins counts, the others. Empty:
  // not counted, or not kept; a record has those of the linears that lost most.
  std::vector<int64_t> weight_errors = {};
  double seconds = 0;  // solving this linear, without the forward pass
};

// Whether a field is -1 or empty where nothing was measured, which JSON shows as null.
enum class Measured { kAlways, kSometimes };

// Calls visit(name, field, measured) for every field, in the order of the record. `Self` is LinearRecord or const
// LinearRecord.
template <class Self, class Visitor>
void visit_linear_record(Self& l, Visitor&& visit) {
  constexpr Measured kAlways = Measured::kAlways, kSometimes = Measured::kSometimes;
  visit("name", l.name, kAlways);
  visit("layer", l.layer, kAlways);
  visit("expert", l.expert, kSometimes);
  visit("out", l.out, kAlways);
  visit("in", l.in, kAlways);
  visit("bits", l.bits, kAlways);
  visit("group_size", l.group_size, kAlways);
  visit("symmetric", l.symmetric, kAlways);
  visit("status", l.status, kAlways);
  visit("loss", l.loss, kSometimes);
  visit("relative_error", l.relative_error, kSometimes);
  visit("rtn_relative_error", l.rtn_relative_error, kSometimes);
  visit("fit_error", l.fit_error, kSometimes);
  visit("held_out_error", l.held_out_error, kSometimes);
  visit("damping", l.damping, kAlways);
  visit("factorizations", l.factorizations, kAlways);
  visit("failed_minor", l.failed_minor, kAlways);
  visit("tokens", l.tokens, kAlways);
  visit("tokens_left_out", l.tokens_left_out, kAlways);
  visit("hessian_blocks", l.hessian_blocks, kAlways);
  visit("effective_rank", l.effective_rank, kAlways);
  visit("condition", l.condition, kAlways);
  visit("peak_diagonal", l.peak_diagonal, kAlways);
  visit("dead_channels", l.dead_channels, kAlways);
  visit("duplicate_channels", l.duplicate_channels, kAlways);
  visit("largest_activation", l.largest_activation, kSometimes);
  visit("largest_output", l.largest_output, kSometimes);
  visit("floored_scales", l.floored_scales, kAlways);
  visit("clip_rate", l.clip_rate, kAlways);
  visit("weight_rms", l.weight_rms, kSometimes);
  visit("weight_errors", l.weight_errors, kSometimes);
  visit("seconds", l.seconds, kAlways);
}

// What a user should know about a linear: each follows from its record, and its name never changes.
enum class Trouble {
  kFewTokens,             // fewer tokens than inputs: H is rank-deficient and rests on its damping
  kMoreCalibration,       // loses far more on held-out text than on the text it was fitted to
  kDeadChannels,          //
  kDuplicateChannels,     //
  kNonFiniteActivations,  // tokens were left out
  kNonFiniteWeights,      // not quantized
  kNearOverflow,          // activations or outputs above 3e4; a half ends at 65504
  kScaleFloor,            //
  kBlockDiagonal,         // H did not fit the memory
  kFailedFirstMinor,      // the factorization failed at once: zero or NaN upstream
  kFailedLateMinor,       // it failed later: rank or rounding
  kDampingRaised,         //
  kEigenvalueFloor,       //
  kRoundingBetter,        //
  kUnreachedExpert,       // no token of the calibration text was sent to it
  kFallback,              //
};
std::string_view trouble_name(Trouble trouble);                         // "few-tokens"
std::string trouble_text(Trouble trouble, const LinearRecord& linear);  // "64 tokens for 1536 channels: ..."
std::vector<Trouble> troubles_of(const LinearRecord& linear);

// Of a whole run, after a trial: what was predicted for it, times what the trial took relative to its own prediction.
struct Forecast {
  std::vector<int64_t> layers;  // that the trial quantized, from 0
  double seconds = 0;
  int64_t peak_memory_bytes = 0;
};

// Everything a run knows.
// A part of the model that loses much by the bits it has, as measured before the run.
struct PredictedDamage {
  std::vector<std::string> linears;  // which engines make one of
  int bits = 0;                      // that they got
  double kl = 0;                     // by them alone, at the output: nats a token
  double bits_at_8 = 0;              // more bits a weight of the whole model, with 8 bits there
};

struct RunRecord {
  std::string version;  // of Hesse
  QuantizeOptions options;
  std::string model_name;  // last part of the model's path
  std::string family;
  std::string format;  // of the result: "gptq", "compressed-tensors"
  std::string processor;
  std::string simd;       // instruction set of our kernels
  std::string libraries;  // versions of what does the arithmetic
  int threads = 0;
  std::string compute = "f32";  // inputs of the matrix products of the forward pass: "f32" or "bf16"
  std::string compute_reason;   // "asked", "native", "no native bf16", "full-precision model", "no forward pass"
  int64_t calibration_sequences = 0;
  int64_t calibration_tokens = 0;
  std::vector<TextFacts> calibration_sources;
  std::optional<CalibrationFacts> calibration;  // what the windows are made of; none: no calibration text
  std::optional<TrialFacts> tokenizer_trial;    // the model on a few tokens, before its first layer; none: not made
  std::vector<InputFile> inputs;
  std::vector<LinearRecord> linears;
  std::vector<PhaseTime> phases;
  std::vector<std::string> warnings;
  double seconds = 0;         // of this process
  int64_t resumed = 0;        // how many times the run was gone on with
  double seconds_before = 0;  // of the processes before this one, each until what it last committed
  double predicted_seconds =
      -1;     // of this process, before its first layer; -1: none (method rtn, or no calibration text)
  Work work;  // floating point operations that the run asked for
  int64_t peak_memory_bytes = 0;
  int64_t predicted_peak_memory_bytes = -1;       // likewise
  int64_t output_bytes = 0;                       // of all tensors
  double bits_per_weight = 0;                     // of the quantized linears, scales and zero points included
  std::vector<PredictedDamage> predicted_damage;  // the largest, with bits_target or protect
  std::optional<Forecast> forecast;               // after a trial, which leaves no result

  int64_t fallbacks() const;  // linears that were not solved: status kRoundingBetter and beyond
};

// The calibration tokens that were sent to each expert of a layer; -1 for one that the run was not about.
struct ExpertTokens {
  int64_t layer = 0;
  std::vector<int64_t> tokens;  // by the number of the expert
};
std::vector<ExpertTokens> expert_tokens(const RunRecord& record);  // of the layers that have experts

// What a run finds done when it goes on with an interrupted one.
struct Resumed {
  int64_t linears = 0;  // done and safe
  int64_t of = 0;
  int64_t layer = 0;        // the first that is not done
  int64_t first_layer = 0;  // from which the activations are computed again, without solving
};

struct Progress {
  std::string_view what;       // "layer 3 of 30"
  double share = 0;            // done, 0 ... 1
  double seconds_left = -1;    // estimate; -1: not known yet
  int64_t resident_bytes = 0;  // of this process, and what it may take; 0: not told
  int64_t memory_bytes = 0;
};

// Told of what happens, always from the thread that made the call. Every method may be left as it is.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_resumed(const Resumed&) {}        // quantize: before anything else that it tells
  virtual void on_prediction(const Prediction&) {}  // quantize: before the first layer
  virtual void on_progress(const Progress&) {}
  virtual void on_linear(const LinearRecord&) {}
  virtual void on_warning(std::string_view) {}
  virtual void on_text(std::string_view) {}  // generate: the next piece of text
  // Asked between steps; true ends the job with Error(kInterrupted) and leaves nothing half-written. A quantization
  // asks when the linears under way are done and safe.
  virtual bool stop_requested() { return false; }
};

}  // namespace hesse
