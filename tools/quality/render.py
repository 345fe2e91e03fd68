#!/usr/bin/env python3
"""Writes the tables of docs/QUALITY.md and README.md from docs/quality/results.jsonl and docs/quality/peers.jsonl.

    render.py [--check] [--document FILE] [--results FILE] [--peers FILE] [--bits FILE]

What stands between `<!-- begin generated: NAME -->` and `<!-- end generated: NAME -->` is replaced. NAME is `variants`, the
name of a model, or `peers-`, `bits-` or `parts-` and the name of a model; in README.md it is `summary`. With --document only that file is
looked at. --check writes nothing and returns 1 when the document differs from
what the results say.

A number shows no digit that the seeds do not support: its last digit is worth about the spread between seeds. Where there
is one seed only, the spread is taken from the other cells of that model and width, else two digits are shown.
"""
import argparse
import difflib
import math
import re
import statistics
import sys
from pathlib import Path
from statistics import fmean, median
from typing import Optional

import ablation
import bits
import results

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"(<!-- begin generated: ([\w.-]+) -->\n)(.*?)(<!-- end generated: \2 -->)", re.DOTALL)
NOTHING = "–"
METRICS = ("increase_percent", "kl")
SEEDLESS = {variant.name for variant in ablation.VARIANTS if variant.seedless}
SUMMARY = ["rtn", ablation.CLASSIC, "fast", ablation.DEFAULT]  # rows of the table in README.md
PEERS_OF_OURS = [ablation.DEFAULT, "fast", ablation.CLASSIC, "rtn"]  # rows of Hesse in the tables of other tools


# ---- numbers


def spread(values: list) -> float:
    return max(values) - min(values)


def unit_of(value: float, spread_between_seeds: Optional[float], digits: int) -> float:
    """What the last digit shown is worth: the leading digit of the spread, and never more than four digits of the value."""
    size = math.floor(math.log10(abs(value))) if value else -6
    if not spread_between_seeds:
        return 10.0 ** (size - digits + 1)
    return 10.0 ** max(math.floor(math.log10(spread_between_seeds)), size - 3)


def shown(value: float, unit: float, sign: str = "") -> str:
    decimals = max(0, -round(math.log10(unit)))
    return f"{round(value / unit) * unit:{sign},.{decimals}f}"


# ---- cells


class Cells:
    """The lines of one model that count: the last of a key, at the revision that was measured last."""

    def __init__(self, lines: list):
        newest = {}  # the last line of a key counts, at its own place in the order
        for line in lines:
            newest.pop(results.key_of(line), None)
            newest[results.key_of(line)] = line
        revision = {(line["variant"], line["bits"]): line["revision"] for line in newest.values()}
        self.all = [c for c in newest.values() if c["revision"] == revision[c["variant"], c["bits"]]]

    def of(self, variant: str, bits: int) -> list:
        return [line for line in self.all if line["variant"] == variant and line["bits"] == bits]

    def values(self, variant: str, bits: int, metric: str) -> list:
        found = [line.get(metric) for line in self.of(variant, bits)]
        return [value for value in found if value is not None and math.isfinite(value)]

    def distinct(self, name: str) -> list:
        return list(dict.fromkeys(line[name] for line in self.all if name in line))

    def variants(self) -> list:
        order = [variant.name for variant in ablation.VARIANTS]
        seen = self.distinct("variant")
        return [name for name in order if name in seen] + [name for name in seen if name not in order]

    def bits(self) -> list:
        return sorted(self.distinct("bits"), reverse=True)

    def usual_spread(self, bits: int, metric: str) -> Optional[float]:
        """Relative: the median over the variants that were measured with several seeds."""
        several = [self.values(variant, bits, metric) for variant in self.variants()]
        shares = [spread(values) / abs(fmean(values)) for values in several if len(values) > 1 and fmean(values)]
        return median(shares) if shares else None


def number(cells: Cells, variant: str, bits: int, metric: str, usual: Optional[float]) -> str:
    values = cells.values(variant, bits, metric)
    if not values:
        return NOTHING
    mean, sign = fmean(values), "+" if metric == "increase_percent" else ""
    if len(values) > 1 and spread(values) > 0:
        unit = unit_of(mean, spread(values), 3)
        low, high = (shown(extreme(values), unit, sign) for extreme in (min, max))
        return f"{shown(mean, unit, sign)} ({low}..{high})"
    if variant in SEEDLESS or len(values) > 1:
        return shown(mean, unit_of(mean, None, 3), sign)
    return shown(mean, unit_of(mean, usual * abs(mean) if usual else None, 2), sign) + " *"


def cpu_ratio(cells: Cells, variant: str, base: str) -> str:
    cost = {(c["bits"], c["seed"]): c["cpu_seconds"] for c in cells.all if c["variant"] == base}
    ratios = [
        c["cpu_seconds"] / cost[c["bits"], c["seed"]]
        for c in cells.all
        if c["variant"] == variant and (c["bits"], c["seed"]) in cost
    ]
    return f"{math.exp(fmean(math.log(ratio) for ratio in ratios)):.1f}" if ratios else NOTHING


# ---- tables


def table(head: list, rows: list) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def conditions(cells: Cells) -> str:
    measured = [line for line in cells.all if "failed" not in line]
    first = measured[0]
    texts = ", ".join(first["text"])
    return (
        f"{first['windows']} windows of 512 tokens of {texts}, original perplexity "
        f"{first['perplexity_original']:.3f}; {statistics.mode(line['calibration_tokens'] for line in measured if line['calibration_tokens']):,} calibration tokens; "
        f"{'; '.join(cells.distinct('processor'))}, {' and '.join(str(n) for n in cells.distinct('threads'))} threads."
    )


def seeds_of(cells: Cells) -> str:
    return ", ".join(str(seed) for seed in sorted(cells.distinct("seed")))


def model_table(cells: Cells) -> str:
    base = next((name for name in (ablation.CLASSIC, "fast") if name in cells.variants()), None)
    head = ["variant"]
    for bits in cells.bits():
        head += [f"{bits} bits: increase, %", "KL"]
    rows = []
    for variant in cells.variants():
        row = [variant]
        for bits in cells.bits():
            row += [number(cells, variant, bits, metric, cells.usual_spread(bits, metric)) for metric in METRICS]
        rows.append(row + ([cpu_ratio(cells, variant, base)] if base else []))
    text = table(head + ([f"CPU time against {base}"] if base else []), rows)
    groups = " and ".join(str(group) for group in cells.distinct("group"))
    text += f"\nGroups of {groups}. {conditions(cells)} Seeds {seeds_of(cells)}: mean (least..most); `*`: one seed only.\n"
    fallbacks = sum(line.get("fallbacks", 0) for line in cells.all)
    if fallbacks:
        text += f"{fallbacks} linears fell back to rounding.\n"
    return text + f"Measured at {', '.join(f'`{revision}`' for revision in cells.distinct('revision'))}.\n"


def variants_table(cells_of_models: list) -> str:
    measured = {name for cells in cells_of_models for name in cells.variants()}
    rows = [
        [v.name, f"`{v.flags}`" if v.flags else "", v.says] for v in ablation.VARIANTS if v.name in measured
    ]
    return table(["variant", "flags", "what it is"], rows)


def peers_table(ours: Cells, peers: Cells) -> str:
    seeds = set(peers.distinct("seed"))
    usual = {(bits, metric): ours.usual_spread(bits, metric) for bits in peers.bits() for metric in METRICS}
    ours = Cells([c for c in ours.all if c["variant"] in PEERS_OF_OURS and (c["seed"] in seeds or c["variant"] in SEEDLESS)])
    head, notes, rows = ["tool"], [], []
    for bits in peers.bits():
        head += [f"{bits} bits: increase, %", "KL", "CPU s"]
    for cells, prefix in ((ours, "Hesse, "), (peers, "")):
        for variant in cells.variants():
            row = [prefix + variant]
            for bits in peers.bits():
                row += peer_cells(cells, (variant, bits), usual, notes)
            rows.append(row)
    text = table(head, rows) + "\n"
    text += "".join(f"{i}. {note}\n" for i, note in enumerate(notes, 1)) + ("\n" if notes else "")
    types = {line["dtype"]: [] for line in peers.all if "dtype" in line}
    for line in peers.all:
        if "dtype" in line and line["variant"] not in types[line["dtype"]]:
            types[line["dtype"]].append(line["variant"])
    ran = "; ".join(f"{dtype.replace('torch.', '')}: {', '.join(names)}" for dtype, names in types.items())
    groups = " and ".join(str(group) for group in peers.distinct("group"))
    return text + f"Groups of {groups}, seed {seeds_of(peers)} only. {conditions(peers)}" + (f" Ran in {ran}.\n" if ran else "\n")


def peer_cells(cells: Cells, place: tuple, usual: dict, notes: list) -> list:
    variant, bits = place
    failed = next((line["failed"] for line in cells.of(variant, bits) if "failed" in line), None)
    if failed:
        if failed not in notes:
            notes.append(failed)
        return [f"failed ({notes.index(failed) + 1})", NOTHING, NOTHING]
    numbers = [number(cells, variant, bits, metric, usual[bits, metric]).replace(" *", "") for metric in METRICS]
    cpu = cells.values(variant, bits, "cpu_seconds")
    return numbers + [f"{fmean(cpu):.0f}" if cpu else NOTHING]


def blocks_of(lines: list, peer_lines: list, bit_lines: list) -> dict:
    """{name: text between the markers}"""
    models = [model.name for model in ablation.MODELS]
    unknown = {line["model"] for line in lines + peer_lines} - set(models)
    if unknown:
        raise ValueError(f"[render] no model is called {', '.join(sorted(unknown))}")
    ours = {name: Cells([line for line in lines if line["model"] == name]) for name in models}
    peers = {name: Cells([line for line in peer_lines if line["model"] == name]) for name in models}
    blocks = {name: model_table(cells) for name, cells in ours.items() if cells.all}
    blocks.update({f"peers-{name}": peers_table(ours[name], cells) for name, cells in peers.items() if cells.all})
    if any(cells.all for cells in ours.values()):
        blocks["variants"] = variants_table(list(ours.values()))
        blocks["summary"] = summary_table([cells for cells in ours.values() if cells.all])
    return blocks | bits.blocks_of(bit_lines)


def summary_table(cells_of_models: list) -> str:
    """Seed 0 of the variants that a reader of the README wants to compare."""
    rows = []
    for cells in cells_of_models:
        first = cells.all[0]
        rows.append([first["model"], "", "full precision", f"{first['perplexity_original']:.3f}", "", ""])
        for bits in cells.bits():
            for variant in SUMMARY:
                for line in (c for c in cells.of(variant, bits) if c["seed"] == 0):
                    perplexity = line["perplexity_original"] * (1 + line["increase_percent"] / 100)
                    numbers = [f"{perplexity:.3f}", f"{line['increase_percent']:+,.2f} %", f"{line['kl']:.4f}"]
                    rows.append([line["model"], f"{bits} / {line['group']}", variant, *numbers])
    return table(["model", "bits / group", "method", "perplexity", "increase", "KL"], rows)


# ---- the documents


def rewritten(document: str, blocks: dict) -> str:
    places = [name for _, name, _, _ in BLOCK.findall(document)]
    for name in places:
        if name not in blocks:
            raise ValueError(f"[render] the document wants '{name}', the results have only {', '.join(sorted(blocks))}")
    for name in blocks:
        if places.count(name) != 1:
            raise ValueError(f"[render] '{name}' was measured; the document has {places.count(name)} places for it, not one")
    return BLOCK.sub(lambda found: f"{found[1]}\n{blocks[found[2]]}\n{found[4]}", document)


def documents_of(args: argparse.Namespace, blocks: dict) -> list:
    """[(file, its blocks)]"""
    summary = {name: text for name, text in blocks.items() if name == "summary"}
    others = {name: text for name, text in blocks.items() if name != "summary"}
    if args.document:
        return [(args.document, others)]
    return [(ROOT / "docs/QUALITY.md", others), (ROOT / "README.md", summary)]


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a document is out of date")
    parser.add_argument("--document", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "docs/quality/results.jsonl")
    parser.add_argument("--peers", type=Path, default=ROOT / "docs/quality/peers.jsonl")
    parser.add_argument("--bits", type=Path, default=ROOT / "docs/quality/bits.jsonl")
    args = parser.parse_args(arguments)
    different = 0
    try:
        for file, blocks in documents_of(args, blocks_of(results.read(args.results), results.read(args.peers), results.read(args.bits, bits.KEY))):
            old = file.read_text(encoding="utf-8")
            new = rewritten(old, blocks)
            if not args.check:
                file.write_text(new, encoding="utf-8")
                continue
            lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "document", "results", lineterm="", n=0))
            print("\n".join(lines) or f"{file.name} says what the results say")
            different += 1 if lines else 0
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
