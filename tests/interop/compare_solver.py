"""Layer by layer: the loss of Hesse's solver against classic GPTQ on the weights and Hessians of a real model.

    python compare_solver.py --solver BUILD/solve_file --model DIR --calib FILE [--layers 0,2,5] [--bits 4,3]

Runs `solve_file IN OUT --bits B --group-size G --sym` on the pairs that hessians.py makes; OUT holds NAME.weight
dequantized, as float32. Losses are relative output errors tr(E H E^T) / tr(W H W^T). With --text they are measured
on the Hessians of that text, which neither solver has seen, as well; the verdict is on the calibration Hessians.
Exit code 0 if the geometric mean of hesse / classic is at most 1 (below 1 at 3 bits and fewer), 1 if not, 2 on misuse.
"""
import argparse
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import hessians
import reference
from classic_gptq import classic_gptq, loss, rtn


def numbers(text: str) -> list:
    return [int(item) for item in text.split(",")]


def solve(args, pairs_file: Path, bits: int, folder: Path) -> dict:
    """Hesse's answer, {NAME: dequantized weight}."""
    out = folder / f"solved-{bits}.safetensors"
    command = [args.solver, str(pairs_file), str(out), "--bits", str(bits), "--group-size", str(args.group_size)]
    subprocess.run(command + ["--sym" if args.sym else "--asym"], check=True)
    solved = load_file(str(out))
    return {name[: -len(".weight")]: tensor for name, tensor in solved.items() if name.endswith(".weight")}


def losses(pairs: dict, answers: dict, judges: list) -> dict:
    """{NAME: [{method: loss} per judge]}; a judge is a set of Hessians."""
    table = {}
    for name in answers["hesse"]:
        W, grams = pairs[name + ".weight"], [judge[name + ".hessian"] for judge in judges]
        table[name] = [{method: loss(W, Q[name], H) for method, Q in answers.items()} for H in grams]
    return table


def geometric_mean(values: list) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def print_table(table: dict, judge: int, title: str) -> float:
    """Returns the geometric mean of hesse / classic."""
    print(f"\n{title}\n{'linear':<44} {'rtn':>10} {'classic':>10} {'hesse':>10} {'hesse/classic':>14}")
    ratios = []
    for name, columns in table.items():
        row = columns[judge]
        ratios.append(row["hesse"] / row["classic"])
        print(f"{name:<44} {row['rtn']:>10.3e} {row['classic']:>10.3e} {row['hesse']:>10.3e} {ratios[-1]:>14.4f}")
    mean = geometric_mean(ratios)
    print(f"{'geometric mean':<44} {'':>32} {mean:>14.4f}   worst {max(ratios):.4f}, best {min(ratios):.4f}")
    return mean


def collect(args, text: str) -> dict:
    windows = reference.token_windows(args.model, text, args.length, args.samples)
    return hessians.collect(reference.load(args.model), windows, args.layers)


def compare(args, bits: int, pairs: dict, judges: list, pairs_file: Path) -> bool:
    names = [name[: -len(".weight")] for name in pairs if name.endswith(".weight")]
    answers = {"rtn": {}, "classic": {}, "hesse": solve(args, pairs_file, bits, pairs_file.parent)}
    missing = sorted(set(names) - set(answers["hesse"]))
    if missing:
        print(f"FAIL {args.solver} left out {', '.join(missing)}")
        return False
    for name in names:
        W = pairs[name + ".weight"].double()
        answers["rtn"][name] = rtn(W, bits, args.group_size)
        answers["classic"][name] = classic_gptq(W, pairs[name + ".hessian"], bits, args.group_size)
    table = losses(pairs, answers, judges)
    mean = print_table(table, 0, f"{bits} bits, groups of {args.group_size}, calibration text")
    if len(judges) > 1:
        print_table(table, 1, f"{bits} bits, groups of {args.group_size}, other text")
    passed = mean < 1 if bits <= 3 else mean <= 1
    needed = "< 1" if bits <= 3 else "<= 1"
    print(f"{'ok' if passed else 'FAIL'} {bits} bits: geometric mean {mean:.4f}, needed {needed}")
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--solver", required=True, help="the solve_file program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--calib", required=True)
    parser.add_argument("--text", help="judge on this text too")
    parser.add_argument("--layers", type=numbers, default=[0, 2, 5])
    parser.add_argument("--bits", type=numbers, default=[4, 3])
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--asym", dest="sym", action="store_false", help="let Hesse choose zero points")
    args = parser.parse_args()
    if not Path(args.solver).is_file():
        print(f"{args.solver}: no such program; build the target solve_file first", file=sys.stderr)
        sys.exit(2)
    torch.manual_seed(0)
    pairs = collect(args, args.calib)
    judges = [pairs] + ([collect(args, args.text)] if args.text else [])
    with tempfile.TemporaryDirectory() as folder:
        pairs_file = Path(folder) / "pairs.safetensors"
        save_file(pairs, str(pairs_file))
        passed = [compare(args, bits, pairs, judges, pairs_file) for bits in args.bits]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
