"""Do `hesse eval --task` and transformers find the same likelihoods of the choices of multiple-choice questions?

    python compare_tasks.py --tool BUILD/hesse --model DIR [--task FILE.jsonl]

The other side is written from docs/EVAL.md alone: question, a space and a choice as tokens; the log-likelihood of the
tokens behind those of the question; acc by the largest sum, acc_norm by the largest sum divided by the characters of the
choice. One line per check; exit code 1 if any failed. Some seconds with SmolLM2-135M.
"""
import argparse
import json
import sys
from pathlib import Path

import torch
import transformers

import interop
import reference

TOLERANCE = 1e-3  # of a sum of log-likelihoods, relative


def read_items(path) -> list:
    """[(question, choices, index of the right one)]"""
    items = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        choices = row.get("choices", row.get("endings"))
        answer = row.get("answer", row.get("answerKey", row.get("label")))
        labels = []
        if isinstance(choices, dict):
            labels, choices = choices["label"], choices["text"]
        if answer in labels:
            answer = labels.index(answer)
        elif answer in choices:
            answer = choices.index(answer)
        elif isinstance(answer, str):
            answer = ord(answer) - ord("A") if answer.isalpha() else int(answer)
        items.append((row.get("question", row.get("ctx")), choices, answer))
    return items


def log_likelihood(model, tokenizer, question: str, choice: str) -> float:
    context = question.rstrip(" ")
    between = question[len(context) :] or " "

    def ids_of(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    before, ids = len(ids_of(context)), torch.tensor(ids_of(context + between + choice))
    scores = torch.log_softmax(reference.logits(model, ids)[:-1].double(), dim=-1)
    return scores.gather(1, ids[1:, None])[before - 1 :].sum().item()


def best(values: list) -> int:
    return max(range(len(values)), key=values.__getitem__)


def compare(args, report) -> None:
    items = read_items(args.task)
    model = reference.load(args.model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    out = interop.run_tool(args, "eval", args.model, "--task", args.task, "--bos", "never", "--json")
    found = json.loads(out)["tasks"][0]["models"][0]
    worst, same, right, right_norm = 0.0, 0, 0, 0
    for (question, choices, answer), ours in zip(items, found["log_likelihoods"], strict=True):
        theirs = [log_likelihood(model, tokenizer, question, choice) for choice in choices]
        worst = max(worst, *(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True)))
        norms = [[value / len(choice) for value, choice in zip(side, choices)] for side in (ours, theirs)]
        same += best(ours) == best(theirs) and best(norms[0]) == best(norms[1])
        right += best(theirs) == answer
        right_norm += best(norms[1]) == answer
    count = sum(len(choices) for _, choices, _ in items)
    text = f"{count} choices, at most {worst:.1e} of its size apart, allowed {TOLERANCE:g}"
    report.check("log-likelihoods of choices, hesse and transformers", worst <= TOLERANCE, text)
    report.check("choices taken", same == len(items), f"{same} of {len(items)} the same")
    for name, theirs in (("acc", right / len(items)), ("acc_norm", right_norm / len(items))):
        report.check(name, abs(found[name] - theirs) < 1e-9, f"{found[name]:.4f} and {theirs:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True, help="the hesse program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", default=str(Path(__file__).with_name("questions.jsonl")))
    report = interop.Report()
    compare(parser.parse_args(), report)
    sys.exit(report.finish())


if __name__ == "__main__":
    main()
