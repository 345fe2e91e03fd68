#!/usr/bin/env python3
"""What the same job costs with Hesse and with other tools on this processor: the same model, the same windows of tokens.

    tools/quality/peers_env.sh VENVS
    bench/peer_speed.py --venvs VENVS --tool build/release/hesse [--python VENV/bin/python] --model DIR --calib FILE...
         --text FILE [--bits 4] [--group-size 128] [--samples 64] [--length 512] [--windows 40] [--runs 3]
         [--only "hesse fast" gptqmodel] [--threads N] [--results FILE] [--again] [--log FILE]

Measured are whole processes, import and saving included: user and system CPU seconds, wall seconds, peak memory; of the
Python programs also what their job took without the import. All take turns, and the runs come last. Beside the
quantizers stand a float32 forward pass of the calibration windows through torch (no head, model in memory), and the
perplexity of a text by transformers and by `hesse eval`, which must agree.
Each finished run is a line of the results file; what is there already is skipped. What failed is a line with `failed`;
--again repeats it. --python needs torch and transformers; without it that of VENVS/gptqmodel is taken.
Quality of the same tools: docs/QUALITY.md.
"""
import argparse
import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import gauge
import measure
import peers
import results

WORKER = Path(__file__).resolve().parent / "torch_worker.py"
KEY = ("model", "contestant", "bits", "group", "samples", "length", "windows", "threads", "version", "run")
AGREEMENT = 1e-3  # relative; between perplexities of two programs in float32


class Contestant(NamedTuple):
    name: str
    kind: str  # hesse, peer, forward, eval (transformers) or hesse-eval
    version: str
    preset: str = ""
    peer: object = None  # a peers.Peer
    batch: int = 0  # windows at a time


def contestants_of(args, tool: gauge.Tool) -> list:
    quantizers = [Contestant(f"hesse {preset}", "hesse", tool.binary, preset) for preset in args.presets]
    for peer in peers.PEERS:
        if peer.name in args.peers and (wanted(peer.name, args)):
            quantizers.append(Contestant(peer.name, "peer", peers.version_of(peer, python_of(peer, args)), peer=peer))
    found = quantizers
    if args.text:
        found = found + [Contestant("hesse eval", "hesse-eval", tool.binary)]
    steps = [("torch forward", "forward")] + ([("transformers eval", "eval")] if args.text else [])
    torch = torch_version(args) if any(wanted(name, args) for name, _ in steps) else ""
    found = found + [Contestant(f"{n}, {b} at a time", kind, torch, batch=b) for n, kind in steps for b in args.batches]
    return [one for one in found if wanted(one.name, args)]


def wanted(name: str, args) -> bool:
    return not args.only or any(name.startswith(start) for start in args.only)


def python_of(peer, args) -> Path:
    return args.venvs.resolve() / peer.name / "bin/python"


def torch_version(args) -> str:
    done = measure.run([args.python, "-c", "import torch, transformers as t; print(torch.__version__, t.__version__)"])
    if done.code != 0:
        raise measure.Failed(f"[peers] {args.python}: {measure.last_line(done.stderr)}; give --python")
    return measure.last_line(done.stdout)


# ---- one run


def job_of(one: Contestant, args) -> dict:
    return {
        "peer": one.peer.name if one.peer else one.kind, "model": str(args.model.resolve()),
        "calibration": [str(file.resolve()) for file in args.calib], "bits": args.bits, "group": args.group_size,
        "seed": 0, "samples": args.samples, "length": args.length, "bos": False, "threads": args.threads,
        "options": one.peer.options if one.peer else {}, "batch": one.batch, "windows": args.windows,
        "text": str(args.text.resolve()) if args.text else "",
    }  # fmt: skip


class Windows:
    """The token ids of the calibration, chosen once; a peer's own tokenizer must make the same."""

    def __init__(self, args):
        self.args, self.checked = args, set()

    @functools.cached_property
    def text(self) -> str:
        return self.choose(Contestant("windows", "windows", ""), Path(self.args.python), WORKER)

    def choose(self, one: Contestant, python: Path, worker: Path) -> str:
        with tempfile.TemporaryDirectory(prefix="hesse-windows-") as work:
            peers.Step(python, job_of(one, self.args), Path(work), self.args.log, worker).run("windows")
            return (Path(work) / "ids").read_text()

    def put(self, one: Contestant, work: Path) -> None:
        if one.peer and one.name not in self.checked:  # also compiles what GPTQModel compiles at its first use
            if json.loads(self.choose(one, python_of(one.peer, self.args), peers.WORKER)) != json.loads(self.text):
                raise measure.Failed(f"[windows] {one.name} makes other token ids of the same text")
            self.checked.add(one.name)
        (work / "ids").write_text(self.text)


def run_python(one: Contestant, windows: Windows, work: Path, args):
    """-> (measure.Run, share of the machine that others had, what the program said)"""
    if one.kind != "eval":
        windows.put(one, work)
    python, worker = (python_of(one.peer, args), peers.WORKER) if one.peer else (args.python, WORKER)
    steps = peers.Step(python, job_of(one, args), work, args.log, worker)
    load = gauge.Load()
    done, said = steps.run("quantize" if one.peer else one.kind)
    return done, load.elsewhere(done.cpu_seconds), said


def run_hesse(one: Contestant, tool: gauge.Tool, work: Path, args):
    common = ["--threads", args.threads, "--json", "--quiet"]
    if one.kind == "hesse-eval":
        command = [tool.path, "eval", args.model, "--text", args.text, "--window", args.length, "--windows", args.windows]
        command += ["--bos", "never"]
    else:
        command = [tool.path, "quantize", args.model, "-o", work / "out", "--calib", *args.calib, "--preset", one.preset]
        command += ["--bits", args.bits, "--group-size", args.group_size, "--samples", args.samples, "--length", args.length]
        command += ["--no-check"]  # models of random numbers know no text
    load = gauge.Load()
    done = measure.run(command + common)
    elsewhere = load.elsewhere(done.cpu_seconds)
    said = measure.json_of(done, one.name, good=(0, 1))
    if one.kind == "hesse-eval":
        return done, elsewhere, {"perplexity": said["perplexity"], "windows_there": said["windows"]}
    phases = {phase["name"]: phase["seconds"] for phase in said["cost"]["phases"]}
    return done, elsewhere, {"phases": phases, "libraries": said["machine"]["libraries"]}


def run_of(key: dict, one: Contestant, tool: gauge.Tool, windows: Windows, args) -> dict:
    line = {**key, "kind": one.kind, "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    line.update(processor=peers.processor(), wait_policy=gauge.wait_policy())
    with tempfile.TemporaryDirectory(prefix="hesse-peers-", dir=args.work) as work:
        try:
            if one.kind in ("hesse", "hesse-eval"):
                done, elsewhere, said = run_hesse(one, tool, Path(work), args)
            else:
                done, elsewhere, said = run_python(one, windows, Path(work), args)
            line.update({**said, **done.cost(), "busy_elsewhere": elsewhere})
        except measure.Failed as error:
            line["failed"] = str(error)
    return line


# ---- what the runs say


def values(lines: list, name: str, inner: bool = False) -> list:
    return [line["without_import"][name] if inner else line[name] for line in lines]


def summary(lines: list) -> str:
    """A row a contestant, then what each costs against each preset of Hesse, and the programs that evaluate."""
    by_name = {}
    for line in lines:
        by_name.setdefault(line["contestant"], []).append(line)
    text = f"{'':<32}{'CPU s':>26}{'wall s':>26}{'peak GB':>9}{'without import: CPU, wall s':>30}\n"
    for name, own in by_name.items():
        cpu, wall = (gauge.spread_text(values(own, cost), 1) for cost in ("cpu_seconds", "wall_seconds"))
        peak = max(values(own, "peak_memory_bytes")) / 1e9
        inner = ""
        if all("without_import" in line for line in own):
            inner = ", ".join(f"{median(values(own, cost, True)):.1f}" for cost in ("cpu_seconds", "wall_seconds"))
        text += f"{name:<32}{cpu:>26}{wall:>26}{peak:>9.2f}{inner:>30}\n"
    return text + "".join(ratios_of(by_name)) + agreement_of(lines)


def ratios_of(by_name: dict) -> list:
    kinds = {name: own[0]["kind"] for name, own in by_name.items()}
    text = []
    for name, kind in kinds.items():
        against = {"peer": "hesse", "forward": "hesse", "eval": "hesse-eval"}.get(kind)
        for ours in (other for other, its in kinds.items() if its == against):
            inner = kind == "forward"  # its loading is nobody's measure
            numbers = []
            for cost in ("cpu_seconds", "wall_seconds"):
                its, own = median(values(by_name[name], cost, inner)), median(values(by_name[ours], cost))
                numbers.append(f"{its / own:.2f} times the {cost.split('_')[0]} seconds" if own else "-")
            memory = max(values(by_name[name], "peak_memory_bytes")) / max(values(by_name[ours], "peak_memory_bytes"))
            text.append(f"{name} / {ours}: {', '.join(numbers)}, {memory:.2f} times the memory\n")
    return text


def agreement_of(lines: list) -> str:
    """That two programs evaluated the same thing, or a line that says that they did not."""
    ours = next((line["perplexity"] for line in lines if line["kind"] == "hesse-eval"), None)
    text = ""
    for name, its in {line["contestant"]: line["perplexity"] for line in lines if line["kind"] == "eval"}.items():
        if ours is not None:
            apart = abs(its / ours - 1)
            text += f"{name}: perplexity {its:.4f}, Hesse {ours:.4f}" + (
                "\n" if apart <= AGREEMENT else f": NOT THE SAME ({apart:.1e} apart); their times compare nothing\n"
            )
    return text


def run_all(args, tool: gauge.Tool) -> int:
    known = {}
    for line in results.read(args.results, KEY) if args.results else []:
        if not (args.again and "failed" in line):
            known[results.key_of(line, KEY)] = line
    windows, finished, failures = Windows(args), [], 0
    contestants = contestants_of(args, tool)
    for run in range(args.runs):
        for one in contestants:
            numbers = (args.model.resolve().name, one.name, args.bits, args.group_size, args.samples, args.length)
            key = dict(zip(KEY, (*numbers, args.windows, args.threads, one.version, run)))
            line = known.get(results.key_of(key, KEY))
            if line is None:
                line = run_of(key, one, tool, windows, args)
                if args.results:
                    results.append(args.results, line, KEY)
            said = f"FAILED: {line['failed']}" if "failed" in line else (
                f"{line['cpu_seconds']:.1f} CPU s, {line['wall_seconds']:.1f} s, "
                f"{line['peak_memory_bytes'] / 1e9:.2f} GB, others had {100 * (line['busy_elsewhere'] or 0):.0f} %"
            )
            print(f"run {run} {one.name}: {said}", flush=True)
            failures += "failed" in line
            finished += [] if "failed" in line else [line]
    print(summary(finished), end="", flush=True)
    return 1 if failures else 0


def parsed(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo = gauge.ROOT / "models/tiny-llama"
    parser.add_argument("--venvs", type=Path, required=True, help="the directory that peers_env.sh filled")
    parser.add_argument("--python", type=Path, help="for torch and transformers alone")
    parser.add_argument("--tool", type=Path, default=gauge.ROOT / "build/release/hesse")
    parser.add_argument("--model", type=Path, default=demo, help="default: the demo model")
    parser.add_argument("--calib", nargs="+", type=Path, default=[demo / "calibration.txt"])
    parser.add_argument("--text", type=Path, default=demo / "heldout.txt", help="to evaluate")
    parser.add_argument("--presets", nargs="*", default=["fast", "balanced"])
    parser.add_argument("--peers", nargs="*", default=["gptqmodel", "llm-compressor"])
    parser.add_argument("--only", nargs="+", help="those whose names begin like this")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=40, help="of the text to evaluate")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4], help="windows at a time in torch; a row each")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where results are made and deleted; default: the system's")
    parser.add_argument("--results", type=Path, help="a line a run; default: nothing is kept")
    parser.add_argument("--log", type=argparse.FileType("a"), help="what the other tools print")
    parser.add_argument("--again", action="store_true", help="repeat what failed")
    parser.add_argument("--any-build", action="store_true", help="do not ask whether the tool is a release build")
    args = parser.parse_args(arguments)
    args.python = args.python.absolute() if args.python else args.venvs.resolve() / "gptqmodel/bin/python"
    return args


def main(arguments=None) -> int:
    args = parsed(arguments)
    measure.stop_on_signals()
    try:
        for path in [*args.calib, args.text, args.model / "config.json"]:
            if not path.is_file():
                raise measure.Failed(f"[peers] {path} is missing")
        return run_all(args, gauge.tool_of(args.tool, "hesse", args.any_build))
    except (measure.Failed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
