// THE TABLE of architectures: what differs between families, as data. The block in block.cpp reads these switches and
// the names of the tensors from a row; nothing else in the source knows the name of a family.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace hesse {

// Sources of a switch that a config.json may set.
struct BiasRule {
  std::string_view key;  // of config.json; empty: the family never has this bias
  bool missing = false;  // value when the key is missing
};

// Names are relative to a layer's prefix unless they are whole. "{}" stands for the number of the layer.
struct Family {
  std::string_view name;
  std::vector<std::string_view> model_types;

  std::string_view embedding;                   // whole name, with ".weight"
  std::string_view layer_prefix;                // "model.layers.{}."
  std::string_view final_norm;                  // whole name, with ".weight"
  std::string_view head;                        // whole name, without ".weight"
  std::string_view attention_norm, mlp_norm;    // with ".weight"
  std::string_view q, k, v, o, gate, up, down;  // linears, without ".weight"

  BiasRule qkv_bias, o_bias, mlp_bias;
  std::vector<std::string_view> activations;  // values of hidden_act that the block computes
  double rope_theta;                          // when config.json has none
  double norm_eps;                            // likewise
  bool tied_head;                             // likewise
};

std::span<const Family> families();
const Family* find_family(std::string_view model_type);  // nullptr when unknown

}  // namespace hesse
