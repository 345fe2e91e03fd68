// One layer of a run: forward pass, Hessians and solving, stage by stage.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hesse/events.h"
#include "run/collect.h"
#include "run/job.h"
#include "run/stage.h"
#include "run/streams.h"

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

// What a layer asks for and hands out as it goes.
struct LayerEvents {
  // Whether nothing of a stage is left to solve; and what is known of one of its linears, from an earlier process of
  // this run or from an earlier result (nothing: it stays as it is).
  std::function<bool(int64_t stage)> is_done;
  std::function<std::optional<QuantizedLinear>(int64_t stage, const std::string& linear)> packed;
  std::function<void(int64_t stage, const std::vector<SolvedLinear>&)> solved;
  std::function<void(double share)> progress;  // of this layer, 0 ... 1
  std::function<void()> between_stages;        // nothing is under way that would be lost; may throw to stop
  // Tokens with values that are not finite were left out in front of a stage; where the first of them lies.
  std::function<void(const std::string& what)> unusable_tokens;
};

// Tells of the tokens that were left out in front of `stage`. Error(kBadInput) when they are more than the user allows.
void judge_unusable(const Job& job, int64_t layer, const Block::Stage& stage, const Collected& collected,
                    const LayerEvents& events);

// Quantizes the linears of `layer` in the order of their stages and carries the streams through it: each stage is
// solved before its output is first computed, so everything behind it sees the quantized weights. A stage that was done
// before takes its weights from there; the rest of its way is the same, so everything behind it is too, to the last
// bit.
void quantize_layer(const Job& job, int64_t layer, Streams& streams, PhaseClock& clock, const LayerEvents& events);

// The same without calibration text: weights only.
void round_layer(const Job& job, int64_t layer, PhaseClock& clock, const LayerEvents& events);

}  // namespace hesse
