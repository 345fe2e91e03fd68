#!/usr/bin/env bash
# A Python environment on the CPU in which transformers, GPTQModel and compressed-tensors load quantized checkpoints:
#   interop_env.sh VENV_DIR        about 2 minutes and 2 GB; nothing to do if it is already there; tried on Debian 12
# GPTQModel asks for torch >= 2.14.1, whose PyPI build is a CUDA one of 6 GB; its loading and its CPU kernels work with the
# 2.13.0 CPU build, so its dependencies are named by hand. It compiles a C++ kernel at its first use (about a minute, cached).
# On machines with few cores set GPTQMODEL_CPU_WORKERS=2, else it stops at "Virtual pool ... requests 2 workers".
set -euo pipefail
venv=${1:?usage: interop_env.sh VENV_DIR}
recipe=$(sha256sum <"$0")
if [ "$(cat "$venv/made-by" 2>/dev/null || true)" = "$recipe" ]; then
  echo "ready: $venv"
  exit 0
fi
python3 -m venv "$venv"
pip=("$venv/bin/python" -m pip install -q)
# The second line is the way on an ordinary machine; the first finds a wheel that a local mirror offers.
"${pip[@]}" torch==2.13.0+cpu 2>/dev/null ||
  "${pip[@]}" --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
"${pip[@]}" transformers==5.23.0 tokenizers==0.23.3 accelerate compressed-tensors==0.20.0 gguf==0.19.0 numpy setuptools wheel ninja
"${pip[@]}" threadpoolctl pillow requests jinja2 datasets pyarrow dill protobuf sentencepiece
"${pip[@]}" --no-deps --no-build-isolation gptqmodel==7.7.0 optimum==2.3.0
"${pip[@]}" --no-deps device-smi pypcre tokenicer logbar defuser torchao
GPTQMODEL_CPU_WORKERS=2 HF_HUB_OFFLINE=1 "$venv/bin/python" - <<'P'
import compressed_tensors, gptqmodel, torch, transformers
print("ready: torch", torch.__version__, "transformers", transformers.__version__, "gptqmodel", gptqmodel.__version__)
P
echo "$recipe" >"$venv/made-by"
