"""Which loader reads which format of which family, and do the logits agree? A line each, then a table and the counts.

    python formats_table.py --tool BUILD/hesse [--peers DIR] [--model DIR] [--only written|made]
                            [--family NAME ...] [--format NAME ...]

Written by Hesse, read by others: for each family (small_models.py) and export format, the logits of the loader against
those of a float32 model with the weights of unpack_formats.py, and the likelihood of a text against `hesse eval`.
Made by others, read by Hesse: GPTQModel here, llm-compressor in the environment DIR/llm-compressor; verified, evaluated,
and converted into every format that can hold it, where the likelihood must not change by a bit.
A line ends with "equal", "refused: why" or "skipped: why"; anything else is a failure and exit code 1.
"""
import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

import reference
import small_models
import unpack_formats

FORMATS = ("gptq", "gptq_v2", "compressed-tensors", "awq", "fp16", "bf16")
PACKED = FORMATS[:4]
LOADERS = ("transformers", "GPTQModel", "vLLM", "SGLang")
WINDOW, WINDOWS, GROUP = 64, 8, 32
# Kernels round scale * code and scale * zero to halves, half a unit of 2^-10 each, once a linear; along the network that
# adds up like a random walk. A tensor read wrongly is off by the size of the logits.
LOGITS = 2**-8
# Of the mean log-likelihood, relative; Hesse computes in float32 from the same codes.
LIKELIHOOD = 1e-4


# What loaders do to families, whoever wrote the files; seen with the versions of tools/interop_env.sh.
LIMITS = {
    ("phi3", "GPTQModel", "gptq"): "it splits gate_up_proj in two, which the model's own files hold as one",
    ("phi3", "GPTQModel", "awq"): "it splits gate_up_proj in two, which the model's own files hold as one",
    ("mixed", "transformers", "gptq"): "it does not look at `dynamic`; compressed-tensors is the format for it",
    ("falcon", "transformers", "gptq"): "optimum replaces linears by their exact class, and falcon has one of its own",
    ("falcon", "transformers", "awq"): "it puts an activation with scales of its own behind dense_h_to_4h",
}


# Linears that differ: a family of its own in the table, of llama's model.
MIXED = "mixed"
RECIPE = """
[[rule]]
match = '.*layers.0.self_attn.[qkv]_proj'
bits = 8

[[rule]]
match = '.*layers.0.self_attn.o_proj'
skip = true

[[rule]]
match = '.*layers.1.mlp.(gate|up)_proj'
bits = 2
group_size = 16

[[rule]]
match = '.*down_proj'
group_size = 16
"""


class Skip(Exception):
    pass


class Refused(Exception):
    pass


def last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


class Table:
    def __init__(self):
        self.rows, self.failed = [], 0

    def run(self, what: tuple, check) -> None:
        try:
            answer = "equal: " + check()
        except Skip as why:
            answer = f"skipped: {why}"
        except Refused as why:
            answer = f"refused: {why}"
        except Exception as error:  # whatever a loader throws is its answer
            answer = f"FAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            self.failed += 1
        self.rows.append((what, answer))
        print(f"{' | '.join(what)} | {answer}", flush=True)

    def finish(self) -> int:
        count = {word: sum(answer.startswith(word) for _, answer in self.rows) for word in ("equal", "refused", "skipped")}
        print(f"{count['equal']} equal, {count['refused']} refused, {self.failed} failed, {count['skipped']} skipped")
        return 1 if self.failed or not count["equal"] else 0


def tool(args, *words) -> str:
    done = subprocess.run([args.tool, *map(str, words)], capture_output=True, text=True, errors="replace")
    if done.returncode == 2:
        raise Refused(last_line(done.stderr).removeprefix("hesse: error: "))
    if done.returncode != 0:
        raise RuntimeError(f"hesse {words[0]} ended with {done.returncode}: {last_line(done.stderr)}")
    return done.stdout


def hesse_nll(args, directory) -> float:
    words = ("--text", args.text, "--window", WINDOW, "--windows", WINDOWS, "--bos", "never", "--json")
    return json.loads(tool(args, "eval", directory, *words))["mean_nll"]


def plain_model(directory: Path, scratch: Path):
    """float32, of the weights that the strict reader sees."""
    from safetensors.torch import save_file

    tensors = unpack_formats.dequantize_directory(directory)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    config = json.loads((directory / "config.json").read_text())
    config.pop("quantization_config", None)
    (scratch / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    save_file({name: t.contiguous() for name, t in tensors.items()}, str(scratch / "model.safetensors"), {"format": "pt"})
    return reference.load(scratch)


def with_transformers(directory: Path, format: str):
    if format in ("gptq", "gptq_v2"):
        return reference.load_with_gptqmodel(directory)[0]
    if format == "awq":
        with reference.silence():
            config = transformers.AwqConfig(backend="torch_awq")  # the plain kernel, which runs everywhere
            return transformers.AutoModelForCausalLM.from_pretrained(
                directory, dtype=torch.float16, device_map="cpu", quantization_config=config
            ).eval()
    groups = json.loads((directory / "config.json").read_text()).get("quantization_config", {}).get("config_groups", {})
    if len(groups) == 1:  # with several it would take the first for all
        return reference.load(directory, quantization_config=transformers.CompressedTensorsConfig(dequantize=True))
    return reference.load(directory)


def with_gptqmodel(directory: Path, format: str):
    if format not in ("gptq", "gptq_v2", "awq"):
        raise Refused("it has no reader of this format; transformers has")
    from gptqmodel import BACKEND, GPTQModel

    with reference.silence():
        backend = BACKEND.AWQ_TORCH if format == "awq" else BACKEND.GPTQ_TORCH
        return GPTQModel.load(str(directory), device="cpu", backend=backend, dtype=torch.float16).model.eval()


def rules_of(args, model: Path, format: str, loader: str) -> str:
    words = ("--format", format, "--group-size", GROUP, "--calib", args.text, "--config-only", "--json")
    done = subprocess.run([args.tool, "check", str(model), *map(str, words)], capture_output=True, text=True)
    plan = json.loads(done.stdout).get("plan") or {}
    rows = [row for row in plan.get("loaders", []) if row["engine"] == loader and row["devices"] == 1]
    verdicts = ", ".join(f"{row['kernel']} {row['loads']}" for row in rows)
    return verdicts or "no row of its own"


@torch.no_grad()
def compare(model, plain, windows) -> str:
    worst = 0.0
    for ids in windows[:2]:
        with reference.silence():
            theirs = reference.logits(model, ids)
        expected = reference.logits(plain, ids)
        apart = ((theirs - expected).abs().max() / expected.abs().max()).item()
        if not apart <= LOGITS:  # a NaN is no small number
            raise ValueError(f"logits are {apart:.1e} of the largest apart, allowed {LOGITS:.1e}")
        worst = max(worst, apart)
    return f"logits {worst:.1e} apart"


def check_loader(args, loader: str, case, plain, windows) -> str:
    family, model, directory, format = case
    if loader in ("vLLM", "SGLang"):
        raise Skip(f"needs a GPU; its rules: {rules_of(args, model, format, loader)}")
    limit = LIMITS.get((family, loader, format.removesuffix("_v2")))
    if limit:
        raise Refused(limit)
    load = with_transformers if loader == "transformers" else with_gptqmodel
    return compare(load(directory, format), plain, windows)


def near(ours: float, theirs: float) -> str:
    apart = abs(ours - theirs) / theirs
    if not apart <= LIKELIHOOD:
        raise ValueError(f"mean NLL {ours:.6f} and {theirs:.6f}")
    return f"NLL {apart:.1e} apart"


def written_by_hesse(args, table: Table, folder: Path) -> None:
    for family in args.family:
        model = folder / family
        if family == "given":
            model = Path(args.model)
        else:
            small_models.make(model, "llama" if family == MIXED else family)
        recipe = folder / "recipe.toml"
        recipe.write_text(RECIPE)
        windows = reference.token_windows(model, args.text, WINDOW, WINDOWS)
        for format in args.format:
            out = folder / f"{family}-{format}"
            symmetric = "--sym" if format != "gptq_v2" else "--asym"
            try:
                words = ("--format", format, "--group-size", GROUP, "--method", "rtn", "--no-check", symmetric)
                words += ("--recipe", recipe) if family == MIXED else ()
                tool(args, "quantize", model, "-o", out, *words)
                tool(args, "verify", out)
            except (RuntimeError, Refused) as why:
                table.run((family, format, "hesse"), lambda why=why: (_ for _ in ()).throw(Refused(str(why))))
                continue
            plain = plain_model(out, folder / "plain")
            nll = reference.mean_nll(plain, windows)
            table.run((family, format, "hesse"), lambda: near(hesse_nll(args, out), nll))
            for loader in LOADERS:
                case = (family, model, out, format)
                table.run((family, format, loader), lambda: check_loader(args, loader, case, plain, windows))
            shutil.rmtree(out)


# name: (environment, settings of make_by_peer.py)
MADE = {
    "GPTQModel sym": ("", {"bits": 4, "sym": True}),
    "GPTQModel asym": ("", {"bits": 4, "sym": False}),
    "GPTQModel desc_act": ("", {"bits": 4, "sym": True, "desc_act": True}),
    "GPTQModel 8 bits": ("", {"bits": 8, "sym": True}),
    "GPTQModel 3 bits": ("", {"bits": 3, "sym": True}),
    "llm-compressor": ("llm-compressor", {"bits": 4, "sym": True}),
    "llm-compressor asym": ("llm-compressor", {"bits": 4, "sym": False}),
    "llm-compressor static order": ("llm-compressor", {"bits": 4, "sym": True, "actorder": "static"}),
    "llm-compressor 8 bits": ("llm-compressor", {"bits": 8, "sym": True}),
    "llm-compressor 3 bits asym": ("llm-compressor", {"bits": 3, "sym": False}),
}


def made_by(args, name: str, model: Path, out: Path) -> None:
    environment, settings = MADE[name]
    python = Path(args.peers).resolve() / environment / "bin/python" if environment else Path(sys.executable)
    if not python.is_file():
        raise Skip(f"no environment {environment}: tools/quality/peers_env.sh makes it, --peers names it")
    job = {"tool": environment or "gptqmodel", "model": str(model), "out": str(out), "group": GROUP, **settings}
    script = Path(__file__).resolve().parent / "make_by_peer.py"
    # The tools leave logs and caches where they run.
    done = subprocess.run([python, "-B", script, json.dumps(job)], capture_output=True, text=True, cwd=out.parent)
    if done.returncode != 0:
        raise Skip(f"{environment or 'GPTQModel'} did not make it: {last_line(done.stderr)[:200]}")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model / file, out / file)


def read_by_hesse(args, table: Table, folder: Path) -> None:
    model = folder / "llama"
    if not model.is_dir():
        small_models.make(model, "llama")
    windows = reference.token_windows(model, args.text, WINDOW, WINDOWS)
    for name in MADE:
        out = folder / "made"
        shutil.rmtree(out, ignore_errors=True)
        try:
            made_by(args, name, model, out)
        except Skip as why:
            table.run(("made by", name, "hesse"), lambda why=why: (_ for _ in ()).throw(why))
            continue
        here = []

        def read() -> str:
            tool(args, "verify", out)
            here.append(hesse_nll(args, out))
            return near(here[0], reference.mean_nll(plain_model(out, folder / "plain"), windows))

        table.run(("made by", name, "hesse"), read)
        for format in PACKED if here else ():
            converted = folder / "converted"
            shutil.rmtree(converted, ignore_errors=True)

            def convert(format=format, converted=converted) -> str:
                tool(args, "convert", out, "-o", converted, "--format", format)
                tool(args, "verify", converted)
                if not math.isclose(hesse_nll(args, converted), here[0], rel_tol=0, abs_tol=0):
                    raise ValueError("the likelihood changed")
                return "the same likelihood to the last bit"

            table.run(("made by", name, f"converted to {format}"), convert)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True)
    parser.add_argument("--peers", default="none", help="directory of tools/quality/peers_env.sh")
    parser.add_argument("--model", help="a real model, as one more family")
    parser.add_argument("--family", nargs="*", default=[*small_models.FAMILIES, MIXED])
    parser.add_argument("--only", choices=("written", "made"), help="one of the two directions")
    parser.add_argument("--format", nargs="*", default=list(FORMATS), choices=FORMATS)
    args = parser.parse_args()
    if args.model:
        args.family = [*args.family, "given"]
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        args.text = str(Path(folder) / "text.txt")
        small_models.write_text(Path(args.text))
        if args.only != "made":
            written_by_hesse(args, table, Path(folder))
        if args.only != "written":
            read_by_hesse(args, table, Path(folder))
    sys.exit(table.finish())


if __name__ == "__main__":
    main()
