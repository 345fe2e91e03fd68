"""Runs inside the environment of one other tool; peers.py is the one who calls it.

    peer_worker.py windows|quantize|dequantize JOB.json

JOB.json: peer, model (directory), calibration (files), bits, group, seed, samples, length, bos, threads, options, and the
paths ids, out, plain, outcome. `windows` writes the token ids, `quantize` gives them to the tool, which writes `out`, and
`dequantize` turns that into the float32 checkpoint `plain`. What happened goes to `outcome`, one JSON object.
"""
import importlib
import importlib.metadata
import json
import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def load_windows(job) -> list:
    return json.loads(Path(job["ids"]).read_text())


def quantize_gptqmodel(job) -> dict:
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig

    config = QuantizeConfig(bits=job["bits"], group_size=job["group"], sym=True, **job["options"])
    model = GPTQModel.load(job["model"], config, dtype=torch.float32, device="cpu")
    ran = str(next(model.model.parameters()).dtype)
    calibration = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in load_windows(job)]
    model.quantize(calibration, batch_size=1)
    model.save(job["out"])
    return {"dtype": ran}


def quantize_llmcompressor(job) -> dict:
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    weights = QuantizationArgs(
        num_bits=job["bits"], type="int", symmetric=True, strategy="group", group_size=job["group"]
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    recipe = GPTQModifier(config_groups={"group_0": scheme}, ignore=["lm_head"], **job["options"])
    windows = load_windows(job)
    data = Dataset.from_list([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows])
    oneshot(
        model=model,
        dataset=data,
        recipe=recipe,
        max_seq_length=job["length"],
        num_calibration_samples=len(windows),
        shuffle_calibration_samples=False,
    )
    ran = str(next(model.parameters()).dtype)
    model.save_pretrained(job["out"], save_compressed=True)
    return {"dtype": ran}


def quantize_autoround(job) -> dict:
    import torch
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    windows = torch.tensor(load_windows(job))
    loader = torch.utils.data.DataLoader(
        [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in windows], batch_size=8, shuffle=False
    )
    rounder = AutoRound(
        model,
        tokenizer,
        bits=job["bits"],
        group_size=job["group"],
        sym=True,
        dataset=loader,
        seqlen=job["length"],
        nsamples=len(windows),
        batch_size=8,
        seed=42 + job["seed"],
        amp=False,
        device_map="cpu",
        **job["options"],
    )
    ran = str(next(model.parameters()).dtype)
    rounder.quantize_and_save(job["out"], format="auto_gptq")
    return {"dtype": ran}


def packed_gptq(directory: Path) -> dict:
    sys.path.insert(0, str(ROOT / "tests/interop"))
    import dequantize

    # AutoRound writes into a directory of its own making below the one it was given.
    found = sorted(directory.glob("**/config.json"), key=lambda path: len(path.parts))
    if not found:
        raise FileNotFoundError("no config.json was written")
    return dequantize.dequantize_directory(found[0].parent)


def compressed(directory: Path) -> dict:
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    model = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, quantization_config=CompressedTensorsConfig(dequantize=True)
    )
    return {name: tensor.float() for name, tensor in model.state_dict().items()}


def write_plain(tensors: dict, job) -> dict:
    """The original's directory with the tensors of the result, float32, under the original's names."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    model, out = Path(job["model"]), Path(job["plain"])
    kept, changed, linears = {}, 0, 0
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as source:
            for name in source.keys():
                if name not in tensors:
                    raise ValueError(f"the result lacks {name}")
                before, after = source.get_tensor(name).float(), tensors[name].float().contiguous()
                if before.shape != after.shape:
                    raise ValueError(f"{name} is {tuple(after.shape)}, was {tuple(before.shape)}")
                if not torch.isfinite(after).all():
                    raise ValueError(f"{name} has values that are not finite")
                kept[name] = after.clone()
                is_linear = ".layers." in name and name.endswith("_proj.weight")
                linears += is_linear and not torch.equal(before, after)
                changed += not is_linear and not torch.equal(before, after)
    out.mkdir(parents=True)
    for file in model.iterdir():
        if file.suffix in (".json", ".jinja", ".model") and not file.name.endswith(".index.json"):
            shutil.copyfile(file, out / file.name)
    config = json.loads((model / "config.json").read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(kept, str(out / "model.safetensors"), metadata={"format": "pt"})
    return {"linears_changed": int(linears), "other_tensors_changed": int(changed)}


# name: (package, quantize, read the result)
PEERS = {
    "gptqmodel": ("gptqmodel", quantize_gptqmodel, packed_gptq),
    "llm-compressor": ("llmcompressor", quantize_llmcompressor, compressed),
    "auto-round": ("auto-round", quantize_autoround, packed_gptq),
}


def do(step: str, job) -> dict:
    package, quantize, read = PEERS[job["peer"]]
    if step == "windows":
        import transformers
        import windows

        if package == "gptqmodel":  # compiles an extension at its first use, which no run should be charged for
            from gptqmodel.utils.cpp import load_pack_block_extension

            load_pack_block_extension()
        tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
        ids = windows.calibration_windows(
            tokenizer, job["calibration"], job["length"], job["samples"], job["seed"], job["bos"]
        )
        Path(job["ids"]).write_text(json.dumps(ids))
        return {"windows": len(ids), "calibration_tokens": sum(len(row) for row in ids)}
    if step == "quantize":
        import torch

        torch.set_num_threads(job["threads"])
        torch.manual_seed(job["seed"])
        importlib.import_module(package.replace("-", "_"))
        started = time.monotonic(), time.process_time()
        said = quantize(job)
        said["without_import"] = {
            "cpu_seconds": round(time.process_time() - started[1], 2),
            "wall_seconds": round(time.monotonic() - started[0], 2),
        }
        version = importlib.metadata.version
        return {**said, "libraries": f"torch {torch.__version__}, transformers {version('transformers')}"}
    return write_plain(read(Path(job["out"])), job)


def one_line(error: BaseException, job) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for path in (job["out"], job["plain"], job["model"], str(Path(job["out"]).parent)):
        text = text.replace(str(path), "...")
    return text if len(text) <= 240 else text[:237] + "..."


def main(do=do) -> None:
    step, job = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    try:
        outcome = do(step, job)
    except BaseException as error:  # also what a tool exits with: the reason is the result
        import traceback

        traceback.print_exc()
        outcome = {"failed": f"{step}: {one_line(error, job)}"}
    Path(job["outcome"]).write_text(json.dumps(outcome))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if "failed" in outcome else 0)  # threads that a tool left behind must not keep the process


if __name__ == "__main__":
    main()
