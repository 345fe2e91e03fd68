#!/usr/bin/env python3
"""Measures what `--bits-target` is worth: perplexity and KL against size, beside settings that are the same for all linears.

    bits.py --tool build/release/hesse [--smollm2 DIR] [--gemma3-270m DIR] [--data DIR] [--models demo]
            [--targets 2.5 3 3.5 4 4.5 5 6] [--uniform 3/32 4/32] [--ways uniform target] [--results FILE] [--threads 2]
    bits.py --predictions --tool build/release/hesse     of the demo model: is the predicted damage of a part the real one?

Ways of spending bits: "uniform", the same bits and group size everywhere; "by position", 4 or 8 bits more for the first and
last layers, as many as fit the target, in groups of 128 or the largest below that divides all widths; "target", --bits-target. Size counts codes, scales and zero points.
Preset fast, 64 windows of 512 tokens, seed 0. Cells that are in the results file are skipped.
"""
import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path

import ablation
import measure
import results

TARGETS = [2.5, 3, 3.5, 4, 4.5, 5, 6]
UNIFORM = ["2/64", "2/32", "3/128", "3/64", "3/32", "4/128", "4/64", "4/32", "8/128"]  # bits / group size
KEY = ("model", "way", "setting", "revision")
WAYS = ["uniform", "by position", "target"]
FLAGS = ["--preset", "fast", "--samples", 64, "--length", 512]


def size_of(linear: dict) -> float:
    """Bits of one linear of a record."""
    width = linear["in"] if linear["group_size"] == -1 else linear["group_size"]
    groups = -(-linear["in"] // width)
    return linear["out"] * (linear["in"] * linear["bits"] + groups * (16 + linear["bits"]))


def bits_per_weight(linears: list) -> float:
    return sum(map(size_of, linears)) / sum(linear["out"] * linear["in"] for linear in linears)


def quantize(args, setup, out: Path, *flags) -> dict:
    command = [args.tool, "quantize", setup.directory, "-o", out, "--calib", *setup.calibration, *FLAGS, *flags]
    command += ["--threads", args.threads, *(["--bos", "always"] if setup.bos else [])]
    done = measure.run([*command, "--json", "--quiet"])
    return {**measure.json_of(done, "quantize", good=(0, 1)), "spent": done.cost()}


def position_recipe(linears: list, target: float) -> str:
    """8 bits for layers from both ends in turns, in front of the widest uniform setting below the target."""
    group = next((g for g in (128, 64, 32) if all(linear["in"] % g == 0 for linear in linears)), -1)
    for base in (4, 3, 2):
        plain = [{**linear, "bits": base, "group_size": group} for linear in linears]
        if bits_per_weight(plain) > target:
            continue
        layers = max(linear["layer"] for linear in linears) + 1
        order = [layer for pair in zip(range(layers), reversed(range(layers))) for layer in pair]
        chosen = []
        for layer in dict.fromkeys(order):
            richer = [{**l, "bits": 8} if l["layer"] in (*chosen, layer) else l for l in plain]
            if bits_per_weight(richer) > target:
                break
            chosen.append(layer)
        rule = f"[[rule]]\nmatch = '.*\\.({'|'.join(map(str, sorted(chosen)))})\\.'\nbits = 8\n" if chosen else ""
        return f"bits = {base}\ngroup_size = {group}\n{rule}"
    raise measure.Failed(f"no setting is below {target}")


def ways_of(args, setup, linears: list, scratch: Path):
    """(way, setting, flags)"""
    for setting in args.uniform:
        bits, group = map(int, setting.split("/"))
        if all(linear["in"] % group == 0 for linear in linears):
            yield "uniform", setting, ["--bits", bits, "--group-size", group]
    for target in args.targets:
        recipe = scratch / "position.toml"
        yield "by position", f"{target}", ["--recipe", recipe, position_recipe(linears, target)]
    for target in args.targets:
        yield "target", f"{target}", ["--bits-target", target, "--measurement", scratch / "measured.json"]


def run_model(args, setup, revision: str) -> None:
    done = {tuple(cell[name] for name in KEY) for cell in results.read(args.results, KEY)}
    with tempfile.TemporaryDirectory(prefix="hesse-bits-") as folder:
        scratch = Path(folder)
        settings = measure.run([args.tool, "inspect", setup.directory, "--json"])
        linears = linears_of(measure.json_of(settings, "inspect"))
        for way, setting, flags in ways_of(args, setup, linears, scratch):
            key = (setup.name, way, setting, revision)
            if way not in args.ways or key in done:
                continue
            if way == "by position":
                flags[1].write_text(flags.pop())
            out = scratch / "out"
            record = quantize(args, setup, out, "--overwrite", *flags)
            cell = {**dict(zip(KEY, key)), "bits": round(bits_per_weight(record["linears"]), 4)}
            cell.update(measure.evaluate(args.tool, out, setup))
            cell.update(record["spent"], processor=record["machine"]["processor"], threads=record["machine"]["threads"])
            results.append(args.results, cell, KEY)
            print(f"{' '.join(map(str, key))}: {cell['bits']} bits, {cell['increase_percent']:+.2f} %, KL {cell['kl']:.4f}", flush=True)


def linears_of(info: dict) -> list:
    return [{**linear, "layer": int(re.search(r"\.(\d+)\.", linear["name"])[1])} for linear in info["linears"]]


def predictions(args) -> None:
    """Each part of the demo model at 3 bits, the rest at full precision: what was predicted, and what it is."""
    setup = ablation.setup_of(ablation.MODELS[0], None, None)
    with tempfile.TemporaryDirectory(prefix="hesse-bits-") as folder:
        scratch = Path(folder)
        file = scratch / "measured.json"
        quantize(args, setup, scratch / "out", "--bits-target", 4, "--measurement", file)
        for unit in json.loads(file.read_text())["units"]:
            names = [linear["name"] for linear in unit["linears"]]
            recipe = scratch / "one.toml"
            others = "|".join(name.replace(".", r"\.") for name in names)
            recipe.write_text(f"bits = 3\n[[rule]]\nmatch = '(?!({others})$).*'\nskip = true\n")
            quantize(args, setup, scratch / "out", "--overwrite", "--recipe", recipe)
            found = measure.evaluate(args.tool, scratch / "out", setup)
            said = next(c["damage"] for c in unit["candidates"] if (c["bits"], c["group_size"]) == (3, 128))
            cell = {"model": setup.name, "way": "part", "setting": names[0], "revision": args.revision or "",
                    "predicted_kl": said, "kl": found["kl"]}  # fmt: skip
            results.append(args.results, cell, KEY)
            print(f"{names[0]}: predicted {said:.5f}, measured {found['kl']:.5f}", flush=True)


# ---- the tables of docs/QUALITY.md


def table_of(cells: list) -> str:
    """Rows by target, beside the smallest uniform setting that is not smaller than what the target reached."""
    uniform = sorted((c for c in cells if c["way"] == "uniform"), key=lambda c: c["bits"])
    position = {c["setting"]: c for c in cells if c["way"] == "by position"}
    rows = ["| target | bits a weight | increase, % | KL | uniform, not smaller | increase, % | KL | by position | increase, % | KL |",
            "| " + " | ".join(["---"] * 10) + " |"]  # fmt: skip
    for cell in sorted((c for c in cells if c["way"] == "target"), key=lambda c: c["bits"]):
        other = next((c for c in uniform if c["bits"] >= cell["bits"] - 1e-3), None)
        named = f"{other['setting']} ({other['bits']:.2f})" if other else "–"
        near = position.get(cell["setting"])
        rows.append(
            f"| {float(cell['setting']):g} | {cell['bits']:.3f} | {numbers(cell)} | {named} | {numbers(other)} | "
            f"{near['bits']:.2f} | {numbers(near)} |" if near else
            f"| {float(cell['setting']):g} | {cell['bits']:.3f} | {numbers(cell)} | {named} | {numbers(other)} | – | – | – |"
        )
    first = cells[0]
    note = f"{first['windows']} windows of 512 tokens of {', '.join(first['text'])}, original perplexity {first['perplexity_original']:.3f}; "
    note += f"seed 0; {first['processor']}, {' and '.join(sorted({str(c['threads']) for c in cells}))} threads. "
    return "\n".join(rows) + f"\n\n{note}Measured at {', '.join(sorted({'`' + c['revision'] + '`' for c in cells}))}.\n"


def numbers(cell) -> str:
    return f"{cell['increase_percent']:+.1f} | {cell['kl']:.4f}" if cell else "– | –"


def predictions_table(cells: list) -> str:
    """Of the parts of a model: how the real divergence lies to the predicted one."""
    ratios = sorted(cell["kl"] / cell["predicted_kl"] for cell in cells)
    order = rank_correlation([cell["predicted_kl"] for cell in cells], [cell["kl"] for cell in cells])
    rows = ["| parts | measured / predicted: least | median | most | rank correlation |", "| --- | --- | --- | --- | --- |"]
    middle = statistics.median(ratios)
    rows.append(f"| {len(cells)} | {ratios[0]:.2f} | {middle:.2f} | {ratios[-1]:.2f} | {order:.2f} |")
    return "\n".join(rows) + f"\n\nMeasured at `{cells[0]['revision']}`.\n"


def rank_correlation(a: list, b: list) -> float:
    """Spearman's."""
    ranks = [sorted(range(len(v)), key=v.__getitem__) for v in (a, b)]
    places = [{index: place for place, index in enumerate(order)} for order in ranks]
    n = len(a)
    return 1 - 6 * sum((places[0][i] - places[1][i]) ** 2 for i in range(n)) / (n * (n * n - 1))


def blocks_of(cells: list) -> dict:
    """{name: text between the markers}"""
    blocks = {}
    for name in dict.fromkeys(cell["model"] for cell in cells):
        own = [cell for cell in cells if cell["model"] == name]
        if sizes := [cell for cell in own if cell["way"] != "part"]:
            blocks[f"bits-{name}"] = table_of(sizes)
        if parts := [cell for cell in own if cell["way"] == "part"]:
            blocks[f"parts-{name}"] = predictions_table(parts)
    return blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, required=True)
    ablation.add_setup_flags(parser)
    parser.add_argument("--targets", nargs="+", type=float, default=TARGETS)
    parser.add_argument("--uniform", nargs="*", default=UNIFORM)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--results", type=Path, default=measure.ROOT / "docs/quality/bits.jsonl")
    parser.add_argument("--revision", help="of the sources of the tool; found by git otherwise")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--predictions", action="store_true")
    args = parser.parse_args()
    measure.stop_on_signals()
    try:
        args.revision = args.revision or measure.revision_of(args.tool)
        if args.predictions:
            return predictions(args)
        for setup in ablation.setups_of(args):
            run_model(args, setup, args.revision)
    except measure.Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
