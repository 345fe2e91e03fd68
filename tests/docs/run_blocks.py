"""Runs the shell blocks of the documents, so that what they show works.

    python3 run_blocks.py --root REPOSITORY --tool BUILD/hesse --work DIR

DIR is made anew. Blocks fenced as ```sh in README.md and docs/*.md run in their order, each with `bash -e`, in a folder where `models` is
the repository's and `build/release/hesse` is the tool. A block fenced as ```console is only shown: it installs things or
takes long, and other tests cover what it calls. Exit code 1 names the first block that fails.
"""
import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell_blocks(document: Path) -> list:
    return [body for language, body in FENCE.findall(document.read_text(encoding="utf-8")) if language == "sh"]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--tool", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    links = {args.work / "models": args.root / "models", args.work / "build/release/hesse": args.tool}
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target.resolve())
    count = 0
    for document in [args.root / "README.md", *sorted((args.root / "docs").glob("*.md"))]:
        for body in shell_blocks(document):
            done = subprocess.run(["bash", "-e"], input=body, cwd=args.work, capture_output=True, text=True)
            count += 1
            if done.returncode != 0:
                print(f"{document.name}: exit code {done.returncode} from\n{body}{done.stdout}{done.stderr}")
                return 1
    print(f"{count} blocks ran")
    return 0 if count > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
