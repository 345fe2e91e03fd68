"""The calibration windows that `hesse quantize` chooses: src/data/windows.cpp and src/base/rng.h in Python.

Other tools are then given the same token ids in the same order. tests/quality/windows_test.py and tests/base/base_test.cpp
hold the two shuffles to the same numbers.
"""
from pathlib import Path

MASK = (1 << 64) - 1


class Rng:
    """SplitMix64."""

    def __init__(self, seed: int):
        self.state = seed & MASK

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, bound: int) -> int:
        reject = (1 << 64) % bound
        value = self.next()
        while value < reject:
            value = self.next()
        return value % bound

    def shuffle(self, items: list) -> None:
        for i in range(len(items), 1, -1):
            k = self.below(i)
            items[i - 1], items[k] = items[k], items[i - 1]


def chosen_starts(sizes: list, length: int, count: int, seed: int) -> list:
    """sizes: tokens of each file -> [(file, first token)], the files in turns, at most `count`."""
    starts = []
    for file, size in enumerate(sizes):
        if size < length:
            raise ValueError(f"file {file} has {size} tokens, fewer than one window of {length}")
        own = [i * length for i in range(size // length)]
        Rng(seed + file).shuffle(own)
        starts.append(own)
    turns = max(len(own) for own in starts)
    return [(file, own[turn]) for turn in range(turns) for file, own in enumerate(starts) if turn < len(own)][:count]


def calibration_windows(tokenizer, files: list, length: int, count: int, seed: int, bos: bool = False) -> list:
    """tokenizer: of transformers. -> `count` lists of `length` ids."""
    ids = []
    for file in files:
        text = Path(file).read_bytes().decode("utf-8")  # line ends as they are in the file
        ids.append(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    body = length - 1 if bos else length
    head = [tokenizer.bos_token_id] if bos else []
    return [head + ids[file][first : first + body] for file, first in chosen_starts([len(i) for i in ids], body, count, seed)]
