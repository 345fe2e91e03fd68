#include "eval/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hesse {

int32_t sample_token(std::span<const float> logits, const SamplingOptions& options, Rng& rng) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (options.temperature == 0) return static_cast<int32_t>(best - logits.begin());
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  std::vector<double> weights;
  double total = 0;
  for (const int32_t id : order) {
    const double distance = static_cast<double>(logits[static_cast<size_t>(id)]) - static_cast<double>(*best);
    weights.push_back(std::exp(distance / options.temperature));
    total += weights.back();
  }
  // The smallest set of most likely tokens that has top_p of the probability; at least one.
  double kept = 0;
  size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options.top_p * total)) kept += weights[count++];
  double draw = rng.uniform() * kept;
  for (size_t i = 0; i < count; ++i) {
    draw -= weights[i];
    if (draw < 0) return order[i];
  }
  return order[count - 1];
}

int64_t bytes_of_blocks(const Model& model) {
  int64_t bytes = 0;
  for (const StageShape& stage : model_stages(model.config())) {
    if (stage.expert != kNoExpert) continue;
    for (const LinearShape& linear : stage.linears) bytes += linear.out * linear.in;
  }
  return bytes * (model.compute() == ComputeType::kBF16 ? 2 : 4);
}

Decoder::Decoder(const Model& model, int64_t capacity, Blocks blocks)
    : model_(model), head_(model.head()), keep_(blocks) {
  const ModelConfig& config = model.config();
  const int64_t width = config.kv_heads * config.head_dim;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    caches_.push_back({Matrix<float>(capacity, width), Matrix<float>(capacity, width), 0});
  }
}

std::vector<float> Decoder::next_logits(std::span<const int32_t> ids) {
  Matrix<float> h = model_.embed(ids, {.first = caches_.front().length});
  const int64_t length = static_cast<int64_t>(ids.size());
  for (int64_t layer = 0; layer < model_.config().layers; ++layer) {
    const size_t i = static_cast<size_t>(layer);
    const Batch batch{.sequences = 1, .length = length, .cache = &caches_[i]};
    if (keep_ == Blocks::kReadEachTime) {
      model_.block(layer, ReadExperts::kWhenNeeded).forward(batch, h.view());
      continue;
    }
    if (i == kept_.size()) kept_.push_back(std::make_unique<Block>(model_.block(layer, ReadExperts::kWhenNeeded)));
    kept_[i]->forward(batch, h.view());
  }
  const Matrix<float> logits = head_.logits(h.view().row_range(length - 1, 1));
  return {logits.data(), logits.data() + logits.size()};
}

void Decoder::forget() {
  for (KvCache& cache : caches_) cache.length = 0;
}

}  // namespace hesse
