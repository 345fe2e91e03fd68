#!/usr/bin/env bash
# Prints the rows of a table of results: perplexity on unseen text before and after, by width and method.
#
#   tools/measure.sh TOOL MODEL CALIBRATION_TEXT EVALUATION_TEXT WINDOWS GROUP_SIZE "BITS..."
#
# Method rtn is plain rounding to nearest with min/max scales; gptq has every default of the tool.
# Calibration: 64 windows of 512 tokens; evaluation: the first WINDOWS windows of 512 tokens, no BOS.
set -euo pipefail

[ $# -eq 7 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
tool=$1 model=$2 calibration=$3 text=$4 windows=$5 group=$6 widths=$7
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

number_of() { tr -d '\n' | sed -n "s/.*\"$1\": *\(-\{0,1\}[0-9][0-9.eE+-]*\).*/\1/p"; }
perplexity_of() { "$tool" eval "$1" --text "$text" --windows "$windows" --json --quiet | number_of perplexity; }

original=$(perplexity_of "$model")
echo "| model | bits / group | method | bits a weight | perplexity | increase |"
echo "| --- | --- | --- | --- | --- | --- |"
awk -v p="$original" -v m="$(basename "$model")" 'BEGIN { printf "| %s | full precision | | 16 | %.3f | |\n", m, p }'
for bits in $widths; do
  for method in rtn gptq; do
    "$tool" quantize "$model" -o "$work/q" --calib "$calibration" --samples 64 --length 512 --bits "$bits" \
      --group-size "$group" --method "$method" $([ "$method" = gptq ] || echo "--scale-search minmax") --overwrite --quiet --json >"$work/record" 2>/dev/null
    perplexity=$(perplexity_of "$work/q")
    awk -v m="$(basename "$model")" -v b="$bits" -v g="$group" -v how="$method" -v p="$perplexity" -v o="$original" \
      -v w="$(number_of bits_per_weight <"$work/record")" \
      'BEGIN { printf "| %s | %d / %d | %s | %.2f | %.3f | %+.2f %% |\n", m, b, g, how, w, p, 100 * (p / o - 1) }'
  done
done
