// A model as a whole, without its weights in memory: config, names, and what lies before and after the blocks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/matrix.h"
#include "model/block.h"
#include "model/config.h"
#include "model/source.h"

namespace hesse {

// Which tokens `embed` gets: sequences of `length`, 0: one of all; the first of each stands at `first`.
struct TokenPlaces {
  int64_t length = 0;
  int64_t first = 0;
};

// What the head multiplies: the final norm of the residual stream and, in few models, a projection of that.
class HeadInput {
 public:
  HeadInput(const ModelConfig& config, const WeightSource& source, ComputeType compute);
  // x [rows, embedding_width], of the compute type, of h [rows, hidden].
  void make(MatrixView<const float> h, ComputeView x) const;

 private:
  Norm norm_;
  Linear project_out_;  // without a weight where there is none
};

class Model {
 public:
  // `source` must outlive the model. Checks that every tensor that the config asks for is there with the right shape:
  // Error(kBadInput) names the first that is not. `positions` is the longest sequence that will be run.
  Model(ModelConfig config, const WeightSource& source, int64_t positions, ComputeType compute = ComputeType::kF32);

  const ModelConfig& config() const { return config_; }
  ComputeType compute() const { return compute_; }
  Matrix<float> embed(std::span<const int32_t> ids, const TokenPlaces& places = {}) const;  // [ids, hidden]
  Block block(int64_t layer, ReadExperts experts = ReadExperts::kAtOnce) const;
  // Says that the weights of `layer` but for those of experts will be read soon (a layer that does not exist is
  // ignored).
  void prefetch(int64_t layer) const;

  // The end of the model: final norm and head. The head's weight is read once, on construction.
  class Head {
   public:
    Head(const ModelConfig& config, const WeightSource& source, ComputeType compute);
    // logits [rows, vocab] of the residual stream h [rows, hidden].
    Matrix<float> logits(MatrixView<const float> h) const;
    // The same in two steps: what the linear of the head multiplies, of its compute type, and the logits of that.
    ComputeMatrix input(MatrixView<const float> h) const;
    Matrix<float> logits_of_input(ConstComputeView x) const;
    const Linear& linear() const { return head_; }

   private:
    const ModelConfig& config_;
    HeadInput input_;
    Linear head_;
  };
  Head head() const { return Head(config_, source_, compute_); }

 private:
  void add_positions(MatrixView<float> h, const TokenPlaces& places) const;

  ModelConfig config_;
  const WeightSource& source_;
  ComputeType compute_;
  RopeTable rope_;
  RopeTable local_rope_;  // empty when no layer uses it
};

// Every linear of every layer, in the order of solving.
std::vector<StageShape> model_stages(const ModelConfig& config);

// The one linear of the head, named as in the file, of a model that has a head of its own.
StageShape head_stage(const ModelConfig& config);

// The head in slices, for those who have no room for all of it: its rows [first, first + count) as a linear of their
// own, in float32; and what becomes of their outputs.
constexpr int64_t kHeadRows = 8192;  // of a head that is quantized, together
Linear head_slice(const ModelConfig& config, const WeightSource& source, int64_t first, int64_t count);
void finish_logits(const ModelConfig& config, MatrixView<float> logits);

// The module whose weight is the head's: the embedding when they are tied. A tensor that a file has of its own wins
// over "tied" (transformers v5), and a missing one falls back to the embedding.
std::string head_module(const ModelConfig& config, const WeightSource& source);

}  // namespace hesse
