"""A small writer of GPTQ directories, round-to-nearest only: raw material for tests of the readers, never a product.

It packs with shifts, word by word as the format describes, while dequantize.py reads one long bit stream: two routes to
the same bytes.
"""
import json
import math
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

GRIDS = ("symmetric", "full-range", "asymmetric")


def pack_down(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes [n * 32 / bits, columns] -> uint32 [n, columns]."""
    codes = codes.astype(np.uint64)
    if bits == 3:
        blocks = codes.reshape(-1, 32, codes.shape[1])
        words = np.zeros((blocks.shape[0], 3, codes.shape[1]), dtype=np.uint64)
        for k in range(10):
            words[:, 0] |= blocks[:, k] << np.uint64(3 * k)
            words[:, 1] |= blocks[:, 11 + k] << np.uint64(3 * k + 1)
            words[:, 2] |= blocks[:, 22 + k] << np.uint64(3 * k + 2)
        words[:, 0] |= (blocks[:, 10] & np.uint64(3)) << np.uint64(30)
        words[:, 1] |= (blocks[:, 10] >> np.uint64(2)) | ((blocks[:, 21] & np.uint64(1)) << np.uint64(31))
        words[:, 2] |= blocks[:, 21] >> np.uint64(1)
        return words.reshape(-1, codes.shape[1]).astype(np.uint32)
    per_word = 32 // bits
    blocks = codes.reshape(-1, per_word, codes.shape[1])
    words = np.zeros((blocks.shape[0], codes.shape[1]), dtype=np.uint64)
    for k in range(per_word):
        words |= blocks[:, k] << np.uint64(bits * k)
    return words.astype(np.uint32)


def pack_across(codes: np.ndarray, bits: int) -> np.ndarray:
    """codes [rows, n * 32 / bits] -> uint32 [rows, n]."""
    return np.ascontiguousarray(pack_down(np.ascontiguousarray(codes.T), bits).T)


def find_grid(w: np.ndarray, bits: int, grid: str):
    """w [out, columns of one group] -> (scale fp16 [out], zero [out])."""
    low, high = w.min(axis=1), w.max(axis=1)
    half, top = 2 ** (bits - 1), 2**bits - 1
    zero = np.full(w.shape[0], half)
    if grid == "symmetric":
        scale = np.maximum(-low, high) / (half - 1)
    elif grid == "full-range":  # the extreme weight takes code 0, whatever its sign: the scale may be negative
        scale = np.where(-low > high, -low, -high) / half
    else:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = (high - low) / top
        zero = np.clip(np.rint(-low / np.where(scale == 0, 1, scale)), 1, top)
    scale = np.where(scale == 0, 1, scale).astype(np.float16)
    return scale, zero.astype(np.int64)


def quantize_linear(weight: torch.Tensor, bits: int, group_size: int, grid: str, version: int, order=None):
    """-> (tensors of the packed linear, its float32 dequantized weight [out, in])."""
    w = weight.double().numpy()  # [out, in]
    outputs, inputs = w.shape
    size = inputs if group_size == -1 else group_size
    groups = math.ceil(inputs / size)
    g_idx = np.zeros(inputs, dtype=np.int32)
    g_idx[np.arange(inputs) if order is None else order] = np.arange(inputs) // size
    scales = np.zeros((groups, outputs), dtype=np.float16)
    zeros = np.zeros((groups, outputs), dtype=np.int64)
    codes = np.zeros((inputs, outputs), dtype=np.int64)
    for g in range(groups):
        members = np.flatnonzero(g_idx == g)
        scales[g], zeros[g] = find_grid(w[:, members], bits, grid)
        steps = w[:, members] / scales[g].astype(np.float64)[:, None]
        codes[members] = np.clip(np.rint(steps) + zeros[g][:, None], 0, 2**bits - 1).T
    values = scales[g_idx].astype(np.float32) * (codes - zeros[g_idx]).astype(np.float32)
    parts = {
        "qweight": torch.from_numpy(pack_down(codes, bits).view(np.int32)),
        "qzeros": torch.from_numpy(pack_across(zeros - (1 if version == 1 else 0), bits).view(np.int32)),
        "scales": torch.from_numpy(scales),
        "g_idx": torch.from_numpy(g_idx),
    }
    return parts, torch.from_numpy(np.ascontiguousarray(values.T))


def write_directory(source, out, bits=4, group_size=64, grid="symmetric", version=1, act_order=False, seed=0) -> dict:
    """Quantizes every linear of the decoder blocks of `source` into `out`; returns {weight name: float32 tensor}."""
    source, out = Path(source), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tensors, values = {}, {}
    with safe_open(str(source / "model.safetensors"), framework="pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            if not (".layers." in name and name.endswith("_proj.weight")):
                tensors[name] = tensor
                continue
            module = name[: -len(".weight")]
            order = rng.permutation(tensor.shape[1]) if act_order else None
            parts, values[name] = quantize_linear(tensor, bits, group_size, grid, version, order)
            tensors.update({f"{module}.{part}": data.contiguous() for part, data in parts.items()})
    checkpoint_format = "gptq" if version == 1 else "gptq_v2"
    quantization = {
        "quant_method": "gptq", "method": "gptq", "checkpoint_format": checkpoint_format, "format": checkpoint_format,
        "bits": bits, "group_size": group_size, "sym": grid != "asymmetric", "desc_act": act_order, "lm_head": False,
        "static_groups": False, "true_sequential": True, "damp_percent": 0.01, "pack_dtype": "int32",
        "meta": {"quantizer": ["example_writer:1.0.0"]},
    }  # fmt: skip
    for file in source.glob("*.json"):
        shutil.copyfile(file, out / file.name)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = quantization
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "quantize_config.json").write_text(json.dumps(quantization, indent=2) + "\n")
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    return values
