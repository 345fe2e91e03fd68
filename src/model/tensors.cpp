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

class Comparison {
 public:
  explicit Comparison(const WeightSource& source) : source_(source) {}

  void matrix(const LinearShape& linear) {
    const std::string name = linear.name + ".weight";
    const int64_t out = linear.out, in = linear.in;
    try {
      const WeightSource::Shape shape = source_.linear_shape(linear.name, linear.layout);
      if (shape.out == 0) return missing(name);
      if (shape.out == out && shape.in == in) return;
      add(Kind::kShape, name,
          fmt::format("[weights] '{}' has shape [{}, {}]; config.json asks for [{}, {}]", name, shape.out, shape.in,
                      out, in));
    } catch (const Error& error) {
      add(Kind::kContent, name, error.what());
    }
  }

  void norm(const NormShape& shape) {
    constexpr std::string_view kWeight = ".weight";
    if (shape.rows == 0) return vector(shape.name, shape.size);
    matrix({shape.name.substr(0, shape.name.size() - kWeight.size()), shape.rows, shape.size});
  }

  void linear(const LinearShape& linear) {
    matrix(linear);
    if (linear.bias) vector(linear.name + ".bias", linear.out);
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

// What lies before and behind the layers, with `head` as the module of the head.
std::vector<LinearShape> outer_matrices(const ModelConfig& c, const std::string& head) {
  const Family& family = *c.family;
  std::vector<LinearShape> matrices = {{c.embedding_module(), c.vocab, c.embedding_width}};
  if (head != c.embedding_module()) matrices.push_back({head, c.vocab, c.embedding_width, c.head_bias});
  if (!family.position_table.empty())
    matrices.push_back({c.whole_name(family.position_table), c.max_positions + family.position_offset, c.hidden});
  if (c.embedding_width != c.hidden) {
    matrices.push_back({c.whole_name(family.project_in), c.hidden, c.embedding_width});
    matrices.push_back({c.whole_name(family.project_out), c.embedding_width, c.hidden});
  }
  return matrices;
}

std::vector<NormShape> outer_norms(const ModelConfig& c) {
  std::vector<NormShape> norms;
  for (const std::string_view name : {c.family->embedding_norm, c.family->final_norm}) {
    if (name.empty()) continue;
    for (NormShape& shape : norm_shapes(c, c.whole_name(name), c.hidden)) norms.push_back(std::move(shape));
  }
  return norms;
}

// The size [out] of the linear `name` of layer 0, 0 when it cannot be read or there is none.
int64_t outputs_of(const ModelConfig& config, const WeightSource& source, std::string_view name) {
  if (name.empty()) return 0;
  try {
    return source.linear_shape(config.in_layer(0, name), layout_of_linears(config)).out;
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

ModelConfig choose_scheme(ModelConfig config, const WeightSource& source) {
  for (const NameScheme& scheme : config.schemes) {
    if (!source.has(fmt::format("{}{}.weight", scheme.prefix, config.family->embedding))) continue;
    config.schemes = {scheme};
    break;
  }
  return config;
}

std::vector<TensorProblem> tensor_problems(const ModelConfig& config, const WeightSource& source) {
  Comparison comparison(source);
  for (const LinearShape& matrix : outer_matrices(config, head_module(config, source))) comparison.linear(matrix);
  for (const NormShape& norm : outer_norms(config)) comparison.norm(norm);
  for (int64_t layer = 0; layer < config.layers && !comparison.full(); ++layer) {
    for (const NormShape& norm : layer_norms(config, layer)) comparison.norm(norm);
    const RouterShapes router = router_shapes(config, layer);
    for (const LinearShape& matrix : router.matrices) comparison.linear(matrix);
    for (const auto& [name, size] : router.vectors) comparison.vector(name, size);
    for (const auto& [name, size] : attention_vectors(config, layer)) comparison.vector(name, size);
    for (const StageShape& stage : layer_stages(config, layer)) {
      for (const LinearShape& linear : stage.linears) comparison.linear(linear);
    }
  }
  return comparison.take();
}

std::optional<ConfigMisfit> find_misfit(const ModelConfig& config, const WeightSource& source) {
  const Family& family = *config.family;
  WeightSource::Shape embedding;
  try {
    embedding = source.linear_shape(config.embedding_module());
  } catch (const Error&) {
  }
  const int64_t q = outputs_of(config, source, family.q), k = outputs_of(config, source, family.k);
  const int64_t wide = outputs_of(config, source, family.gate.empty() ? family.up : family.gate);
  const struct {
    std::string_view key;
    int64_t ModelConfig::*field;
    int64_t fits;
  } candidates[] = {
      {"vocab_size", &ModelConfig::vocab, embedding.out},
      {family.hidden_key.name, &ModelConfig::hidden, embedding.in},
      {family.intermediate_key.name, &ModelConfig::intermediate, wide},
      {"head_dim", &ModelConfig::head_dim, q / config.heads},
      {family.heads_key.name, &ModelConfig::heads, q / config.head_dim},
      {family.kv_heads_key.name, &ModelConfig::kv_heads, k / config.head_dim},
      {family.layers_key.name, &ModelConfig::layers, layers_of(config, source)},
  };
  for (const auto& candidate : candidates) {
    if (candidate.key.empty() || candidate.fits < 1 || candidate.fits == config.*candidate.field) continue;
    ModelConfig changed = config;
    changed.*candidate.field = candidate.fits;
    if (fits(changed, source)) return ConfigMisfit{std::string(candidate.key), config.*candidate.field, candidate.fits};
  }
  return std::nullopt;
}

double outer_parameters(const ModelConfig& config) {
  double count = static_cast<double>(config.head_bias ? config.vocab : 0);
  for (const NormShape& norm : outer_norms(config)) count += static_cast<double>(norm.size);
  for (const LinearShape& matrix : outer_matrices(config, config.embedding_module())) {
    if (matrix.name != config.embedding_module())
      count += static_cast<double>(matrix.out) * static_cast<double>(matrix.in);
  }
  return count;
}

std::vector<std::string> tensor_names(const ModelConfig& config) {
  std::vector<std::string> names;
  const auto add = [&](const LinearShape& linear) {
    names.push_back(linear.name + ".weight");
    if (linear.bias) names.push_back(linear.name + ".bias");
  };
  for (const LinearShape& matrix : outer_matrices(config, config.own_head())) add(matrix);
  for (const NormShape& norm : outer_norms(config)) names.push_back(norm.name);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const NormShape& norm : layer_norms(config, layer)) names.push_back(norm.name);
    const RouterShapes router = router_shapes(config, layer);
    for (const LinearShape& matrix : router.matrices) add(matrix);
    for (const auto& [name, size] : router.vectors) names.push_back(name);
    for (const auto& [name, size] : attention_vectors(config, layer)) names.push_back(name);
    for (const StageShape& stage : layer_stages(config, layer)) {
      for (const LinearShape& linear : stage.linears) add(linear);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hesse
