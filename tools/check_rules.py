#!/usr/bin/env python3
"""Holds the rules of the house: which folder may include which, and what lives in one place only.

    tools/check_rules.py [--root DIR] [--sizes]

Prints one line for each broken rule and returns 1, or one line that says how much was read and returns 0.
Reads the C++ files of src/, include/, tests/, bench/ and examples/. The tables below are the rules; the functions
below them only read C++. Comments and the text of strings are not code and are never looked at.
"""
import argparse
import pathlib
import re
import sys

# What a folder of src/ may include besides itself: folders, or single headers. Arrows point down only.
EVERY_FOLDER_BELOW_API = {"base", "kernels", "linalg", "io", "tokenizer", "template", "data", "model", "quant", "formats", "plan",
                          "eval", "run", "report"}
MAY_INCLUDE = {
    "base": set(),
    "kernels": {"base"},
    "linalg": {"base"},
    "io": {"base"},
    "tokenizer": {"base", "io"},
    "template": {"base", "io/json.h"},
    "data": {"base", "io", "tokenizer", "template"},
    "model": {"base", "kernels", "linalg", "io"},
    "quant": {"base", "kernels", "linalg"},
    "formats": {"base", "io", "quant"},
    "plan": {"base", "io/json.h", "io/toml.h", "model", "quant", "formats/format.h"},
    "eval": {"base", "kernels", "linalg", "data", "model"},
    "run": {"base", "kernels", "io", "linalg", "data", "model", "quant", "formats", "plan"},
    "report": {"base", "io/json.h"},
    "api": EVERY_FOLDER_BELOW_API,
    "cli": set(),
}

# The front door: cli and api use all of it, base only the words that everybody shares, the others all but api.h.
FRONT_DOOR = "hesse"
FRONT_DOOR_OF_BASE = {"error.h", "types.h"}
FRONT_DOOR_OF_API_AND_CLI_ONLY = {"api.h"}


def call(names):
    """A call of one of the C functions `names`, bare, with `::` or with `std::`; not a member, not a declaration."""
    return re.compile(r"(?<![\w.:>])(?:std::filesystem::|fs::|std::|::)?\b(?:" + names + r")\s*\(")


# Only here: (what, places, headers, code). A place is a folder or a file below the root, `*` as in a shell.
ONLY_HERE = [
    ("MPI", ["src/run/comm_mpi.cpp"], r"mpi\.h", re.compile(r"\bMPI_\w+")),
    ("oneDNN, BLAS and LAPACK", ["src/linalg/"],
     r"(oneapi/dnnl/.*|dnnl\w*\.h(pp)?|cblas\w*\.h|lapack\w*\.h|f77blas\.h|openblas\w*\.h)",
     re.compile(r"\bdnnl(_\w+|::)|\b(cblas|LAPACKE|openblas_[gs]et)_\w+"
                r"|\b[sd](gemm|gemv|symm|syrk|trsm|trsv|potrf|potri|potrs|trtri|lauum|syev)_\s*\(")),
    ("SIMD", ["src/kernels/"], r"(hwy/.*|\w*intrin\.h|arm_\w+\.h)", re.compile(r"\b_mm\d*_\w+|\bHWY_\w+|\bhwy::")),
    ("the JSON library", ["src/io/json.cpp"], r"nlohmann/.*", re.compile(r"\bnlohmann::")),
    ("toml++", ["src/io/toml.cpp"], r"toml\+\+/.*", re.compile(r"\btoml::")),
    # Tests put another file system in the place of this one; a call beside it would escape them.
    ("calls that change the disk", ["src/io/file_system.cpp"], None,
     call(r"creat|rename|renameat|fsync|fdatasync|pwrite|pwritev|ftruncate|truncate|unlink|unlinkat|mkdir|mkdirat|rmdir|"
          r"remove_all|create_directory|create_directories|resize_file|copy_file|link|symlink|fopen|freopen")),
    # base/matrix.cpp asks for large pages, and for nothing else; the locks of directories and files change nothing.
    ("system calls on files", ["src/io/file.cpp", "src/io/file_system.cpp", "src/io/file_lock.cpp",
                               "src/io/staged_directory.cpp", "src/base/matrix.cpp"],
     r"(fcntl\.h|sys/mman\.h|sys/file\.h)", call(r"open|openat|mmap|munmap|madvise|posix_fadvise|pread|flock")),
    ("std::ofstream (files are written aside, synced and renamed)", ["src/io/file.cpp"],
     None, re.compile(r"\bstd::(ofstream|fstream|filebuf)\b")),
    # isatty() belongs to the tool and sysconf() to the facts about the process; neither touches a file.
    ("unistd.h", ["src/io/file.cpp", "src/io/file_system.cpp", "src/io/staged_directory.cpp", "src/base/process.cpp",
                  "src/cli/"], r"unistd\.h", None),
    ("printing", ["src/cli/"], r"(iostream|fmt/color\.h)",
     re.compile(r"\bstd::(cout|cerr|clog|wcout|wcerr)\b|\bfmt::print\w*|\b(std::)?(stdout|stderr)\b"
                r"|(?<![\w.>])(std::)?(v?printf|v?fprintf|puts|fputs|putchar|putc|fputc|perror)\s*\(")),
    ("the environment", ["src/cli/"], None, re.compile(r"\b(secure_)?getenv\b|\b(setenv|unsetenv|putenv|environ)\b")),
    ("threads", ["src/base/threads.*"], r"(omp\.h|thread|future|pthread\.h)",
     re.compile(r"#\s*pragma\s+omp\b|\bomp_\w+\s*\(|\bstd::(thread|jthread|async)\b|\bpthread_\w+")),
    ("ending the process", ["src/cli/"], None, call(r"exit|_exit|_Exit|quick_exit|abort|terminate")),
    ("PCRE2", ["src/tokenizer/regex.cpp"], r"pcre2\w*\.h", re.compile(r"\bpcre2_\w+")),
    ("utf8proc", ["src/tokenizer/"], r"utf8proc\w*\.h", re.compile(r"\butf8proc_\w+")),
    ("zlib and zstd", ["src/io/decompress.cpp"], r"(zlib|zstd)\w*\.h", re.compile(r"\b(ZSTD_\w+|inflate\w*\s*\()")),
    ("OpenSSL", ["src/base/sha256.cpp"], r"openssl/.*", re.compile(r"\b(EVP|SSL|CRYPTO|ERR)_\w+")),
    ("CLI11", ["src/cli/"], r"CLI/.*", re.compile(r"\bCLI::")),
]

LONG_FILE = 400  # lines; only --sizes speaks of it
CPP_SUFFIXES = {".h", ".hpp", ".cpp", ".cc"}
ROOTS = ["src", "include", "tests", "bench", "examples"]

TOKEN = re.compile(
    r"""//(?:\\\n|[^\n])*|/\*.*?\*/                            # comments
      |R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"            # raw strings
      |(?<![0-9a-zA-Z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])+'       # characters; not the ' of 1'000
      |"(?:\\.|[^"\\\n])*"                                     # strings
    """, re.DOTALL | re.VERBOSE)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
PRAGMA_ONCE = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once\b", re.MULTILINE)
# Words before a name that make `name(` a call; any other word before it makes a declaration, as in `static File open(`.
BEFORE_A_CALL = {"return", "else", "do", "throw", "case", "co_return", "co_await", "co_yield", "and", "or", "not"}
DECLARED = re.compile(r"(?:(?P<word>\w+)\s+|[\w>][*&]+\s+|\w>\s+)$")


def blank(match):
    """The same number of lines, nothing else; a string stays a pair of quotes."""
    inside = "\n" * match.group().count("\n")
    return inside or " " if match.group().startswith(("//", "/*")) else '""' + inside


class Source:
    """One C++ file: its includes as (line, path, quoted), and its code without comments, strings and includes."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = text.count("\n")
        without_comments = TOKEN.sub(lambda m: m.group() if m.group().startswith('"') else blank(m), text)
        self.includes = [(without_comments.count("\n", 0, m.start()) + 1, m.group(1) or m.group(2), bool(m.group(1)))
                         for m in INCLUDE.finditer(without_comments)]
        self.code = TOKEN.sub(blank, INCLUDE.sub("", text))

    @property
    def folder(self):
        """src/io/json.cpp is in `io`; None outside src/."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "src" and len(parts) > 2 else None

    def is_at(self, places):
        return any(self.path.startswith(p) if p.endswith("/") else pathlib.PurePosixPath(self.path).match(p)
                   for p in places)

    def calls(self, pattern):
        """Lines where `pattern` occurs and is not the declaration of something of the same name."""
        for match in pattern.finditer(self.code):
            before = DECLARED.search(self.code, max(0, match.start() - 80), match.start())
            if match.group().endswith("(") and before and before.group("word") not in BEFORE_A_CALL:
                continue
            yield self.code.count("\n", 0, match.start()) + 1, match.group()


def check_any(source):
    """Rules for every file, tests too."""
    if source.path.endswith((".h", ".hpp")) and not source.path.endswith("-inl.h"):
        # Highway compiles its -inl.h files once for each instruction set; they have a guard of their own.
        if not PRAGMA_ONCE.search(source.code):
            yield 1, "header without #pragma once"
    for line, target, _ in source.includes:
        if ".." in target.split("/"):
            yield line, f'"{target}": includes name a file from the top of src/, never with ..'


def check_public(source):
    for line, target, _ in source.includes:
        if not target.startswith(FRONT_DOOR + "/") and not re.fullmatch(r"[a-z_0-9]+", target):
            yield line, f"'{target}': a public header includes the standard library and {FRONT_DOOR}/ only"


def check_private(source):
    folder = source.folder
    if folder not in MAY_INCLUDE:
        yield 1, f"not in a folder that the table of {pathlib.Path(__file__).name} knows"
        return
    for line, target, quoted in source.includes:
        head, _, rest = target.partition("/")
        if head == FRONT_DOOR:
            if folder == "base" and rest not in FRONT_DOOR_OF_BASE:
                yield line, f"'{target}': base includes {', '.join(sorted(FRONT_DOOR_OF_BASE))} of the front door only"
            if folder not in ("api", "cli") and rest in FRONT_DOOR_OF_API_AND_CLI_ONLY:
                yield line, f"'{target}': only api and cli include it"
        elif head in MAY_INCLUDE and rest:
            if head != folder and head not in MAY_INCLUDE[folder] and target not in MAY_INCLUDE[folder]:
                allowed = ", ".join(sorted(MAY_INCLUDE[folder])) or "nothing but itself"
                yield line, f"'{target}': {folder} may include {allowed}"
        elif quoted and not rest:
            yield line, f"'{target}': say in which folder it lives, as in \"io/json.h\""


def check_only_here(source):
    for what, places, headers, code in ONLY_HERE:
        if source.is_at(places):
            continue
        where = " or ".join(places)
        for line, target, _ in source.includes:
            if headers and re.fullmatch(headers, target):
                yield line, f"'{target}': {what} only in {where}"
        for line, text in source.calls(code) if code else ():
            yield line, f"'{' '.join(text.split())}': {what} only in {where}"


def check(source):
    """(line, text) of every broken rule of one file."""
    yield from check_any(source)
    if source.path.startswith("include/"):
        yield from check_public(source)
        yield from check_only_here(source)
    elif source.path.startswith("src/"):
        yield from check_private(source)
        yield from check_only_here(source)


def sources(root):
    for top in ROOTS:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in CPP_SUFFIXES and path.is_file():
                yield Source(root, path)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--sizes", action="store_true", help=f"also list files of more than {LONG_FILE} lines")
    options = parser.parse_args(arguments)

    files = list(sources(options.root.resolve()))
    if not any(file.path.startswith("src/") for file in files):
        print(f"[check_rules] {options.root}: no C++ files below src/; wrong --root?")
        return 1
    broken = 0
    for file in files:
        for line, text in sorted(check(file)):
            print(f"{file.path}:{line}: {text}")
            broken += 1
        if options.sizes and file.lines > LONG_FILE:
            print(f"{file.path}: {file.lines} lines, more than {LONG_FILE} (not a failure)")
    print(f"[check_rules] {len(files)} files, {broken} broken rules")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
