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

struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  int64_t dim = 0;  // elements of a head that rotate; even
  double theta = 10000;
  double factor = 1;
  double low_freq_factor = 1;        // kLlama3
  double high_freq_factor = 4;       // kLlama3
  double original_positions = 0;     // kLlama3, kYarn, kLongRope: what the model was first trained on
  double max_positions = 0;          // kDynamic: beyond this length the rotation changes
  double attention_factor = 1;       // kYarn, kLongRope: of cosines and sines
  double score_factor = 1;           // kYarn: of the scores, in latent attention
  double beta_fast = 32;             // kYarn: turns within original_positions above which a frequency stays
  double beta_slow = 1;              // kYarn: below which it is divided by factor
  bool truncate = true;              // kYarn: the bounds in between are whole numbers
  std::vector<double> short_factor;  // kLongRope: [dim / 2] for sequences up to original_positions
  std::vector<double> long_factor;   // kLongRope: [dim / 2] for longer ones
};

// What differs between the layers of one model.
struct LayerAttention {
  int64_t window = 0;       // the keys that a query sees at most, its own included; 0: all before it
  bool local_rope = false;  // rotates by ModelConfig::local_rope
  bool rotates = true;
};

// Widths of latent attention. A head's query and key have a part that rotates behind one that does not.
struct LatentConfig {
  int64_t q_rank = 0;   // 0: queries have no waist
  int64_t kv_rank = 0;  // 0: the family has none of all this
  int64_t nope = 0;     // elements of a head that do not rotate
  int64_t rope = 0;     // and that do
  int64_t value = 0;    // of a value
  bool interleaved = true;
};

// The experts of the layers that have them.
struct ExpertsConfig {
  int64_t count = 0;         // 0: no layer has any
  int64_t per_token = 0;     // that each token goes through
  int64_t width = 0;         // outputs of the gate of one
  int64_t shared_width = 0;  // of the one that every token goes through; 0: there is none
  int64_t groups = 1;
  int64_t kept_groups = 1;
  bool normalised = false;  // the weights of a token sum to 1
  bool biases = false;      // of the linears of those that are routed
  float scale = 1;          // of the weights
  std::vector<bool> layers;

  bool in_layer(int64_t layer) const {
    return layer < static_cast<int64_t>(layers.size()) && layers[static_cast<size_t>(layer)];
  }
};

// ClampRule.
struct GateClamp {
  float alpha = 1;
  float limit = 0;  // 0: none
};

struct ModelConfig {
  const Family* family = nullptr;
  std::vector<NameScheme> schemes;  // those that a file may use; the first until choose_scheme() has seen the file
  bool is_part = false;             // the text of a larger model, whose other tensors are none of its business
  int64_t hidden = 0;
  int64_t embedding_width = 0;  // differs from hidden where the family has projections
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
  bool head_bias = false;
  bool head_norms = false;  // of q and k
  bool tied_head = false;
  bool normed_head = false;
  float attention_scale = 0;    // of the scores before the softmax
  float attention_softcap = 0;  // scores become cap * tanh(score / cap); 0: none
  float logit_softcap = 0;      // likewise
  float embedding_scale = 1;    // of the embeddings
  float residual_scale = 1;     // of what the halves add to the residual stream
  float logit_scale = 1;        // of the logits
  Activation activation = Activation::kSilu;
  GateClamp clamp;
  AlibiKind alibi = AlibiKind::kNone;
  RopeConfig rope;
  RopeConfig local_rope;                        // of the layers that say so
  std::vector<LayerAttention> layer_attention;  // [layers]
  ExpertsConfig experts;
  LatentConfig latent;

  // Of all heads, behind attention.
  int64_t attention_width() const { return heads * (latent.kv_rank > 0 ? latent.value : head_dim); }

  // Names of modules in the file.
  std::string whole_name(std::string_view relative) const;
  std::string embedding_module() const { return whole_name(family->embedding); }
  std::string own_head() const { return std::string(schemes.front().head); }
  std::string in_layer(int64_t layer, std::string_view relative) const;
};

// DIRECTORY/config.json. Error(kBadInput) when there is no such directory or file, or it is no JSON.
Json read_config_json(const std::filesystem::path& directory);

// What config.json says of the language model: with a part 'text_config', its fields before those of the whole.
Json text_config(const Json& config);

// Reads both spellings of the RoPE fields (rope_theta with rope_scaling, and rope_parameters). Error(kBadInput)
// "[config] WHERE: ..." for a missing or impossible field, an unknown model_type, activation or RoPE type.
ModelConfig parse_model_config(const Json& config, const std::string& where);
// The same for a row that need not be in the table; `family` must outlive the result.
ModelConfig parse_model_config(const Json& config, const Family& family, const std::string& where);
// Everything that parse_model_config() would refuse, in the order of reading; empty: it would not.
std::vector<Error> config_problems(const Json& config, const std::string& where);

// The row for a config.json; nullptr when there is none. `as`: in place of its model_type.
const Family* find_family(const Json& config, const std::string& where, std::string_view as = {});

// "llama3, factor 8, theta 500000", and what the layers with a window do.
std::string describe_rope(const ModelConfig& config);

}  // namespace hesse
