"""Runs programs and says what they cost; runs `hesse eval` and `hesse quantize` and says what they found."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
MADE_FROM = ("src", "include", "cmake", "CMakeLists.txt")  # what the tool is built from


class Run(NamedTuple):
    code: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    cpu_seconds: float  # user and system, all its threads
    wall_seconds: float
    peak_memory_bytes: int

    def cost(self) -> dict:
        return {
            "cpu_seconds": round(self.cpu_seconds, 2),
            "wall_seconds": round(self.wall_seconds, 2),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


class Failed(Exception):
    """A program that did not do its job; the text is one line."""


def run(command: list, folder=None, **environment) -> Run:
    """In `folder`, or here. Children of the program count only as far as it waits for them itself."""
    # A thread that spins while it waits would be counted as work.
    env = {"OMP_WAIT_POLICY": "passive", **os.environ, **environment}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        words = [str(word) for word in command]
        child = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        wall = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)  # the Popen object must not wait again
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
    kibibytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return Run(child.returncode, *texts, usage.ru_utime + usage.ru_stime, wall, int(kibibytes * 1024))


def stop_on_signals() -> None:
    """Children end and temporary directories go; what is finished stays."""

    def stop(number, _):
        print(f"stopped by signal {number}; the same command goes on from here", file=sys.stderr, flush=True)
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, stop)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def json_of(result: Run, what: str, good=(0,)) -> dict:
    if result.code not in good:
        raise Failed(f"{what}: exit code {result.code}: {last_line(result.stderr)}")
    try:
        return json.loads(result.stdout)
    except ValueError:
        raise Failed(f"{what}: exit code {result.code}, but no JSON: {last_line(result.stderr)}") from None


def evaluate(tool, directory, setup) -> dict:
    """setup: an ablation.Setup. -> what a cell says about quality."""
    flags = ["--windows", setup.windows] + ["--bos", "always" if setup.bos else "never"]
    command = [tool, "eval", directory, "--against", setup.directory, "--text", setup.text, *flags, "--json", "--quiet"]
    found = json_of(run(command), "eval")
    original, quantized = found["against"]["perplexity"], found["perplexity"]
    if original is None or quantized is None or quantized != quantized:
        raise Failed("eval: the perplexity is not a number")
    return {
        "perplexity_original": original,
        "perplexity": quantized,
        "increase_percent": 100 * (quantized / original - 1),
        "kl": found["against"]["kl"],
        "top1_agreement": found["against"]["top1_agreement"],
        "windows": found["windows"],
        "text": {setup.text.name: checksum(setup.text)},
    }


def checksum(file: Path) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]


def git(*words) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"[revision] git {words[0]}: {last_line(done.stderr)}; give --revision")
    return done.stdout.strip()


def revision_of(tool: Path) -> str:
    """The last commit that changed what the tool is made from; refuses a tool that is older than its sources."""
    if git("status", "--porcelain", "--", *MADE_FROM):
        raise Failed("[revision] src/ has changes that are not committed; commit them, or name them with --revision")
    built = tool.stat().st_mtime
    for name in git("ls-files", "--", *MADE_FROM).splitlines():
        if (ROOT / name).stat().st_mtime > built:
            raise Failed(f"[revision] {tool.name} is older than {name}; build it again, or give --revision")
    return git("log", "-1", "--format=%h", "--abbrev=10", "--", *MADE_FROM)
