#include "model/moe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

#include "kernels/kernels.h"
#include "model/rows.h"

namespace hesse {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::string expert_module(const ModelConfig& c, int64_t layer, int64_t expert) {
  const ExpertsRule& rule = c.family->experts;
  if (expert == c.experts.count) return c.in_layer(layer, rule.shared);
  const size_t hole = rule.expert.find("{}");
  return c.in_layer(layer, fmt::format("{}{}{}", rule.expert.substr(0, hole), expert, rule.expert.substr(hole + 2)));
}

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

void softmax(float* values, int64_t n) {
  const float largest = *std::max_element(values, values + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += values[i] = std::exp(values[i] - largest);
  for (int64_t i = 0; i < n; ++i) values[i] /= sum;
}

}  // namespace

ExpertRows ExpertRows::part(int64_t first, int64_t count) const {
  ExpertRows some{{rows.begin() + first, rows.begin() + first + count}, {}};
  if (!weights.empty()) some.weights.assign(weights.begin() + first, weights.begin() + first + count);
  return some;
}

ComputeMatrix weighted_rows(ConstComputeView m, std::span<const float> weights) {
  ComputeMatrix weighted(m.type, m.rows, m.cols);
  fill_rows(weighted.view(), [&](int64_t r, float* row) {
    std::vector<float> scratch(static_cast<size_t>(m.cols));
    std::copy_n(read_row(m, r, scratch.data()), m.cols, row);
    scale(row, weights[static_cast<size_t>(r)], m.cols);
  });
  return weighted;
}

std::vector<StageShape> expert_stages(const ModelConfig& c, int64_t layer) {
  const ExpertsRule& rule = c.family->experts;
  std::vector<StageShape> stages;
  const auto add = [&](int64_t expert, int64_t width) {
    const bool shared = expert == c.experts.count;
    const std::string module = expert_module(c, layer, expert);
    const auto linear = [&](std::string_view name, int64_t out, int64_t in) {
      return LinearShape{module + std::string(name), out, in, shared ? c.mlp_bias : c.experts.biases};
    };
    stages.push_back({shared ? "shared_gate_up" : "experts_gate_up",
                      false,
                      {linear(rule.gate, width, c.hidden), linear(rule.up, width, c.hidden)},
                      expert});
    // What an expert gives is multiplied on its way into the residual stream.
    stages.push_back({shared ? "shared_down" : "experts_down", false, {linear(rule.down, c.hidden, width)}, expert});
  };
  for (int64_t e = 0; e < c.experts.count; ++e) add(e, c.experts.width);
  if (c.experts.shared_width > 0) add(c.experts.count, c.experts.shared_width);
  return stages;
}

RouterShapes router_shapes(const ModelConfig& c, int64_t layer) {
  const ExpertsRule& rule = c.family->experts;
  RouterShapes shapes;
  if (!c.experts.in_layer(layer)) return shapes;
  shapes.matrices.push_back({c.in_layer(layer, rule.router), c.experts.count, c.hidden, rule.router_bias});
  if (!rule.choice_bias.empty()) shapes.vectors.emplace_back(c.in_layer(layer, rule.choice_bias), c.experts.count);
  if (!rule.shared_gate.empty() && c.experts.shared_width > 0)
    shapes.matrices.push_back({c.in_layer(layer, rule.shared_gate), 1, c.hidden});
  return shapes;
}

Router::Router(const ModelConfig& config, const WeightSource& source, int64_t layer, ComputeType compute)
    : config_(config) {
  const RouterShapes shapes = router_shapes(config, layer);
  router_ = load_linear(source, shapes.matrices.front(), compute);
  if (shapes.matrices.size() > 1) shared_gate_ = load_linear(source, shapes.matrices.back(), compute);
  for (const auto& [name, size] : shapes.vectors) choice_bias_ = source.vector(name, size);
}

Routing Router::none() const {
  return Routing(static_cast<size_t>(config_.experts.count + (config_.experts.shared_width > 0 ? 1 : 0)));
}

// Of groups that are not kept no expert can be chosen.
void Router::drop_groups(float* scores) const {
  const ExpertsConfig& e = config_.experts;
  if (e.kept_groups >= e.groups) return;
  const int64_t size = e.count / e.groups;
  std::vector<float> best(static_cast<size_t>(e.groups)), sorted(static_cast<size_t>(size));
  for (int64_t g = 0; g < e.groups; ++g) {
    const auto most = static_cast<std::ptrdiff_t>(config_.family->experts.group_best);
    std::copy_n(scores + g * size, size, sorted.begin());
    std::partial_sort(sorted.begin(), sorted.begin() + most, sorted.end(), std::greater<>());
    best[static_cast<size_t>(g)] = std::accumulate(sorted.begin(), sorted.begin() + most, 0.0f);
  }
  std::vector<int64_t> order(best.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return best[static_cast<size_t>(a)] > best[static_cast<size_t>(b)]; });
  for (size_t i = static_cast<size_t>(e.kept_groups); i < order.size(); ++i)
    std::fill_n(scores + order[i] * size, size, kNever);
}

void Router::choose(float* logits, int32_t* chosen, float* weights) const {
  const ExpertsConfig& e = config_.experts;
  if (config_.family->experts.scores == RouterScores::kSoftmax) {
    softmax(logits, e.count);
  } else {
    for (int64_t i = 0; i < e.count; ++i) logits[i] = sigmoid(logits[i]);
  }
  std::vector<float> choice(logits, logits + e.count);
  for (size_t i = 0; i < choice_bias_.size(); ++i) choice[i] += choice_bias_[i];
  // A row that is not finite goes somewhere, and stays what it is.
  std::replace_if(
      choice.begin(), choice.end(), [](float score) { return std::isnan(score); }, kNever);
  drop_groups(choice.data());
  std::vector<int32_t> order(choice.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + e.per_token, order.end(), [&](int32_t a, int32_t b) {
    const float left = choice[static_cast<size_t>(a)], right = choice[static_cast<size_t>(b)];
    return left > right || (left == right && a < b);
  });
  float sum = e.normalised ? 1e-20f : 1.0f;
  for (int64_t k = 0; k < e.per_token; ++k) {
    chosen[k] = order[static_cast<size_t>(k)];
    weights[k] = logits[chosen[k]];
    if (e.normalised) sum += weights[k];
  }
  for (int64_t k = 0; k < e.per_token; ++k) weights[k] = weights[k] / sum * e.scale;
}

void Router::route(ConstComputeView x, int64_t first, Routing& routing) const {
  const ExpertsConfig& e = config_.experts;
  Matrix<float> logits(x.rows, e.count), weights(x.rows, e.per_token);
  Matrix<int32_t> chosen(x.rows, e.per_token);
  apply_linear(router_, x, logits.view());
  for_each_row(x.rows, [&](int64_t r) { choose(logits.row(r), chosen.row(r), weights.row(r)); });
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t k = 0; k < e.per_token; ++k) {
      ExpertRows& expert = routing[static_cast<size_t>(chosen(r, k))];
      expert.rows.push_back(first + r);
      expert.weights.push_back(weights(r, k));
    }
  }
  if (e.shared_width == 0) return;
  ExpertRows& shared = routing.back();
  for (int64_t r = 0; r < x.rows; ++r) shared.rows.push_back(first + r);
  if (shared_gate_.name.empty()) return;
  Matrix<float> gate(x.rows, 1);
  apply_linear(shared_gate_, x, gate.view());
  for (int64_t r = 0; r < x.rows; ++r) shared.weights.push_back(sigmoid(gate(r, 0)));
}

}  // namespace hesse
