// THE TABLE of architectures: what differs between families, as data. The block in block.cpp reads these switches and
// the names of the tensors from a row; nothing else in the source knows the name of a family.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace hesse {

// Sources of a switch that a config.json may set.
struct BiasRule {
  std::string_view key = {};  // of config.json; empty: the family never has this bias
  bool missing = false;       // value when the key is missing
};

// Which layers see a window of the last keys only. "empty" speaks of keys of config.json.
struct WindowRule {
  int64_t size = 0;                  // when the file has no 'sliding_window'; 0: the family has no windows at all
  std::string_view switch_key = {};  // a flag that turns windows on and is off when missing; empty: they are on
  // The layers with a window, unless the file has a list 'layer_types':
  std::string_view first_key = {};   // from this layer on; empty: from layer 0
  int64_t first = 0;                 // when the key is missing
  std::string_view period_key = {};  // but not the last of so many layers; empty: all
  int64_t period = 0;                // when the key is missing
};

// A second rotation, of the layers with a window.
struct LocalRope {
  std::string_view theta_key = {};  // of config.json; empty: one rotation for all layers
  double theta = 0;                 // when the key is missing
};

// Names are relative to a layer's prefix unless they are whole. "{}" stands for the number of the layer.
struct Family {
  std::string_view name;
  std::vector<std::string_view> model_types;

  std::string_view embedding;                   // whole name, with ".weight"
  std::string_view layer_prefix;                // "model.layers.{}."
  std::string_view final_norm;                  // whole name, with ".weight"
  std::string_view head;                        // whole name, without ".weight"
  std::string_view attention_norm, mlp_norm;    // of what the two halves read, with ".weight"
  std::string_view q, k, v, o, gate, up, down;  // linears, without ".weight"

  // Norms that not every family has: empty when it has none.
  std::string_view attention_out_norm = {};   // of what attention gives, before it is added to the residual stream
  std::string_view mlp_out_norm = {};         // the same of the MLP
  std::string_view q_norm = {}, k_norm = {};  // of each head of q and k, before the rotation

  float norm_offset = 0;          // every norm multiplies by this plus its weight
  bool scaled_embedding = false;  // embeddings are multiplied by sqrt(hidden)
  BiasRule qkv_bias, o_bias, mlp_bias = {};
  std::string_view activation_key;            // of config.json
  std::vector<std::string_view> activations;  // its values that are understood; the first when the key is missing
  std::string_view attention_scale_key = {};  // of config.json: scores are divided by its root; empty: by head_dim's
  double attention_scale_base = 0;            // when the key is missing
  WindowRule windows = {};
  LocalRope local_rope = {};
  std::vector<std::string_view> unsupported = {};  // keys that must be missing, null or false: the block cannot do them

  // When config.json has none:
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: hidden / heads
  int64_t max_positions;
  double rope_theta;
  double norm_eps;
  bool tied_head;
};

std::span<const Family> families();
const Family* find_family(std::string_view model_type);  // nullptr when unknown

}  // namespace hesse
