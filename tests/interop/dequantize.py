"""Reads a GPTQ checkpoint directory (v1 or v2) and gives back ordinary weights.

    python dequantize.py MODEL_DIR OUT_DIR      writes a plain float32 Hugging Face directory

The judge of what `hesse quantize` writes: it shares no code with Hesse, GPTQModel or transformers, only the description
of the files. It is strict: what a careful writer must not write (zero point 0, a scale that is 0 or not finite, both
`weight` and `qweight`, a tensor of the wrong type or shape) is a ValueError, not a guess.
"""
import json
import math
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

PACKED = ("qweight", "qzeros", "scales", "g_idx")


def unpack(words: np.ndarray, bits: int) -> np.ndarray:
    """int32 [words, n] -> codes uint8 [words * 32 / bits, n]: a dense little-endian bit stream down each column."""
    if words.shape[0] * 32 % bits != 0:
        raise ValueError(f"{words.shape[0]} words do not hold a whole number of {bits}-bit codes")
    octets = np.ascontiguousarray(words.T).astype("<i4").view(np.uint8)  # [n, 4 * words]
    stream = np.unpackbits(octets, axis=1, bitorder="little")  # [n, 32 * words]
    digits = stream.reshape(words.shape[1], -1, bits)
    codes = np.zeros(digits.shape[:2], dtype=np.uint8)
    for k in range(bits):
        codes |= digits[:, :, k] << k
    return np.ascontiguousarray(codes.T)


def zero_points(qzeros: np.ndarray, bits: int, checkpoint_format: str) -> np.ndarray:
    """int32 [groups, out * bits / 32] -> int32 [groups, out]; version 1 files store the zero point minus one."""
    zeros = unpack(np.ascontiguousarray(qzeros.T), bits).T.astype(np.int32)
    if checkpoint_format == "gptq":
        zeros = zeros + 1
    elif checkpoint_format != "gptq_v2":
        raise ValueError(f"checkpoint_format is '{checkpoint_format}'; known are gptq and gptq_v2")
    # Readers disagree about zero point 0 (and about the field that version 1 would need for it).
    if zeros.min() < 1 or zeros.max() > 2**bits - 1:
        raise ValueError(f"zero points span {zeros.min()} to {zeros.max()}; allowed are 1 to {2**bits - 1}")
    return zeros


def expect(condition: bool, name: str, text: str) -> None:
    if not condition:
        raise ValueError(f"{name}: {text}")


def dequantize_linear(name: str, parts: dict, bits: int, group_size: int, checkpoint_format: str) -> torch.Tensor:
    """The four tensors of one linear -> float32 [out, in]."""
    missing = [part for part in PACKED if part not in parts]
    expect(not missing, name, f"lacks {', '.join(missing)}")
    types = {"qweight": torch.int32, "qzeros": torch.int32, "scales": torch.float16, "g_idx": torch.int32}
    for part, dtype in types.items():
        expect(parts[part].dtype == dtype, name, f"{part} is {parts[part].dtype}, expected {dtype}")
    g_idx = parts["g_idx"].numpy()
    inputs, outputs = g_idx.shape[0], parts["qweight"].shape[1]
    groups = 1 if group_size == -1 else math.ceil(inputs / group_size)
    shapes = {
        "qweight": (inputs * bits // 32, outputs),
        "qzeros": (groups, outputs * bits // 32),
        "scales": (groups, outputs),
    }
    for part, shape in shapes.items():
        expect(tuple(parts[part].shape) == shape, name, f"{part} is {tuple(parts[part].shape)}, expected {shape}")
    expect(g_idx.min() >= 0 and g_idx.max() < groups, name, f"g_idx leaves 0 to {groups - 1}")

    scales = parts["scales"].float().numpy()
    expect(bool(np.isfinite(scales).all()) and bool((scales != 0).all()), name, "a scale is 0 or not finite")
    codes = unpack(parts["qweight"].numpy(), bits).astype(np.int32)  # [in, out]
    zeros = zero_points(parts["qzeros"].numpy(), bits, checkpoint_format)
    weight = scales[g_idx] * (codes - zeros[g_idx]).astype(np.float32)  # [in, out]
    return torch.from_numpy(np.ascontiguousarray(weight.T))


def read_tensors(directory: Path) -> dict:
    """All tensors of the directory, whether in one file or in shards with an index."""
    index = directory / "model.safetensors.index.json"
    if index.exists():
        weight_map = json.loads(index.read_text())["weight_map"]
    else:
        weight_map = None
    # AutoGPTQ calls its one file gptq_model-4bit-128g.safetensors.
    single = [path.name for path in directory.glob("gptq_model-*.safetensors")] or ["model.safetensors"]
    files = sorted(set(weight_map.values())) if weight_map else single
    tensors, origin = {}, {}
    for file in files:
        with safe_open(str(directory / file), framework="pt") as source:
            for name in source.keys():
                expect(name not in tensors, name, "is in two shards")
                tensors[name], origin[name] = source.get_tensor(name), file
    expect(weight_map is None or weight_map == origin, str(index), "does not agree with the shards")
    return tensors


def read_quantization_config(directory: Path) -> dict:
    config = json.loads((directory / "config.json").read_text())
    expect("quantization_config" in config, str(directory / "config.json"), "has no quantization_config")
    quantization = config["quantization_config"]
    expect(quantization["quant_method"] == "gptq", "quant_method", f"is '{quantization['quant_method']}', not gptq")
    twin = directory / "quantize_config.json"
    if twin.exists():
        expect(json.loads(twin.read_text()) == quantization, str(twin), "differs from config.json")
    return quantization


def settings_of(module: str, quantization: dict) -> dict | None:
    """Bits and group size of one linear after the `dynamic` rules, None where they say it stays unquantized."""
    settings = {"bits": quantization["bits"], "group_size": quantization.get("group_size", 128)}
    for rule, override in (quantization.get("dynamic") or {}).items():
        pattern = rule[2:] if rule[:2] in ("+:", "-:") else rule
        if re.match(pattern, module):
            if rule.startswith("-:"):
                return None
            settings.update({key: value for key, value in override.items() if key in settings})
            break  # the first rule that fits decides
    return settings


def dequantize_directory(directory) -> dict:
    """{name: float32 tensor} under the names of the model before it was quantized."""
    directory = Path(directory)
    quantization = read_quantization_config(directory)
    checkpoint_format = quantization.get("checkpoint_format", "gptq")
    tensors = read_tensors(directory)
    modules = sorted(name[: -len(".qweight")] for name in tensors if name.endswith(".qweight"))
    result = {}
    for module in modules:
        expect(module + ".weight" not in tensors, module, "has both weight and qweight")
        settings = settings_of(module, quantization)
        expect(settings is not None, module, "is packed, but a dynamic rule says it is not quantized")
        parts = {part: tensors.pop(f"{module}.{part}") for part in PACKED if f"{module}.{part}" in tensors}
        result[module + ".weight"] = dequantize_linear(
            module, parts, settings["bits"], settings["group_size"], checkpoint_format
        )
    for name, tensor in tensors.items():
        expect(not name.endswith(tuple("." + part for part in PACKED)), name, "belongs to no packed linear")
        result[name] = tensor.float()
    return result


def write_plain(directory, out) -> None:
    """A float32 directory that any Hugging Face loader reads without a quantization back end."""
    directory, out = Path(directory), Path(out)
    tensors = dequantize_directory(directory)
    out.mkdir(parents=True, exist_ok=True)
    for file in directory.iterdir():
        if file.suffix in (".json", ".jinja", ".model", ".txt") and file.name not in (
            "quantize_config.json",
            "model.safetensors.index.json",
            "hesse-run.json",
        ):
            shutil.copyfile(file, out / file.name)
    config = json.loads((directory / "config.json").read_text())
    del config["quantization_config"]
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    write_plain(sys.argv[1], sys.argv[2])
