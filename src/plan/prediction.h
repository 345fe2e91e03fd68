// Times of a job before it begins, from its work (plan/work.h) and the rates of the machine; and the time that is left
// while it is under way.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hesse/types.h"
#include "plan/rates.h"
#include "plan/work.h"

namespace hesse {

// The phases of one stage in the words of the record.
struct StageSeconds {
  double weights = 0;  // of its linears: what the pipeline counts progress by
  double forward = 0;
  double hessian = 0;
  double factor = 0;
  double solve = 0;
  double total() const { return forward + hessian + factor + solve; }
};

struct LayerSeconds {
  double read = 0;
  std::vector<StageSeconds> stages;
  double total() const;
};

// Of a quantization, from the end of its checks.
struct RunSeconds {
  std::vector<LayerSeconds> layers;
  double write = 0;  // all linears
  double verify = 0;
  double hash = 0;
  double total() const;
  std::vector<PhaseTime> phases() const;

  int64_t streams = 1;
  // All but these parts cost nothing.
  void keep(const StageParts& parts);
};

// `model_bytes` are those of all weight files. The size has a calibration text and a solver that uses Hessians.
RunSeconds predict_quantize(const ModelShapes& model, const QuantizeSize& size, int64_t model_bytes,
                            const MachineRates& rates);

// One forward pass with logits of every token.
double predict_evaluation(const ModelShapes& model, int64_t sequences, int64_t length, const MachineRates& rates);

// Tokens that go through the products together: whole sequences, about 2048 tokens (run/streams.h).
int64_t batch_rows(const QuantizeSize& size);
// Those whose Gram matrix is summed together: one sequence in five is held out, and cuts the batches.
int64_t gram_rows(const QuantizeSize& size);

// The time that is left: what is predicted for the rest, times what the part that is done took, relative to its own
// prediction. So a machine that is busier than while it was measured is noticed, and a slow first stage is not taken
// for a slow run.
class Countdown {
 public:
  explicit Countdown(RunSeconds predicted) : predicted_(std::move(predicted)) {}
  // `share` of the linears of `layer` are done, by weights, after `elapsed` seconds since the end of the checks.
  double seconds_left(int64_t layer, double share, double elapsed);

 private:
  double predicted_until(int64_t layer, double share) const;

  RunSeconds predicted_;
  double done_ = 0;     // predicted seconds of what is done
  double done_at_ = 0;  // elapsed seconds when done_ last grew
};

}  // namespace hesse
