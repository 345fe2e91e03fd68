#include "model/tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "hesse/error.h"
#include "model/model.h"

namespace hesse {
namespace {

using Kind = TensorProblem::Kind;

std::string without_weight(std::string_view name) {
  constexpr std::string_view kEnd = ".weight";
  return std::string(name.substr(0, name.size() - kEnd.size()));
}

class Comparison {
 public:
  explicit Comparison(const WeightSource& source) : source_(source) {}

  void matrix(const std::string& module, int64_t out, int64_t in) {
    const std::string name = module + ".weight";
    try {
      const WeightSource::Shape shape = source_.linear_shape(module);
      if (shape.out == 0) return missing(name);
      if (shape.out == out && shape.in == in) return;
      add(Kind::kShape, name,
          fmt::format("[weights] '{}' has shape [{}, {}]; config.json asks for [{}, {}]", name, shape.out, shape.in,
                      out, in));
    } catch (const Error& error) {
      add(Kind::kContent, name, error.what());
    }
  }

  void vector(const std::string& name, int64_t size) {
    if (!source_.has(name)) return missing(name);
    try {
      source_.vector(name, size);
    } catch (const Error& error) {
      add(Kind::kContent, name, error.what());
    }
  }

  // Enough to speak of; a config that asks for thousands of layers must not fill the memory.
  bool full() const { return problems_.size() >= 4096; }
  std::vector<TensorProblem> take() { return std::move(problems_); }

 private:
  void add(Kind kind, const std::string& tensor, std::string text) {
    problems_.push_back({kind, tensor, std::move(text)});
  }
  void missing(const std::string& name) {
    add(Kind::kMissing, name, fmt::format("[weights] '{}' is not in the checkpoint; incomplete download?", name));
  }

  const WeightSource& source_;
  std::vector<TensorProblem> problems_;
};

bool fits(const ModelConfig& config, const WeightSource& source) {
  return config.heads % config.kv_heads == 0 && tensor_problems(config, source).empty();
}

// The layers that the source has, counted from the first.
int64_t layers_of(const ModelConfig& config, const WeightSource& source) {
  int64_t layers = 0;
  while (source.has(layer_stages(config, layers).front().linears.front().name + ".weight")) ++layers;
  return layers;
}

}  // namespace

std::vector<TensorProblem> tensor_problems(const ModelConfig& config, const WeightSource& source) {
  const Family& family = *config.family;
  Comparison comparison(source);
  const std::string embedding = without_weight(family.embedding), head = head_module(config, source);
  comparison.matrix(embedding, config.vocab, config.hidden);
  if (head != embedding) comparison.matrix(head, config.vocab, config.hidden);
  comparison.vector(std::string(family.final_norm), config.hidden);
  for (int64_t layer = 0; layer < config.layers && !comparison.full(); ++layer) {
    for (const NormShape& norm : layer_norms(config, layer)) comparison.vector(norm.name, norm.size);
    for (const StageShape& stage : layer_stages(config, layer)) {
      for (const LinearShape& linear : stage.linears) {
        comparison.matrix(linear.name, linear.out, linear.in);
        if (linear.bias) comparison.vector(linear.name + ".bias", linear.out);
      }
    }
  }
  return comparison.take();
}

std::optional<ConfigMisfit> find_misfit(const ModelConfig& config, const WeightSource& source) {
  const auto shape_of = [&](const std::string& module) {
    try {
      return source.linear_shape(module);
    } catch (const Error&) {
      return WeightSource::Shape{};
    }
  };
  const std::vector<StageShape> stages = layer_stages(config, 0);
  const WeightSource::Shape embedding = shape_of(without_weight(config.family->embedding));
  const WeightSource::Shape q = shape_of(stages[0].linears[0].name), k = shape_of(stages[0].linears[1].name);
  const WeightSource::Shape gate = shape_of(stages[2].linears[0].name);
  const struct {
    const char* key;
    int64_t ModelConfig::*field;
    int64_t fits;
  } candidates[] = {
      {"vocab_size", &ModelConfig::vocab, embedding.out},
      {"hidden_size", &ModelConfig::hidden, embedding.in},
      {"intermediate_size", &ModelConfig::intermediate, gate.out},
      {"head_dim", &ModelConfig::head_dim, q.out / config.heads},
      {"num_attention_heads", &ModelConfig::heads, q.out / config.head_dim},
      {"num_key_value_heads", &ModelConfig::kv_heads, k.out / config.head_dim},
      {"num_hidden_layers", &ModelConfig::layers, layers_of(config, source)},
  };
  for (const auto& candidate : candidates) {
    if (candidate.fits < 1 || candidate.fits == config.*candidate.field) continue;
    ModelConfig changed = config;
    changed.*candidate.field = candidate.fits;
    if (fits(changed, source)) return ConfigMisfit{candidate.key, config.*candidate.field, candidate.fits};
  }
  return std::nullopt;
}

std::vector<std::string> tensor_names(const ModelConfig& config) {
  const Family& family = *config.family;
  std::vector<std::string> names = {std::string(family.embedding), std::string(family.final_norm),
                                    std::string(family.head) + ".weight"};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const NormShape& norm : layer_norms(config, layer)) names.push_back(norm.name);
    for (const StageShape& stage : layer_stages(config, layer)) {
      for (const LinearShape& linear : stage.linears) {
        names.push_back(linear.name + ".weight");
        if (linear.bias) names.push_back(linear.name + ".bias");
      }
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hesse
