// The rows of families whose layers have experts.
// Facts: huggingface/transformers, src/transformers/models/FAMILY/{configuration,modeling}_FAMILY.py, v4.57 and v5.
#include "model/arch.h"

namespace hesse {
namespace {

Family with_experts(std::string_view name, std::string_view notes) {
  Family f = named_as_llama(name, notes);
  f.experts.router = "mlp.gate";
  f.experts.expert = "mlp.experts.{}.";
  f.experts.gate = "gate_proj";
  f.experts.up = "up_proj";
  f.experts.down = "down_proj";
  f.experts.packed = {.gate_up = "mlp.experts.gate_up_proj", .down = "mlp.experts.down_proj"};
  f.experts.width_key = "moe_intermediate_size";
  return f;
}

Family mixtral() {
  Family f = with_experts("mixtral", "experts in every layer");
  f.norm.eps = 1e-5;
  f.rope_theta = 1e6;
  f.windows = {.size = kWindowIfGiven};
  f.kv_heads = 8;
  f.max_positions = 131072;
  f.experts.router = "block_sparse_moe.gate";
  f.experts.expert = "block_sparse_moe.experts.{}.";
  f.experts.gate = "w1";
  f.experts.up = "w3";
  f.experts.down = "w2";
  f.experts.packed = {};  // files that have them call the router something else
  f.experts.count_key = "num_local_experts";
  f.experts.per_token = 2;
  f.experts.width_key = "intermediate_size";
  f.experts.normalised = true;
  return f;
}

Family qwen2_moe() {
  Family f = with_experts("qwen2_moe", "experts, and one that every token goes through; also Qwen1.5-MoE");
  f.qkv_bias = {"qkv_bias", true};
  f.windows = {
      .size = 4096, .switch_key = "use_sliding_window", .end_key = "max_window_layers", .end = 28, .period = 2};
  f.max_positions = 32768;
  f.experts.count_key = "num_experts";
  f.experts.per_token = 4;
  f.experts.layers = {.dense_key = "mlp_only_layers", .step_key = "decoder_sparse_step"};
  f.experts.normalised_key = "norm_topk_prob";
  f.experts.shared = "mlp.shared_expert.";
  f.experts.shared_gate = "mlp.shared_expert_gate";
  f.experts.shared_width_key = "shared_expert_intermediate_size";
  return f;
}

Family qwen3_moe() {
  Family f = with_experts("qwen3_moe", "norms of q and k, experts");
  f.qkv_bias = f.o_bias = {"attention_bias"};
  f.head_norm = HeadNormKind::kShared;
  f.q_norm = "self_attn.q_norm";
  f.k_norm = "self_attn.k_norm";
  f.windows = {.size = 4096, .switch_key = "use_sliding_window"};
  f.kv_heads = 4;
  f.max_positions = 32768;
  f.experts.count_key = "num_experts";
  f.experts.older_count_key = "num_local_experts";
  f.experts.per_token = 8;
  f.experts.layers = {.dense_key = "mlp_only_layers", .step_key = "decoder_sparse_step"};
  f.experts.normalised_key = "norm_topk_prob";
  return f;
}

Family qwen3_vl_moe() {
  Family f = qwen3_moe();
  f.name = "qwen3_vl_moe_text";
  f.model_types = {"qwen3_vl_moe_text"};
  f.notes = "the text of Qwen3-VL with experts, of which its files hold all of a layer as one tensor";
  f.windows = {};
  f.kv_heads = 16;
  f.max_positions = 128000;
  f.tied_head = true;
  f.experts.per_token = 4;
  f.experts.normalised_key = {};
  f.experts.normalised = true;
  f.experts.packed.always = true;
  return f;
}

Family gpt_oss() {
  Family f = with_experts("gpt_oss",
                          "scores without keys (sinks), every other layer with a window, gates within "
                          "bounds, experts as one tensor, in MXFP4 too");
  f.norm.eps = 1e-5;
  f.qkv_bias = f.o_bias = {"attention_bias", true};
  f.sinks = "self_attn.sinks";
  f.clamp = {.alpha = {"swiglu_alpha", 1.702}, .limit = {"swiglu_limit", 7}};
  f.windows = {.size = 128, .period = 2};
  f.rope_theta = 150000;
  f.rope_type_required = true;
  f.kv_heads = 8;
  f.head_dim = 64;
  f.max_positions = 131072;
  f.experts.router = "mlp.router";
  f.experts.router_bias = true;
  f.experts.biases = true;
  f.experts.packed.take_turns = f.experts.packed.always = true;
  f.experts.count_key = "num_local_experts";
  f.experts.older_count_key = "num_experts";
  f.experts.per_token = 4;
  f.experts.width_key = "intermediate_size";
  f.experts.normalised = true;  // a softmax over those that are chosen is just that
  return f;
}

Family deepseek_v2() {
  Family f = with_experts("deepseek_v2", "latent attention, dense layers and layers of experts in groups");
  f.attention = AttentionKind::kLatent;
  f.k = f.v = {};
  f.latent = {.q_a = "self_attn.q_a_proj",
              .q_a_norm = "self_attn.q_a_layernorm",
              .q_b = "self_attn.q_b_proj",
              .kv_a = "self_attn.kv_a_proj_with_mqa",
              .kv_a_norm = "self_attn.kv_a_layernorm",
              .kv_b = "self_attn.kv_b_proj"};
  f.qkv_bias = f.o_bias = {"attention_bias"};
  f.mlp_bias = {"mlp_bias"};
  f.experts.count_key = "n_routed_experts";
  f.experts.older_count_key = "num_experts";
  f.experts.layers = {.first_key = "first_k_dense_replace"};
  f.experts.scale_key = "routed_scaling_factor";
  f.experts.groups_key = "n_group";
  f.experts.kept_key = "topk_group";
  f.experts.method_key = "topk_method";
  f.experts.grouped_method = "group_limited_greedy";
  f.experts.shared = "mlp.shared_experts.";
  f.experts.shared_count_key = "n_shared_experts";
  f.experts.shared_count = 2;
  return f;
}

Family deepseek_v3() {
  Family f = deepseek_v2();
  f.name = "deepseek_v3";
  f.model_types = {"deepseek_v3"};
  f.mlp_bias = {};
  f.notes =
      "deepseek_v2 with sigmoid scores and a bias that chooses; FP8 weights are read; also R1, Moonlight, Kimi-K2";
  f.latent.interleave_key = "rope_interleave";
  f.max_positions = 4096;
  f.experts.per_token = 8;
  f.experts.choice_bias = "mlp.gate.e_score_correction_bias";
  f.experts.layers.first = 3;
  f.experts.scores = RouterScores::kSigmoid;
  f.experts.normalised_key = "norm_topk_prob";
  f.experts.normalised = true;
  f.experts.scale = 2.5;
  f.experts.groups = 8;
  f.experts.kept = 4;
  f.experts.method_key = {};
  f.experts.group_best = 2;
  f.experts.shared_count = 1;
  return f;
}

}  // namespace

std::vector<Family> expert_families() {
  return {mixtral(), qwen2_moe(), qwen3_moe(), qwen3_vl_moe(), gpt_oss(), deepseek_v2(), deepseek_v3()};
}

}  // namespace hesse
