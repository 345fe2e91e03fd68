#include "api/machine_rates.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "plan/prediction.h"

namespace hesse {
namespace {

using Sides = std::set<std::pair<int64_t, int64_t>>;  // [out, in]

// As many tasks as keep every thread busy, of at most so many tokens that it does not take long.
AttentionShape attention_probe(const ModelShapes& c, const QuantizeSize& size) {
  constexpr int64_t kLongest = 1024;
  const int64_t length = std::min(size.length, kLongest);
  const int64_t share = std::max<int64_t>(1, c.heads / c.kv_heads);
  const int64_t kv_heads = std::min<int64_t>(c.kv_heads, std::max<int64_t>(1, 8 / share));
  return {.sequences = std::max<int64_t>(1, std::min(size.sequences, threads() * 512 / length)),
          .queries = length,
          .keys = length,
          .heads = kv_heads * share,
          .kv_heads = kv_heads,
          .head_dim = c.head_dim,
          .scale = 0.1f,  // what the scores are does not matter
          .window = c.layers.front().window};
}

std::vector<ShapeRate> measure_all(const Sides& shapes, const std::function<double(int64_t, int64_t)>& rate) {
  std::vector<ShapeRate> rates;
  for (const auto& [out, in] : shapes) rates.push_back({out, in, rate(out, in)});
  return rates;
}

// The layers are much alike; the last one has the experts where only some have.
const PlannedLayer& typical_layer(const ModelShapes& model) {
  return model.layers[model.layers.size() - (model.plans_head() ? 2 : 1)];
}

}  // namespace

MachineRates measure_products(const RateMeter& meter, const ModelShapes& model, const QuantizeSize& size) {
  constexpr int64_t kActivations = 8 << 20;  // bytes, about those of one batch
  Sides linears, squares, crosses;
  const auto cut = [&](int64_t side) { return std::min(side, meter.longest_side()); };
  for (const PlannedStage& stage : typical_layer(model).stages) {
    const int64_t in = cut(stage.in());
    for (const LinearShape& linear : stage.linears) linears.emplace(cut(linear.out), in);
    squares.emplace(in, in);
    const DriftSum drift = drift_sum(stage, size);
    if (drift == DriftSum::kInput) crosses.emplace(in, in);
    if (drift == DriftSum::kOutput) crosses.emplace(cut(stage.linears.front().out), in);
  }
  const int64_t batch = std::min<int64_t>(batch_rows(size), 2048), chunk = gram_rows(size);
  MachineRates rates;
  rates.threads = threads();
  rates.gemm = measure_all(linears, [&](int64_t out, int64_t in) { return meter.gemm(batch, out, in); });
  rates.gram = measure_all(squares, [&](int64_t, int64_t in) { return meter.gram(chunk, in); });
  rates.cross = measure_all(crosses, [&](int64_t out, int64_t in) { return meter.cross(chunk, out, in); });
  rates.attention = meter.attention(attention_probe(model, size));
  rates.copy_bytes = meter.memory_copy(kActivations);
  rates.fresh_bytes = meter.memory_fresh(kActivations);
  rates.hash_bytes = meter.hash();
  return rates;
}

void measure_solver(const RateMeter& meter, const ModelShapes& model, const LinearSpec& spec,
                    const GptqOptions& options, MachineRates& rates) {
  meter.solver(spec, options, model.widest_in(), rates);
}

}  // namespace hesse
