#!/usr/bin/env python3
"""Writes the tables of docs/PERFORMANCE.md from e2e.jsonl, peers.jsonl and tokenizers.jsonl in docs/performance.

    bench/tables.py [--check] [--document FILE] [--e2e FILE] [--peers FILE] [--tokenizers FILE] [--list]

What stands between `<!-- begin generated: NAME -->` and `<!-- end generated: NAME -->` is replaced; --list prints the names
for which there are results: `runs`, `phases-MODEL-PRESET-BITS`, `peers-MODEL` and `tokenizers`. Results without a place in the document stay
out of it. --check writes nothing and returns 1 when the document differs from what the results say. Numbers are medians;
of several builds the one that was measured last counts.
"""
import argparse
import difflib
import sys
from pathlib import Path
from statistics import median

import e2e
import gauge
import peer_speed
import render
import results

SETTING = e2e.KEY[: e2e.KEY.index("binary")]
TOKENIZER_KEY = ("tokenizer", "text", "binary", "version", "run")  # of tokenizer_speed.py, which needs more packages
FOLDER = gauge.ROOT / "docs/performance"


def newest(lines: list, key: tuple) -> list:
    """Without what failed: the lines of each setting's last binary; of two lines with one key the later."""
    good = {results.key_of(line, key): line for line in lines if "failed" not in line}
    of = "binary" if "binary" in key else "version"
    setting = [name for name in key if name not in (of, "run")]
    last = {results.key_of(line, setting): line[of] for line in good.values()}
    return [line for line in good.values() if line[of] == last[results.key_of(line, setting)]]


def in_groups(lines: list, names: tuple) -> dict:
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line[name] for name in names), []).append(line)
    return groups


def middle(values: list):
    known = [value for value in values if value is not None]
    return median(known) if known else None


def figure(value, digits: int = 1) -> str:
    return render.NOTHING if value is None else f"{value:,.{digits}f}"


def percent(value) -> str:
    return render.NOTHING if value is None else f"{100 * value:.0f} %"


def conditions(lines: list, key: tuple) -> str:
    """What the numbers depend on, in one paragraph."""
    distinct = lambda name: sorted({str(line[name]) for line in lines if line.get(name) is not None})  # noqa: E731
    text = f"{', '.join(distinct('processor'))}; {' and '.join(distinct('threads'))} threads"
    text += f"; {' and '.join(distinct('samples'))} windows of {' and '.join(distinct('length'))} tokens"
    runs = sorted({len(own) for own in in_groups(lines, tuple(name for name in key if name != "run")).values()})
    elsewhere = [line["busy_elsewhere"] for line in lines if line.get("busy_elsewhere") is not None]
    text += "; one run" if runs == [1] else f"; medians of {' or '.join(str(count) for count in runs)} runs"
    return text + (f"; others had up to {percent(max(elsewhere))} of the machine.\n" if elsewhere else ".\n")


def phases_table(lines: list) -> str:
    """Of one setting."""
    columns = {}
    for line in lines:
        for phase, seconds, flops, share in e2e.rates_of(line):
            columns.setdefault(phase, []).append((seconds, flops, share))
    rows = []
    for phase, found in columns.items():
        seconds, flops, share = (middle([one[i] for one in found]) for i in range(3))
        gflop = None if flops is None else flops / 1e9
        rows.append([phase, figure(seconds, 2), figure(gflop), figure(gflop / seconds if gflop and seconds else None), percent(share)])
    text = render.table(["phase", "seconds", "GFLOP", "GFLOP/s", "of matrix products"], rows)
    rate = middle([line["gemm_gflops"] for line in lines])
    products = f" Matrix products of float32: {rate:.1f} GFLOP/s." if rate else ""
    first = lines[0]
    said = f"{first['bits']} bits in groups of {first['group']}{'; ' + first['flags'] if first['flags'] else ''}"
    return f"{text}\n{said}; {conditions(lines, e2e.KEY)[:-1]}{products}\n"


def runs_table(lines: list) -> str:
    rows = []
    for (model, preset, bits, group, samples, length, threads, flags), own in in_groups(lines, SETTING).items():
        total = [e2e.rates_of(line)[-1] for line in own]
        rows.append([
            model, f"{preset} {flags}".strip(), f"{bits} / {group}", f"{samples} x {length}", str(threads),
            figure(middle([line["seconds"] for line in own]), 1), figure(middle([line["cpu_seconds"] for line in own]), 1),
            figure(max(line["peak_memory_bytes"] for line in own) / 1e9, 2),
            figure(middle([flops / 1e9 / seconds if flops and seconds else None for _, seconds, flops, _ in total])),
            percent(middle([share for _, _, _, share in total])),
        ])  # fmt: skip
    head = ["model", "preset", "bits / group", "tokens", "threads", "seconds", "CPU s", "peak GB", "GFLOP/s", "of matrix products"]
    return f"{render.table(head, rows)}\n{conditions(lines, e2e.KEY)}"


def peers_table(lines: list) -> str:
    """Of one model."""
    rows = []
    for (name,), own in in_groups(lines, ("contestant",)).items():
        cost = [figure(middle([line[cost] for line in own])) for cost in ("cpu_seconds", "wall_seconds")]
        inner = [line.get("without_import") for line in own]
        alone = [figure(middle([i and i[cost] for i in inner])) for cost in ("cpu_seconds", "wall_seconds")]
        version = "" if own[0]["kind"].startswith("hesse") else f" ({own[0]['version']})"
        rows.append([name + version, *cost, *alone, figure(max(line["peak_memory_bytes"] for line in own) / 1e9, 2)])
    head = ["program", "CPU s", "wall s", "without import: CPU s", "wall s", "peak GB"]
    return f"{render.table(head, rows)}\n{conditions(lines, peer_speed.KEY)}"


def tokenizers_table(lines: list) -> str:
    rows = []
    for (name,), own in in_groups(lines, ("tokenizer",)).items():
        ours, theirs = (middle([line[rate] / 1e6 for line in own]) for rate in ("bytes_per_second", "their_bytes_per_second"))
        rows.append([name, f"{own[-1]['vocabulary']:,}", figure(ours), figure(theirs), figure(ours / theirs)])
    first = lines[-1]
    head = ["tokenizer", "tokens it knows", "Hesse, MB/s", f"tokenizers {first['version']}, MB/s", "ratio"]
    text = f"{first['bytes']:,} bytes of {first['text']}; one thread; {first['processor']}"
    return f"{render.table(head, rows)}\n{text}; medians of {max(line['run'] for line in lines) + 1} runs.\n"


def blocks_of(runs: list, others: list, tokenizers: list) -> dict:
    """{name: text between the markers}"""
    runs, others = newest(runs, e2e.KEY), newest(others, peer_speed.KEY)
    tokenizers = newest(tokenizers, TOKENIZER_KEY)
    blocks = {"runs": runs_table(runs)} if runs else {}
    for (model, preset, bits), own in in_groups(runs, ("model", "preset", "bits")).items():
        last = list(in_groups(own, SETTING).values())[-1]  # of samples, lengths, threads and flags
        blocks[f"phases-{model}-{preset}-{bits}"] = phases_table(last)
    for (model,), own in in_groups(others, ("model",)).items():
        blocks[f"peers-{model}"] = peers_table(own)
    if tokenizers:
        blocks["tokenizers"] = tokenizers_table(tokenizers)
    return blocks


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when the document is out of date")
    parser.add_argument("--list", action="store_true", help="print the names of the tables, and stop")
    parser.add_argument("--document", type=Path, default=gauge.ROOT / "docs/PERFORMANCE.md")
    parser.add_argument("--e2e", type=Path, default=FOLDER / "e2e.jsonl")
    parser.add_argument("--peers", type=Path, default=FOLDER / "peers.jsonl")
    parser.add_argument("--tokenizers", type=Path, default=FOLDER / "tokenizers.jsonl")
    args = parser.parse_args(arguments)
    try:
        blocks = blocks_of(
            results.read(args.e2e, e2e.KEY),
            results.read(args.peers, peer_speed.KEY),
            results.read(args.tokenizers, TOKENIZER_KEY),
        )
        if args.list:
            print("\n".join(blocks))
            return 0
        old = args.document.read_text(encoding="utf-8")
        places = {name for _, name, _, _ in render.BLOCK.findall(old)}
        new = render.rewritten(old, {name: text for name, text in blocks.items() if name in places})
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if not args.check:
        args.document.write_text(new, encoding="utf-8")
        return 0
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), "document", "results", lineterm="", n=0))
    print("\n".join(lines) or f"{args.document.name} says what the results say")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
