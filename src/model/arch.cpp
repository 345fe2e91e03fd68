#include "model/arch.h"

#include <algorithm>

namespace hesse {
namespace {

// Facts: huggingface/transformers, src/transformers/models/FAMILY/{configuration,modeling}_FAMILY.py, v4.57 and v5.
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
        .activation_key = "hidden_act",
        .activations = {"silu", "swish"},
        .max_positions = 2048,
        .rope_theta = 10000.0,
        .norm_eps = 1e-6,
        .tied_head = false,
    },
    {
        .name = "gemma3_text",
        .model_types = {"gemma3_text"},
        .embedding = "model.embed_tokens.weight",
        .layer_prefix = "model.layers.{}.",
        .final_norm = "model.norm.weight",
        .head = "lm_head",
        .attention_norm = "input_layernorm.weight",
        .mlp_norm = "pre_feedforward_layernorm.weight",
        .q = "self_attn.q_proj",
        .k = "self_attn.k_proj",
        .v = "self_attn.v_proj",
        .o = "self_attn.o_proj",
        .gate = "mlp.gate_proj",
        .up = "mlp.up_proj",
        .down = "mlp.down_proj",
        .attention_out_norm = "post_attention_layernorm.weight",
        .mlp_out_norm = "post_feedforward_layernorm.weight",
        .q_norm = "self_attn.q_norm.weight",
        .k_norm = "self_attn.k_norm.weight",
        .norm_offset = 1,
        .scaled_embedding = true,
        .qkv_bias = {"attention_bias"},
        .o_bias = {"attention_bias"},
        .activation_key = "hidden_activation",
        .activations = {"gelu_pytorch_tanh", "gelu_new"},
        .attention_scale_key = "query_pre_attn_scalar",
        .attention_scale_base = 256,
        .windows = {.size = 4096, .period_key = "sliding_window_pattern", .period = 6},
        .local_rope = {"rope_local_base_freq", 10000.0},
        .unsupported = {"attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"},
        .kv_heads = 4,
        .head_dim = 256,
        .max_positions = 131072,
        .rope_theta = 1e6,
        .norm_eps = 1e-6,
        .tied_head = true,
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
