// One pass over the calibration tokens in front of a stage: Hessians, drift, and what is wrong with the data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/block.h"
#include "model/moe.h"
#include "plan/split_columns.h"
#include "quant/hessian.h"
#include "quant/target.h"
#include "run/job.h"
#include "run/streams.h"

namespace hesse {

// A token where something is not finite, and so everything behind it in its sequence.
struct BadToken {
  int64_t sample = 0;
  int64_t token = 0;
  int64_t channel = 0;
  float value = 0;
  bool original = false;  // of the original model; else behind the quantized layers
};

// Which tokens the rows of the streams are, where these are not all of them: those of an expert. They count by the
// square of the weight that the router gives them.
struct Intake {
  const ExpertRows& tokens;
  // [*, in] what the stage would read if tokens came here from all over the text: kSampledShare * in tokens' worth of
  // it stand beside those of the expert. Without data: none do.
  ConstComputeView sample = {};
};
constexpr double kSampledShare = 0.25;

struct Collected {
  std::vector<ColumnRange> ranges;
  std::vector<Hessian> hessians;     // one for each range, of all sequences but those held out
  std::optional<Hessian> held_out;   // one sequence in kHeldOutEvery; with enough sequences and room for two Hessians
  std::optional<InputDrift> input;   // for linears that share their input
  std::vector<OutputDrift> outputs;  // one for each linear, where the drift is summed by itself
  std::optional<ResidualDrift> residual;  // of the linear that writes into the residual stream
  int64_t left_out = 0;                   // tokens with a value that is not finite
  bool unreached = false;                 // of an expert without tokens: the Hessian is that of the sample
  std::optional<BadToken> first_bad;
  float largest_activation = 0;
};

// With two streams: whether the original one has to stand behind the stage, and not in front of it, for collect().
bool sums_behind(const Job& job, const Block::Stage& stage);

// `streams` stand in front of `stage`, whose weights are still the original ones; the original stream as sums_behind()
// has it. `intake`: null for all tokens.
Collected collect(const Job& job, const Block::Stage& stage, const Streams& streams, const Intake* intake = nullptr);

}  // namespace hesse
