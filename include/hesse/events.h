// What happens during a job: the listener that is told, and the record of a run (hesse-run.json).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hesse/options.h"

namespace hesse {

// How a linear came out. Anything but kOk is named in the log, the record and the exit summary.
enum class LinearStatus {
  kOk,
  kDampingRaised,  // the factorization failed at first; a larger lambda made it work
  kFallback,       // no lambda within bounds worked; rounded to nearest instead
};
std::string_view status_name(LinearStatus status);  // "ok", "damping-raised", "fallback"

// One linear of a run. Symbols: W [out, in] the weights (with two streams their shifted target), E = W - Q the error of
// what was written, H = sum x x^T over the calibration tokens [in, in], tr the trace. Losses are -1 when the run had no
// calibration text (method rtn).
struct LinearRecord {
  std::string name;  // as in the file, without ".weight"
  int64_t layer = 0;
  int64_t out = 0;
  int64_t in = 0;
  int bits = 0;
  int64_t group_size = 0;  // as asked: -1 for a whole row
  bool symmetric = true;
  LinearStatus status = LinearStatus::kOk;
  double loss = -1;                // tr(E H E^T) / samples^2: the number that AutoGPTQ prints
  double relative_error = -1;      // tr(E H E^T) / tr(W H W^T)
  double rtn_relative_error = -1;  // the same for round-to-nearest, min/max scales
  double damping = 0;              // lambda / mean diag(H) that was used
  int factorizations = 0;
  int64_t failed_minor = 0;   // leading minor at which the first factorization failed; 0: it did not
  int64_t dead_channels = 0;  // inputs that were zero in every calibration token
  double clip_rate = 0;       // share of weights outside the range of their grid
  int64_t tokens = 0;         // calibration tokens in H
  double seconds = 0;         // solving this linear, without the forward pass
};

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

struct InputFile {
  std::string name;  // without folders
  int64_t bytes = 0;
  std::string sha256;
};

// Everything a run knows.
struct RunRecord {
  std::string version;  // of Hesse
  QuantizeOptions options;
  std::string model_name;  // last part of the model's path
  std::string family;
  std::string format;  // "gptq", "gptq_v2"
  std::string processor;
  std::string simd;       // instruction set of our kernels
  std::string libraries;  // versions of what does the arithmetic
  int threads = 0;
  int64_t calibration_sequences = 0;
  int64_t calibration_tokens = 0;
  std::vector<InputFile> inputs;
  std::vector<LinearRecord> linears;
  std::vector<PhaseTime> phases;
  std::vector<std::string> warnings;
  double seconds = 0;
  int64_t peak_memory_bytes = 0;
  int64_t output_bytes = 0;    // of all tensors
  double bits_per_weight = 0;  // of the quantized linears, scales and zero points included

  int64_t fallbacks() const;  // linears with status kFallback
};

struct Progress {
  std::string_view what;     // "layer 3 of 30"
  double share = 0;          // done, 0 ... 1
  double seconds_left = -1;  // estimate; -1: not known yet
};

// Told of what happens, always from the thread that made the call. Every method may be left as it is.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_progress(const Progress&) {}
  virtual void on_linear(const LinearRecord&) {}
  virtual void on_warning(std::string_view) {}
  virtual void on_text(std::string_view) {}  // generate: the next piece of text
  // Asked between steps; true ends the job with Error(kInterrupted) and leaves nothing half-written.
  virtual bool stop_requested() { return false; }
};

}  // namespace hesse
