#!/usr/bin/env python3
"""Make the references of the forward pass: tiny random models and their float32 logits by the transformers library.

    python make_tiny_models.py [--out DIR] [NAME ...]     default: all, to tests/data/families beside this tool

Made with transformers 5.23.0 and torch 2.13.0. Writes tiny_llama.safetensors (the demo model: `ids` and `logits` of the
last 32 of 48 positions) and for each variant of tiny_variants.py a folder with
  config.json, model.safetensors     the model; bfloat16 unless the config says something else
  config.saved.json                  config.json as transformers writes it today, where it knows the family
  reference.safetensors              `ids` I64 [80], `positions` I64 [16], `logits` F32 [16, vocab] at these positions,
                                     `top` I64 [80], the most likely token at each position
  reference.json                     the linears of the layers as transformers names them, and who made the logits;
                                     `split`, tensors of the file that hold several linears, and `biases`, theirs
The weights are wide enough that attention is far from uniform and logits are far apart: a wrong rotation, a missing bias
or a swapped head shows. check() tries the likeliest oversights. Deterministic for one machine and these versions.
"""
import argparse
import json
import tempfile
from pathlib import Path

import packed_experts
import tiny_references
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_variants import TOKENS, VARIANTS, VOCAB
from transformers.pytorch_utils import Conv1D

ROOT = Path(__file__).resolve().parent.parent
SEED, STD = 20221031, 0.25
POSITIONS = [0, 1, 2, 5, 8, 13, 19, 20, 21, 31, 32, 33, 47, 63, 78, 79]
LANGUAGE_ONLY = transformers.AutoModelForCausalLM


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def build(folder: Path, overrides: dict | None = None):
    """The model of folder/config.json in float32, with its weights when they are there."""
    with tempfile.TemporaryDirectory() as scratch:
        fields = json.loads((folder / "config.json").read_text())
        fields.update(overrides or {})
        fields.pop("quantization_config", None)  # what it says is undone below
        write_json(Path(scratch) / "config.json", fields)
        config = transformers.AutoConfig.from_pretrained(scratch)
    vision = "vision_config" in fields
    auto = transformers.AutoModelForImageTextToText if vision else LANGUAGE_ONLY
    attention = VARIANTS[folder.name].get("attention", "eager")
    if VARIANTS[folder.name].get("experts") == "mxfp4" and (folder / "model.safetensors").exists():
        with tempfile.TemporaryDirectory() as scratch:
            packed_experts.write_plain(folder, Path(scratch))
            return auto.from_pretrained(
                scratch, config=config, dtype=torch.float32, attn_implementation=attention
            ).eval()
    if (folder / "model.safetensors").exists() or (folder / "model.safetensors.index.json").exists():
        model, info = auto.from_pretrained(
            folder, config=config, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
        if info["missing_keys"] or info["unexpected_keys"]:
            if not overrides:
                raise SystemExit(f"{folder.name}: {info}")
        return model.eval()
    torch.manual_seed(SEED)
    return auto.from_config(config, dtype=torch.float32, attn_implementation=attention).eval()


def random_values(shapes: dict, variant: dict) -> dict:
    """Values from one generator, in the order of the sorted names."""
    generator = torch.Generator().manual_seed(SEED)
    values = {}
    for name in sorted(shapes):
        values[name] = STD * torch.randn(shapes[name], generator=generator)
        is_norm = len(shapes[name]) == 1 or "norm" in name
        if is_norm and name.endswith("weight"):
            values[name] += variant.get("norms_around", 1)
    return values


def type_of(variant: dict) -> torch.dtype:
    return getattr(torch, variant["config"].get("dtype", "bfloat16"))


def write_weights(folder: Path, weights: dict, shards: int) -> None:
    weights = {name: value.contiguous() for name, value in weights.items()}
    if shards == 1:
        save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return
    names, weight_map = list(weights), {}
    for k in range(shards):
        file = f"model-{k + 1:05d}-of-{shards:05d}.safetensors"
        save_file({key: weights[key] for key in names[k::shards]}, str(folder / file), metadata={"format": "pt"})
        weight_map.update({key: file for key in names[k::shards]})
    size = sum(value.numel() * value.element_size() for value in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)


def make_weights(folder: Path, variant: dict) -> None:
    """In the names that transformers gives a file that it saves."""
    model = build(folder)
    parameters = dict(model.named_parameters())
    parameters.update({name: value for name, value in model.named_buffers() if name.endswith("e_score_correction_bias")})
    values = random_values({name: tuple(p.shape) for name, p in parameters.items()}, variant)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
    with tempfile.TemporaryDirectory() as scratch:
        model.to(type_of(variant)).save_pretrained(scratch)
        weights = load_file(f"{scratch}/model.safetensors")
        saved = json.loads((Path(scratch) / "config.json").read_text())
    saved.pop("transformers_version", None)
    if variant.get("experts") == "stacked":
        weights = packed_experts.stacked(weights)
    elif variant.get("experts") == "turned":
        weights = packed_experts.turned(weights)
    elif variant.get("experts") == "mxfp4":
        weights = packed_experts.to_mxfp4(weights)
    write_json(folder / "config.saved.json", saved)
    write_weights(folder, weights, variant.get("shards", 1))


def linears_of(model, folder: Path) -> list:
    """Linears of the decoder's layers, by their names in the file. Those of experts lie there one by one, and in the
    model as one tensor of all."""
    stored = set()
    for file in folder.glob("model*.safetensors"):
        stored |= set(load_file(str(file)))
    names = [key[: -len(".weight")] for key in stored if ".experts." in key and key.endswith(".weight")]
    names += packed_experts.linears(stored, VARIANTS[folder.name])
    for name, module in model.named_modules():
        inside = ".layers." in name or ".h." in name
        if not isinstance(module, (torch.nn.Linear, Conv1D)) or not inside or "vision" in name or "visual" in name:
            continue
        if name.endswith("shared_expert_gate"):
            continue
        inner = "model.language_model."  # of today; older files say it in these ways
        spellings = {name, name.replace(inner, "language_model.model."), name.replace(inner, "model.")}
        found = [key for key in spellings if key + ".weight" in stored]
        if len(found) != 1:
            raise SystemExit(f"{folder.name}: {name} is not in the file")
        names.append(found[0])
    return sorted(names)


@torch.no_grad()
def logits_of(folder: Path, ids: torch.Tensor, overrides: dict | None = None) -> torch.Tensor:
    variant = VARIANTS[folder.name]
    if "like" not in variant:
        return build(folder, overrides)(input_ids=ids[None]).logits[0].float().contiguous()
    weights = {name: value.float() for name, value in load_file(str(folder / "model.safetensors")).items()}
    return tiny_references.logits(weights, {**variant["config"], **(overrides or {})}, ids)


def check(folder: Path, ids: torch.Tensor, logits: torch.Tensor) -> None:
    """Refuses a reference that a wrong program could match."""
    largest = logits.abs().max()
    spread = logits.std(dim=1).min() / largest
    if not torch.isfinite(logits).all() or spread < 0.05:
        raise SystemExit(f"{folder.name}: degenerate logits, spread {spread:.3f}")
    changed = ids.clone()
    changed[-9:-5] = (ids[-9:-5] + 1) % (VOCAB - 8)
    if (logits_of(folder, changed)[-1] - logits[-1]).abs().max() < 0.01 * largest:
        raise SystemExit(f"{folder.name}: earlier tokens do not reach the logits behind it")
    for changes in VARIANTS[folder.name].get("wrong", []):
        wrong = logits_of(folder, ids, changes)
        apart = ((wrong - logits).abs().max() / largest).item()
        if apart < 0.02:
            raise SystemExit(f"{folder.name}: overlooking {changes} changes the logits by {apart:.1e} only")


def make_variant(out: Path, name: str) -> None:
    variant, folder = VARIANTS[name], out / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    write_json(folder / "config.json", {**variant["config"], "dtype": str(type_of(variant)).split(".")[1]})
    if "like" in variant:
        config = variant["config"]
        weights = random_values(tiny_references.names_and_shapes(config), variant)
        write_weights(folder, {key: value.to(type_of(variant)) for key, value in weights.items()}, 1)
        made = {"by": "tools/tiny_references.py", "torch": torch.__version__.split("+")[0]}
        linears = tiny_references.linears(config)
    else:
        make_weights(folder, variant)
        made = {"by": "transformers", "transformers": transformers.__version__}
        linears = linears_of(build(folder), folder)
    # The last ids stand for images in the models that know them.
    ids = torch.randint(3, VOCAB - 8, (TOKENS,), generator=torch.Generator().manual_seed(SEED))
    logits = logits_of(folder, ids)
    check(folder, ids, logits)
    positions = torch.tensor(POSITIONS)
    reference = {"ids": ids, "positions": positions, "logits": logits[positions].contiguous(), "top": logits.argmax(1)}
    save_file(reference, str(folder / "reference.safetensors"))
    stored = set(load_file(str(folder / "model.safetensors"))) if "experts" in variant else set()
    if split := packed_experts.split_tensors(stored, variant):
        made.update(split=split, biases=packed_experts.biases(stored, variant))
    write_json(folder / "reference.json", {**made, "linears": linears})
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: largest logit {logits.abs().max():.2f}, {size // 1024} KiB", flush=True)


@torch.no_grad()
def make_demo(out: Path) -> None:
    """A sentence of the held-out text, as ids, so that the test needs no tokenizer."""
    model_dir = ROOT / "models" / "tiny-llama"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
    text = (model_dir / "heldout.txt").read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer(text[:2000], add_special_tokens=False)["input_ids"][:48])
    model = LANGUAGE_ONLY.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager").eval()
    logits = model(ids[None]).logits[0][-32:].clone()
    save_file({"ids": ids, "logits": logits}, str(out / "tiny_llama.safetensors"))


def main() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "data" / "families")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.names:
        make_demo(arguments.out)
    for name in arguments.names or VARIANTS:
        make_variant(arguments.out, name)
    for file in arguments.out.rglob("*.safetensors"):
        file.chmod(0o644)  # the library writes them for the owner alone


if __name__ == "__main__":
    main()
