"""Quantizes a model with another tool, in the Python of its environment: make_by_peer.py '{"tool": ..., "model": ...}'.

tool: gptqmodel, llm-compressor, auto-round, autogptq or autoawq; model, out: directories; group, bits, sym; desc_act, actorder
or format where the tool has them. formats_table.py calls it.
"""
import json
import os
import shutil
import sys
from pathlib import Path

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


def auto_round(job) -> None:
    from auto_round import AutoRound
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    data = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in torch.tensor(windows())]
    rounder = AutoRound(
        model, tokenizer, bits=job["bits"], group_size=job["group"], sym=job["sym"], iters=2, seqlen=LENGTH,
        nsamples=WINDOWS, batch_size=8, amp=False, device_map="cpu",
        dataset=torch.utils.data.DataLoader(data, batch_size=8, shuffle=False),
    )  # fmt: skip
    out = Path(job["out"])
    rounder.quantize_and_save(str(out), format=job["format"])
    if (out / "config.json").is_file():
        return
    for file in next(out.glob("*/config.json")).parent.iterdir():  # a directory of its own making, in the one it was given
        shutil.move(file, out / file.name)


def autogptq(job) -> None:
    """It wants a GPU to hold one layer; here the CPU stands for it. Solving, packing and the file are its own."""
    import auto_gptq.modeling._base as base
    from auto_gptq import AutoGPTQForCausalLM, BaseQuantizeConfig

    base.CUDA_0 = torch.device("cpu")
    torch.cuda.is_available = lambda: True
    torch.cuda.synchronize = lambda *_: None
    config = BaseQuantizeConfig(bits=job["bits"], group_size=job["group"], sym=job["sym"], desc_act=job["desc_act"])
    model = AutoGPTQForCausalLM.from_pretrained(job["model"], config, torch_dtype=torch.float16)  # of which its scales are
    model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows()], use_triton=False)
    model.save_quantized(job["out"], use_safetensors=True)


def autoawq(job) -> None:
    from awq import AutoAWQForCausalLM
    from transformers import AutoTokenizer

    model = AutoAWQForCausalLM.from_pretrained(job["model"], torch_dtype=torch.float32, device_map="cpu")
    config = {"w_bit": job["bits"], "q_group_size": job["group"], "zero_point": not job["sym"], "version": "GEMM"}
    model.quantize(
        AutoTokenizer.from_pretrained(job["model"]), quant_config=config, calib_data=windows(), max_calib_samples=WINDOWS,
        max_calib_seq_len=LENGTH,
    )  # fmt: skip
    model.save_quantized(job["out"])


TOOLS = {
    "gptqmodel": gptqmodel,
    "llm-compressor": llm_compressor,
    "auto-round": auto_round,
    "autogptq": autogptq,
    "autoawq": autoawq,
}


def main() -> None:
    job = json.loads(sys.argv[1])
    code = 0
    try:
        TOOLS[job["tool"]](job)
    except BaseException as error:  # the last line is what the caller shows
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that a tool left behind must not keep the process


if __name__ == "__main__":
    main()
