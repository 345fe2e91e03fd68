#!/usr/bin/env bash
# Runs every libFuzzer program over its corpus and what it makes of it.
#
#   tools/run_fuzzers.sh BUILD [SECONDS]
#
# SECONDS each, 60 when not given; 0: the first one without end. New inputs are kept in BUILD/corpus, what broke a
# promise in BUILD/crash-*: it becomes a file of tests/fuzz/corpus and a named test. Returns 1 when there is such a one.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: tools/run_fuzzers.sh BUILD [SECONDS]" >&2
  exit 2
fi
build=$1
seconds=${2:-60}
seeds=$(dirname "$0")/../tests/fuzz/corpus

status=0
for folder in "$seeds"/*/; do
  name=$(basename "$folder")
  mkdir -p "$build/corpus/$name"
  echo "== $name"
  "$build/tests/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
    -verbosity=0 -print_funcs=0 -artifact_prefix="$build/crash-$name-" "$build/corpus/$name" "$folder" || status=1
done
exit $status
