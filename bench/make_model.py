#!/usr/bin/env python3
"""Makes a model of random weights in any shape of the Llama family, to measure time and memory; what it says is nonsense.

    bench/make_model.py OUT [--hidden 256] [--intermediate 768] [--heads 4] [--kv-heads 2] [--head-dim 64] [--layers 6]
                        [--vocab 4096] [--dtype bf16|f32] [--seed 0] [--shard-gb 2]
    bench/make_model.py OUT --like llama-7b --layers 2        a known shape; other flags change it

Needs numpy. The tokenizer is that of models/tiny-llama: its 4096 tokens come first, a larger vocabulary is never used.
Layers of one seed are the same at every depth, so models of 2, 8 and 30 layers differ in nothing else.
"""
import argparse
import json
import shutil
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "models/tiny-llama"
TOKENS = 4096  # of the demo model's tokenizer
SHAPES = {
    "demo": dict(hidden=256, intermediate=768, heads=4, kv_heads=2, head_dim=64, layers=6),
    "smollm2-135m": dict(hidden=576, intermediate=1536, heads=9, kv_heads=3, head_dim=64, layers=30),
    "qwen2-0.5b": dict(hidden=896, intermediate=4864, heads=14, kv_heads=2, head_dim=64, layers=24),
    "llama-3.2-1b": dict(hidden=2048, intermediate=8192, heads=32, kv_heads=8, head_dim=64, layers=16),
    "llama-7b": dict(hidden=4096, intermediate=11008, heads=32, kv_heads=32, head_dim=128, layers=32),
}
DTYPES = {"bf16": ("BF16", "bfloat16", 2), "f32": ("F32", "float32", 4)}


def tensors_of(shape: argparse.Namespace) -> list:
    """[(name, dimensions)] in the order of the file."""
    hidden, inner = shape.hidden, shape.intermediate
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors = [("model.embed_tokens.weight", (shape.vocab, hidden))]
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        tensors += [
            (prefix + "input_layernorm.weight", (hidden,)),
            (prefix + "self_attn.q_proj.weight", (queries, hidden)),
            (prefix + "self_attn.k_proj.weight", (keys, hidden)),
            (prefix + "self_attn.v_proj.weight", (keys, hidden)),
            (prefix + "self_attn.o_proj.weight", (hidden, queries)),
            (prefix + "post_attention_layernorm.weight", (hidden,)),
            (prefix + "mlp.gate_proj.weight", (inner, hidden)),
            (prefix + "mlp.up_proj.weight", (inner, hidden)),
            (prefix + "mlp.down_proj.weight", (hidden, inner)),
        ]
    return tensors + [("model.norm.weight", (hidden,))]


def values_of(name: str, dimensions: tuple, seed: int):
    """float32. Norms differ from channel to channel, as trained ones do; a linear keeps the size of its input."""
    import zlib

    import numpy

    rng = numpy.random.Generator(numpy.random.PCG64([seed, zlib.crc32(name.encode())]))
    values = rng.standard_normal(dimensions, dtype=numpy.float32)
    if name.endswith("norm.weight"):
        return numpy.exp(0.5 * values)
    return values * numpy.float32(0.02 if "embed" in name else dimensions[1] ** -0.5)


def stored(values, dtype: str) -> bytes:
    if dtype == "f32":
        return values.astype("<f4").tobytes()
    bits = values.view("uint32")
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)  # to nearest, half to even
    return (rounded >> 16).astype("<u2").tobytes()


def shards_of(tensors: list, width: int, limit: int) -> list:
    shards, size = [[]], 0
    for name, dimensions in tensors:
        own = width
        for count in dimensions:
            own *= count
        if shards[-1] and size + own > limit:
            shards.append([])
            size = 0
        shards[-1].append((name, dimensions, own))
        size += own
    return shards


def write_shard(path: Path, tensors: list, shape: argparse.Namespace) -> None:
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, dimensions, size in tensors:
        header[name] = {"dtype": DTYPES[shape.dtype][0], "shape": list(dimensions), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, dimensions, _ in tensors:
            file.write(stored(values_of(name, dimensions, shape.seed), shape.dtype))


def config_of(shape: argparse.Namespace) -> dict:
    config = json.loads((DEMO / "config.json").read_text())
    config.update(
        dtype=DTYPES[shape.dtype][1], hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        num_hidden_layers=shape.layers, vocab_size=shape.vocab, max_position_embeddings=4096,
    )  # fmt: skip
    return config


def make(out: Path, shape: argparse.Namespace) -> int:
    """-> bytes of the weights. The directory appears whole or not at all."""
    whole, out = out, out.with_name(out.name + ".part")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copyfile(DEMO / name, out / name)
    (out / "config.json").write_text(json.dumps(config_of(shape), indent=2) + "\n")
    shards = shards_of(tensors_of(shape), DTYPES[shape.dtype][2], int(shape.shard_gb * 1e9))
    names = ["model.safetensors"]
    if len(shards) > 1:
        names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)]
    total = sum(size for shard in shards for _, _, size in shard)
    for name, shard in zip(names, shards):
        write_shard(out / name, shard, shape)
    if len(shards) > 1:
        places = {tensor: name for name, shard in zip(names, shards) for tensor, _, _ in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    out.rename(whole)
    return total


def parsed(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--like", choices=sorted(SHAPES), default="demo")
    for name in SHAPES["demo"]:
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    parser.add_argument("--vocab", type=int, default=TOKENS)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-gb", type=float, default=2)
    shape = parser.parse_args(arguments)
    for name, value in SHAPES[shape.like].items():
        if getattr(shape, name) is None:
            setattr(shape, name, value)
        if getattr(shape, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(shape, name)}; must be positive")
    if shape.heads % shape.kv_heads:
        parser.error(f"--heads {shape.heads} is no multiple of --kv-heads {shape.kv_heads}")
    if shape.vocab < TOKENS:
        parser.error(f"--vocab is {shape.vocab}; the tokenizer has {TOKENS} tokens")
    if shape.out.exists():
        parser.error(f"{shape.out} is there already; remove it, or name another directory")
    return shape


def main(arguments=None) -> int:
    shape = parsed(arguments)
    total = make(shape.out, shape)
    print(f"{shape.out}: {shape.layers} layers of {shape.hidden} x {shape.intermediate}, {total / 1e9:.3f} GB of {shape.dtype}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
