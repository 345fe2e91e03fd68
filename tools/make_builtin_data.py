#!/usr/bin/env python3
"""Writes the built-in calibration sets src/data/builtin/{code,chat}.jsonl.

    tools/make_builtin_data.py          (from the root of the repository)

code: sources of this repository, as they stand when the script is run; the sets are kept in git, so that they do not change
with every commit. chat: written conversations (src/data/builtin/dialogues.txt), then questions and answers made of the text
in models/tiny-llama/calibration.txt. multilingual.jsonl is written by hand, and builtin:general is that calibration.txt.
"""
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "src/data/builtin"
CODE_BYTES, CHAT_BYTES, LONGEST = 240_000, 160_000, 9_000
CODE = (".cpp", ".h", ".py", ".sh", ".cmake", "CMakeLists.txt", "Makefile", ".yml", ".toml")


def write(name, rows, most):
    size = 0
    with open(OUT / name, "w", encoding="utf-8") as out:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False) + "\n"
            size += len(line.encode())
            if size > most:
                break
            out.write(line)


def every(items, count):
    """`count` of them at even distances."""
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def code():
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    files = [ROOT / n for n in names if n.endswith(CODE) and not n.startswith(("src/data/builtin", "tests/data"))]
    files = [f for f in files if 600 < f.stat().st_size < LONGEST]
    other = [f for f in files if f.suffix not in (".cpp", ".h")]
    cpp = [f for f in files if f.suffix in (".cpp", ".h")]
    # Other languages are rarer here: all of them, then C++ for the rest.
    for file in [f for pair in zip(other, every(cpp, len(other))) for f in pair] + cpp[1::3]:
        yield {"text": file.read_text(encoding="utf-8")}


def turns(text):
    messages = []
    for block in re.split(r"\n(?=(?:System|User|Assistant): )", text.strip()):
        role, content = block.split(": ", 1)
        messages.append({"role": role.lower(), "content": content})
    return {"messages": messages}


def user_and_answer(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def chat():
    for dialogue in (OUT / "dialogues.txt").read_text(encoding="utf-8").split("\n---\n"):
        yield turns(dialogue)
    lines = (ROOT / "models/tiny-llama/calibration.txt").read_text(encoding="utf-8").split("\n")
    words = [m for m in (re.fullmatch(r"([a-z][a-z ,'-]{2,40}): (.{40,400})", line) for line in lines) if m]
    ask = ["What does \"{}\" mean?", "Please explain the word \"{}\".", "Define {}.", "I read the word \"{}\". What is it?"]
    prose = [line for line in lines if 500 < len(line) < 1600 and line.count(". ") > 3]
    for i, match in enumerate(every(words, 300)):
        yield user_and_answer(ask[i % len(ask)].format(match[1].split(",")[0]), match[2])
        if i % 3 == 0 and i // 3 < len(prose):
            sentences = re.split(r"(?<=\.) ", prose[(i // 3) * max(1, len(prose) // 100) % len(prose)])
            half = len(sentences) // 2
            yield user_and_answer("Continue this text:\n\n" + " ".join(sentences[:half]), " ".join(sentences[half:]))


if __name__ == "__main__":
    write("code.jsonl", code(), CODE_BYTES)
    write("chat.jsonl", chat(), CHAT_BYTES)
    for name in ("code", "chat", "multilingual"):
        path = OUT / f"{name}.jsonl"
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes, {len(path.read_text().splitlines())} documents")
