#!/usr/bin/env bash
# Hesse's token ids, offsets and decoded text against those of Hugging Face's `tokenizers`, on more text than the repository
# can hold: for each kind of tokenizer one with the pipeline of a real model is trained on the texts, and both read 10,000
# random strings, all lines of the texts and each text as a whole.
#
#   tools/compare_tokenizers.sh TEST_TOKENIZER PYTHON TEXT... [-- KIND...]
#
# TEST_TOKENIZER is the program of the tests (build/release/tests/test_tokenizer); PYTHON has tokenizers and sentencepiece.
# The last line has the counts. About half a minute a kind and MB of text; KIND... takes some of the kinds only.
set -euo pipefail
test=${1:?usage: compare_tokenizers.sh TEST_TOKENIZER PYTHON TEXT...}
python=${2:?usage: compare_tokenizers.sh TEST_TOKENIZER PYTHON TEXT...}
shift 2
maker="$(dirname "$0")/make_tokenizer_fixtures.py"
texts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  texts+=("$1")
  shift
done
[ $# -eq 0 ] || shift
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || mapfile -t kinds < <("$python" -B "$maker" kinds)

cases=$(mktemp)
trap 'rm -f "$cases" "$cases.log"' EXIT
strings=0 different=0
for kind in "${kinds[@]}"; do
  "$python" -B "$maker" families "${texts[@]}" --only "$kind" --vocab 4000 --random 10000 --lines 10000000 --whole >"$cases"
  HESSE_TOKENIZER_CASES=$cases "$test" --gtest_filter=TokenizerGolden.CasesNamedByTheEnvironment >"$cases.log" || true
  found=$(grep -E '^[0-9]+ strings, 1 tokenizers, [0-9]+ differences$' "$cases.log") || {
    tail -n 20 "$cases.log" >&2
    exit 1
  }
  echo "$kind: $found"
  grep -m 5 -A 6 'Failure$' "$cases.log" || true
  read -r -a words <<<"$found"
  strings=$((strings + words[0])) different=$((different + words[4]))
done
echo "$strings strings, ${#kinds[@]} tokenizers, $different differences"
[ "$different" -eq 0 ]
