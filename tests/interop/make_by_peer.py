"""Quantizes a model with another tool, in the Python of its environment: make_by_peer.py '{"tool": ..., "model": ...}'.

tool: gptqmodel or llm-compressor; model, out: directories; group, bits, sym, desc_act or actorder. formats_table.py calls it.
"""
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import torch

LENGTH, WINDOWS, VOCAB, SEED = 64, 16, 96, 20261123


def windows() -> list:
    torch.manual_seed(SEED)
    return torch.randint(3, VOCAB, (WINDOWS, LENGTH)).tolist()


def gptqmodel(job) -> None:
    from gptqmodel import GPTQModel, QuantizeConfig

    config = QuantizeConfig(
        bits=job["bits"], group_size=job["group"], sym=job["sym"], desc_act=job.get("desc_act", False),
        act_group_aware=False,
    )  # fmt: skip
    model = GPTQModel.load(job["model"], config, dtype=torch.float32, device="cpu")
    model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows()], batch_size=1)
    model.save(job["out"])


def llm_compressor(job) -> None:
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16)  # of which its scales are too
    weights = QuantizationArgs(
        num_bits=job["bits"], type="int", symmetric=job["sym"], strategy="group", group_size=job["group"]
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    recipe = GPTQModifier(config_groups={"group_0": scheme}, ignore=["lm_head"], actorder=job.get("actorder"))
    data = Dataset.from_list([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows()])
    oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=LENGTH, num_calibration_samples=WINDOWS)
    model.save_pretrained(job["out"], save_compressed=True)


def main() -> None:
    job = json.loads(sys.argv[1])
    code = 0
    try:
        {"gptqmodel": gptqmodel, "llm-compressor": llm_compressor}[job["tool"]](job)
    except BaseException as error:  # the last line is what the caller shows
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that a tool left behind must not keep the process


if __name__ == "__main__":
    main()
