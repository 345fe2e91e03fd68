// The rows of families whose block is that of llama with switches.
// Facts: huggingface/transformers, src/transformers/models/FAMILY/{configuration,modeling}_FAMILY.py, v4.57 and v5.
#include "model/arch.h"

namespace hesse {
namespace {

constexpr FlagRule kYes = {.key = {}, .missing = true};

Family llama() {
  Family f = named_as_llama("llama", "also CodeLlama, TinyLlama, SmolLM, Yi, Vicuna");
  f.qkv_bias = {"attention_bias"};
  f.o_bias = {"attention_bias"};
  f.mlp_bias = {"mlp_bias"};
  return f;
}

Family llama_but(std::string_view name, std::string_view notes) {
  Family f = llama();
  f.name = name;
  f.model_types = {name};
  f.notes = notes;
  return f;
}

Family without_biases(Family f) {
  f.qkv_bias = f.o_bias = f.mlp_bias = {};
  return f;
}

Family mistral() {
  Family f = without_biases(llama_but("mistral", "sliding window; also Nemo and Ministral 8B"));
  f.windows = {.size = 4096};
  f.kv_heads = 8;
  f.max_positions = 131072;
  return f;
}

Family qwen2() {
  Family f = without_biases(llama_but("qwen2", "biases of q, k and v; also Qwen1.5, Qwen2.5 and the text of Qwen2-VL"));
  f.model_types = {"qwen2", "qwen2_vl_text", "qwen2_5_vl_text"};
  f.qkv_bias = kYes;
  f.windows = {.size = 4096, .switch_key = "use_sliding_window", .first_key = "max_window_layers", .first = 28};
  f.max_positions = 32768;
  return f;
}

Family qwen3() {
  Family f = llama_but("qwen3", "norms of q and k; also the text of Qwen3-VL");
  f.model_types = {"qwen3", "qwen3_vl_text"};
  f.mlp_bias = {};
  f.head_norm = HeadNormKind::kShared;
  f.q_norm = "self_attn.q_norm";
  f.k_norm = "self_attn.k_norm";
  f.windows = {.size = 4096, .switch_key = "use_sliding_window", .first_key = "max_window_layers", .first = 28};
  f.head_dim = 128;
  f.max_positions = 32768;
  return f;
}

Family gemma() {
  Family f = llama_but("gemma", "norms of 1 + weight, scaled embeddings");
  f.norm.offset = 1;
  f.scaled_embedding = true;
  f.mlp_bias = {};
  f.activations = {"gelu_pytorch_tanh", "gelu_new", "gelu"};
  f.gelu_is_tanh = true;
  f.head_dim = 256;
  f.max_positions = 8192;
  f.tied_head = true;
  return f;
}

Family gemma2() {
  Family f = gemma();
  f.name = "gemma2";
  f.model_types = {"gemma2"};
  f.notes = "norms on both sides of each half, soft caps of scores and logits, every other layer with a window";
  f.mlp_norm = "pre_feedforward_layernorm";
  f.attention_out_norm = "post_attention_layernorm";
  f.mlp_out_norm = "post_feedforward_layernorm";
  f.activation_key = {"hidden_activation"};
  f.activations = {"gelu_pytorch_tanh", "gelu_new"};
  f.attention_scale_key = "query_pre_attn_scalar";
  f.attention_scale_base = 256;
  f.attention_softcap = {"attn_logit_softcapping", 50};
  f.logit_softcap = {"final_logit_softcapping", 30};
  f.windows = {.size = 4096, .period = 2};
  f.unsupported = {"use_bidirectional_attention"};
  f.kv_heads = 4;
  return f;
}

Family gemma3() {
  Family f = gemma2();
  f.name = "gemma3_text";
  f.model_types = {"gemma3_text"};
  f.notes = "norms on both sides of each half and of q and k, two rotations, five of six layers with a window";
  f.head_norm = HeadNormKind::kShared;
  f.q_norm = "self_attn.q_norm";
  f.k_norm = "self_attn.k_norm";
  f.attention_softcap = {};
  f.logit_softcap = {"final_logit_softcapping", 0};
  f.windows = {.size = 4096, .period_key = "sliding_window_pattern", .period = 6};
  f.local_rope = {"rope_local_base_freq", 10000.0};
  f.rope_theta = 1e6;
  f.unsupported = {"attn_logit_softcapping", "use_bidirectional_attention"};
  f.max_positions = 131072;
  return f;
}

Family phi3() {
  Family f = without_biases(llama_but("phi3", "fused q, k, v and gate, up; longrope; also Phi-4"));
  f.attention = AttentionKind::kConcat;
  f.qkv = "self_attn.qkv_proj";
  f.q = f.k = f.v = {};
  f.mlp = MlpKind::kFusedGated;
  f.gate_up = "mlp.gate_up_proj";
  f.gate = f.up = {};
  f.norm.eps = 1e-5;
  f.windows = {.size = kWindowIfGiven};
  f.max_positions = 4096;
  return f;
}

Family granite() {
  Family f = llama_but("granite", "factors of embeddings, scores, residual sums and logits");
  f.embedding_multiplier = {"embedding_multiplier", 1};
  f.residual_multiplier = {"residual_multiplier", 1};
  f.attention_multiplier = {"attention_multiplier", 1};
  f.logit_divisor = {"logits_scaling", 1};
  return f;
}

Family smollm3() {
  Family f = llama_but("smollm3", "every fourth layer without rotation");
  f.rope_theta = 2e6;
  f.rope_layers = RopeLayers::kListed;
  f.rope_period_key = "no_rope_layer_interval";
  f.rope_period = 4;
  f.windows = {.size = kWindowIfGiven, .switch_key = "use_sliding_window"};
  f.kv_heads = 4;
  f.max_positions = 32768;
  f.tied_head = true;
  return f;
}

Family olmo() {
  Family f = llama_but("olmo", "norms without weights");
  f.norm = {.kind = NormKind::kLayer, .eps_key = {}, .eps = 1e-5, .weight = false};
  f.mlp_bias = {};
  f.unsupported = {"clip_qkv"};
  return f;
}

Family olmo2() {
  Family f = llama_but("olmo2", "norms behind each half only; q and k are normed whole");
  f.attention_norm = f.mlp_norm = {};
  f.attention_out_norm = "post_attention_layernorm";
  f.mlp_out_norm = "post_feedforward_layernorm";
  f.head_norm = HeadNormKind::kWholeRows;
  f.q_norm = "self_attn.q_norm";
  f.k_norm = "self_attn.k_norm";
  f.norm.eps = 1e-5;
  f.mlp_bias = {};
  return f;
}

Family stablelm() {
  Family f = llama_but("stablelm", "norms with means and biases, a quarter of each head rotates");
  f.when = {{Condition::Kind::kEquals, "use_parallel_residual", 0}};
  f.norm = {.kind = NormKind::kLayer, .eps_key = "layer_norm_eps", .eps = 1e-5, .bias = true};
  f.head_norm = HeadNormKind::kModules;
  f.head_norm_switch = {"qk_layernorm"};
  f.head_norm_kind = NormKind::kLayer;
  f.q_norm = "self_attn.q_layernorm.norms.{}";
  f.k_norm = "self_attn.k_layernorm.norms.{}";
  f.qkv_bias = {"use_qkv_bias"};
  f.o_bias = f.mlp_bias = {};
  f.rotary_share = 0.25;
  f.max_positions = 4096;
  return f;
}

Family stablelm_parallel() {
  Family f = stablelm();
  f.name = "stablelm_parallel";
  f.notes = "stablelm whose MLP reads what attention reads; also Stable LM 2 12B";
  f.when = {};
  f.parallel = true;
  f.mlp_norm = {};
  return f;
}

Family cohere() {
  Family f = llama_but("cohere", "the MLP reads what attention reads, interleaved rotation; Command R");
  f.norm = {.kind = NormKind::kLayer, .eps_key = "layer_norm_eps", .eps = 1e-5};
  f.parallel = true;
  f.mlp_norm = {};
  f.mlp_bias = {};
  f.head_norm = HeadNormKind::kRows;
  f.head_norm_switch = {"use_qk_norm"};
  f.head_norm_kind = NormKind::kLayer;
  f.q_norm = "self_attn.q_norm";
  f.k_norm = "self_attn.k_norm";
  f.rope = RopeStyle::kInterleaved;
  f.logit_multiplier = {"logit_scale", 0.0625};
  f.max_positions = 8192;
  f.tied_head = true;
  return f;
}

Family cohere2() {
  Family f = cohere();
  f.name = "cohere2";
  f.model_types = {"cohere2"};
  f.notes = "cohere with windows in three of four layers, which alone rotate; Command R7B and A";
  f.head_norm = HeadNormKind::kNone;
  f.q_norm = f.k_norm = {};
  f.windows = {.size = 4096, .period_key = "sliding_window_pattern", .period = 4};
  f.rope_layers = RopeLayers::kWindowed;
  return f;
}

Family internlm2() {
  Family f = llama_but("internlm2", "fused q, k, v by key head");
  f.tested_with = "tools/tiny_references.py";
  f.embedding = "tok_embeddings";
  f.schemes = {{"model.", "output"}};
  f.attention_norm = "attention_norm";
  f.mlp_norm = "ffn_norm";
  f.attention = AttentionKind::kGrouped;
  f.qkv = "attention.wqkv";
  f.q = f.k = f.v = {};
  f.o = "attention.wo";
  f.gate = "feed_forward.w1";
  f.up = "feed_forward.w3";
  f.down = "feed_forward.w2";
  f.qkv_bias = f.o_bias = {"bias", true};
  f.mlp_bias = {};
  return f;
}

Family baichuan() {
  Family f = without_biases(llama_but("baichuan", "fused q, k, v; Baichuan2 brings the rows of its head to length 1"));
  f.tested_with = "tools/tiny_references.py";
  f.when = {{Condition::Kind::kPresent, "max_position_embeddings"}};
  f.attention = AttentionKind::kConcat;
  f.qkv = "self_attn.W_pack";
  f.q = f.k = f.v = {};
  f.kv_heads_key = {};
  f.normed_head = {Condition::Kind::kPresent, "z_loss_weight"};
  f.max_positions = 4096;
  return f;
}

Family baichuan_13b() {
  Family f = baichuan();
  f.name = "baichuan_13b";
  f.notes = "baichuan with biases of the scores (ALiBi) in place of a rotation";
  f.when = {};
  f.rope = RopeStyle::kNone;
  f.alibi_switch = kYes;
  f.alibi = AlibiKind::kFloat32;
  f.positions_key = {"model_max_length"};
  return f;
}

}  // namespace

Family named_as_llama(std::string_view name, std::string_view notes) {
  Family f;
  f.name = name;
  f.model_types = {name};
  f.notes = notes;
  f.schemes = {{"model.", "lm_head"}, {"", "lm_head"}};
  f.attention_norm = "input_layernorm";
  f.mlp_norm = "post_attention_layernorm";
  f.q = "self_attn.q_proj";
  f.k = "self_attn.k_proj";
  f.v = "self_attn.v_proj";
  f.o = "self_attn.o_proj";
  f.gate = "mlp.gate_proj";
  f.up = "mlp.up_proj";
  f.down = "mlp.down_proj";
  f.activations = {"silu", "swish"};
  return f;
}

std::vector<Family> llama_like_families() {
  return {llama(),  mistral(), qwen2(),     qwen3(),    gemma(),       gemma2(),   gemma3(),
          phi3(),   granite(), smollm3(),   olmo(),     olmo2(),       stablelm(), stablelm_parallel(),
          cohere(), cohere2(), internlm2(), baichuan(), baichuan_13b()};
}

}  // namespace hesse
