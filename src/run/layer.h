// One layer of a run: forward pass, Hessians and solving, stage by stage.
#pragma once

#include <functional>
#include <map>
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

// Quantizes the linears of `block` in the order of their stages and carries `h` [tokens, hidden] through it: each stage
// is solved before its output is first computed, so everything behind it sees the quantized weights.
void quantize_layer(const Job& job, int64_t layer, Block& block, Matrix<float>& h, PhaseClock& clock,
                    const LayerEvents& events);

// The same without calibration text: weights only.
void round_layer(const Job& job, int64_t layer, Block& block, PhaseClock& clock, const LayerEvents& events);

}  // namespace hesse
