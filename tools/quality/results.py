"""Files of results: one JSON object a line, one line a finished cell, only ever appended to. `key`: what a cell is known by."""
import fcntl
import json
import os
from pathlib import Path

KEY = ("model", "variant", "bits", "group", "seed", "revision")


def key_of(cell: dict, key=KEY) -> tuple:
    return tuple(cell[name] for name in key)


def read(path, key=KEY) -> list:
    """All cells, oldest first. A last line that a killed run left unfinished is no cell; any other bad line is an error."""
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    cells = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line end is nothing, or unfinished
        try:
            cell = json.loads(line.decode("utf-8"))
            key_of(cell, key)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"[results] {path.name}:{number}: not a cell ({error}); repair or delete this line") from None
        cells.append(cell)
    return cells


def append(path, cell: dict, key=KEY) -> None:
    """On disk when it returns; two runs may append to one file."""
    key_of(cell, key)
    line = json.dumps(cell, ensure_ascii=False) + "\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        cut_unfinished_line(file)
        file.write(line.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def cut_unfinished_line(file) -> None:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(0)
    content = file.read()
    if not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)
