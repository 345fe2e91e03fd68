"""Tests of dequantize.py and example_writer.py: python -m unittest discover -s tests/interop -p 'test_*.py'"""
import hashlib
import itertools
import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import dequantize
import example_writer

# in 64, out 32, group 32: code(i, o) = (7i + 3o + (i o mod 5)) mod 2^b, zero(g, o) = 1 + ((11g + 5o) mod (2^b - 1)).
# bits: (sha256 of qweight in row-major order, qzeros of version 2, qzeros of version 1)
GOLDEN = {
    2: (
        "5ae723a4dd3df0e8a78ecb9dc6e851fe0604e9bac2d6c34850fb8e8b4dacd428",
        "6DB6DB6D DB6DB6DB DB6DB6DB B6DB6DB6",
        "18618618 86186186 86186186 61861861",
    ),
    3: (
        "46b342537e061ee4bd73e3237620f750a0a070bbf2dbcff0bc45651322eb83d1",
        "A62EF531 BBD4C5DE 53177A98 8BBD4C5D F53177A9 C5DEA62E",
        "5D0A62E8 298BA14C 2E853174 4298BA14 62E85317 A14C5D0A",
    ),
    4: (
        "a8416f174b6179e63ddf0a3e9eaa49eeb95311cf2e46506df669200d5b1e7936",
        "61B61B61 1B61B61B B61B61B6 61B61B61 2C72C72C C72C72C7 72C72C72 2C72C72C",
        "50A50A50 0A50A50A A50A50A5 50A50A50 1B61B61B B61B61B6 61B61B61 1B61B61B",
    ),
    8: (
        "a5303658f08187bc6e0b57fb12fe5e2ec6937a7ca78cdf87306c636dc8d9baac",
        "100B0601 241F1A15 38332E29 4C47423D 605B5651 746F6A65 88837E79 9C97928D "
        "1B16110C 2F2A2520 433E3934 57524D48 6B66615C 7F7A7570 938E8984 A7A29D98",
        "0F0A0500 231E1914 37322D28 4B46413C 5F5A5550 736E6964 87827D78 9B96918C "
        "1A15100B 2E29241F 423D3833 56514C47 6A65605B 7E79746F 928D8883 A6A19C97",
    ),
}


def golden_codes(bits):
    i, o = np.arange(64)[:, None], np.arange(32)[None, :]
    return (7 * i + 3 * o + (i * o % 5)) % 2**bits


def golden_zeros(bits):
    g, o = np.arange(2)[:, None], np.arange(32)[None, :]
    return 1 + (11 * g + 5 * o) % (2**bits - 1)


def words(text, rows):
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint32).view(np.int32).reshape(rows, -1)


class GoldenVectors(unittest.TestCase):
    def test_writer_makes_the_golden_bytes(self):
        for bits, (digest, v2, v1) in GOLDEN.items():
            with self.subTest(bits=bits):
                qweight = example_writer.pack_down(golden_codes(bits), bits)
                self.assertEqual(hashlib.sha256(qweight.astype("<u4").tobytes()).hexdigest(), digest)
                zeros = golden_zeros(bits)
                np.testing.assert_array_equal(example_writer.pack_across(zeros, bits).view(np.int32), words(v2, 2))
                np.testing.assert_array_equal(example_writer.pack_across(zeros - 1, bits).view(np.int32), words(v1, 2))

    def test_reader_reads_the_golden_bytes(self):
        for bits, (_, v2, v1) in GOLDEN.items():
            with self.subTest(bits=bits):
                qweight = example_writer.pack_down(golden_codes(bits), bits).view(np.int32)
                np.testing.assert_array_equal(dequantize.unpack(qweight, bits), golden_codes(bits))
                for text, version in ((v2, "gptq_v2"), (v1, "gptq")):
                    zeros = dequantize.zero_points(words(text, 2), bits, version)
                    np.testing.assert_array_equal(zeros, golden_zeros(bits))

    def test_single_words(self):
        cases = [
            (4, "76543210", [0, 1, 2, 3, 4, 5, 6, 7]),
            (4, "E187F0C3", [3, 12, 0, 15, 7, 8, 1, 14]),
            (8, "807F0100", [0, 1, 127, 128]),
            (2, "40000003", [3] + [0] * 14 + [1]),
            (3, "88FAC688 C688FAC6 FAC688FA", [k % 8 for k in range(32)]),
            (3, "C0000000 80000001 00000003", [7 if k in (10, 21) else 0 for k in range(32)]),
            (3, "40000000 00000001 00000003", [{10: 5, 21: 6}.get(k, 0) for k in range(32)]),
        ]
        for bits, text, codes in cases:
            packed = words(text, len(text.split()))
            self.assertEqual(dequantize.unpack(packed, bits)[:, 0].tolist(), codes, text)

    def test_hand_worked_values(self):
        """Scale 0.1 as fp16 and zero 8: codes 0, 7, 8, 15 mean these four values."""
        codes = np.zeros((32, 32), dtype=np.int64)
        codes[:4, 0] = 0, 7, 8, 15
        parts = {
            "qweight": torch.from_numpy(example_writer.pack_down(codes, 4).view(np.int32)),
            "qzeros": torch.full((1, 4), 0x77777777, dtype=torch.int32),
            "scales": torch.full((1, 32), 0.1, dtype=torch.float16),
            "g_idx": torch.zeros(32, dtype=torch.int32),
        }
        weight = dequantize.dequantize_linear("hand", parts, 4, -1, "gptq")
        self.assertEqual(weight[0, :4].tolist(), [-0.7998046875, -0.0999755859375, 0.0, 0.6998291015625])


class RoundTrip(unittest.TestCase):
    def test_all_shapes_of_files(self):
        seed = 20221031
        print(f"seed {seed}")
        generator = torch.Generator().manual_seed(seed)
        versions = ((1, False), (2, False), (2, True))
        for bits, group_size, grid, (version, ordered) in itertools.product(
            (2, 3, 4, 8), (32, 64, -1), example_writer.GRIDS, versions
        ):
            with self.subTest(bits=bits, group_size=group_size, grid=grid, version=version, ordered=ordered):
                # 96 is one and a half groups of 64: the last group is short.
                weight = torch.randn(64, 96, generator=generator)
                order = torch.randperm(96, generator=generator).numpy() if ordered else None
                parts, value = example_writer.quantize_linear(weight, bits, group_size, grid, version, order)
                checkpoint_format = "gptq" if version == 1 else "gptq_v2"
                read = dequantize.dequantize_linear("random", parts, bits, group_size, checkpoint_format)
                self.assertTrue(torch.equal(read, value))
                self.check_error(weight, read, parts, grid)
                if grid == "full-range":
                    self.assertTrue(bool((parts["scales"] < 0).any()) and bool((parts["scales"] > 0).any()))

    def check_error(self, weight, read, parts, grid):
        """Round-to-nearest is within half a step, one step at the end of the range that the grid does not reach."""
        step = parts["scales"].float().abs()[parts["g_idx"].long()].T
        bound = 0.5 if grid == "symmetric" else 1.0
        slack = 1 + 2**-8  # fp16 rounding of the scale moves the ends of the range by up to 2^-11 of 2^(bits-1) steps
        excess = (weight - read).abs() - slack * bound * step - 2**-10 * weight.abs().max()
        self.assertLessEqual(excess.max().item(), 0)


class Refusals(unittest.TestCase):
    def setUp(self):
        generator = torch.Generator().manual_seed(7)
        weight = torch.randn(32, 64, generator=generator)
        self.parts, _ = example_writer.quantize_linear(weight, 4, 32, "symmetric", 1)

    def refuse(self, pattern, bits=4, group_size=32, checkpoint_format="gptq"):
        with self.assertRaisesRegex(ValueError, pattern):
            dequantize.dequantize_linear("bad", self.parts, bits, group_size, checkpoint_format)

    def test_zero_point_zero(self):
        self.parts["qzeros"][0, 0] = 0x77777770
        self.refuse("zero points", checkpoint_format="gptq_v2")

    def test_version_one_field_that_wraps(self):
        self.parts["qzeros"][0, 0] = 0x7777777F
        self.refuse("zero points")

    def test_scale_zero_infinite_nan(self):
        for value in (0.0, float("inf"), float("nan")):
            self.parts["scales"][1, 3] = value
            self.refuse("scale")

    def test_wrong_types_and_shapes(self):
        self.refuse("expected", bits=8)
        self.refuse("expected", group_size=16)
        self.refuse("known are", checkpoint_format="marlin")
        self.parts["scales"] = self.parts["scales"].float()
        self.refuse("scales is")

    def test_missing_part_and_wild_g_idx(self):
        self.parts["g_idx"][5] = 2
        self.refuse("g_idx")
        del self.parts["g_idx"]
        self.refuse("lacks g_idx")


class Directories(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        root = Path(self.scratch.name)
        self.source, self.packed, self.plain = root / "source", root / "packed", root / "plain"
        self.source.mkdir()
        generator = torch.Generator().manual_seed(11)
        self.original = {
            "model.embed_tokens.weight": torch.randn(50, 64, generator=generator).half(),
            "model.layers.0.mlp.up_proj.weight": torch.randn(96, 64, generator=generator).half(),
            "model.layers.0.mlp.up_proj.bias": torch.randn(96, generator=generator).half(),
            "model.layers.0.mlp.down_proj.weight": torch.randn(64, 96, generator=generator).half(),
        }
        save_file(self.original, str(self.source / "model.safetensors"))
        (self.source / "config.json").write_text('{"model_type": "llama", "dtype": "float16"}')
        self.values = example_writer.write_directory(self.source, self.packed, bits=4, group_size=64)

    def test_plain_directory(self):
        dequantize.write_plain(self.packed, self.plain)
        tensors = load_file(str(self.plain / "model.safetensors"))
        self.assertEqual(set(tensors), set(self.original))
        for name, tensor in tensors.items():
            expected = self.values.get(name, self.original[name].float())
            self.assertTrue(torch.equal(tensor, expected), name)
        config = json.loads((self.plain / "config.json").read_text())
        self.assertEqual(config, {"model_type": "llama", "dtype": "float32"})
        self.assertFalse((self.plain / "quantize_config.json").exists())

    def test_dynamic_rules(self):
        rules = {"-:.*\\.up_proj$": {}, "+:model\\.layers\\.0\\.": {"bits": 8, "group_size": 32}, ".*": {"bits": 2}}
        quantization = {"bits": 4, "group_size": 128, "dynamic": rules}
        self.assertIsNone(dequantize.settings_of("model.layers.0.mlp.up_proj", quantization))
        self.assertEqual(
            dequantize.settings_of("model.layers.0.mlp.down_proj", quantization), {"bits": 8, "group_size": 32}
        )
        self.assertEqual(
            dequantize.settings_of("model.layers.1.mlp.down_proj", quantization), {"bits": 2, "group_size": 128}
        )

    def test_twin_configs_must_agree(self):
        twin = self.packed / "quantize_config.json"
        twin.write_text(twin.read_text().replace('"bits": 4', '"bits": 8'))
        with self.assertRaisesRegex(ValueError, "differs"):
            dequantize.dequantize_directory(self.packed)

    def test_weight_beside_qweight(self):
        path = str(self.packed / "model.safetensors")
        tensors = load_file(path)
        tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(96, 64)
        save_file(tensors, path)
        with self.assertRaisesRegex(ValueError, "both weight and qweight"):
            dequantize.dequantize_directory(self.packed)


if __name__ == "__main__":
    unittest.main()
