#!/usr/bin/env python3
"""Make the golden files of the forward pass: tiny random models and their float32 logits by the transformers library.

    python make_golden.py [OUT_DIR]        default: tests/data/golden beside this tool

Writes
  tiny_llama.safetensors   `ids` I64 [48] and `logits` F32 [32, 4096] of the demo model, the last 32 of 48 positions
  <family>_<variant>/      a random model: config.json, weights, and golden.safetensors with `ids` I64 [40] and
                           `logits` F32 [40, 128]
The weights are wide enough (standard deviation 0.25) that attention is far from uniform and logits are far apart: a
wrong rotation, a missing bias or a swapped head shows. check_variant() tries the likeliest oversights.
Deterministic: the same versions of torch and transformers give the same bytes.
"""
import json
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
SEED, TOKENS, STD = 20221031, 40, 0.25
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128, "hidden_size": 64,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "hidden_act": "silu", "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    "attention_bias": False, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
# 40 tokens pass the window of 9 several times, and a third of the layers has none. Queries and keys are normed, so that
# the scores are as large as `query_pre_attn_scalar` makes them: 2 gives them a standard deviation of 2.
GEMMA3 = {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "vocab_size": 128, "hidden_size": 32,
    "intermediate_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "attention_bias": False, "query_pre_attn_scalar": 2, "sliding_window": 9,
    "attn_logit_softcapping": None, "final_logit_softcapping": None, "bos_token_id": 2, "eos_token_id": 1,
    "pad_token_id": 0,
}  # fmt: skip
GEMMA3_LAYERS = ["sliding_attention", "sliding_attention", "full_attention"] * 2
# Wavelengths of head_dim 16 and theta 500: 6, 14, 30, 65 ... positions. Below 16 / 2 they stay, above 16 / 1 they are
# divided by 8, between they are blended: all three branches occur.
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 2.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}
DEFAULT = {"rope_type": "default", "rope_theta": 10000.0}

# By kind of layer, with thetas low enough that even the slowest pair turns within the 40 tokens.
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.5},
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
}


def spelling(rope: dict, version: int) -> dict:
    """The same rotation in the words of config files of transformers 5 (rope_parameters) or 4 (theta apart)."""
    if version == 5:
        return {"rope_parameters": rope}
    by_kind = "full_attention" in rope
    local = {"rope_local_base_freq": rope["sliding_attention"]["rope_theta"]} if by_kind else {}
    rope = rope["full_attention"] if by_kind else rope
    # The oldest files say "type"; llama3 never did, nor did Gemma 3, for which transformers 5 would overlook it.
    word = "type" if rope["rope_type"] == "linear" and not by_kind else "rope_type"
    scaling = {word if key == "rope_type" else key: value for key, value in rope.items() if key != "rope_theta"}
    scaling = None if rope["rope_type"] == "default" else scaling
    return {"rope_theta": rope["rope_theta"], "rope_scaling": scaling, **local}


# name: (base, rope, version of the spelling, other changes, dtype of the file, shards)
VARIANTS = {
    "llama_plain": (LLAMA, DEFAULT, 5, {}, "float16", 1),
    "llama_plain_v4": (LLAMA, DEFAULT, 4, {}, "float16", 1),
    "llama_rope_llama3": (LLAMA, LLAMA3, 5, {}, "float16", 1),
    "llama_rope_llama3_v4": (LLAMA, LLAMA3, 4, {}, "float16", 1),
    "llama_rope_linear": (LLAMA, LINEAR, 5, {}, "float16", 1),
    "llama_rope_linear_v4": (LLAMA, LINEAR, 4, {}, "float16", 1),
    "llama_biases": (LLAMA, DEFAULT, 5, {"attention_bias": True, "mlp_bias": True}, "float16", 1),
    "llama_head_dim": (LLAMA, DEFAULT, 5, {"num_attention_heads": 8, "head_dim": 12}, "float16", 1),
    "llama_untied": (LLAMA, DEFAULT, 5, {"tie_word_embeddings": False}, "float16", 1),
    "llama_bf16_shards": (LLAMA, DEFAULT, 5, {"tie_word_embeddings": False}, "bfloat16", 2),
    "gemma3_plain": (GEMMA3, GEMMA3_ROPE, 5, {"layer_types": GEMMA3_LAYERS}, "float16", 1),
    "gemma3_plain_v4": (GEMMA3, GEMMA3_ROPE, 4, {"sliding_window_pattern": 3}, "float16", 1),
}
# A variant and what its file would mean to readers that overlook a point of it.
OVERLOOKED = {
    "llama_rope_llama3": [{"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}],
    "llama_rope_llama3_v4": [{"rope_scaling": None}],
    "llama_rope_linear": [{"rope_parameters": DEFAULT}],
    "llama_rope_linear_v4": [{"rope_scaling": None}],
    "llama_biases": [{"attention_bias": False, "mlp_bias": False}],
    "gemma3_plain": [
        {"sliding_window": 128},
        {"sliding_window": 10},
        {"layer_types": GEMMA3_LAYERS[1:] + GEMMA3_LAYERS[:1]},
        {"query_pre_attn_scalar": 8},
        {"hidden_activation": "silu"},
        {"rope_parameters": {**GEMMA3_ROPE, "full_attention": {"rope_type": "default", "rope_theta": 500.0}}},
        {"rope_parameters": {**GEMMA3_ROPE, "full_attention": GEMMA3_ROPE["sliding_attention"]}},
        {"rope_parameters": {**GEMMA3_ROPE, "sliding_attention": GEMMA3_ROPE["full_attention"]}},
    ],
}
# Pairs whose files mean the same model in the words of transformers 5 and 4.
PAIRS = ("llama_plain", "llama_rope_llama3", "llama_rope_linear", "gemma3_plain")


def random_weights(config) -> dict:
    """Names and shapes from transformers, values from one generator, in the order of the sorted names."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    generator = torch.Generator().manual_seed(SEED)
    around = 0 if config.model_type.startswith("gemma") else 1  # of the weights of norms: Gemma multiplies by 1 + w
    weights = {}
    for name in sorted(shapes):
        values = STD * torch.randn(shapes[name], generator=generator)
        weights[name] = values + around if name.endswith("norm.weight") else values
    return weights


def write_model(folder: Path, name: str) -> None:
    base, rope, version, changes, dtype, shards = VARIANTS[name]
    header = {key: base[key] for key in ("architectures", "model_type")}
    header["dtype" if version == 5 else "torch_dtype"] = dtype
    fields = {**header, **base, **changes, **spelling(rope, version)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
    config = transformers.AutoConfig.from_pretrained(folder)
    weights = {key: value.to(getattr(torch, dtype)) for key, value in random_weights(config).items()}
    if shards == 1:
        save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return
    names, weight_map = list(weights), {}
    for k in range(shards):
        file = f"model-{k + 1:05d}-of-{shards:05d}.safetensors"
        part = {key: weights[key] for key in names[k::shards]}
        save_file(part, str(folder / file), metadata={"format": "pt"})
        weight_map.update({key: file for key in part})
    size = sum(value.numel() * value.element_size() for value in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


@torch.no_grad()
def logits_of(folder: Path, ids: torch.Tensor, **overrides) -> torch.Tensor:
    """float32 throughout, eager attention; [tokens, vocabulary]."""
    config = transformers.AutoConfig.from_pretrained(folder)
    for key, value in overrides.items():
        setattr(config, key, value)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()(ids[None]).logits[0].contiguous()


def check_variant(folder: Path, name: str, ids: torch.Tensor, logits: torch.Tensor) -> None:
    """Refuses a golden file that a wrong program could match."""
    largest = logits.abs().max()
    spread = logits.std(dim=1).min() / largest
    if not torch.isfinite(logits).all() or spread < 0.1:
        raise SystemExit(f"{name}: degenerate logits, spread {spread:.3f}")
    changed = ids.clone()
    changed[0] = (ids[0] + 1) % logits.shape[1]
    if (logits_of(folder, changed)[-1] - logits[-1]).abs().max() < 0.01 * largest:
        raise SystemExit(f"{name}: the first token does not reach the last logits")
    for changes in OVERLOOKED.get(name, []):
        wrong = logits_of(folder, ids, **respell(folder, changes))
        apart = ((wrong - logits).abs().max() / largest).item()
        if apart < 0.05:
            raise SystemExit(f"{name}: overlooking {changes} changes the logits by {apart:.1e} only")
        print(f"  overlooking {', '.join(changes)} changes the logits by {apart:.2f} of the largest")


def respell(folder: Path, changes: dict) -> dict:
    """The fields of a changed config.json as transformers understands them."""
    with tempfile.TemporaryDirectory() as scratch:
        fields = json.loads((folder / "config.json").read_text())
        fields.update(changes)
        (Path(scratch) / "config.json").write_text(json.dumps(fields))
        config = transformers.AutoConfig.from_pretrained(scratch)
    keys = {"rope_parameters" if "rope_scaling" in changes else key for key in changes}
    return {key: getattr(config, key) for key in keys}


def make_variant(out: Path, name: str) -> None:
    folder = out / name
    write_model(folder, name)
    ids = torch.randint(3, VARIANTS[name][0]["vocab_size"], (TOKENS,), generator=torch.Generator().manual_seed(SEED))
    logits = logits_of(folder, ids)
    print(f"{folder.name}: largest logit {logits.abs().max():.2f}")
    check_variant(folder, name, ids, logits)
    save_file({"ids": ids, "logits": logits}, str(folder / "golden.safetensors"))


def make_demo(out: Path) -> None:
    """A sentence of the held-out text, as ids, so that the test needs no tokenizer."""
    model_dir = ROOT / "models" / "tiny-llama"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    text = (model_dir / "heldout.txt").read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text[:2000], add_special_tokens=False)["input_ids"][:48])
    logits = logits_of(model_dir, ids)[-32:].clone()
    save_file({"ids": ids, "logits": logits}, str(out / "tiny_llama.safetensors"))
    print(f"tiny_llama: largest logit {logits.abs().max():.2f}")


def check_pairs(out: Path) -> None:
    """Both spellings of a config mean the same model."""
    for name in PAIRS:
        one, other = (load_file(str(out / f"{name}{end}" / "golden.safetensors")) for end in ("", "_v4"))
        if not torch.equal(one["logits"], other["logits"]):
            raise SystemExit(f"{name}: the spellings of the config differ")


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests" / "data" / "golden"
    out.mkdir(parents=True, exist_ok=True)
    make_demo(out)
    for name in VARIANTS:
        make_variant(out, name)
    check_pairs(out)
    for file in out.rglob("*.safetensors"):
        file.chmod(0o644)  # the library writes them for the owner alone


if __name__ == "__main__":
    main()
