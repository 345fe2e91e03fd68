"""Collects weights and Hessians of the linears of chosen layers, for compare_solver.py.

    python hessians.py --model DIR --text FILE --layers 0,3 -o PAIRS.safetensors [--samples 64] [--length 512]

Per linear: NAME.weight, float32 [out, in], and NAME.hessian, float64 [in, in], the sum of x x^T over all tokens of the
full-precision forward pass.
"""
import argparse

import torch
from safetensors.torch import save_file

import reference


class GramTap:
    """Adds up x x^T of the inputs of one linear; linears that read the same tensor share the product."""

    def __init__(self, shared: dict):
        self.total, self.shared = None, shared

    def __call__(self, module, inputs, output):
        x = inputs[0]
        if self.shared.get("x") is not x:
            rows = x.reshape(-1, x.shape[-1]).double()
            self.shared["x"], self.shared["gram"] = x, rows.T @ rows
        gram = self.shared["gram"]
        self.total = gram.clone() if self.total is None else self.total.add_(gram)


def linears_of(model, layers) -> dict:
    marks = [f".layers.{layer}." for layer in layers]
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and any(mark in name for mark in marks)
    }


@torch.no_grad()
def collect(model, windows: torch.Tensor, layers) -> dict:
    """{NAME.weight, NAME.hessian} of every linear of `layers`."""
    chosen = linears_of(model, layers)
    if not chosen:
        raise ValueError(f"no linear in layers {layers}")
    shared = {}
    taps = {name: GramTap(shared) for name in chosen}
    handles = [module.register_forward_hook(taps[name]) for name, module in chosen.items()]
    for ids in windows:
        model(ids[None])
    for handle in handles:
        handle.remove()
    pairs = {}
    for name, module in chosen.items():
        pairs[name + ".weight"] = module.weight.detach().float().clone()
        pairs[name + ".hessian"] = taps[name].total
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--layers", required=True, type=lambda text: [int(item) for item in text.split(",")])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    windows = reference.token_windows(args.model, args.text, args.length, args.samples)
    pairs = collect(reference.load(args.model), windows, args.layers)
    save_file(pairs, args.output)
    print(f"{len(pairs) // 2} linears, {windows.numel()} tokens: {args.output}")


if __name__ == "__main__":
    main()
