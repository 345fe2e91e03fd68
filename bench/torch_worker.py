"""Runs in an environment with torch and transformers; peer_speed.py is the one who calls it.

    torch_worker.py windows|forward|eval JOB.json

`windows` writes the token ids that `hesse quantize` would choose. `forward` runs them through all layers of the model in
float32 (no head), `batch` windows at a time: what a calibration costs at least. `eval` is the perplexity of the first
`windows` windows of a text, as transformers makes it. JOB.json and its paths: tools/quality/peer_worker.py.
"""
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools/quality"))
import peer_worker  # noqa: E402: found through the path above


def tokenizer_of(job):
    import transformers

    return transformers.AutoTokenizer.from_pretrained(job["model"])


def choose_windows(job) -> dict:
    import windows

    ids = windows.calibration_windows(
        tokenizer_of(job), job["calibration"], job["length"], job["samples"], job["seed"], job["bos"]
    )
    Path(job["ids"]).write_text(json.dumps(ids))
    return {"windows": len(ids), "calibration_tokens": sum(len(row) for row in ids)}


def model_of(job):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(job["threads"])
    return AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()


def in_batches(rows: list, size: int) -> list:
    import torch

    return [torch.tensor(rows[first : first + size]) for first in range(0, len(rows), size)]


class Watch:
    """Seconds from here to said(), of this process."""

    def __init__(self):
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def said(self) -> dict:
        wall, cpu = time.monotonic() - self.wall, time.process_time() - self.cpu
        return {"without_import": {"cpu_seconds": round(cpu, 2), "wall_seconds": round(wall, 2)}}


def forward(job) -> dict:
    """The model is in memory, and warm, before the watch starts."""
    import torch

    layers = model_of(job).model
    batches = in_batches(peer_worker.load_windows(job), job["batch"])
    with torch.inference_mode():
        layers(batches[0][:1], use_cache=False)
        watch = Watch()
        for batch in batches:
            layers(batch, use_cache=False)
    return watch.said()


def evaluate(job) -> dict:
    import torch

    watch = Watch()
    model = model_of(job)
    text = Path(job["text"]).read_bytes().decode("utf-8")
    ids = tokenizer_of(job)(text, add_special_tokens=False, verbose=False)["input_ids"]
    length = job["length"]
    rows = [ids[first : first + length] for first in range(0, len(ids) - length + 1, length)][: job["windows"]]
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in in_batches(rows, job["batch"]):
            logits = model(batch, use_cache=False).logits[:, :-1].flatten(0, 1)
            total += torch.nn.functional.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum").item()
            count += batch[:, 1:].numel()
    return {"perplexity": math.exp(total / count), "windows_there": len(rows), **watch.said()}


def do(step: str, job) -> dict:
    import torch
    import transformers

    said = {"windows": choose_windows, "forward": forward, "eval": evaluate}[step](job)
    return {**said, "libraries": f"torch {torch.__version__}, transformers {transformers.__version__}"}


if __name__ == "__main__":
    peer_worker.main(do)
