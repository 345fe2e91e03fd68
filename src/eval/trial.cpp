#include "eval/trial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/threads.h"
#include "kernels/kernels.h"

namespace hesse {
namespace {

constexpr int64_t kSliceRows = 1024;  // of the head, in memory at a time

// log(exp(a) + exp(b))
double log_add(double a, double b) {
  const double high = std::max(a, b);
  return std::isinf(high) ? high : high + std::log(std::exp(a - high) + std::exp(b - high));
}

// What a row of logits says of its target, seen in slices.
struct Seen {
  double log_sum = -std::numeric_limits<double>::infinity();
  double target = 0;  // its logit
};

// Row r of x predicts targets[r].
struct Predictions {
  const Matrix<float>& x;
  const std::vector<int32_t>& targets;
};

// Adds the logits of the head's rows [first, first + count) to `seen`.
void add_slice(const ModelConfig& config, const Linear& slice, int64_t first, const Predictions& all,
               std::vector<Seen>& seen) {
  const int64_t count = slice.weight.rows();
  const std::vector<int32_t>& targets = all.targets;
  Matrix<float> logits(all.x.rows(), count);
  apply_linear(slice, all.x.view(), logits.view());
  finish_logits(config, logits.view());
  parallel_for(logits.rows(), [&](int64_t r) {
    const size_t i = static_cast<size_t>(r);
    seen[i].log_sum = log_add(seen[i].log_sum, log_sum_exp(logits.row(r), count));
    if (targets[i] >= first && targets[i] < first + count) {
      seen[i].target = static_cast<double>(logits(r, targets[i] - first));
    }
  });
}

}  // namespace

std::vector<double> trial_losses(const Model& model, const WeightSource& source,
                                 const std::vector<std::vector<int32_t>>& sequences, const TrialProgress& progress) {
  const ModelConfig& config = model.config();
  const int64_t length = static_cast<int64_t>(sequences.front().size());
  const Batch batch{.sequences = static_cast<int64_t>(sequences.size()), .length = length};
  std::vector<int32_t> ids, targets;
  for (const std::vector<int32_t>& sequence : sequences) {
    ids.insert(ids.end(), sequence.begin(), sequence.end());
    targets.insert(targets.end(), sequence.begin() + 1, sequence.end());
    targets.push_back(-1);
  }
  Matrix<float> h = model.embed(ids, {.length = length});
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    model.block(layer, ReadExperts::kWhenNeeded).forward(batch, h.view());
    if (!progress(static_cast<double>(layer + 1) / static_cast<double>(config.layers + 1))) return {};
  }
  Matrix<float> x(h.rows(), config.embedding_width);
  HeadInput(config, source, ComputeType::kF32).make(h.view(), x.view());
  std::vector<Seen> seen(ids.size());
  const std::string module = head_module(config, source);
  for (int64_t first = 0; first < config.vocab; first += kSliceRows) {
    const Linear slice = head_slice(config, source, first, std::min(kSliceRows, config.vocab - first));
    add_slice(config, slice, first, {x, targets}, seen);
    source.release(module);
  }
  std::vector<double> losses(sequences.size(), 0.0);
  for (size_t i = 0; i < seen.size(); ++i) {
    if (targets[i] < 0) continue;
    losses[i / static_cast<size_t>(length)] += (seen[i].log_sum - seen[i].target) / static_cast<double>(length - 1);
  }
  progress(1.0);
  return losses;
}

}  // namespace hesse
