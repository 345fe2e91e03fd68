"""Refuses to measure on text that calibration has seen.

    overlap.py EVALUATION_TEXT CALIBRATION_TEXT...     prints what was found; exit code 1 when they overlap

Both texts are reduced to their letters and digits in lower case, so that differences of spacing, punctuation and line
breaks hide nothing. A shingle is a run of 64 such characters inside one line of the evaluation text; every shingle, at
every position, is looked up among all runs of the calibration texts. Nothing is sampled or hashed.
"""
import argparse
import sys
from pathlib import Path
from typing import NamedTuple

SHINGLE = 64  # characters: about twelve words, more than phrases and titles share by chance
# Formulas of a licence or a manual do repeat between unrelated documents: the demo model's two texts share one sentence,
# 8e-5 of the shingles. A copied article is far beyond both limits.
LARGEST_SHARE = 1e-3  # of all shingles
LARGEST_LINE_SHARE = 0.5  # of the shingles of one line of at least LONG_LINE characters
LONG_LINE = 200


class Overlap(NamedTuple):
    shingles: int
    share: float  # of them present in the calibration texts
    copied_lines: list  # long lines of which more than LARGEST_LINE_SHARE is present

    def refused(self) -> bool:
        return self.share > LARGEST_SHARE or bool(self.copied_lines)


def reduced(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def shingles_of(text: str):
    return (text[i : i + SHINGLE] for i in range(len(text) - SHINGLE + 1))


def overlap(evaluation: str, calibrations: list) -> Overlap:
    lines = [line for line in evaluation.splitlines() if len(reduced(line)) >= SHINGLE]
    wanted = {shingle for line in lines for shingle in shingles_of(reduced(line))}
    present = {s for text in calibrations for s in shingles_of(reduced(text)) if s in wanted}
    total, found, copied = 0, 0, []
    for line in lines:
        own = list(shingles_of(reduced(line)))
        hits = sum(shingle in present for shingle in own)
        total, found = total + len(own), found + hits
        if len(reduced(line)) >= LONG_LINE and hits > LARGEST_LINE_SHARE * len(own):
            copied.append(line)
    return Overlap(total, found / total if total else 0.0, copied)


def overlap_of_files(evaluation: Path, calibrations: list) -> Overlap:
    texts = [Path(file).read_text(encoding="utf-8") for file in calibrations]
    return overlap(Path(evaluation).read_text(encoding="utf-8"), texts)


def complaint(evaluation: Path, calibrations: list) -> str:
    """'' when the evaluation text may be measured on."""
    found = overlap_of_files(evaluation, calibrations)
    if found.shingles == 0:
        return f"[overlap] {Path(evaluation).name}: no line of {SHINGLE} letters or digits; nothing can be checked"
    if not found.refused():
        return ""
    text = (
        f"[overlap] {Path(evaluation).name}: {100 * found.share:.2f} % of its {SHINGLE}-character runs are in the "
        f"calibration text (allowed: {100 * LARGEST_SHARE:g} %), {len(found.copied_lines)} long lines are copied"
    )
    if found.copied_lines:
        text += f", the first: '{found.copied_lines[0].strip()[:60]}...'"
    return text + "; give another text"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("calibration", type=Path, nargs="+")
    args = parser.parse_args()
    refusal = complaint(args.evaluation, args.calibration)
    found = overlap_of_files(args.evaluation, args.calibration)
    print(refusal or f"{args.evaluation.name}: {100 * found.share:.4f} % of {found.shingles} runs; no copied lines")
    return 1 if refusal else 0


if __name__ == "__main__":
    sys.exit(main())
