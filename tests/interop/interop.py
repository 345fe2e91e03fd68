"""Does the Python ecosystem agree with Hesse? One line per check, then 'N passed, N failed'; exit code 1 if any failed.

    python interop.py --tool BUILD/hesse --model DIR --text FILE --calib FILE [--bits 4] [--group-size 64] [--quick]

Four programs read the same files: Hesse, transformers in float32 (the original model), transformers with GPTQModel's
CPU kernels (the quantized one) and dequantize.py (the quantized one, by the description of the format alone).
What GPTQModel itself does not support is skipped with its own message. tools/interop_env.sh makes the environment.
"""
import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers

import dequantize
import reference

# Messages by which GPTQModel states limits of its own kernels; any other failure to load is ours.
OWN_LIMITS = re.compile(r"must be divisible by|only supports|expect qGroupSize")
PROMPTS = ("The database server is", "In the beginning", "A function returns")


class Report:
    def __init__(self):
        self.passed = self.failed = 0
        self.start = time.monotonic()

    def check(self, name: str, good: bool, numbers: str) -> bool:
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {name}: {numbers}  [{time.monotonic() - self.start:.0f} s]", flush=True)
        return bool(good)

    def near(self, name: str, ours: float, theirs: float, tolerance: float) -> bool:
        apart = abs(ours - theirs) / theirs
        text = f"{ours:.5f} and {theirs:.5f}, {100 * apart:.4f} % apart, allowed {100 * tolerance:g} %"
        return self.check(name, apart <= tolerance, text)

    def skip(self, name: str, why: str) -> None:
        print(f"skip {name}: {why}", flush=True)

    def finish(self) -> int:
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed or not self.passed else 0


class ToolFailure(Exception):
    pass


def run_tool(args, *words) -> str:
    command = [args.tool, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ToolFailure(f"'{' '.join(command)}' ended with {done.returncode}: {last}")
    return done.stdout


def tool_eval(args, model: str, against: str = "") -> dict:
    bos = ["--bos", "always" if args.bos else "never"]
    out = run_tool(
        args, "eval", model, "--text", args.text, "--window", args.length, "--windows", args.windows, *bos, "--json",
        *(["--against", against] if against else []),
    )
    result = json.loads(out)
    if not math.isclose(result["perplexity"], math.exp(result["mean_nll"]), rel_tol=1e-6):
        raise ToolFailure(f"eval says perplexity {result['perplexity']} and mean_nll {result['mean_nll']}")
    return result


def check_original(args, report, windows) -> None:
    model = reference.load(args.model)
    result = tool_eval(args, args.model)
    report.check(
        "windows", result["windows"] == len(windows), f"hesse took {result['windows']}, transformers {len(windows)}"
    )
    theirs = reference.perplexity(model, windows)
    report.near("perplexity of the original, hesse and transformers", result["perplexity"], theirs, 0.0005)
    check_generation(args, report, model)


def check_generation(args, report, model) -> None:
    """Greedy text, token by token; the tokenizers must agree on the prompt first."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    for prompt in PROMPTS:
        out = run_tool(
            args, "generate", args.model, "--prompt", prompt, "--max-tokens", args.tokens, "--temperature", 0, "--json"
        )
        result = json.loads(out)
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        if "prompt_ids" in result and result["prompt_ids"] != ids[0].tolist():
            report.check(f"prompt '{prompt}'", False, f"hesse {result['prompt_ids']}, transformers {ids[0].tolist()}")
            continue
        with torch.no_grad():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.tokens, do_sample=False,
                pad_token_id=0, repetition_penalty=1.0,
            )  # fmt: skip
        new = whole[0, ids.shape[1] :]
        theirs = tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        report.check(f"greedy text after '{prompt}'", result["text"] == theirs, f"{result['text']!r} and {theirs!r}")


def quantize(args, report, out: str) -> None:
    start = time.monotonic()
    words = ["--bits", args.bits, "--group-size", args.group_size, "--samples", args.samples, "--length", args.length]
    words += ["--asym"] if args.asym else ["--sym"]
    run_tool(args, "quantize", args.model, "-o", out, "--calib", args.calib, *words, *args.extra)
    report.check("quantize", True, f"{time.monotonic() - start:.1f} s")


def check_files(args, report, out: str) -> dict:
    """The strict reader accepts the files, and they hold the same tensors as the original."""
    weights = dequantize.dequantize_directory(out)
    original = {name: tuple(tensor.shape) for name, tensor in dequantize.read_tensors(Path(args.model)).items()}
    quantization = dequantize.read_quantization_config(Path(out))
    twin = (Path(out) / "quantize_config.json").exists()
    same = {name: tuple(tensor.shape) for name, tensor in weights.items()} == original
    asked = quantization["bits"] == args.bits and quantization["group_size"] == args.group_size
    version = "gptq_v2" if args.asym else "gptq"
    good = same and asked and twin and quantization.get("checkpoint_format", "gptq") == version
    negative = count = 0
    for name, tensor in dequantize.read_tensors(Path(out)).items():
        if name.endswith(".scales"):
            negative, count = negative + int((tensor < 0).sum()), count + tensor.numel()
    report.check(
        "files", good,
        f"{len(weights)} tensors, names and shapes {'as in' if same else 'NOT as in'} the original, "
        f"{quantization['bits']} bits, groups of {quantization['group_size']}, "
        f"{quantization.get('checkpoint_format', 'gptq')}, {100 * negative / max(count, 1):.1f} % of scales negative",
    )  # fmt: skip
    return weights


@torch.no_grad()
def check_linears(report, model, weights: dict) -> None:
    """Each linear alone on random inputs: a wrong tensor shows up under its own name."""
    generator = torch.Generator().manual_seed(1)
    worst, culprit = 0.0, "none"
    modules = reference.packed_modules(model)
    for name, module in modules.items():
        W = weights[name + ".weight"]
        x = torch.randn(4, W.shape[1], generator=generator)
        expected = x @ W.T + weights.get(name + ".bias", torch.zeros(W.shape[0]))
        with reference.silence():
            apart = ((module(x) - expected).abs().max() / expected.abs().max()).item()
        if not apart <= worst:  # a NaN is the worst of all
            worst, culprit = apart, name
    # The kernels round twice to fp16, half a unit of 2^-10 of the group's largest weight each: scale * code and
    # scale * zero. A tensor read wrongly is off by the size of the outputs themselves.
    good = len(modules) > 0 and worst <= 2**-9
    text = f"{len(modules)} linears, largest difference {worst:.2e} of the largest output ({culprit})"
    report.check("every linear, GPTQModel and dequantizer", good, text)


def check_gptqmodel(args, report, out: str, windows, ours: float, weights: dict, plain) -> None:
    try:
        model, kernel = reference.load_with_gptqmodel(out)
    except NotImplementedError as error:
        if OWN_LIMITS.search(str(error)):
            report.skip("GPTQModel", str(error))
        else:
            report.check("GPTQModel loads the result", False, str(error))
        return
    check_linears(report, model, weights)
    theirs = reference.logits(model, windows[0])
    expected = reference.logits(plain, windows[0])
    apart = ((theirs - expected).abs().max() / expected.abs().max()).item()
    # fp16 rounding inside each linear, adding up along the network like steps of a random walk.
    allowed = 2**-11 * math.sqrt(len(reference.packed_modules(model)))
    text = f"largest difference {apart:.2e} of the largest logit, allowed {allowed:.1e}, kernel {kernel}"
    report.check("logits of the result, GPTQModel and dequantizer", apart <= allowed, text)
    name = f"perplexity of the result, hesse and GPTQModel ({kernel})"
    report.near(name, ours, reference.perplexity(model, windows), 0.002)


def check_against(args, report, out: str, windows, plain) -> None:
    """What was lost, by hesse and by transformers on the dequantizer's weights."""
    found = tool_eval(args, out, args.model)
    theirs = reference.compare(plain, reference.load(args.model), windows)
    report.near("KL divergence from the original, hesse and transformers", found["against"]["kl"], theirs["kl"], 0.001)
    agreement = found["against"]["top1_agreement"]
    report.near("agreement with the original, hesse and transformers", agreement, theirs["agreement"], 0.001)
    for name in ("kl_median", "kl_p99"):
        report.near(f"{name}, hesse and transformers", found["against"][name], theirs[name], 0.001)
    report.near("perplexity ratio", found["against"]["perplexity_ratio"], theirs["ratio"], 0.001)


def check_result(args, report, windows) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, copy = str(Path(folder) / "quantized"), str(Path(folder) / "plain")
        quantize(args, report, out)
        try:
            weights = check_files(args, report, out)
            dequantize.write_plain(out, copy)
        except (ValueError, KeyError, OSError) as error:
            report.check("files", False, f"the strict reader refuses them: {error}")
            return
        ours = tool_eval(args, out)["perplexity"]
        plain = reference.load(copy)
        theirs = reference.perplexity(plain, windows)
        report.near("perplexity of the result, hesse and dequantizer", ours, theirs, 0.002)
        check_against(args, report, out, windows, plain)
        check_gptqmodel(args, report, out, windows, ours, weights, plain)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True, help="the hesse program")
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--calib", required=True)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--asym", action="store_true")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--length", type=int, default=512, help="tokens of a window, calibration and evaluation")
    parser.add_argument("--samples", type=int, default=64, help="calibration windows")
    parser.add_argument("--tokens", type=int, default=24, help="tokens to generate")
    parser.add_argument("--bos", action="store_true")
    parser.add_argument("--quick", action="store_true", help="8 windows, 16 samples")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="last: more words for hesse quantize")
    args = parser.parse_args()
    if args.quick:
        args.windows, args.samples = min(args.windows, 8), min(args.samples, 16)
    if not Path(args.tool).is_file():
        parser.error(f"{args.tool}: no such program; build it first")
    return args


def main() -> None:
    args, report = parse(), Report()
    try:
        windows = reference.token_windows(args.model, args.text, args.length, args.windows, args.bos)
        check_original(args, report, windows)
        check_result(args, report, windows)
    except (ToolFailure, json.JSONDecodeError, KeyError) as error:
        report.check("the tool", False, f"{type(error).__name__}: {error}")
    sys.exit(report.finish())


if __name__ == "__main__":
    main()
