// Text from a model, token by token, with the keys and values of earlier tokens kept.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/rng.h"
#include "model/model.h"

namespace hesse {

struct SamplingOptions {
  double temperature = 0.7;  // 0: the most likely token, the lowest id among equals
  double top_p = 0.95;
};

// One token from logits [vocab].
int32_t sample_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng);

// Bytes of the weights of all layers but for those of experts, as they are computed with.
int64_t bytes_of_blocks(const Model& model);

// Runs tokens through the model and keeps what attention needs of them.
class Decoder {
 public:
  enum class Blocks { kReadEachTime, kKeep };  // the weights of layers
  // `capacity`: tokens in all, at most the positions the model was made for.
  Decoder(const Model& model, int64_t capacity, Blocks blocks = Blocks::kReadEachTime);
  // Logits [vocab] after the last of `ids`, which follow all ids given before.
  std::vector<float> next_logits(std::span<const int32_t> ids);
  void forget();  // all ids given before

 private:
  const Model& model_;
  Model::Head head_;
  std::vector<KvCache> caches_;  // one a layer
  Blocks keep_;
  std::vector<std::unique_ptr<Block>> kept_;  // as far as they were read
};

}  // namespace hesse
