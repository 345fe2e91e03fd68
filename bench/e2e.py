#!/usr/bin/env python3
"""Whole runs of `hesse quantize`: where the time goes, and how near that is to what the machine can multiply.

    bench/e2e.py --tool build/release/hesse [OTHER/hesse] --model DIR [DIR...] --calib FILE...
                 [--presets fast balanced] [--bits 4] [--group-size 128] [--samples 64] [--length 512] [--runs 3]
                 [--flags="--seed 1"] [--threads N] [--results FILE] [--again]

Two tools take turns, A B A B. The seconds of each phase come from the record of the run, and so do the floating point
operations, which count what any implementation must do (docs/FORMATS.md, `cost`). They are compared with the best rate of
float32 matrix products, which `hesse bench` measures right before and right after every run.
Each finished run is a line of the results file, and runs that are there already are skipped: what was killed goes on where
it was. What failed is a line with `failed`; --again repeats it. Say OMP_WAIT_POLICY=active to let threads spin.
"""
import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import gauge
import measure
import results

KEY = ("model", "preset", "bits", "group", "samples", "length", "threads", "flags", "binary", "run")
# phase of the record: the members of cost.work that it does. Phases that are not here multiply nothing.
DONE_IN = {"forward": ("linears", "attention"), "hessian": ("hessian", "cross"), "factor": ("factor",), "solve": ("solve",)}


def run_alone(command: list):
    """-> (measure.Run, share of the machine that was busy with other work)"""
    load = gauge.Load()
    done = measure.run(command)
    return done, load.elsewhere(done.cpu_seconds)


def run_of(key: dict, tool: gauge.Tool, model: Path, multiplier, args) -> dict:
    with tempfile.TemporaryDirectory(prefix="hesse-e2e-", dir=args.work) as work:
        command = [
            tool.path, "quantize", model, "-o", Path(work) / "quantized", "--calib", *args.calib, "--preset", key["preset"],
            "--bits", key["bits"], "--group-size", key["group"], "--samples", key["samples"], "--length", key["length"],
            "--threads", key["threads"], "--no-check", *shlex.split(key["flags"]), "--json", "--quiet",
        ]  # fmt: skip
        (done, elsewhere), rate = multiplier.around(lambda: run_alone(command))
        record = measure.json_of(done, "quantize", good=(0, 1))
    cost = record["cost"]
    return {
        "seconds": cost["seconds"],
        "phases": {phase["name"]: phase["seconds"] for phase in cost["phases"]},
        "work": cost.get("work"),
        "gemm_gflops": rate,
        **done.cost(),
        "peak_memory_bytes": cost["peak_memory_bytes"],
        "predicted_seconds": cost.get("predicted_seconds"),
        "predicted_peak_memory_bytes": cost.get("predicted_peak_memory_bytes"),
        "tokens": record["calibration"]["tokens"],
        "bits_per_weight": record["result"]["bits_per_weight"],
        "mean_relative_error": record["result"]["mean_relative_error"],
        "fallbacks": record["result"]["fallbacks"],
        "busy_elsewhere": elsewhere,
        "wait_policy": gauge.wait_policy(),
        **{name: record["machine"][name] for name in ("processor", "simd", "libraries")},
        "version": f"hesse {record['version']}",
    }


# ---- what a run says


def share(flops: float, seconds: float, rate) -> float:
    """Of the rate of matrix products; None when it cannot be said."""
    return flops / seconds / (rate * 1e9) if rate and seconds > 0 else None


def rates_of(line: dict) -> list:
    """[(phase, seconds, FLOPs or None, share or None)], the whole run last."""
    work, rate = line["work"], line["gemm_gflops"]
    rows = []
    for phase, seconds in line["phases"].items():
        known = DONE_IN.get(phase, ()) if work else ()
        flops = sum(work[name] for name in known) if known else None
        rows.append((phase, seconds, flops, share(flops, seconds, rate) if flops else None))
    total = sum(work[name] for names in DONE_IN.values() for name in names) if work else None
    return rows + [("all", line["seconds"], total, share(total, line["seconds"], rate) if total else None)]


def percent(value) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def table_of(line: dict) -> str:
    text = f"  {'phase':<10}{'seconds':>10}{'GFLOP':>12}{'GFLOP/s':>10}{'of gemm':>9}\n"
    for phase, seconds, flops, part in rates_of(line):
        numbers = f"{flops / 1e9:>12.1f}{flops / 1e9 / seconds:>10.1f}" if flops and seconds else f"{'-':>12}{'-':>10}"
        text += f"  {phase:<10}{seconds:>10.2f}{numbers}{percent(part):>9}\n"
    notes = []
    if not line["work"]:
        notes.append("the record has no cost.work: no FLOP/s")
    if not line["gemm_gflops"]:
        notes.append("no tool here has `hesse bench`: no share of matrix products")
    else:
        notes.append(f"matrix products: {line['gemm_gflops']:.1f} GFLOP/s")
    notes.append(f"peak {line['peak_memory_bytes'] / 1e9:.3f} GB, {line['cpu_seconds']:.1f} CPU s")
    if line["busy_elsewhere"] is not None:
        notes.append(f"{percent(line['busy_elsewhere'])} of the machine busy with other work")
    return text + "  " + "; ".join(notes) + "\n"


def title_of(key: dict) -> str:
    flags = f" {key['flags']}" if key["flags"] else ""
    size = f"{key['samples']} x {key['length']} tokens, {key['threads']} threads"
    return f"{key['model']} {key['preset']} {key['bits']}/{key['group']}{flags}, {size}"


def summary(lines: list, tools: list) -> str:
    """A row for each model, preset, bits and tool; with two tools, what the second costs against the first."""
    text = ""
    without_run = [name for name in KEY if name not in ("binary", "run")]
    for key in dict.fromkeys(tuple(line[name] for name in without_run) for line in lines):
        own = [line for line in lines if tuple(line[name] for name in without_run) == key]
        text += title_of(own[0]) + "\n"
        seconds, cpu = [], []
        for tool in tools:
            runs = [line for line in own if line["binary"] == tool.binary]
            if not runs:
                continue
            seconds.append([line["seconds"] for line in runs])
            cpu.append([line["cpu_seconds"] for line in runs])
            shares = [rates_of(line)[-1][3] for line in runs]
            known = [value for value in shares if value is not None]
            text += f"  {tool.label}: {gauge.spread_text(seconds[-1])} s, "
            text += f"{gauge.spread_text(cpu[-1])} CPU s, "
            text += f"peak {max(line['peak_memory_bytes'] for line in runs) / 1e9:.3f} GB, "
            text += f"{percent(median(known) if known else None)} of gemm, {len(runs)} runs\n"
        if len(seconds) == 2:
            text += f"  {tools[1].label} takes {gauge.compared(*seconds)}; of CPU time {gauge.compared(*cpu)}\n"
    return text


# ---- the runs


def keys_of(tools: list, args) -> list:
    """[(key, tool, model)]: the tools take turns within a run, the runs come last, so that an early stop has all of run 0."""
    return [
        (
            {
                "model": model.resolve().name, "preset": preset, "bits": bits, "group": args.group_size,
                "samples": args.samples, "length": args.length, "threads": args.threads, "flags": args.flags,
                "binary": tool.binary, "run": run,
            },
            tool,
            model,
        )
        for run in range(args.runs)
        for model in args.model
        for preset in args.presets
        for bits in args.bits
        for tool in tools
    ]  # fmt: skip


def run_all(tools: list, args) -> int:
    multiplier = gauge.Multiplier(tools, args.threads)
    known = {}
    for line in results.read(args.results, KEY) if args.results else []:
        if not (args.again and "failed" in line):
            known[results.key_of(line, KEY)] = line
    finished, failures = [], 0
    for key, tool, model in keys_of(tools, args):
        line = known.get(results.key_of(key, KEY))
        if line is None:
            print(f"{title_of(key)}, {tool.label}, run {key['run']}", flush=True)
            line = {**key, "tool": tool.label, "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
            try:
                line.update(run_of(key, tool, model, multiplier, args))
                print(table_of(line), flush=True)
            except measure.Failed as error:
                line["failed"] = str(error)
                print(f"  FAILED: {error}", flush=True)
            if args.results:
                results.append(args.results, line, KEY)
        failures += "failed" in line
        finished += [] if "failed" in line else [line]
    print(summary(finished, tools), end="", flush=True)
    return 1 if failures else 0


def parsed(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    demo = gauge.ROOT / "models/tiny-llama"
    parser.add_argument("--tool", nargs="+", type=Path, default=[gauge.ROOT / "build/release/hesse"], help="one or two")
    parser.add_argument("--labels", nargs="+", help="names of the tools in what is printed; default A B")
    parser.add_argument("--model", nargs="+", type=Path, default=[demo], help="directories; default: the demo model")
    parser.add_argument("--calib", nargs="+", type=Path, default=[demo / "calibration.txt"])
    parser.add_argument("--presets", "--preset", nargs="+", default=["fast", "balanced"])
    parser.add_argument("--bits", nargs="+", type=int, default=[4])
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--flags", default="", help="more flags of quantize, as one word: --flags='--seed 1'")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where results are made and deleted; default: the system's")
    parser.add_argument("--results", type=Path, help="a line a run; default: nothing is kept")
    parser.add_argument("--again", action="store_true", help="repeat what failed")
    parser.add_argument("--any-build", action="store_true", help="do not ask whether the tool is a release build")
    args = parser.parse_args(arguments)
    args.labels = args.labels or ["A", "B"][: len(args.tool)]
    if len(args.tool) > 2 or len(args.labels) != len(args.tool):
        parser.error(f"--tool has {len(args.tool)} programs and --labels {len(args.labels)} names; one or two of both")
    return args


def main(arguments=None) -> int:
    args = parsed(arguments)
    measure.stop_on_signals()
    try:
        for path in [*args.calib, *(model / "config.json" for model in args.model)]:
            if not path.is_file():
                raise measure.Failed(f"[e2e] {path} is missing")
        tools = [gauge.tool_of(path, label, args.any_build) for path, label in zip(args.tool, args.labels)]
        if len({tool.binary for tool in tools}) != len(tools):
            raise measure.Failed("[e2e] both tools are the same program, byte for byte; name two builds, or one")
        return run_all(tools, args)
    except (measure.Failed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
