"""Experts that lie in a file as one tensor of all of a layer, for make_tiny_models.py.

A variant says {"experts": "packed"} where transformers writes such files, "stacked" where its files are to be rewritten as
it has them in memory, [experts, out, in], "turned" where the published files are [experts, in, out] and those that it writes
are not, and "mxfp4" where they are to be 4-bit floats (OCP Microscaling Formats 1.0)."""
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

BLOCK = 32
VALUES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])
BOTH, DOWN = ".experts.gate_up_proj", ".experts.down_proj"


def split_tensors(stored: set, variant: dict) -> list:
    """Tensors of the file that hold what belongs to several experts."""
    return sorted(name for name in stored if BOTH in name or DOWN in name) if "experts" in variant else []


def count_of(config: dict) -> int:
    text = config.get("text_config", config)
    return text.get("num_local_experts") or text["num_experts"]


def linears(stored: set, variant: dict) -> list:
    names = []
    for name in split_tensors(stored, variant):
        head, found, tail = name.partition(BOTH)
        if found and tail in ("", "_blocks"):
            for expert in range(count_of(variant["config"])):
                names += [f"{head}.experts.{expert}.{part}_proj" for part in ("gate", "up", "down")]
    return names


def biases(stored: set, variant: dict) -> list:
    if not any(name.endswith(BOTH + "_bias") for name in stored):
        return []
    return [name + ".bias" for name in sorted(linears(stored, variant))]


def stacked(weights: dict) -> dict:
    """Per expert -> one tensor, as qwen3_moe has them in memory."""
    result, experts = {}, {}
    for name, value in weights.items():
        head, found, tail = name.partition(".experts.")
        if not found:
            result[name] = value
            continue
        number, part, _ = tail.split(".")
        experts.setdefault((head, part), {})[int(number)] = value
    for head in {head for head, _ in experts}:
        all_of = {part: torch.stack([experts[head, part][e] for e in sorted(experts[head, part])])
                  for part in ("gate_proj", "up_proj", "down_proj")}  # fmt: skip
        result[head + BOTH] = torch.cat((all_of["gate_proj"], all_of["up_proj"]), 1)
        result[head + DOWN] = all_of["down_proj"]
    return result


def turned(weights: dict) -> dict:
    return {name: value.transpose(1, 2).contiguous() if name.endswith((BOTH, DOWN)) else value
            for name, value in weights.items()}  # fmt: skip


def codes_of(weight: torch.Tensor) -> tuple:
    """[experts, in, out] -> blocks [experts, out, in / 32, 16] and scales [experts, out, in / 32]."""
    rows = weight.float().transpose(1, 2)
    rows = rows.reshape(*rows.shape[:2], -1, BLOCK)
    exponent = torch.floor(torch.log2(rows.abs().amax(-1) / 4))
    codes = (rows[..., None] / torch.exp2(exponent)[..., None, None] - VALUES).abs().argmin(-1).to(torch.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), (exponent + 127).to(torch.uint8)


def values_of(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    codes = torch.stack((blocks & 15, blocks >> 4), -1).flatten(-2).long()
    rows = VALUES[codes] * torch.exp2(scales.float() - 127)[..., None]
    return rows.flatten(-2).transpose(1, 2).contiguous()


def to_mxfp4(weights: dict) -> dict:
    result = {}
    for name, value in weights.items():
        if name.endswith((BOTH, DOWN)):
            result[name + "_blocks"], result[name + "_scales"] = codes_of(value)
        else:
            result[name] = value
    return result


def write_plain(folder: Path, target: Path) -> None:
    """The model of `folder`, whose experts are MXFP4, with plain weights."""
    result = {}
    for name, value in load_file(str(folder / "model.safetensors")).items():
        if name.endswith("_blocks"):
            plain = name[: -len("_blocks")]
            result[plain] = values_of(value, load_file(str(folder / "model.safetensors"))[plain + "_scales"])
        elif not name.endswith("_scales"):
            result[name] = value
    save_file(result, str(target / "model.safetensors"), metadata={"format": "pt"})
    fields = json.loads((folder / "config.json").read_text())
    fields.pop("quantization_config")
    (target / "config.json").write_text(json.dumps(fields))
