"""Which loader reads which format of which family, and do the logits agree? A line each, then a table and the counts.

    python formats_table.py --tool BUILD/hesse [--peers DIR] [--model DIR] [--only written|made]
                            [--family NAME ...] [--more] [--format NAME ...] [--by TOOL]

Written by Hesse, read by others: for each family (small_models.py) and export format, the logits of the loader against
those of a float32 model with the weights of unpack_formats.py, and the likelihood of a text against `hesse eval`. What
`hesse check` said of the loader beforehand must be what it does: a yes that does not load, and a no that does, are failures.
Made by others, read by Hesse: GPTQModel here, the others in environments of DIR (tools/quality/peers_env.sh); verified,
evaluated, and converted into every format that can hold it, where the likelihood must not change by a bit.
A line ends with "equal", "refused: why" or "skipped: why"; anything else is a failure and exit code 1.
"""
import argparse
import json
import math
import multiprocessing
import os
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
# Kernels round scale * code and scale * zero to halves, half a unit of 2^-10 each, once a linear; along the network, with
# seven linears and the attention a layer, that adds up like a random walk. A tensor read wrongly is off by the size of the
# logits.
ROUNDING, ROUNDINGS = 2**-10, 8
# Of the mean log-likelihood, relative; Hesse computes in float32 from the same codes.
LIKELIHOOD = 1e-4


# Kernels of the rules of `hesse check` that run on the CPU.
KERNELS = ("GPTQModel torch", "GPTQModel awq_torch", "torch", "awq_torch", "compressed-tensors", "as the model itself")


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


RECIPE_FILE = "recipe.toml"
# Llama's model with further flags, each a family of its own in the table: linears that differ, and a packed head.
VARIANTS = {"mixed": ("--recipe", RECIPE_FILE), "packed head": ("--lm-head", 8)}


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


def apart(work, *inputs):
    """work(*inputs) in a process of its own: GPTQModel changes classes of transformers for all that come after it."""
    def run(pipe) -> None:
        try:
            pipe.send((None, work(*inputs)))
        except BaseException as error:  # the caller raises it again
            known = type(error) in (Skip, Refused, ValueError)
            pipe.send((type(error), str(error)) if known else (RuntimeError, f"{type(error).__name__}: {error}"))
        os._exit(0)  # threads that a loader left behind must not keep the process

    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=run, args=(there,))
    process.start()
    there.close()
    try:
        kind, answer = here.recv()
    except EOFError:
        kind, answer = RuntimeError, "the process ended without an answer"
    process.join()
    if kind is None:
        return answer
    raise kind(answer)


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
    if json.loads((directory / "config.json").read_text())["model_type"] in small_models.TOGETHER:
        tensors = unpack_formats.experts_together(tensors)
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
        raise Skip("it is for GPTQ and AWQ files; transformers reads this format")
    from gptqmodel import BACKEND, GPTQModel

    with reference.silence():
        backend = BACKEND.AWQ_TORCH if format == "awq" else BACKEND.GPTQ_TORCH
        return GPTQModel.load(str(directory), device="cpu", backend=backend, dtype=torch.float16).model.eval()


def rules_of(args, model: Path, settings: tuple) -> list:
    """What the tool says beforehand of every engine, on one device."""
    words = (args.tool, "check", model, *settings, "--json")
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    plan = json.loads(done.stdout).get("plan")
    if not plan:
        raise RuntimeError(f"hesse check has no plan: {last_line(done.stderr)}")
    return [row for row in plan["loaders"] if row["devices"] == 1]


def claim_of(rules: list, loader: str) -> dict:
    rows = [row for row in rules if row["engine"] in (loader, "every engine") and row["kernel"] in KERNELS]
    if len(rows) != 1:
        raise ValueError(f"hesse check has {len(rows)} rules for {loader}")
    return rows[0]


COMPARED = 2  # windows


def expected_of(directory: Path, scratch: Path, windows) -> tuple:
    """-> (logits of the first windows as lists, mean NLL of all)"""
    plain = plain_model(directory, scratch)
    return [reference.logits(plain, ids).tolist() for ids in windows[:COMPARED]], reference.mean_nll(plain, windows)


def compare(model, expected: list, windows) -> str:
    worst, allowed = 0.0, ROUNDING * math.sqrt(ROUNDINGS * model.config.num_hidden_layers)
    for ids, rows in zip(windows, expected):
        with reference.silence():
            theirs = reference.logits(model, ids)
        ours = torch.tensor(rows)
        distance = ((theirs - ours).abs().max() / ours.abs().max()).item()
        if not distance <= allowed:  # a NaN is no small number
            raise ValueError(f"logits are {distance:.1e} of the largest apart, allowed {allowed:.1e}")
        worst = max(worst, distance)
    return f"logits {worst:.1e} apart"


def check_loader(loader: str, case, expected: list, windows) -> str:
    directory, format, rules = case
    if loader in ("vLLM", "SGLang"):
        rows = [row for row in rules if row["engine"] in (loader, "every engine")]
        raise Skip("needs a GPU; its rules: " + ", ".join(f"{row['kernel']} {row['loads']}" for row in rows))
    load = with_transformers if loader == "transformers" else with_gptqmodel
    try:
        seen = apart(lambda: compare(load(directory, format), expected, windows))
    except Skip:
        raise
    except Exception as error:  # whatever a loader throws is its answer
        claim = claim_of(rules, loader)
        seen = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        if claim["loads"] == "yes":
            raise ValueError(f"hesse check says that it loads; {seen}") from error
        raise Refused(f"{claim['why']} (as hesse check says; seen: {seen[:90]})") from error
    claim = claim_of(rules, loader)
    if claim["loads"] == "no":
        raise ValueError(f"hesse check says that it does not load: {claim['why']}; {seen}")
    return seen


def near(ours: float, theirs: float) -> str:
    distance = abs(ours - theirs) / theirs
    if not distance <= LIKELIHOOD:
        raise ValueError(f"mean NLL {ours:.6f} and {theirs:.6f}")
    return f"NLL {distance:.1e} apart"


def settings_of(family: str, format: str, folder: Path) -> tuple:
    symmetric = "--sym" if format != "gptq_v2" else "--asym"
    more = tuple(folder / word if word == RECIPE_FILE else word for word in VARIANTS.get(family, ()))
    return ("--format", format, "--group-size", GROUP, "--method", "rtn", symmetric, *more)


def write_and_load(args, table: Table, folder: Path, of) -> None:
    """One family in one format, by every loader."""
    family, model, format, windows = of
    settings = settings_of(family, format, folder)
    out = folder / f"{family}-{format}"
    written = []

    def read_back() -> str:
        tool(args, "quantize", model, "-o", out, "--no-check", *settings)
        tool(args, "verify", out)
        logits, nll = apart(expected_of, out, folder / "plain", windows)
        written.append(logits)
        return near(hesse_nll(args, out), nll)

    table.run((family, format, "hesse"), read_back)
    if not written:
        return
    rules = rules_of(args, model, settings)
    for loader in LOADERS:
        case = (out, format, rules)
        table.run((family, format, loader), lambda: check_loader(loader, case, written[0], windows))
    shutil.rmtree(out)


def written_by_hesse(args, table: Table, folder: Path) -> None:
    (folder / RECIPE_FILE).write_text(RECIPE)
    for family in args.family:
        model = folder / family
        if family == args.given:
            model = Path(args.model)
        else:
            apart(small_models.make, model, "llama" if family in VARIANTS else family)
        windows = reference.token_windows(model, args.text, WINDOW, WINDOWS)
        for format in args.format:
            write_and_load(args, table, folder, (family, model, format, windows))


# name: (environment; empty: this one, job of make_by_peer.py)
MADE = {
    "GPTQModel sym": ("", {"tool": "gptqmodel", "bits": 4, "sym": True}),
    "GPTQModel asym": ("", {"tool": "gptqmodel", "bits": 4, "sym": False}),
    "GPTQModel desc_act": ("", {"tool": "gptqmodel", "bits": 4, "sym": True, "desc_act": True}),
    "GPTQModel 8 bits": ("", {"tool": "gptqmodel", "bits": 8, "sym": True}),
    "GPTQModel 3 bits": ("", {"tool": "gptqmodel", "bits": 3, "sym": True}),
    "llm-compressor": ("llm-compressor", {"bits": 4, "sym": True}),
    "llm-compressor asym": ("llm-compressor", {"bits": 4, "sym": False}),
    "llm-compressor static order": ("llm-compressor", {"bits": 4, "sym": True, "actorder": "static"}),
    "llm-compressor 8 bits": ("llm-compressor", {"bits": 8, "sym": True}),
    "llm-compressor 3 bits asym": ("llm-compressor", {"bits": 3, "sym": False}),
    "AutoGPTQ": ("classic", {"tool": "autogptq", "bits": 4, "sym": True, "desc_act": False}),
    "AutoGPTQ desc_act": ("classic", {"tool": "autogptq", "bits": 4, "sym": True, "desc_act": True}),
    "AutoGPTQ asym": ("classic", {"tool": "autogptq", "bits": 4, "sym": False, "desc_act": False}),
    "AutoGPTQ 3 bits": ("classic", {"tool": "autogptq", "bits": 3, "sym": True, "desc_act": False}),
    "AutoAWQ": ("classic", {"tool": "autoawq", "bits": 4, "sym": False}),
    "AutoRound auto_gptq": ("auto-round", {"bits": 4, "sym": True, "format": "auto_gptq"}),
    "AutoRound auto_gptq asym": ("auto-round", {"bits": 4, "sym": False, "format": "auto_gptq"}),
    "AutoRound auto_awq": ("auto-round", {"bits": 4, "sym": False, "format": "auto_awq"}),
}


def made_by(args, name: str, model: Path, out: Path) -> None:
    environment, settings = MADE[name]
    python = Path(args.peers).resolve() / environment / "bin/python" if environment else Path(sys.executable)
    if not python.is_file():
        raise Skip(f"no environment {environment}: tools/quality/peers_env.sh makes it, --peers names it")
    job = {"tool": environment, "model": str(model), "out": str(out), "group": GROUP, **settings}
    script = Path(__file__).resolve().parent / "make_by_peer.py"
    # The tools leave logs and caches where they run.
    done = subprocess.run([python, "-B", script, json.dumps(job)], capture_output=True, text=True, cwd=out.parent)
    if done.returncode != 0:
        raise Skip(f"{job['tool']} did not make it: {last_line(done.stderr)[:200]}")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model / file, out / file)


def read_by_hesse(args, table: Table, folder: Path) -> None:
    model = folder / "llama"
    if not model.is_dir():
        apart(small_models.make, model, "llama")
    windows = reference.token_windows(model, args.text, WINDOW, WINDOWS)
    for name in (name for name in MADE if name.startswith(args.by)):
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
            return near(here[0], apart(expected_of, out, folder / "plain", windows)[1])

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
    parser.add_argument("--family", nargs="*", default=[*small_models.FAMILIES, *VARIANTS])
    parser.add_argument("--more", action="store_true", help="families that loaders treat in a way of their own, too")
    parser.add_argument("--only", choices=("written", "made"), help="one of the two directions")
    parser.add_argument("--by", default="", help="of the files of others those of the tool with this name")
    parser.add_argument("--format", nargs="*", default=list(FORMATS), choices=FORMATS)
    args = parser.parse_args()
    args.given = Path(args.model).resolve().name if args.model else None
    args.family += [*small_models.MORE] if args.more else []
    args.family += [args.given] if args.given else []
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
