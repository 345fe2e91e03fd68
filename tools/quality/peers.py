#!/usr/bin/env python3
"""Quantizes the same models with other tools, on the token ids that Hesse would take, judged by the same `hesse eval`.

    tools/quality/peers_env.sh VENVS
    nice tools/quality/peers.py --venvs VENVS --tool build/release/hesse [--smollm2 DIR] [--data DIR]
         [--models demo] [--peers gptqmodel auto-round] [--bits 4 3] [--seeds 0] [--results FILE] [--again]

Each tool runs with its own defaults, with symmetric weights of the asked bits and group size, in float32 where it allows
that. Its result is turned into a float32 checkpoint by a reader that is not ours or not the tool's alone: the GPTQ files of
GPTQModel and AutoRound by tests/interop/dequantize.py, compressed-tensors files by that package. What a tool refuses, or
crashes on, is a result too: {"failed": "the reason"}. --again repeats the cells that failed.
CPU seconds are those of the whole quantizing process, import and saving included.
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import ablation
import measure
import results

WORKER = Path(__file__).resolve().parent / "peer_worker.py"


class Peer(NamedTuple):
    name: str  # of its environment
    package: str
    title: str  # in the tables: title, version, suffix
    suffix: str = ""
    options: dict = {}


PEERS = [
    Peer("gptqmodel", "gptqmodel", "GPTQModel"),
    Peer("llm-compressor", "llmcompressor", "llm-compressor"),
    Peer("auto-round", "auto-round", "AutoRound", ", 0 iterations", {"iters": 0}),
    Peer("auto-round", "auto-round", "AutoRound", ", 200 iterations", {"iters": 200}),
]


def environment(threads: int) -> dict:
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "GPTQMODEL_CPU_WORKERS": str(max(2, threads)),  # with one, GPTQModel stops at "Virtual pool ..."
        "TOKENIZERS_PARALLELISM": "false",
    }


def version_of(peer: Peer, python: Path) -> str:
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    done = measure.run([python, "-c", code, peer.package])
    if done.code != 0:
        raise measure.Failed(f"[peers] {peer.name}: {measure.last_line(done.stderr)}; run peers_env.sh")
    return done.stdout.strip()


class Step:
    """The worker's steps for one cell, in a directory of their own."""

    def __init__(self, python: Path, job: dict, work: Path, log, worker: Path = WORKER):
        self.python, self.work, self.log, self.worker = python, work, log, worker
        paths = {name: str(work / name) for name in ("ids", "out", "plain", "outcome")}
        self.job = {**job, **paths}
        (work / "job.json").write_text(json.dumps(self.job))

    def run(self, step: str):
        """-> (measure.Run, what the worker said). measure.Failed when it did not succeed."""
        outcome = Path(self.job["outcome"])
        outcome.unlink(missing_ok=True)
        command = [self.python, "-B", self.worker, step, self.work / "job.json"]
        # In its own directory: some tools leave logs where they run.
        done = measure.run(command, self.work, **environment(self.job["threads"]))
        if self.log:
            self.log.write(f"==== {step} {self.job['peer']} {self.job['bits']} bits\n{done.stdout}\n{done.stderr}\n")
            self.log.flush()
        if not outcome.exists():
            reason = f"ended by signal {-done.code}" if done.code < 0 else measure.last_line(done.stderr)[:240]
            raise measure.Failed(f"{step}: {reason}")
        said = json.loads(outcome.read_text())
        if "failed" in said:
            raise measure.Failed(said["failed"])
        return done, said


def measure_cell(peer: Peer, setup, key: dict, args) -> dict:
    python = args.venvs.resolve() / peer.name / "bin/python"
    job = {
        "peer": peer.name, "model": str(setup.directory.resolve()),
        "calibration": [str(file.resolve()) for file in setup.calibration],
        "bits": key["bits"], "group": setup.group, "seed": key["seed"], "samples": ablation.SAMPLES,
        "length": ablation.LENGTH, "bos": setup.bos, "threads": args.threads, "options": peer.options,
    }  # fmt: skip
    line = {**key, "threads": args.threads, "processor": processor()}
    with tempfile.TemporaryDirectory(prefix="hesse-peers-") as work:
        steps = Step(python, job, Path(work), args.log)
        try:
            _, windows = steps.run("windows")
            done, said = steps.run("quantize")
            line.update({"calibration_tokens": windows["calibration_tokens"], **said, **done.cost()})
            _, changes = steps.run("dequantize")
            line.update(changes)
            line.update(measure.evaluate(args.tool, Path(work) / "plain", setup))
        except measure.Failed as error:
            line["failed"] = str(error)
    return line


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def run_cells(setups: list, peers: list, args) -> int:
    old = [cell for cell in results.read(args.results) if not (args.again and "failed" in cell)]
    known = {results.key_of(cell) for cell in old}
    for setup in setups:
        for seed in args.seeds:
            for bits in args.bits:
                for peer, version in peers:
                    variant = f"{peer.title} {version}{peer.suffix}"
                    key = dict(zip(results.KEY, (setup.name, variant, bits, setup.group, seed, version)))
                    if results.key_of(key) in known:
                        continue
                    line = measure_cell(peer, setup, key, args)
                    results.append(args.results, line)
                    said = line.get("failed") or (
                        f"{line['increase_percent']:+.2f} %, KL {line['kl']:.5f}, {line['cpu_seconds']:.0f} CPU s"
                    )
                    print(f"{setup.name} {variant} {bits}/{setup.group} seed {seed}: {said}", flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted({peer.name for peer in PEERS})
    parser.add_argument("--venvs", type=Path, required=True, help="the directory that peers_env.sh filled")
    parser.add_argument("--tool", type=Path, default=measure.ROOT / "build/release/hesse", help="the evaluator")
    ablation.add_setup_flags(parser)
    parser.add_argument("--peers", nargs="+", default=names, choices=names)
    parser.add_argument("--iters", nargs="+", type=int, default=[0, 200], help="of AutoRound")
    parser.add_argument("--bits", nargs="+", type=int, default=ablation.BITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--results", type=Path, default=measure.ROOT / "docs/quality/peers.jsonl")
    parser.add_argument("--log", type=argparse.FileType("a"), help="what the tools print")
    parser.add_argument("--again", action="store_true", help="repeat what failed")
    args = parser.parse_args()
    args.tool = args.tool.resolve()
    measure.stop_on_signals()
    try:
        chosen = [p for p in PEERS if p.name in args.peers and p.options.get("iters", args.iters[0]) in args.iters]
        peers = [(peer, version_of(peer, args.venvs / peer.name / "bin/python")) for peer in chosen]
        return run_cells(ablation.setups_of(args), peers, args)
    except (measure.Failed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
