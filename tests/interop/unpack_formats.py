"""Reads a packed checkpoint in the formats awq and compressed-tensors, as dequantize.py reads gptq: by the description of
the files alone. Strict: what does not fit is a ValueError."""
import json
import re
from pathlib import Path

import numpy as np
import torch

import dequantize
from dequantize import expect

AWQ_OUTPUT_OF_SLOT = (0, 2, 4, 6, 1, 3, 5, 7)
PARTS = {
    "gptq": dequantize.PACKED,
    "awq": ("qweight", "qzeros", "scales"),
    "compressed-tensors": ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx"),
}


def awq_codes(words: np.ndarray) -> np.ndarray:
    """int32 [n, out / 8] -> [n, out]"""
    unsigned = words.view(np.uint32)
    codes = np.zeros((words.shape[0], words.shape[1], 8), dtype=np.int32)
    for slot, output in enumerate(AWQ_OUTPUT_OF_SLOT):
        codes[:, :, output] = (unsigned >> np.uint32(4 * slot)) & np.uint32(15)
    return codes.reshape(words.shape[0], -1)


def awq_linear(name: str, parts: dict, config: dict) -> torch.Tensor:
    expect(config["bits"] == 4 and config.get("version", "gemm").lower() == "gemm", name, "is not 4-bit gemm")
    codes = awq_codes(parts["qweight"].numpy())  # [in, out]
    zeros = awq_codes(parts["qzeros"].numpy())
    width = codes.shape[0] if config["group_size"] == -1 else config["group_size"]
    expect(parts["scales"].shape == zeros.shape == (codes.shape[0] // width, codes.shape[1]), name, "shapes differ")
    group = np.arange(codes.shape[0]) // width
    weight = parts["scales"].float().numpy()[group] * (codes - zeros[group])
    return torch.from_numpy(np.ascontiguousarray(weight.T)).float()


def scheme_of(name: str, groups: dict) -> dict:
    """The "weights" of the one group with a target for this module: "re:" and a pattern, or the class of all linears."""
    def hits(target: str) -> bool:
        return target == "Linear" or (target.startswith("re:") and re.match(target[3:], name) is not None)

    found = [group["weights"] for group in groups.values() if any(map(hits, group["targets"]))]
    expect(len(found) == 1, name, f"is in {len(found)} groups of the configuration")
    return found[0]


def compressed_linear(name: str, parts: dict, config: dict) -> torch.Tensor:
    args = scheme_of(name, config["config_groups"])
    bits = args["num_bits"]
    out, inputs = parts["weight_shape"].tolist()
    packed = parts["weight_packed"].numpy()
    expect(packed.shape == (out, -(-inputs * bits // 32)), name, f"weight_packed is {packed.shape}")
    codes = stream(packed, bits)[:, :inputs]
    scales = parts["weight_scale"].float().numpy()  # [out, groups]
    if args["symmetric"]:
        expect("weight_zero_point" not in parts, name, "is symmetric with zero points")
        zeros = np.full(scales.shape, 2 ** (bits - 1))
    else:
        zeros = stream(np.ascontiguousarray(parts["weight_zero_point"].numpy().T), bits)[:, :out].T
    width = args["group_size"] if args["strategy"] == "group" else inputs
    group = parts["weight_g_idx"].numpy() if "weight_g_idx" in parts else np.arange(inputs) // width
    expect(scales.shape == zeros.shape == (out, -(-inputs // width)), name, "scales and zero points differ")
    return torch.from_numpy(scales[:, group] * (codes - zeros[:, group]).astype(np.float32)).float()


def stream(words: np.ndarray, bits: int) -> np.ndarray:
    """int32 [n, words] -> int32 [n, codes]; a last word may be filled in part."""
    octets = np.ascontiguousarray(words).astype("<i4").view(np.uint8)
    digits = np.unpackbits(octets, axis=1, bitorder="little")
    digits = digits[:, : digits.shape[1] // bits * bits].reshape(words.shape[0], -1, bits)
    return (digits.astype(np.int32) << np.arange(bits)).sum(axis=2)


def experts_together(tensors: dict) -> dict:
    """As gpt_oss has them: of a layer [experts, in, out], outputs of gate and up in turns, as our files' halves of them are."""
    result, experts = {}, {}
    for name, value in tensors.items():
        head, found, tail = name.partition(".experts.")
        if not found:
            result[name] = value
            continue
        number, part, kind = tail.split(".")
        experts.setdefault((head, kind), {})[part, int(number)] = value
    for (head, kind), parts in experts.items():
        count = 1 + max(number for _, number in parts)
        both = torch.stack([torch.cat((parts["gate_proj", e], parts["up_proj", e])) for e in range(count)])
        down = torch.stack([parts["down_proj", e] for e in range(count)])
        ending = "_bias" if kind == "bias" else ""
        for name, value in (("gate_up_proj", both), ("down_proj", down)):
            result[f"{head}.experts.{name}{ending}"] = value if ending else value.transpose(1, 2).contiguous()
    return result


def dequantize_directory(directory) -> dict:
    """{name: float32 tensor} under the names of the model before it was quantized; any format, or none."""
    directory = Path(directory)
    config = json.loads((directory / "config.json").read_text()).get("quantization_config")
    if config is None:
        return {name: tensor.float() for name, tensor in dequantize.read_tensors(directory).items()}
    method = config["quant_method"]
    if method == "gptq":
        return dequantize.dequantize_directory(directory)
    read = {"awq": awq_linear, "compressed-tensors": compressed_linear}[method]
    tensors = dequantize.read_tensors(directory)
    first = "." + PARTS[method][0]
    result = {}
    for module in sorted(name[: -len(first)] for name in tensors if name.endswith(first)):
        parts = {part: tensors.pop(f"{module}.{part}") for part in PARTS[method] if f"{module}.{part}" in tensors}
        result[module + ".weight"] = read(module, parts, config)
    for name, tensor in tensors.items():
        expect(not name.endswith(tuple("." + part for part in PARTS[method])), name, "belongs to no packed linear")
        result[name] = tensor.float()
    return result
