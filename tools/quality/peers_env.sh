#!/usr/bin/env bash
# The Python environments of the other tools that tools/quality/peers.py and tests/interop/formats_table.py run, all with
# torch 2.13.0 for the CPU:
#   peers_env.sh DIR [gptqmodel] [llm-compressor] [auto-round] [classic]     makes DIR/NAME; no name: all of them
#
# classic: AutoGPTQ and AutoAWQ, which are not developed any more, in their last releases with the transformers of their days.
# About 2 GB and 3 minutes each; nothing to do for one that is already there; tried on Debian 12 with Python 3.11.
# They cannot share one: each names its own range of transformers and compressed-tensors.
# torch is always asked for by its version: what PyPI offers without one is a CUDA build of several gigabytes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: peers_env.sh DIR [gptqmodel] [llm-compressor] [auto-round] [classic]}
shift
[ $# -gt 0 ] || set -- gptqmodel llm-compressor auto-round classic

make_venv() {  # NAME PACKAGES...
  local venv=$dir/$1 recipe
  recipe="torch==2.13.0 $*"
  if [ "$(cat "$venv/made-by" 2>/dev/null || true)" = "$recipe" ]; then
    echo "ready: $venv"
    return
  fi
  shift
  python3 -m venv "$venv"
  local pip=("$venv/bin/python" -m pip install -q)
  # The second line is the way on an ordinary machine; the first finds a wheel that a local mirror offers.
  "${pip[@]}" torch==2.13.0+cpu 2>/dev/null ||
    "${pip[@]}" --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
  # Constrained, so that no dependency trades the CPU build for another.
  "$venv/bin/python" -m pip freeze | grep '^torch==' >"$venv/constraints.txt"
  "${pip[@]}" -c "$venv/constraints.txt" "$@"
  "$venv/bin/python" -m pip list 2>/dev/null | grep -iE '^(torch|transformers|llmcompressor|auto.round|compressed.tensors) '
  echo "$recipe" >"$venv/made-by"
}

for name in "$@"; do
  case $name in
    gptqmodel) "$here/../interop_env.sh" "$dir/gptqmodel" ;;
    llm-compressor) make_venv llm-compressor llmcompressor==0.14.0.1 transformers==5.17.0 auto-round==0.15.1 ;;
    auto-round) make_venv auto-round auto-round==0.16.1 transformers==5.23.0 safetensors==0.8.0 ;;
    classic)
      make_venv classic transformers==4.51.3 accelerate datasets numpy sentencepiece protobuf gekko zstandard
      # Their wheels ask for other builds of torch, and what they ask for besides is above.
      "$dir/classic/bin/python" -m pip install -q --no-deps auto-gptq==0.7.1 autoawq==0.2.9 peft==0.10.0 rouge==1.0.1
      ;;
    *) echo "peers_env.sh: no peer is called '$name'" >&2; exit 2 ;;
  esac
done
