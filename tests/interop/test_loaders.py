"""transformers + GPTQModel read the files of example_writer.py as dequantize.py does, negative scales included.

About two minutes on two processors; needs the environment of tools/interop_env.sh and the demo model.
"""
import io
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import dequantize
import example_writer
import interop
import reference

DEMO = Path(__file__).resolve().parents[2] / "models" / "tiny-llama"


class Loaders(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.packed = Path(scratch.name) / "packed"

    def verdict(self) -> tuple:
        """(kernel class, whether every linear agrees, the line that says so)"""
        weights = dequantize.dequantize_directory(self.packed)
        model, kernel = reference.load_with_gptqmodel(self.packed)
        report = interop.Report()
        with redirect_stdout(io.StringIO()) as lines:
            interop.check_linears(report, model, weights)
        print(kernel, lines.getvalue().strip())
        return kernel, report.failed == 0, lines.getvalue()

    def agree(self, **how):
        example_writer.write_directory(DEMO, self.packed, **how)
        kernel, good, line = self.verdict()
        self.assertTrue(good, line)
        return kernel

    def test_four_bits_with_negative_scales(self):
        self.assertEqual(self.agree(bits=4, group_size=64, grid="full-range"), "TorchAtenLinear")

    def test_four_bits_asymmetric(self):
        self.agree(bits=4, group_size=128, grid="asymmetric", version=2)

    def test_four_bits_one_group_a_row(self):
        self.agree(bits=4, group_size=-1, grid="full-range")

    def test_short_last_group(self):
        self.agree(bits=4, group_size=512, grid="full-range")  # the demo's widths are 256 and 768

    def test_other_widths(self):
        for bits in (2, 3, 8):
            with self.subTest(bits=bits):
                self.agree(bits=bits, group_size=128, grid="full-range")

    def test_permuted_groups(self):
        self.agree(bits=4, group_size=64, grid="full-range", act_order=True)

    def test_a_lost_sign_is_seen(self):
        """The check itself must be able to fail: one linear read with its scales made positive."""
        example_writer.write_directory(DEMO, self.packed, bits=4, group_size=64, grid="full-range")
        weights = dequantize.dequantize_directory(self.packed)
        path = str(self.packed / "model.safetensors")
        tensors = load_file(path)
        name = "model.layers.2.mlp.up_proj"
        tensors[name + ".scales"] = tensors[name + ".scales"].abs()
        save_file(tensors, path, metadata={"format": "pt"})
        model, _ = reference.load_with_gptqmodel(self.packed)
        report = interop.Report()
        with redirect_stdout(io.StringIO()) as lines:
            interop.check_linears(report, model, weights)
        self.assertEqual(report.failed, 1)
        self.assertIn(name, lines.getvalue())

    def test_a_limit_of_the_loader_is_named(self):
        example_writer.write_directory(DEMO, self.packed, bits=4, group_size=96)
        with self.assertRaises(NotImplementedError) as caught:
            reference.load_with_gptqmodel(self.packed)
        self.assertRegex(str(caught.exception), interop.OWN_LIMITS)


if __name__ == "__main__":
    torch.manual_seed(0)
    unittest.main()
