"""The tiny models of make_tiny_models.py: for every row of THE TABLE at least one config.json, in the words of the files
that people have. Sizes are awkward on purpose: no multiples of 128, heads times head_dim is not hidden where the family
allows it, windows and the lengths that rotations were made for are shorter than the 80 tokens of the text.

name: {"config": fields of config.json, "like": ..., "attention": ..., "experts": ..., "norms_around": ..., "wrong": [...]}
    like          a reference of tiny_references.py, where transformers has none
    attention     of transformers: "eager" where nothing is said
    experts       how they lie in the file, where not one by one: packed_experts.py
    norms_around  middle of the weights of norms, 1 where nothing is said
    wrong         other fields, which a reader that overlooks something would see in the file: the logits must differ
"""
TOKENS, VOCAB = 80, 96
IDS = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA = {
    "model_type": "llama", "hidden_size": 40, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "hidden_act": "silu",
    "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 500.0, "tie_word_embeddings": False, **IDS,
}  # fmt: skip
# Layer norms, an MLP without a gate.
GPT = {
    "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 128, "rope_theta": 500.0, "tie_word_embeddings": False, **IDS,
}  # fmt: skip
GPT2 = {"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 96, "n_inner": 72, **IDS}
GEMMA = {**LLAMA, "model_type": "gemma", "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh"}
GEMMA2 = {
    **GEMMA, "model_type": "gemma2", "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 9,
    "sliding_window": 20, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 9.0, "num_hidden_layers": 3,
}  # fmt: skip
# Queries and keys are normed, so that the scores are as large as query_pre_attn_scalar makes them.
GEMMA3 = {
    **GEMMA, "model_type": "gemma3_text", "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 2,
    "sliding_window": 9, "num_hidden_layers": 6, "hidden_size": 32, "intermediate_size": 32, "head_dim": 8,
    "attn_logit_softcapping": None, "final_logit_softcapping": None, "rope_theta": 500.0,
    "rope_local_base_freq": 50.0, "sliding_window_pattern": 3, "rope_scaling": {"rope_type": "linear", "factor": 2.5},
}  # fmt: skip
# Wavelengths of head_dim 12 and theta 500: 6, 18, 50, 140 ... positions; all three branches of llama3 occur.
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 2.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5], "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 5.0],
}  # fmt: skip
MIXTRAL = {
    **LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 24,
    "sliding_window": None,
}  # fmt: skip
QWEN2_MOE = {
    **LLAMA, "model_type": "qwen2_moe", "hidden_size": 48, "num_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 24, "shared_expert_intermediate_size": 40, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "norm_topk_prob": False, "num_hidden_layers": 2,
}  # fmt: skip
QWEN3_MOE = {
    **LLAMA, "model_type": "qwen3_moe", "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
    "norm_topk_prob": True, "decoder_sparse_step": 2, "mlp_only_layers": [3], "num_hidden_layers": 4,
}  # fmt: skip
GPT_OSS = {
    **LLAMA, "model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 24,
    "num_hidden_layers": 3, "sliding_window": 20, "swiglu_limit": 1.5, "attention_bias": True,
    "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 32.0,
                     "beta_slow": 1.0, "truncate": False},
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}  # fmt: skip
DEEPSEEK_V2 = {
    **{key: value for key, value in LLAMA.items() if key != "head_dim"}, "model_type": "deepseek_v2", "hidden_size": 40, "num_key_value_heads": 4, "q_lora_rank": None,
    "kv_lora_rank": 24, "qk_nope_head_dim": 10, "qk_rope_head_dim": 8, "v_head_dim": 10, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "n_shared_experts": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
    "routed_scaling_factor": 1.5, "topk_method": "greedy", "n_group": None, "topk_group": None,
    "norm_topk_prob": False,
}  # fmt: skip
DEEPSEEK_V3 = {
    **DEEPSEEK_V2, "model_type": "deepseek_v3", "q_lora_rank": 16, "n_routed_experts": 6, "n_shared_experts": 1,
    "n_group": 3, "topk_group": 2, "norm_topk_prob": True, "rope_interleave": True,
}  # fmt: skip
DEEPSEEK_YARN = {
    "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "mscale": 0.7, "mscale_all_dim": 1.2,
    "beta_fast": 32, "beta_slow": 1,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
STABLELM = {
    **LLAMA, "model_type": "stablelm", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.34, "use_qkv_bias": True,
    "hidden_size": 48, "use_parallel_residual": False, "qk_layernorm": False,
}  # fmt: skip
COHERE = {
    **LLAMA, "model_type": "cohere", "layer_norm_eps": 1e-5, "logit_scale": 0.25, "use_qk_norm": True,
    "tie_word_embeddings": True, "hidden_size": 48,
}  # fmt: skip
FALCON = {
    "model_type": "falcon", "hidden_size": 56, "ffn_hidden_size": 72, "num_hidden_layers": 2, "num_attention_heads": 7, "bias": False,
    "alibi": False, "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False,
    "max_position_embeddings": 128, "rope_theta": 500.0, **IDS,
}  # fmt: skip
FALCON40 = {**FALCON, "new_decoder_architecture": True, "num_attention_heads": 4, "hidden_size": 48, "num_kv_heads": 2}
NEOX = {
    **GPT, "model_type": "gpt_neox", "rotary_pct": 0.34, "rotary_emb_base": 500, "hidden_act": "gelu",
    "use_parallel_residual": True,
}  # fmt: skip
OPT = {
    "model_type": "opt", "hidden_size": 48, "ffn_dim": 72, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 96, "do_layer_norm_before": True, "word_embed_proj_dim": 48, **IDS,
}  # fmt: skip
WINDOW_WRONG = [{"sliding_window": 21}, {"sliding_window": 128}]


def of(base: dict, **changes) -> dict:
    return {**base, **changes}


def vision_model(model_type: str, text: dict, vision: dict, **outer) -> dict:
    inner = {key: value for key, value in text.items() if key not in ("pad_token_id",)}
    return {"model_type": model_type, "text_config": inner, "vision_config": vision,
            "tie_word_embeddings": text.get("tie_word_embeddings", False), **outer}  # fmt: skip


CLIP = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "projection_dim": 16}  # fmt: skip
SIGLIP = {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
          "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
PIXTRAL = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
           "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "head_dim": 8}  # fmt: skip
INTERN_VISION = {"model_type": "internvl_vision", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                 "num_attention_heads": 2, "image_size": [28, 28], "patch_size": [14, 14]}  # fmt: skip
QWEN2_VISION = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 48, "mlp_ratio": 1, "patch_size": 2,
                "spatial_merge_size": 2}  # fmt: skip
QWEN25_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 48,
                 "patch_size": 2, "spatial_merge_size": 2, "fullatt_block_indexes": [0]}  # fmt: skip
QWEN3_VISION = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 40,
                "patch_size": 2, "spatial_merge_size": 2, "deepstack_visual_indexes": [0],
                "num_position_embeddings": 16}  # fmt: skip
MROPE = {"rope_type": "default", "type": "mrope", "mrope_section": [2, 2, 2]}
QWEN_IDS = {"image_token_id": 90, "video_token_id": 91, "vision_start_token_id": 92, "vision_end_token_id": 93}

VARIANTS = {
    "llama_plain": {"config": of(LLAMA)},
    "llama_biases": {"config": of(LLAMA, attention_bias=True, mlp_bias=True),
                     "wrong": [{"attention_bias": False, "mlp_bias": False}]},
    "llama_tied": {"config": of(LLAMA, tie_word_embeddings=True)},
    "llama_bf16_shards": {"config": of(LLAMA, dtype="bfloat16"), "shards": 2},
    "llama_f16": {"config": of(LLAMA, dtype="float16")},
    "llama_rope_llama3": {"config": of(LLAMA, rope_scaling=LLAMA3), "wrong": [{"rope_scaling": None}]},
    "llama_rope_linear": {"config": of(LLAMA, rope_scaling={"type": "linear", "factor": 2.5}),
                          "wrong": [{"rope_scaling": None}]},
    "llama_rope_dynamic": {"config": of(LLAMA, max_position_embeddings=40,
                                        rope_scaling={"type": "dynamic", "factor": 3.0}),
                           "wrong": [{"rope_scaling": None}]},
    "llama_rope_yarn": {"config": of(LLAMA, rope_scaling=YARN), "wrong": [{"rope_scaling": None}]},
    "mistral": {"config": of(LLAMA, model_type="mistral", sliding_window=20), "wrong": WINDOW_WRONG},
    "qwen2": {"config": of(LLAMA, model_type="qwen2", use_sliding_window=False, hidden_size=48)},
    "qwen2_window": {"config": of(LLAMA, model_type="qwen2", use_sliding_window=True, sliding_window=20, hidden_size=48,
                                  num_hidden_layers=3, max_window_layers=1),
                     "wrong": [{"sliding_window": 21}, {"max_window_layers": 2}, {"use_sliding_window": False}]},
    "qwen3": {"config": of(LLAMA, model_type="qwen3", tie_word_embeddings=True)},
    "gemma": {"config": of(GEMMA), "norms_around": 0, "wrong": [{"hidden_act": "silu"}]},
    "gemma_gelu": {"config": of(GEMMA, hidden_act="gelu"), "norms_around": 0},
    "gemma2": {"config": of(GEMMA2), "norms_around": 0,
               "wrong": [{"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"sliding_window": 21},
                         {"query_pre_attn_scalar": 12}]},
    "gemma3_text": {"config": of(GEMMA3), "norms_around": 0,
                    "wrong": [{"sliding_window": 128}, {"sliding_window": 10}, {"sliding_window_pattern": 2},
                              {"query_pre_attn_scalar": 8}, {"rope_local_base_freq": 500.0}, {"rope_scaling": None}]},
    "phi3": {"config": of(LLAMA, model_type="phi3", hidden_size=48, original_max_position_embeddings=128,
                          sliding_window=20), "wrong": WINDOW_WRONG},
    "phi3_longrope": {"config": of(LLAMA, model_type="phi3", hidden_size=48, original_max_position_embeddings=32,
                                   rope_scaling=LONGROPE),
                      "wrong": [{"rope_scaling": {**LONGROPE, "long_factor": LONGROPE["short_factor"]}}]},
    "granite": {"config": of(LLAMA, model_type="granite", hidden_size=48, embedding_multiplier=3.0,
                             residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=2.5),
                "wrong": [{"embedding_multiplier": 1.0}, {"residual_multiplier": 1.0}, {"attention_multiplier": 0.3},
                          {"logits_scaling": 1.0}]},
    "smollm3": {"config": of(LLAMA, model_type="smollm3", hidden_size=48, num_hidden_layers=3,
                             no_rope_layers=[1, 0, 1], use_sliding_window=False), "wrong": [{"no_rope_layers": [1, 1, 1]}]},
    "olmo": {"config": of(LLAMA, model_type="olmo", hidden_size=48, clip_qkv=None)},
    "olmo2": {"config": of(LLAMA, model_type="olmo2", hidden_size=48)},
    "stablelm": {"config": of(STABLELM), "wrong": [{"partial_rotary_factor": 1.0}]},
    "stablelm_parallel": {"config": of(STABLELM, use_parallel_residual=True, qk_layernorm=True, use_qkv_bias=False)},
    "cohere": {"config": of(COHERE), "wrong": [{"logit_scale": 1.0}]},
    "cohere2": {"config": of(COHERE, model_type="cohere2", sliding_window=20, sliding_window_pattern=2,
                             num_hidden_layers=3), "wrong": [{"sliding_window": 21}, {"sliding_window_pattern": 3}]},
    "internlm2": {"config": of(LLAMA, model_type="internlm2", bias=True, head_dim=None), "like": "internlm2"},
    "baichuan": {"config": of(LLAMA, model_type="baichuan", head_dim=None, num_key_value_heads=None, rope_theta=None),
                 "like": "baichuan"},
    "baichuan2_13b": {"config": of(LLAMA, model_type="baichuan", head_dim=None, num_key_value_heads=None,
                                   rope_theta=None, max_position_embeddings=None, model_max_length=128,
                                   num_attention_heads=5, z_loss_weight=0), "like": "baichuan"},
    "mixtral": {"config": of(MIXTRAL), "wrong": [{"num_experts_per_tok": 1}]},
    "mixtral_window": {"config": of(MIXTRAL, sliding_window=20, num_local_experts=3), "wrong": WINDOW_WRONG},
    "qwen2_moe": {"config": of(QWEN2_MOE), "wrong": [{"norm_topk_prob": True}]},
    "qwen2_moe_window": {"config": of(QWEN2_MOE, use_sliding_window=True, sliding_window=20, max_window_layers=3,
                                      num_hidden_layers=4),
                         "wrong": [{"sliding_window": 21}, {"max_window_layers": 2}, {"use_sliding_window": False}]},
    "qwen3_moe_stacked": {"config": of(QWEN3_MOE, num_hidden_layers=2, mlp_only_layers=[]), "experts": "stacked"},
    "gpt_oss": {"config": of(GPT_OSS), "experts": "packed",
                "wrong": [{"swiglu_limit": 7.0}, {"layer_types": ["full_attention"] * 3}, {"sliding_window": 21},
                          {"rope_scaling": {**GPT_OSS["rope_scaling"], "truncate": True}},
                          {"num_experts_per_tok": 1}]},
    "gpt_oss_mxfp4": {"config": of(GPT_OSS, hidden_size=64, intermediate_size=32, num_hidden_layers=2, layer_types=None,
                                   num_local_experts=3,
                                   quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}),
                      "experts": "mxfp4"},
    "qwen3_moe": {"config": of(QWEN3_MOE), "wrong": [{"norm_topk_prob": False}]},
    "deepseek_v2": {"config": of(DEEPSEEK_V2), "wrong": [{"routed_scaling_factor": 1.0}]},
    "deepseek_v2_groups": {"config": of(DEEPSEEK_V2, q_lora_rank=16, n_routed_experts=6, n_group=3, topk_group=1,
                                        topk_method="group_limited_greedy", rope_scaling=DEEPSEEK_YARN),
                           "wrong": [{"topk_method": "greedy"}, {"rope_scaling": {**DEEPSEEK_YARN, "mscale_all_dim": 0}}]},
    "deepseek_v2_biases": {"config": of(DEEPSEEK_V2, attention_bias=True, mlp_bias=True),
                           "wrong": [{"mlp_bias": False}]},
    "deepseek_v3": {"config": of(DEEPSEEK_V3),
                    "wrong": [{"topk_group": 3}, {"norm_topk_prob": False}, {"rope_interleave": False}]},
    "deepseek_v3_yarn": {"config": of(DEEPSEEK_V3, q_lora_rank=None, rope_interleave=False, rope_scaling=DEEPSEEK_YARN,
                                      first_k_dense_replace=0), "wrong": [{"rope_scaling": None}]},
    "phi": {"config": of(GPT, model_type="phi", partial_rotary_factor=0.5, layer_norm_eps=1e-5, hidden_act="gelu_new"),
            "wrong": [{"partial_rotary_factor": 1.0}]},
    "phi_head_norms": {"config": of(GPT, model_type="phi", partial_rotary_factor=0.5, qk_layernorm=True)},
    "gpt2": {"config": of(GPT2, model_type="gpt2", activation_function="gelu_new")},
    "gptj": {"config": of(GPT2, model_type="gptj", rotary_dim=8, tie_word_embeddings=False)},
    "gpt_neox": {"config": of(NEOX), "wrong": [{"rotary_pct": 0.7}, {"hidden_act": "relu"}]},
    "gpt_neox_sequential": {"config": of(NEOX, use_parallel_residual=False)},
    "opt": {"config": of(OPT)},
    "opt_post_norm": {"config": of(OPT, do_layer_norm_before=False, word_embed_proj_dim=24)},
    "bloom": {"config": {"model_type": "bloom", "hidden_size": 40, "n_layer": 2, "n_head": 5, **IDS}},
    "falcon": {"config": of(FALCON)},
    "falcon_rw": {"config": of(FALCON, bias=True, alibi=True, multi_query=False, parallel_attn=False),
                  "attention": "sdpa", "wrong": [{"alibi": False}]},
    "falcon_40b": {"config": of(FALCON40)},
    "falcon_11b": {"config": of(FALCON40, num_ln_in_parallel_attn=1)},
    "starcoder2": {"config": of(GPT, model_type="starcoder2", num_key_value_heads=2, norm_epsilon=1e-5,
                                hidden_act="gelu_pytorch_tanh", use_bias=True, sliding_window=20,
                                tie_word_embeddings=True),
                   "wrong": WINDOW_WRONG},
    "gemma3": {"config": vision_model("gemma3", GEMMA3, SIGLIP, mm_tokens_per_image=4, image_token_index=90),
               "norms_around": 0},
    "llava": {"config": vision_model("llava", LLAMA, CLIP, image_token_index=90)},
    "internvl": {"config": vision_model("internvl", of(LLAMA, model_type="qwen2", hidden_size=48), INTERN_VISION,
                                        image_token_id=90)},
    "mistral3": {"config": vision_model("mistral3", of(LLAMA, model_type="mistral", sliding_window=None), PIXTRAL,
                                        image_token_index=90)},
    "qwen2_vl": {"config": vision_model("qwen2_vl", of(LLAMA, model_type="qwen2_vl_text", hidden_size=48,
                                                       rope_scaling=MROPE),
                                        QWEN2_VISION, **QWEN_IDS)},
    "qwen2_5_vl": {"config": vision_model("qwen2_5_vl", of(LLAMA, model_type="qwen2_5_vl_text", hidden_size=48,
                                                           rope_scaling=MROPE),
                                          QWEN25_VISION, **QWEN_IDS)},
    "qwen3_vl": {"config": vision_model("qwen3_vl", of(LLAMA, model_type="qwen3_vl_text", rope_scaling=MROPE),
                                        QWEN3_VISION, **QWEN_IDS)},
    "qwen3_vl_moe": {"config": vision_model("qwen3_vl_moe", of(QWEN3_MOE, model_type="qwen3_vl_moe_text",
                                                               rope_scaling=MROPE),
                                            QWEN3_VISION, **QWEN_IDS), "experts": "turned"},
}  # fmt: skip
