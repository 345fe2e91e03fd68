"""Random models of the families of tests/data/families, at widths that kernels have, with a tokenizer of letters."""
import json
import random
from pathlib import Path

import torch
import transformers

VOCAB = 96
SEED = 20261123
COMMON = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "num_hidden_layers": 2,
          "max_position_embeddings": 256, "hidden_size": 128, "num_attention_heads": 4}  # fmt: skip
GATED = {**COMMON, "intermediate_size": 256, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": False}
FAMILIES = {
    "llama": {**GATED, "model_type": "llama"},
    "qwen2": {**GATED, "model_type": "qwen2"},
    "gemma3": {**GATED, "model_type": "gemma3_text", "tie_word_embeddings": True, "sliding_window": 64,
               "query_pre_attn_scalar": 32},
    "mixtral": {**GATED, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "falcon": {**COMMON, "model_type": "falcon", "ffn_hidden_size": 256, "multi_query": True, "parallel_attn": True,
               "bias": False, "alibi": False, "new_decoder_architecture": False},
    "phi3": {**GATED, "model_type": "phi3"},
}  # fmt: skip
EXPERTS = {**GATED, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
PLAIN = {**COMMON, "intermediate_size": 256, "tie_word_embeddings": False}
# Families that some loader has code of its own for.
MORE = {
    "gptj": {**PLAIN, "model_type": "gptj", "n_embd": 128, "n_layer": 2, "n_head": 4, "rotary_dim": 16},
    "gpt_neox": {**PLAIN, "model_type": "gpt_neox"},
    "bloom": {**PLAIN, "model_type": "bloom", "n_layer": 2, "n_head": 4},
    "opt": {**PLAIN, "model_type": "opt", "ffn_dim": 256, "word_embed_proj_dim": 128},
    "phi": {**PLAIN, "model_type": "phi"},
    "starcoder2": {**PLAIN, "model_type": "starcoder2", "num_key_value_heads": 2},
    "qwen2_moe": {**EXPERTS, "model_type": "qwen2_moe", "shared_expert_intermediate_size": 128},
    "qwen3_moe": {**EXPERTS, "model_type": "qwen3_moe"},
    "gpt_oss": {**EXPERTS, "model_type": "gpt_oss", "num_local_experts": 4, "intermediate_size": 64},
}  # fmt: skip
# Whose files hold the experts of a layer as one tensor.
TOGETHER = ("gpt_oss",)


def tokenizer_json() -> dict:
    vocab = {"<pad>": 0, "<s>": 1, "</s>": 2, "\u0120": 3}
    for code in range(ord("!"), 127):
        if len(vocab) < VOCAB:
            vocab[chr(code)] = len(vocab)
    return {"version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True, "trim_offsets": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "merges": [],
                      "vocab": vocab}}  # fmt: skip


def make(folder: Path, family: str) -> None:
    """A float16 model; values wide enough that a wrong tensor shows in the logits."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**FAMILIES, **MORE}[family]))
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
    model.to(torch.float16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}))  # fmt: skip


def write_text(path: Path) -> None:
    letters = random.Random(SEED)
    words = ("".join(letters.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(letters.randint(2, 7))) for _ in range(900))
    path.write_text(" ".join(words))
