// The rows of families whose norms take means off and whose MLP has no gate.
// Facts: huggingface/transformers, src/transformers/models/FAMILY/{configuration,modeling}_FAMILY.py, v4.57 and v5.
#include "model/arch.h"

namespace hesse {
namespace {

constexpr FlagRule kYes = {.key = {}, .missing = true};
constexpr NormRule kLayerNorm = {.kind = NormKind::kLayer, .eps_key = "layer_norm_epsilon", .eps = 1e-5, .bias = true};

// What most of them have in common.
Family gpt(std::string_view name, std::string_view notes) {
  Family f;
  f.name = name;
  f.model_types = {name};
  f.notes = notes;
  f.schemes = {{"transformer.", "lm_head"}, {"", "lm_head"}};
  f.layer_prefix = "h.{}.";
  f.final_norm = "ln_f";
  f.norm = kLayerNorm;
  f.mlp = MlpKind::kPlain;
  f.activation_key = {"activation_function"};
  f.activations = {"gelu_new", "gelu_pytorch_tanh", "gelu", "relu", "silu", "swish", "quick_gelu"};
  f.qkv_bias = f.o_bias = f.mlp_bias = kYes;
  f.kv_heads_key = {};
  return f;
}

// The sizes in the words of GPT-2.
void use_short_keys(Family& f) {
  f.hidden_key = {"n_embd", "hidden_size"};
  f.layers_key = {"n_layer", "num_hidden_layers"};
  f.heads_key = {"n_head", "num_attention_heads"};
  f.positions_key = {"n_positions", "n_ctx"};
  f.intermediate_key = {"n_inner"};
  f.intermediate_factor = 4;
}

Family gpt2() {
  Family f = gpt("gpt2", "weights lie as [in, out]; learned positions; fused q, k, v");
  use_short_keys(f);
  f.embedding = "wte";
  f.position_table = "wpe";
  f.attention_norm = "ln_1";
  f.mlp_norm = "ln_2";
  f.attention = AttentionKind::kConcat;
  f.qkv = "attn.c_attn";
  f.o = "attn.c_proj";
  f.up = "mlp.c_fc";
  f.down = "mlp.c_proj";
  f.weights_in_out = true;
  f.rope = RopeStyle::kNone;
  f.unsupported = {"scale_attn_by_inverse_layer_idx", "add_cross_attention"};
  f.required = {"scale_attn_weights"};
  f.max_positions = 1024;
  f.tied_head = true;
  return f;
}

Family gptj() {
  Family f = gpt("gptj", "the MLP reads what attention reads; 64 elements of each head rotate, interleaved");
  use_short_keys(f);
  f.embedding = "wte";
  f.attention_norm = "ln_1";
  f.parallel = true;
  f.q = "attn.q_proj";
  f.k = "attn.k_proj";
  f.v = "attn.v_proj";
  f.o = "attn.out_proj";
  f.up = "mlp.fc_in";
  f.down = "mlp.fc_out";
  f.qkv_bias = f.o_bias = {};
  f.head_bias = kYes;
  f.rope = RopeStyle::kInterleaved;
  f.rope_theta_key = {};
  f.rotary_key = {};
  f.rotary_dim_key = "rotary_dim";
  f.rotary_dim = 64;
  return f;
}

Family gpt_neox() {
  Family f = gpt("gpt_neox", "fused q, k, v by head; two norms read the same stream; Pythia, Dolly, GPT-NeoX");
  f.when = {{Condition::Kind::kEquals, "use_parallel_residual", 1, 1}};
  f.schemes = {{"gpt_neox.", "embed_out"}, {"gpt_neox.", "lm_head"}};
  f.embedding = "embed_in";
  f.layer_prefix = "layers.{}.";
  f.final_norm = "final_layer_norm";
  f.norm.eps_key = "layer_norm_eps";
  f.attention_norm = "input_layernorm";
  f.mlp_norm = "post_attention_layernorm";
  f.parallel = true;
  f.attention = AttentionKind::kGrouped;
  f.qkv = "attention.query_key_value";
  f.o = "attention.dense";
  f.up = "mlp.dense_h_to_4h";
  f.down = "mlp.dense_4h_to_h";
  f.qkv_bias = f.o_bias = {"attention_bias", true};
  f.activation_key = {"hidden_act"};
  f.activations = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"};
  f.rope_theta_key = {"rotary_emb_base", "rope_theta"};
  f.rotary_key = {"rotary_pct", "partial_rotary_factor"};
  f.rotary_share = 0.25;
  return f;
}

Family gpt_neox_sequential() {
  Family f = gpt_neox();
  f.name = "gpt_neox_sequential";
  f.notes = "gpt_neox whose MLP reads the stream behind attention; RedPajama 3B";
  f.when = {};
  f.parallel = false;
  return f;
}

Family opt() {
  Family f = gpt("opt", "learned positions from row 2 on");
  f.when = {{Condition::Kind::kEquals, "do_layer_norm_before", 1, 1}};
  f.schemes = {{"model.decoder.", "lm_head"}, {"decoder.", "lm_head"}};
  f.embedding = "embed_tokens";
  f.layer_prefix = "layers.{}.";
  f.final_norm = "final_layer_norm";
  f.position_table = "embed_positions";
  f.position_offset = 2;
  f.project_in = "project_in";
  f.project_out = "project_out";
  f.embedding_width_key = "word_embed_proj_dim";
  f.norm.eps_key = {};
  f.attention_norm = "self_attn_layer_norm";
  f.mlp_norm = "final_layer_norm";
  f.q = "self_attn.q_proj";
  f.k = "self_attn.k_proj";
  f.v = "self_attn.v_proj";
  f.o = "self_attn.out_proj";
  f.up = "fc1";
  f.down = "fc2";
  f.qkv_bias = f.o_bias = f.mlp_bias = {"enable_bias", true};
  f.activations = {"relu", "gelu", "gelu_new"};
  f.rope = RopeStyle::kNone;
  f.unsupported = {"_remove_final_layer_norm"};
  f.required = {"layer_norm_elementwise_affine"};
  f.intermediate_key = {"ffn_dim"};
  f.tied_head = true;
  return f;
}

Family opt_post_norm() {
  Family f = opt();
  f.name = "opt_post_norm";
  f.notes = "opt with norms of the residual sums and a narrower embedding; OPT 350M";
  f.when = {};
  f.final_norm = {};
  f.attention_out_norm = f.attention_norm;
  f.mlp_out_norm = f.mlp_norm;
  f.attention_norm = f.mlp_norm = {};
  f.norm_after_add = true;
  f.unsupported = {};
  return f;
}

Family bloom() {
  Family f = gpt("bloom", "fused q, k, v by head; biases of the scores (ALiBi); a norm of the embeddings");
  f.embedding = "word_embeddings";
  f.embedding_norm = "word_embeddings_layernorm";
  f.attention_norm = "input_layernorm";
  f.mlp_norm = "post_attention_layernorm";
  f.attention = AttentionKind::kGrouped;
  f.qkv = "self_attention.query_key_value";
  f.o = "self_attention.dense";
  f.up = "mlp.dense_h_to_4h";
  f.down = "mlp.dense_4h_to_h";
  f.activation_key = {};
  f.activations = {"gelu_pytorch_tanh"};
  f.rope = RopeStyle::kNone;
  f.alibi_switch = kYes;
  f.alibi = AlibiKind::kFloat32;
  f.unsupported = {"apply_residual_connection_post_layernorm"};
  f.hidden_key = {"hidden_size", "n_embed"};
  f.layers_key = {"n_layer", "num_hidden_layers"};
  f.heads_key = {"n_head", "num_attention_heads"};
  f.positions_key = {"seq_length"};
  f.intermediate_key = {};
  f.intermediate_factor = 4;
  f.tied_head = true;
  return f;
}

// What all of Falcon have in common.
Family falcon(std::string_view name, std::string_view notes) {
  Family f = gpt(name, notes);
  f.model_types = {"falcon", "RefinedWeb", "RefinedWebModel"};
  f.embedding = "word_embeddings";
  f.attention_norm = "input_layernorm";
  f.attention = AttentionKind::kGrouped;
  f.qkv = "self_attention.query_key_value";
  f.o = "self_attention.dense";
  f.up = "mlp.dense_h_to_4h";
  f.down = "mlp.dense_4h_to_h";
  f.activation_key = {"activation"};
  f.activations = {"gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"};
  f.qkv_bias = f.o_bias = f.mlp_bias = {"bias"};
  f.alibi_switch = {"alibi"};
  f.alibi = AlibiKind::kBfloat16;
  f.alibi_scaled = true;
  f.hidden_key = {"hidden_size", "n_embed"};
  f.layers_key = {"num_hidden_layers", "n_layer"};
  f.heads_key = {"num_attention_heads", "n_head"};
  f.intermediate_key = {"ffn_hidden_size"};
  f.intermediate_factor = 4;
  f.tied_head = true;
  return f;
}

constexpr Condition kNewFalcon = {Condition::Kind::kEquals, "new_decoder_architecture", 1};

Family falcon_11b() {
  Family f = falcon("falcon_11b", "falcon_40b whose MLP reads what attention reads");
  f.when = {kNewFalcon, {Condition::Kind::kEquals, "num_ln_in_parallel_attn", 1, 2}};
  f.parallel = true;
  f.kv_heads_key = {"num_kv_heads", "n_head_kv"};
  return f;
}

Family falcon_40b() {
  Family f = falcon("falcon_40b", "fused q, k, v by key head; two norms read the same stream; also 180B");
  f.when = {kNewFalcon};
  f.attention_norm = "ln_attn";
  f.mlp_norm = "ln_mlp";
  f.parallel = true;
  f.kv_heads_key = {"num_kv_heads", "n_head_kv"};
  return f;
}

Family falcon_7b() {
  Family f = falcon("falcon", "one key head for all; the MLP reads what attention reads");
  f.when = {{Condition::Kind::kEquals, "parallel_attn", 1, 1}};
  f.parallel = true;
  f.multi_query = {"multi_query", true};
  return f;
}

Family falcon_rw() {
  Family f = falcon("falcon_rw", "falcon with the MLP behind attention; biases of the scores (ALiBi)");
  f.mlp_norm = "post_attention_layernorm";
  f.multi_query = {"multi_query", true};
  return f;
}

Family phi() {
  Family f = gpt("phi", "the MLP reads what attention reads; half of each head rotates; the head has a bias");
  f.schemes = {{"model.", "lm_head"}};
  f.embedding = "embed_tokens";
  f.layer_prefix = "layers.{}.";
  f.final_norm = "final_layernorm";
  f.norm.eps_key = "layer_norm_eps";
  f.attention_norm = "input_layernorm";
  f.parallel = true;
  f.q = "self_attn.q_proj";
  f.k = "self_attn.k_proj";
  f.v = "self_attn.v_proj";
  f.o = "self_attn.dense";
  f.head_norm = HeadNormKind::kShared;
  f.head_norm_switch = {"qk_layernorm"};
  f.head_norm_kind = NormKind::kLayer;
  f.head_norm_bias = true;
  f.q_norm = "self_attn.q_layernorm";
  f.k_norm = "self_attn.k_layernorm";
  f.up = "mlp.fc1";
  f.down = "mlp.fc2";
  f.activation_key = {"hidden_act"};
  f.head_bias = kYes;
  f.rotary_share = 0.5;
  f.kv_heads_key = {"num_key_value_heads"};
  return f;
}

Family starcoder2() {
  Family f = gpt("starcoder2", "biases everywhere, sliding window");
  f.schemes = {{"model.", "lm_head"}};
  f.embedding = "embed_tokens";
  f.layer_prefix = "layers.{}.";
  f.final_norm = "norm";
  f.norm.eps_key = "norm_epsilon";
  f.attention_norm = "input_layernorm";
  f.mlp_norm = "post_attention_layernorm";
  f.q = "self_attn.q_proj";
  f.k = "self_attn.k_proj";
  f.v = "self_attn.v_proj";
  f.o = "self_attn.o_proj";
  f.up = "mlp.c_fc";
  f.down = "mlp.c_proj";
  f.qkv_bias = f.o_bias = f.mlp_bias = {"use_bias", true};
  f.activation_key = {"hidden_act"};
  f.activations = {"gelu_pytorch_tanh", "gelu_new", "gelu", "relu", "silu"};
  f.windows = {.size = kWindowIfGiven};
  f.kv_heads_key = {"num_key_value_heads"};
  f.kv_heads = 2;
  f.max_positions = 4096;
  f.tied_head = true;
  return f;
}

}  // namespace

std::vector<Family> gpt_like_families() {
  return {phi(),   gpt2(),       gptj(),       gpt_neox(),  gpt_neox_sequential(), opt(),       opt_post_norm(),
          bloom(), falcon_11b(), falcon_40b(), falcon_7b(), falcon_rw(),           starcoder2()};
}

}  // namespace hesse
