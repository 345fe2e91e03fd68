#!/usr/bin/env python3
"""Text into token ids: Hesse and Hugging Face's `tokenizers` in turns, one thread each, on the same text.

    bench/tokenizer_speed.py --bench build/bench/bench/tokenizer_bench --tool build/release/hesse --models DIR...
         [--trained FILE... [--vocab 16000]] [--text FILE] [--runs 3] [--results FILE]

DIR holds a tokenizer.json. --trained makes one with the pipeline of each kind of real model besides, from the texts FILE...
Needs a Python with `tokenizers` (and `sentencepiece` for --trained). The ids of both must be equal before time counts.
`tokenizers` gets the text as a whole and as its lines in one batch, and the better of the two is taken; parallelism is off.
A line of the results file for each tokenizer and run.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402: behind the setting that it reads

import gauge  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import results  # noqa: E402
import tables  # noqa: E402

MAKER = gauge.ROOT / "tools/make_tokenizer_fixtures.py"
SECONDS = 0.5  # that one side of one run takes at least


def trained(texts: list, vocab: int, folder: Path) -> list:
    """Directories with a tokenizer.json each."""
    words = [sys.executable, "-B", MAKER, "families", *texts, "--vocab", vocab, "--random", 0, "--save", folder]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
    return sorted(path.parent for path in folder.glob("*/tokenizer.json"))


def same_ids(tool: Path, directory: Path, text: Path, theirs) -> int:
    """How many ids; they must be the same."""
    done = measure.run([tool, "tokenize", directory, "--file", text, "--no-special", "--json"])
    ours = measure.json_of(done, "tokenize")["texts"][0]["ids"]
    if ours != theirs.encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids:
        raise measure.Failed(f"[tokenizers] {directory.name}: the ids differ; tools/compare_tokenizers.sh says where")
    return len(ours)


def our_rate(bench: Path, directory: Path, text: Path) -> float:
    """Bytes a second."""
    words = [f"--benchmark_filter=^encode/{directory.name}$", f"--benchmark_min_time={SECONDS}", "--benchmark_format=json"]
    done = measure.run([bench, *words, text, directory])
    return measure.json_of(done, "tokenizer_bench")["benchmarks"][0]["bytes_per_second"]


def their_rate(tokenizer, text: str) -> float:
    lines = text.splitlines(keepends=True)
    jobs = (lambda: tokenizer.encode(text, add_special_tokens=False),
            lambda: tokenizer.encode_batch(lines, add_special_tokens=False))  # fmt: skip
    return len(text.encode()) / min(seconds_of(job) for job in jobs)


def seconds_of(job) -> float:
    """Processor seconds of one call, as Google Benchmark counts them: the mean over SECONDS."""
    begin, count = time.process_time(), 0
    while count == 0 or time.process_time() - begin < SECONDS:
        job()
        count += 1
    return (time.process_time() - begin) / count


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True, help="the program tokenizer_bench")
    parser.add_argument("--tool", type=Path, default=gauge.ROOT / "build/release/hesse")
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--trained", type=Path, nargs="+", default=[])
    parser.add_argument("--vocab", type=int, default=16000)
    parser.add_argument("--text", type=Path, default=gauge.ROOT / "models/tiny-llama/calibration.txt")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--results", type=Path, help="a line a run; default: nothing is kept")
    return parser.parse_args(arguments)


def run_all(args, folder: Path) -> None:
    directories = [path.resolve() for path in args.models]
    if args.trained:
        directories += trained([path.resolve() for path in args.trained], args.vocab, folder)
    text = args.text.read_text(encoding="utf-8")
    known = {path: tokenizers.Tokenizer.from_file(str(path / "tokenizer.json")) for path in directories}
    counts = {path: same_ids(args.tool, path, args.text, theirs) for path, theirs in known.items()}
    for run in range(args.runs):
        for directory, theirs in known.items():
            line = {
                "tokenizer": directory.name, "text": args.text.name, "binary": measure.checksum(args.bench),
                "version": tokenizers.__version__, "run": run, "ids": counts[directory], "vocabulary": theirs.get_vocab_size(),
                "bytes": len(text.encode()), "bytes_per_second": round(our_rate(args.bench, directory, args.text)),
                "their_bytes_per_second": round(their_rate(theirs, text)), "processor": peers.processor(),
            }  # fmt: skip
            if args.results:
                results.append(args.results, line, tables.TOKENIZER_KEY)
            rates = line["bytes_per_second"] / 1e6, line["their_bytes_per_second"] / 1e6
            print(f"{directory.name}: {rates[0]:.1f} against {rates[1]:.1f} MB/s", flush=True)


def main(arguments=None) -> int:
    args = parsed(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run_all(args, Path(folder))
    except (measure.Failed, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
