// The calibration tokens on their way through the experts of one layer, which take their turns: of one at a time are
// the weights and the rows of its tokens in memory.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "model/block.h"
#include "run/collect.h"
#include "run/job.h"
#include "run/streams.h"

namespace hesse {

class ExpertFlow {
 public:
  // Behind attention: `streams` hold what the experts of `block` read. Where the router of the quantized stream sends a
  // token, both streams send it (docs/DECISIONS.md, "Experts"). All of them outlive this; `original` may be null.
  ExpertFlow(const Job& job, Block& block, Block* original, Streams& streams);

  // In front of a stage of an expert, which begin with its first: reads the weights and gathers the rows of its tokens.
  void enter(size_t stage);
  const Streams& streams() const { return own_; }
  // What `stage` is to be solved with. Valid until the next call of any of these.
  Intake intake(size_t stage);
  // Behind it. `peaks` as those of Batch.
  void finish(size_t stage, std::vector<float>* peaks);

 private:
  bool is_first(size_t stage) const { return block_.stages()[stage].linears.size() > 1; }
  bool is_shared(size_t stage) const;
  void gather(size_t stage, Stream& from, Stream& to);
  void finish_gate_up(const Block& block, size_t stage, Stream& stream, float* peaks);
  void finish_down(const Block& block, size_t stage, Stream& stream, Matrix<float>& h, float* peaks);
  void leave(size_t stage);

  const Job& job_;
  Block& block_;
  Block* original_;
  Streams& streams_;
  Routing routing_;
  ComputeMatrix sample_;   // [*, hidden] of tokens from all over the text
  ComputeMatrix sampled_;  // of the stage that is being solved, where it is not sample_
  Streams own_;            // of the expert whose turn it is: x alone
  const ExpertRows* tokens_ = nullptr;
};

}  // namespace hesse
