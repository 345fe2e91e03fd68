"""Hesse's preset classic against classic_gptq.py, code for code: at least 99.9 % of the codes are equal.

Needs the program solve_file; its path is in the environment as HESSE_SOLVE_FILE.
"""
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from classic_gptq import classic_gptq
from test_classic_gptq import SEED, correlated_hessian

# Both sides compute in float64 and choose the same scales; what is left are values that lie on the border between two
# codes to the last bits, and what such a code then does to the rest of its row.
LEAST_SHARE = 0.999


class ClassicCodes(unittest.TestCase):
    def test_codes_equal_the_published_algorithm(self):
        generator = torch.Generator().manual_seed(SEED)
        print(f"seed {SEED}")
        pairs = {}
        for name, rows, columns in (("wide", 96, 512), ("tall", 256, 128), ("ragged", 64, 320)):
            pairs[name + ".weight"] = torch.randn(rows, columns, generator=generator)
            pairs[name + ".hessian"] = correlated_hessian(columns, 3 * columns, generator)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.safetensors"
            save_file(pairs, str(source))
            for bits in (2, 3, 4, 8):
                for group_size in (32, 128, -1):
                    target = Path(folder) / f"out-{bits}-{group_size}.safetensors"
                    command = [os.environ["HESSE_SOLVE_FILE"], str(source), str(target), "--classic", "--bits"]
                    subprocess.run(command + [str(bits), "--group-size", str(group_size)], check=True)
                    self.compare(pairs, load_file(str(target)), bits, group_size)

    def compare(self, pairs, solved, bits, group_size):
        for name in ("wide", "tall", "ragged"):
            W, H = pairs[name + ".weight"].double(), pairs[name + ".hessian"]
            expected = classic_gptq(W, H, bits, group_size, half_scales=True)
            equal = (solved[name + ".weight"].double() - expected).abs() <= 1e-6 * expected.abs().max()
            with self.subTest(name=name, bits=bits, group_size=group_size):
                self.assertGreaterEqual(equal.double().mean().item(), LEAST_SHARE)


if __name__ == "__main__":
    unittest.main()
