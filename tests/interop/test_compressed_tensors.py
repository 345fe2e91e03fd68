"""compressed-tensors' own loader, through transformers, reads negative scales as scale * code with the sign kept."""
import json
import shutil
import tempfile
import unittest
from pathlib import Path

import torch
import transformers
from compressed_tensors.compressors import pack_to_int32
from safetensors.torch import load_file, save_file

import reference

DEMO = Path(__file__).parents[2] / "models" / "tiny-llama"
BITS, GROUP = 4, 64
SEED = 20221031


def signed_grid(weight: torch.Tensor):
    """weight [out, in] -> codes int8 -8 ... 7 and half scales [out, groups]: the extreme weight of each group uses code
    -8, so groups whose extreme is positive have a negative scale."""
    groups = weight.float().reshape(weight.shape[0], -1, GROUP)
    extreme = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
    scale = (extreme / -(2 ** (BITS - 1))).to(torch.float16).float()
    codes = torch.clamp(torch.round(groups / scale), -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1)
    return codes.reshape(weight.shape).to(torch.int8), scale[:, :, 0].to(torch.float16)


def write_directory(out: Path) -> dict:
    """The demo model with every linear packed; returns the weights that the codes stand for."""
    shutil.copytree(DEMO, out, ignore=shutil.ignore_patterns("training", "*.txt"))
    tensors, expected = {}, {}
    for name, tensor in load_file(str(DEMO / "model.safetensors")).items():
        if not name.endswith("_proj.weight"):
            tensors[name] = tensor
            continue
        codes, scale = signed_grid(tensor)
        module = name[: -len(".weight")]
        tensors[module + ".weight_packed"] = pack_to_int32(codes, BITS)
        tensors[module + ".weight_scale"] = scale
        tensors[module + ".weight_shape"] = torch.tensor(tensor.shape)
        expected[module] = codes.float() * scale.float().repeat_interleave(GROUP, dim=1)
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    config = json.loads((out / "config.json").read_text())
    weights = {"num_bits": BITS, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
        "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }
    (out / "config.json").write_text(json.dumps(config))
    return expected


class CompressedTensors(unittest.TestCase):
    def test_negative_scales(self):
        with tempfile.TemporaryDirectory() as folder:
            expected = write_directory(Path(folder) / "model")
            plain = transformers.CompressedTensorsConfig(run_compressed=False)  # unpacks every weight at loading
            model = reference.load(str(Path(folder) / "model"), quantization_config=plain)
            modules = dict(model.named_modules())
            generator = torch.Generator().manual_seed(SEED)
            print(f"seed {SEED}")
            for name, weight in expected.items():
                x = torch.randn(4, weight.shape[1], generator=generator)
                with torch.no_grad(), reference.silence():
                    got = modules[name](x).float()
                want = x @ weight.T
                # The loader may compute in half precision: a few units of 2^-11 of the largest output.
                self.assertLess((got - want).abs().max().item(), 2**-8 * want.abs().max().item(), name)
            self.assertEqual(len(expected), 42)

    def test_the_check_can_fail(self):
        weight = torch.tensor([[1.0] * GROUP])
        codes, scale = signed_grid(weight)
        self.assertLess(scale.item(), 0)
        self.assertAlmostEqual((codes.float() * scale.float()).mean().item(), 1.0, places=3)
        self.assertAlmostEqual((codes.float() * scale.float().abs()).mean().item(), -1.0, places=3)


if __name__ == "__main__":
    unittest.main()
