// config.json of a model, checked and with the family's values filled in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hesse/error.h"
#include "io/json.h"
#include "model/arch.h"

namespace hesse {

enum class RopeKind { kDefault, kLinear, kLlama3 };

struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  double theta = 10000;
  double factor = 1;              // kLinear, kLlama3
  double low_freq_factor = 1;     // kLlama3
  double high_freq_factor = 4;    // kLlama3
  double original_positions = 0;  // kLlama3: original_max_position_embeddings
};

enum class Activation { kSilu, kGeluTanh };

// What differs between the layers of one model.
struct LayerAttention {
  int64_t window = 0;       // the keys that a query sees at most, its own included; 0: all before it
  bool local_rope = false;  // rotates by ModelConfig::local_rope
};

struct ModelConfig {
  const Family* family = nullptr;
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // need not be hidden / heads
  int64_t vocab = 0;     // rows of the embedding; may exceed the tokenizer's
  int64_t max_positions = 0;
  float norm_eps = 0;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  float attention_scale = 0;  // of the scores before the softmax
  float embedding_scale = 1;  // of the embeddings
  Activation activation = Activation::kSilu;
  RopeConfig rope;
  RopeConfig local_rope;                        // of the layers that say so
  std::vector<LayerAttention> layer_attention;  // [layers]
};

// DIRECTORY/config.json. Error(kBadInput) when there is no such directory or file, or it is no JSON.
Json read_config_json(const std::filesystem::path& directory);

// Reads both spellings of the RoPE fields (rope_theta with rope_scaling, and rope_parameters). Error(kBadInput)
// "[config] WHERE: ..." for a missing or impossible field, an unknown model_type, activation or RoPE type.
ModelConfig parse_model_config(const Json& config, const std::string& where);
// The same for a row that need not be in the table; `family` must outlive the result.
ModelConfig parse_model_config(const Json& config, const Family& family, const std::string& where);
// Everything that parse_model_config() would refuse, in the order of reading; empty: it would not.
std::vector<Error> config_problems(const Json& config, const std::string& where);

// "llama3, factor 8, theta 500000", and what the layers with a window do.
std::string describe_rope(const ModelConfig& config);

}  // namespace hesse
