// One layer of a run: forward pass, Hessians and solving, stage by stage.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "hesse/events.h"
#include "model/block.h"
#include "run/job.h"

namespace hesse {

// Seconds by phase, in the order in which the phases first occurred.
class PhaseClock {
 public:
  // Runs `work` and adds its time to `phase`.
  template <class Work>
  auto time(const std::string& phase, Work work) {
    const Scope scope(*this, phase);
    return work();
  }
  const std::vector<PhaseTime>& phases() const { return phases_; }

 private:
  struct Scope {
    Scope(PhaseClock& clock, const std::string& phase);
    ~Scope();
    PhaseClock& clock;
    std::string phase;
    double start;
  };
  std::vector<PhaseTime> phases_;
};

// What a layer hands out as it goes.
struct LayerEvents {
  std::function<void(const LinearRecord&, const QuantizedLinear&)> solved;
  std::function<void(double share)> progress;  // of this layer, 0 ... 1; may throw to stop
};

// One pass of the calibration tokens through the model.
struct Stream {
  Matrix<float> h;  // [tokens, hidden] the residual stream in front of the next layer
  Matrix<float> x;  // [tokens, in] the input of the next stage, while a layer is under way
};

// The stream behind the quantized layers, and that of the original model where targets follow it.
struct Streams {
  Stream quantized;
  std::optional<Stream> original;
};

// Quantizes the linears of `layer` in the order of their stages and carries the streams through it: each stage is
// solved before its output is first computed, so everything behind it sees the quantized weights.
void quantize_layer(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events);

// The same without calibration text: weights only.
void round_layer(const Job& job, int64_t layer, PhaseClock& clock, const LayerEvents& events);

}  // namespace hesse
