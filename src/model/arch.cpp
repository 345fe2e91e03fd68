#include "model/arch.h"

#include <algorithm>

namespace hesse {
namespace {

// Facts: huggingface/transformers, src/transformers/models/llama/{configuration,modeling}_llama.py, v4.57 and v5.
const std::vector<Family> kFamilies = {
    {
        .name = "llama",
        .model_types = {"llama"},
        .embedding = "model.embed_tokens.weight",
        .layer_prefix = "model.layers.{}.",
        .final_norm = "model.norm.weight",
        .head = "lm_head",
        .attention_norm = "input_layernorm.weight",
        .mlp_norm = "post_attention_layernorm.weight",
        .q = "self_attn.q_proj",
        .k = "self_attn.k_proj",
        .v = "self_attn.v_proj",
        .o = "self_attn.o_proj",
        .gate = "mlp.gate_proj",
        .up = "mlp.up_proj",
        .down = "mlp.down_proj",
        .qkv_bias = {"attention_bias"},
        .o_bias = {"attention_bias"},
        .mlp_bias = {"mlp_bias"},
        .activations = {"silu", "swish"},
        .rope_theta = 10000.0,
        .norm_eps = 1e-6,
        .tied_head = false,
    },
};

}  // namespace

std::span<const Family> families() { return kFamilies; }

const Family* find_family(std::string_view model_type) {
  for (const Family& family : kFamilies) {
    const auto& types = family.model_types;
    if (std::find(types.begin(), types.end(), model_type) != types.end()) return &family;
  }
  return nullptr;
}

}  // namespace hesse
