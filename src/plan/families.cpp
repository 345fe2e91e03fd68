// Families that can be planned although the forward pass does not know them: the shapes of their linears alone.
// Facts: huggingface/transformers (main, 2025-12), src/transformers/models/FAMILY/{configuration,modeling}_FAMILY.py.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "hesse/error.h"
#include "plan/shapes.h"

namespace hesse {
namespace {

enum class Attention { kSplit, kLatent };
enum class Mlp { kMixtral, kQwenExperts, kDeepseekExperts };

// Fields say what holds when config.json is silent.
struct PlannedFamily {
  std::string_view model_type;
  Attention attention = Attention::kSplit;
  Mlp mlp = Mlp::kMixtral;
  bool qkv_bias = false;
  bool head_norms = false;  // of q and k
  int64_t kv_heads = 0;     // 0: as many as heads
};

const std::vector<PlannedFamily> kPlanned = {
    {.model_type = "mixtral", .mlp = Mlp::kMixtral, .kv_heads = 8},
    {.model_type = "qwen2_moe", .mlp = Mlp::kQwenExperts, .qkv_bias = true},
    {.model_type = "qwen3_moe", .mlp = Mlp::kQwenExperts, .head_norms = true, .kv_heads = 4},
    {.model_type = "deepseek_v2", .attention = Attention::kLatent, .mlp = Mlp::kDeepseekExperts},
    {.model_type = "deepseek_v3", .attention = Attention::kLatent, .mlp = Mlp::kDeepseekExperts},
};

// Bounds far above any model keep the counts of what is planned within what a double holds exactly enough.
constexpr int64_t kWidest = int64_t{1} << 24;
constexpr int64_t kMostLayers = 65536;

class Planner {
 public:
  Planner(const Json& config, const PlannedFamily& family, const std::string& where)
      : config_(config), family_(family), where_(where) {
    shapes_.family = family.model_type;
    shapes_.runnable = false;
    shapes_.hidden = size("hidden_size");
    shapes_.vocab = size("vocab_size");
    shapes_.heads = size("num_attention_heads");
    shapes_.head_dim = size("head_dim", std::max<int64_t>(1, hidden() / heads()));
    shapes_.kv_heads = size("num_key_value_heads", family.kv_heads > 0 ? family.kv_heads : heads());
    shapes_.tied_head = flag("tie_word_embeddings", false);
    shapes_.embedding_width = hidden();
    shapes_.outer = static_cast<double>(hidden());
  }

  ModelShapes run() {
    const int64_t layers = size("num_hidden_layers", 0, kMostLayers);
    for (int64_t l = 0; l < layers; ++l) {
      prefix_ = fmt::format("model.layers.{}.", l);
      layer_ = PlannedLayer{};
      add_attention();
      add_mlp(l);
      layer_.other_parameters += 2 * hidden();  // norms
      shapes_.layers.push_back(std::move(layer_));
    }
    return std::move(shapes_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::kBadInput, fmt::format("[config] {}: {}", where_, why));
  }
  int64_t size(std::string_view key, int64_t missing = 0, int64_t most = kWidest) const {
    const Json* value = config_.find_value(key);
    if (value == nullptr && missing > 0) return missing;
    if (value == nullptr) refuse(fmt::format("'{}' is missing", key));
    const int64_t number = value->as_int(fmt::format("{}, '{}'", where_, key));
    if (number < 1 || number > most) refuse(fmt::format("'{}' is {}; expected 1 to {}", key, number, most));
    return number;
  }
  // Like size, but 0 is a number too.
  int64_t count(std::string_view key, int64_t missing) const {
    const Json* value = config_.find_value(key);
    if (value == nullptr) return missing;
    return value->as_int(fmt::format("{}, '{}'", where_, key)) == 0 ? 0 : size(key);
  }
  bool flag(std::string_view key, bool missing) const {
    const Json* value = config_.find_value(key);
    return value == nullptr ? missing : value->as_bool(fmt::format("{}, '{}'", where_, key));
  }
  int64_t hidden() const { return shapes_.hidden; }
  int64_t heads() const { return shapes_.heads; }

  LinearShape linear(std::string_view name, int64_t out, int64_t in) const {
    return {prefix_ + std::string(name), out, in};
  }

  PlannedStage& add(std::string_view name, std::vector<LinearShape> linears, Split split) {
    PlannedStage stage;
    stage.name = name;
    stage.linears = std::move(linears);
    stage.split = split;
    stage.fused = stage.linears.size() > 1;
    stage.writes_residual = split == Split::kInputs;
    layer_.stages.push_back(std::move(stage));
    return layer_.stages.back();
  }

  void add_attention() {
    if (family_.attention == Attention::kLatent) return add_latent_attention();
    const int64_t q = heads() * shapes_.head_dim, kv = shapes_.kv_heads * shapes_.head_dim;
    layer_.score_width = 2 * q;
    layer_.kv_width = kv;
    layer_.other_parameters += family_.head_norms ? 2 * shapes_.head_dim : 0;
    layer_.other_parameters += flag("qkv_bias", family_.qkv_bias) ? q + 2 * kv : 0;
    add("qkv",
        {linear("self_attn.q_proj", q, hidden()), linear("self_attn.k_proj", kv, hidden()),
         linear("self_attn.v_proj", kv, hidden())},
        Split::kOutputs);
    add("o", {linear("self_attn.o_proj", hidden(), q)}, Split::kInputs);
  }

  // Queries and keys through a narrow waist (DeepSeek's multi-head latent attention).
  void add_latent_attention() {
    const int64_t nope = size("qk_nope_head_dim", 128), rope = size("qk_rope_head_dim", 64);
    const int64_t value = size("v_head_dim", 128), latent = size("kv_lora_rank", 512);
    const bool q_waist = config_.find_value("q_lora_rank") != nullptr;
    const int64_t q_latent = q_waist ? size("q_lora_rank") : 0, q = heads() * (nope + rope);
    add("qkv_a",
        {q_waist ? linear("self_attn.q_a_proj", q_latent, hidden()) : linear("self_attn.q_proj", q, hidden()),
         linear("self_attn.kv_a_proj_with_mqa", latent + rope, hidden())},
        q_waist ? Split::kNone : Split::kOutputs)
        .fused = false;
    if (q_waist) add("q_b", {linear("self_attn.q_b_proj", q, q_latent)}, Split::kOutputs);
    add("kv_b", {linear("self_attn.kv_b_proj", heads() * (nope + value), latent)}, Split::kOutputs);
    add("o", {linear("self_attn.o_proj", hidden(), heads() * value)}, Split::kInputs);
    layer_.score_width = heads() * (nope + rope + value);
    layer_.kv_width = q;
    layer_.other_parameters += q_latent + latent;
  }

  struct StageNames {
    std::string_view gate_up, down;
  };
  void add_gated(const std::string& module, const StageNames& names, int64_t width) {
    add(names.gate_up, {linear(module + ".gate_proj", width, hidden()), linear(module + ".up_proj", width, hidden())},
        Split::kOutputs);
    add(names.down, {linear(module + ".down_proj", hidden(), width)}, Split::kInputs);
  }

  // The first expert stands for all of them.
  void add_experts(const std::string& module, std::vector<std::string_view> names, int64_t width) {
    const int64_t experts = size(config_.find_value("num_local_experts") ? "num_local_experts"
                                 : config_.find_value("num_experts")     ? "num_experts"
                                                                         : "n_routed_experts",
                                 0, kMostLayers);
    const int64_t chosen = size("num_experts_per_tok", 0, experts);
    add("experts_gate_up",
        {linear(module + ".0." + std::string(names[0]), width, hidden()),
         linear(module + ".0." + std::string(names[1]), width, hidden())},
        Split::kOutputs);
    add("experts_down", {linear(module + ".0." + std::string(names[2]), hidden(), width)}, Split::kInputs);
    for (PlannedStage* stage : {&layer_.stages[layer_.stages.size() - 2], &layer_.stages.back()}) {
      stage->copies = experts;
      stage->token_share = static_cast<double>(chosen) / static_cast<double>(experts);
      stage->writes_residual = false;  // a weighted sum stands between
    }
    layer_.other_parameters += experts * hidden();  // the router
    if (family_.model_type == "deepseek_v3") layer_.other_parameters += experts;
  }

  bool is_dense(int64_t layer) const {
    if (family_.mlp == Mlp::kDeepseekExperts) return layer < count("first_k_dense_replace", 3);
    if (const Json* dense = config_.find_value("mlp_only_layers")) {
      for (const Json& l : dense->as_array(where_)) {
        if (l.as_int(where_) == layer) return true;
      }
    }
    return (layer + 1) % size("decoder_sparse_step", 1) != 0;
  }

  void add_mlp(int64_t layer) {
    const std::vector<std::string_view> names = {"gate_proj", "up_proj", "down_proj"};
    if (family_.mlp == Mlp::kMixtral)
      return add_experts("block_sparse_moe.experts", {"w1", "w3", "w2"}, size("intermediate_size"));
    if (is_dense(layer)) return add_gated("mlp", kDense, size("intermediate_size"));
    add_experts("mlp.experts", names, size("moe_intermediate_size"));
    add_shared_expert();
  }

  void add_shared_expert() {
    if (family_.mlp == Mlp::kDeepseekExperts) {
      const int64_t shared = count("n_shared_experts", 1);
      if (shared > 0) add_gated("mlp.shared_experts", kShared, shared * size("moe_intermediate_size"));
    } else if (family_.model_type == "qwen2_moe") {
      add_gated("mlp.shared_expert", kShared, size("shared_expert_intermediate_size"));
      layer_.other_parameters += hidden();  // its gate
    }
  }

  static constexpr StageNames kDense{"gate_up", "down"}, kShared{"shared_gate_up", "shared_down"};

  const Json& config_;
  const PlannedFamily& family_;
  const std::string& where_;
  std::string prefix_;
  PlannedLayer layer_;
  ModelShapes shapes_;
};

}  // namespace

ModelShapes shapes_of_planned_family(const Json& config, const std::string& model_type, const std::string& where) {
  std::string planned, run;
  for (const PlannedFamily& family : kPlanned) {
    if (family.model_type == model_type) return Planner(config, family, where).run();
    planned += fmt::format("{}{}", planned.empty() ? "" : ", ", family.model_type);
  }
  for (const Family& family : families()) run += fmt::format("{}{}", run.empty() ? "" : ", ", family.name);
  throw Error(ErrorKind::kBadInput,
              fmt::format("[config] {}: architecture '{}' is not known; can be run: {}; can be planned: {}", where,
                          model_type, run, planned));
}

}  // namespace hesse
