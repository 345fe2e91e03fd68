#!/usr/bin/env python3
"""Measures what each part of the recipe is worth: a grid of models, variants, bits and seeds.

    ablation.py --tool build/release/hesse [--smollm2 DIR] [--gemma3-270m DIR] [--data DIR]
                [--models demo smollm2] [--variants default rtn] [--bits 4 3] [--seeds 0 1 2] [--results FILE] [--list]

Each finished cell is a line of the results file, and cells that are there already are skipped: a run that was killed
goes on where it was when it is started again. The cells that say most come first. Trust CPU seconds (user and system),
not wall time, on a machine that does anything else. A model whose directory is not given is left out.

DIR of --data holds calibration/wiki.txt, calibration/c4.txt and eval/wikitext2-test-first-half.txt (docs/quality/README.md).
"""
import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

import measure
import overlap
import results


class Variant(NamedTuple):
    name: str
    flags: str
    says: str  # in the tables
    seedless: bool = False  # runs without calibration text: one seed is enough


DEFAULT, CLASSIC = "balanced", "classic"
VARIANTS = [
    Variant(DEFAULT, "", "every default of `hesse quantize`"),
    Variant(CLASSIC, "--preset classic", "GPTQ as published: one stream, min/max scales, natural order"),
    Variant("fast", "--preset fast", "one stream, no descent"),
    Variant("best", "--preset best --samples 64", "twice the candidates and sweeps; here on the same text"),
    Variant("best, 4 times the text", "--preset best --samples 256", "as many windows as the text has, 256 at most"),
    Variant("rtn", "--method rtn --scale-search minmax", "rounding to nearest, min/max scales", seedless=True),
    Variant("one stream", "--shift 0 --residual 0", "targets do not follow the original model"),
    Variant("shift only", "--residual 0", "targets follow its inputs, not its residual stream"),
    Variant("no ridge", "--ridge 0", "the targets' regression damped like the solve, however few the tokens"),
    Variant("no ridge, 0.75", "--ridge 0 --shift 0.75 --residual 0.75", "the best shift without a ridge"),
    Variant("ridge 20", "--ridge 20", "four times the damping of that regression"),
    Variant("shift 0.5", "--shift 0.5 --residual 0.5", "targets follow it by half"),
    Variant("shift 1", "--shift 1 --residual 1", "targets follow it all the way"),
    Variant("order activation", "--order activation", "columns by diag(H), scales before the solve"),
    Variant("order file", "--order file", "columns as they lie"),
    Variant("no joint search", "--joint 1", "the best grid of the ranking is taken as it is"),
    Variant("no descent", "--sweeps 0", "the solve alone"),
    Variant("solve alone", "--joint 1 --sweeps 0", "neither joint search nor descent"),
    Variant("min/max scales", "--scale-search minmax", "no search; the joint search has one candidate"),
    Variant("positive scales", "--positive-scales", "no negative scales"),
    Variant("asymmetric", "--asym", "a zero point a group, which takes a little more room"),
    Variant("damping 0.001", "--damp 0.001", "a tenth of the damping"),
    Variant("damping 0.1", "--damp 0.1", "ten times the damping"),
    Variant("damping by data", "--damp auto", "chosen for each stage by held-out sequences"),
]


class Model(NamedTuple):
    name: str
    says: str
    group: int
    windows: int  # of 512 tokens
    calibration: tuple  # below --data, or below the model's directory where that is in the repository
    text: str
    in_repository: Optional[str] = None
    bos: bool = False


OUTSIDE = dict(calibration=("calibration/wiki.txt", "calibration/c4.txt"), text="eval/wikitext2-test-first-half.txt")
MODELS = [
    Model("demo", "the demo model, models/tiny-llama", 128, 97, ("calibration.txt",), "heldout.txt", "models/tiny-llama"),
    Model("smollm2", "SmolLM2-135M-Instruct, the copy that `tools/real_models.py` makes", 64, 40, **OUTSIDE),
    Model("gemma3-270m", "Gemma 3 270M, the copy that `tools/real_models.py` makes", 64, 40, **OUTSIDE, bos=True),
]
BITS, SEEDS = [4, 3, 2], [0, 1, 2]
SAMPLES, LENGTH = 64, 512


class Setup(NamedTuple):
    """A model with its files on this machine."""

    name: str
    directory: Path
    calibration: list
    text: Path
    group: int
    windows: int
    bos: bool


def setup_of(model: Model, directory: Optional[Path], data: Optional[Path]) -> Optional[Setup]:
    """None when the model was not given."""
    if model.in_repository:
        directory = base = measure.ROOT / model.in_repository
    elif directory is None:
        return None
    elif data is None:
        raise measure.Failed(f"[setup] {model.name}: needs the texts of --data DIR")
    else:
        base = data
    setup = Setup(
        model.name, directory, [base / file for file in model.calibration], base / model.text,
        model.group, model.windows, model.bos,
    )  # fmt: skip
    for path in (directory / "config.json", setup.text, *setup.calibration):
        if not path.is_file():
            raise measure.Failed(f"[setup] {model.name}: {path} is missing")
    refusal = overlap.complaint(setup.text, setup.calibration)
    if refusal:
        raise measure.Failed(refusal)
    return setup


def add_setup_flags(parser: argparse.ArgumentParser) -> None:
    for model in MODELS:
        if not model.in_repository:
            parser.add_argument(f"--{model.name}", dest=model.name, type=Path, metavar="DIR", help=model.says)
    parser.add_argument("--data", type=Path, metavar="DIR", help="the texts of the models outside the repository")
    parser.add_argument("--models", nargs="+", default=[m.name for m in MODELS], choices=[m.name for m in MODELS])


def setups_of(args: argparse.Namespace) -> list:
    chosen = [model for model in MODELS if model.name in args.models]
    setups = [setup_of(model, getattr(args, model.name, None), args.data) for model in chosen]
    for model, setup in zip(chosen, setups):
        if setup is None:
            print(f"{model.name}: left out, give --{model.name} DIR", file=sys.stderr)
    return [setup for setup in setups if setup]


class Cell(NamedTuple):
    setup: Setup
    variant: Variant
    bits: int
    seed: int

    def key(self, revision: str) -> tuple:
        return (self.setup.name, self.variant.name, self.bits, self.setup.group, self.seed, revision)

    def __str__(self) -> str:
        return f"{self.setup.name} {self.variant.name} {self.bits}/{self.setup.group} seed {self.seed}"


def cells_of(setups: list, variants: list, bits: list, seeds: list) -> list:
    """First seed first, in it the default variant of every model, then the other variants; within these, table order."""
    cells = [
        Cell(setup, variant, width, seed)
        for seed in seeds
        for others in (False, True)
        for setup in setups
        for variant in variants
        for width in bits
        if (variant.name != DEFAULT) == others and (seed == seeds[0] or not variant.seedless)
    ]
    return cells


def flags_of(cell: Cell) -> list:
    own = shlex.split(cell.variant.flags)
    samples = [] if "--samples" in own else ["--samples", SAMPLES]
    return [
        *samples, "--length", LENGTH, "--bits", cell.bits, "--group-size", cell.setup.group,
        "--seed", cell.seed, *(["--bos", "always"] if cell.setup.bos else []), *own,
    ]  # fmt: skip


def spelled(flags: list) -> str:
    return " ".join(str(flag) for flag in flags)


def measure_cell(cell: Cell, tool: Path, revision: str, threads: int) -> dict:
    flags = flags_of(cell)
    with tempfile.TemporaryDirectory(prefix="hesse-quality-") as work:
        out = Path(work) / "quantized"
        text = [] if cell.variant.seedless else ["--calib", *cell.setup.calibration]
        command = [tool, "quantize", cell.setup.directory, "-o", out, *text, *flags, "--threads", threads]
        done = measure.run([*command, "--json", "--quiet"])
        record = measure.json_of(done, "quantize", good=(0, 1))  # 1: with fallbacks, which the cell says
        quality = measure.evaluate(tool, out, cell.setup)
    return {
        **dict(zip(results.KEY, cell.key(revision))),
        **quality,
        **done.cost(),
        "bits_per_weight": record["result"]["bits_per_weight"],
        "fallbacks": record["result"]["fallbacks"],
        "calibration_tokens": record["calibration"]["tokens"] if record.get("calibration") else 0,
        "flags": spelled(flags),
        "inputs": {file["name"]: file["sha256"][:12] for file in record["inputs"]},
        **{name: record["machine"][name] for name in ("processor", "simd", "libraries", "threads")},
        "version": f"hesse {record['version']}",
    }


def run_cells(cells: list, args: argparse.Namespace, revision: str) -> int:
    # The flags belong to it: a row of the table above may have changed under its name.
    done = {(results.key_of(cell), cell["flags"]) for cell in results.read(args.results)}
    missing = [cell for cell in cells if (cell.key(revision), spelled(flags_of(cell))) not in done]
    print(f"{len(cells)} cells at revision {revision}, {len(cells) - len(missing)} of them there already", flush=True)
    failures = 0
    for number, cell in enumerate(missing, 1):
        try:
            line = measure_cell(cell, args.tool, revision, args.threads)
        except measure.Failed as error:
            print(f"[{number}/{len(missing)}] {cell}: FAILED: {error}", flush=True)
            failures += 1
            continue
        results.append(args.results, line)
        said = f"{line['increase_percent']:+.2f} %, KL {line['kl']:.5f}, {line['cpu_seconds']:.0f} CPU s"
        print(f"[{number}/{len(missing)}] {cell}: {said}", flush=True)
    return 1 if failures else 0


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--tool", type=Path, default=measure.ROOT / "build/release/hesse")
    add_setup_flags(parser)
    parser.add_argument("--variants", nargs="+", default=names, choices=names)
    parser.add_argument("--bits", nargs="+", type=int, default=BITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--results", type=Path, default=measure.ROOT / "docs/quality/results.jsonl")
    parser.add_argument("--revision", help="what the tool was built from; default: asked of git")
    parser.add_argument("--list", action="store_true", help="print the cells in their order and stop")
    args = parser.parse_args(arguments)
    args.tool = args.tool.resolve()
    measure.stop_on_signals()
    try:
        cells = cells_of(setups_of(args), [v for v in VARIANTS if v.name in args.variants], args.bits, args.seeds)
        if args.list:
            print("\n".join(str(cell) for cell in cells))
            return 0
        return run_cells(cells, args, args.revision or measure.revision_of(args.tool))
    except (measure.Failed, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
