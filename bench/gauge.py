"""What a timing is worth: whether the tool is a release build, how fast this machine multiplies now, who else is working."""
import os
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/quality"))
import measure  # noqa: E402: found through the path above

USAGE = 2  # exit code of a tool that does not know the command
RELEASE = ("release", "relwithdebinfo")


class Tool(NamedTuple):
    path: Path
    label: str  # in the tables
    binary: str  # digits of its checksum: a tool that was built again is another one
    benches: bool  # knows `hesse bench`


def tool_of(path: Path, label: str, any_build: bool) -> Tool:
    """Refuses debug and sanitizer builds, and such as nobody can tell from one (unless any_build)."""
    path = path.resolve()
    if not path.is_file():
        raise measure.Failed(f"[tool] {path} is missing; make build")
    said = bench(path, threads=0)
    build = said.get("build") or build_of_cache(path)
    if any_build:
        build = "release"
    if build is None:
        raise measure.Failed(f"[tool] {path}: neither `bench --json` nor a CMakeCache.txt says how it was built; --any-build")
    if build.lower() not in RELEASE:
        raise measure.Failed(f"[tool] {path} is a {build} build, whose times mean nothing; make build")
    return Tool(path, label, measure.checksum(path), "gemm_f32_gflops" in said)


def bench(path: Path, threads: int) -> dict:
    """What `hesse bench --json` says; {} of a tool without that command."""
    done = measure.run([path, "bench", "--json", *(["--threads", threads] if threads else [])])
    return {} if done.code == USAGE else measure.json_of(done, "bench")


def build_of_cache(path: Path) -> Optional[str]:
    """What the build directory of the tool says of itself; None without one."""
    for folder in list(path.parents)[:2]:
        cache = folder / "CMakeCache.txt"
        if cache.is_file():
            entries = dict(line.split("=", 1) for line in cache.read_text().splitlines() if "=" in line and line[0] != "#")
            values = {name.split(":")[0]: value for name, value in entries.items()}
            return "sanitizer" if values.get("HESSE_SANITIZE") else values.get("CMAKE_BUILD_TYPE") or "unnamed"
    return None


class Multiplier:
    """The rate of float32 matrix products, measured between runs: each run knows the better of those before and after."""

    def __init__(self, tools: list, threads: int):
        self.tool = next((tool for tool in tools if tool.benches), None)
        self.threads = threads
        self.last = None

    def rate(self) -> Optional[float]:
        """GFLOP/s, the best shape of one `hesse bench`; None when no tool has it."""
        if self.tool is None:
            return None
        self.last = float(bench(self.tool.path, self.threads)["gemm_f32_gflops"])
        return self.last

    def around(self, job):
        """-> (what job() returned, the better rate)"""
        before = self.last or self.rate()
        self.last = None  # should the job fail, time will pass
        result = job()
        after = self.rate()
        return result, None if after is None else max(before, after)


class Load:
    """How busy the processors are with other work than ours, from the start of this object."""

    def __init__(self):
        self.start = counters()

    def elsewhere(self, cpu_seconds: float) -> Optional[float]:
        """Share of all processors that others had, where `cpu_seconds` were ours; None where nobody counts it."""
        now = counters()
        if self.start is None or now is None or now.total <= self.start.total:
            return None
        ticks = now.busy - self.start.busy - cpu_seconds * TICKS
        return round(max(0.0, ticks / (now.total - self.start.total)), 3)


def wait_policy() -> str:
    return os.environ.get("OMP_WAIT_POLICY", "passive")  # as measure.run has it


TICKS = 100  # a second in /proc/stat, on every Linux


class Counters(NamedTuple):
    busy: int
    total: int


def counters() -> Optional[Counters]:
    try:
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(word) for word in words]
    return Counters(sum(ticks) - ticks[3] - ticks[4], sum(ticks))  # idle, and waiting for a disk


def spread_text(values: list, digits: int = 2) -> str:
    """Median, and the range where there is one."""
    text = f"{median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def compared(first: list, second: list) -> str:
    """second against first; nothing is claimed of ranges that overlap."""
    ratio = f"{median(second) / median(first):.3f} times" if median(first) else "(nothing to measure)"
    if len(first) < 2 or len(second) < 2:
        return f"{ratio} (one run each: says nothing)"
    apart = max(first) < min(second) or max(second) < min(first)
    return ratio if apart else f"{ratio}, but the ranges overlap: no difference shown"
