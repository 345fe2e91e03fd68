#!/usr/bin/env bash
# Quantizes a small model to 4 and 3 bits and shows what that cost: size, perplexity on unseen text, a line of text.
#
#   tools/run_demo.sh [TOOL [MODEL [OUT]]]     defaults: build/release/hesse models/tiny-llama build/demo
#
# MODEL holds calibration.txt and heldout.txt beside the weights. Results go to OUT/NAME-4bit and OUT/NAME-3bit.
set -euo pipefail

tool=${1:-build/release/hesse}
model=${2:-models/tiny-llama}
out=${3:-build/demo}
name=$(basename "$model")
prompt="The database server"

say() { printf '[demo] %s\n' "$*"; }
die() { printf '[demo] %s\n' "$*" >&2; exit 1; }

[ -x "$tool" ] || die "$tool: no such program; run 'make build' first"
for file in "$model/calibration.txt" "$model/heldout.txt"; do
  [ -f "$file" ] || die "$file: missing"
done

# number_of NAME <JSON: the first number called NAME. Enough for what our own tool prints; not a JSON reader.
number_of() {
  tr -d '\n' | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\(-\{0,1\}[0-9][0-9.eE+-]*\).*/\1/p"
}

megabytes_of() { cat "$1"/*.safetensors | wc -c | awk '{ printf "%.1f", $1 / 1e6 }'; }

perplexity_of() {
  local value
  value=$("$tool" eval "$1" --text "$model/heldout.txt" --window 512 --json --quiet | number_of perplexity)
  [ -n "$value" ] || die "$1: 'hesse eval --json' gave no perplexity"
  echo "$value"
}

sample_of() {  # as one line
  "$tool" generate "$1" --prompt "$prompt" --max-tokens 24 --temperature 0 --quiet |
    tr -s '[:space:]' ' ' | sed 's/^ //; s/ $//'
}

quantize() {  # BITS
  say "quantizing $model to $1 bits"
  "$tool" quantize "$model" -o "$out/$name-${1}bit" --calib "$model/calibration.txt" --bits "$1" --group-size 128 \
    --overwrite --quiet
}

started=$SECONDS
mkdir -p "$out"
quantize 4
quantize 3

say "measuring perplexity on $model/heldout.txt and writing a line with each"
rows=""
samples=""
original=""
for dir in "$model" "$out/$name-4bit" "$out/$name-3bit"; do
  # One assignment each: a failing command inside a longer word would go unnoticed.
  megabytes=$(megabytes_of "$dir")
  perplexity=$(perplexity_of "$dir")
  sample=$(sample_of "$dir")
  original=${original:-$perplexity}
  label=$(basename "$dir")
  rows+="$label $megabytes $perplexity $original"$'\n'
  samples+=$(printf '  %-18s %s' "$label" "${sample:0:98}")$'\n'
done

printf '\n  %-18s %9s %12s %10s\n' "model" "size" "perplexity" "increase"
awk 'NF { printf "  %-18s %6.1f MB %12.3f %+9.2f%%\n", $1, $2, $3, 100 * ($3 / $4 - 1) }' <<<"$rows"
printf '\n  what follows "%s":\n%s\n' "$prompt" "$samples"

say "results, ready for other programs to load:"
for dir in "$out/$name-4bit" "$out/$name-3bit"; do
  report=""
  [ ! -f "$dir/hesse-report.html" ] || report="   what happened: $dir/hesse-report.html"
  say "  $dir$report"
done
say "done in $((SECONDS - started)) s"
