#!/usr/bin/env bash
# Installs what a job needs and this machine lacks, with apt-get, saying what and why.
#
#   tools/setup.sh build | test | bench | interop | fuzz | lint
#
# As root it installs; as a normal user it uses sudo, or prints the one command to run and returns 4. Where there is no
# apt-get it prints the list of libraries and leaves the rest to CMake, which names what it cannot find.
set -euo pipefail

# Job, package, program that serves as well when it is in the PATH (or -), what for.
packages() {
  cat <<'LIST'
build    cmake                    cmake     configures the build
build    ninja-build              ninja     runs the build
build    make                     make      runs the targets of the Makefile
build    g++                      g++       compiles C++20 (11 or later; clang++ 14 or later does too)
build    ccache                   ccache    makes repeated builds quick
build    pkg-config               pkg-config finds Highway, PCRE2, utf8proc and zstd
build    libdnnl-dev              -         oneDNN: matrix products in float and bf16
build    libopenblas-openmp-dev   -         OpenBLAS: factorisations in double precision
build    libhwy-dev               -         Highway: SIMD loops for every processor
build    nlohmann-json3-dev       -         reads and writes JSON
build    libtomlplusplus-dev      -         reads recipes in TOML
build    libcli11-dev             -         parses the command line
build    libfmt-dev               -         formats text
build    libpcre2-dev             -         patterns of tokenizers
build    libutf8proc-dev          -         Unicode normal forms of tokenizers
build    libssl-dev               -         OpenSSL: SHA-256 of files
build    zlib1g-dev               -         reads calibration text that is gzip
build    libzstd-dev              -         reads calibration text that is zstd
clang    libomp-dev               -         OpenMP for clang++, as CXX asks for
test     libgtest-dev             -         GoogleTest
test     libgmock-dev             -         matchers of GoogleTest
test     python3                  -         checks the rules of the source tree (tools/check_rules.py)
bench    libbenchmark-dev         -         Google Benchmark
interop  python3                  -         runs the programs that Hesse is compared with
interop  python3-venv             -         keeps those programs in an environment of their own
interop  python3-dev              -         lets PyTorch compile its kernels
fuzz     clang                    clang++   brings libFuzzer
fuzz     libomp-dev               -         OpenMP for clang++
fuzz     libclang-rt-14-dev       -         runtime of libFuzzer and of the sanitizers
lint     clang-format             clang-format formats the sources
lint     clang-tidy               clang-tidy finds mistakes that compilers do not
LIST
}

# What a job needs: its own packages and those of the jobs it builds on.
jobs_of() {
  local compiler=""
  case "${CXX:-}" in *clang*) compiler=clang ;; esac
  case "$1" in
    build) echo "build $compiler" ;;
    fuzz) echo "build test fuzz" ;;
    test | bench | interop | lint) echo "build $compiler $1" ;;
    *) return 1 ;;
  esac
}

if [ $# -ne 1 ] || ! jobs=$(jobs_of "$1"); then
  echo "usage: tools/setup.sh build | test | bench | interop | fuzz | lint" >&2
  exit 2
fi

wanted=$(packages | awk -v jobs=" $jobs " 'index(jobs, " " $1 " ")')

describe() {  # "job package program what for" lines -> "  package   what for"
  awk '{ name = $2; $1 = $2 = $3 = ""; sub(/^ +/, ""); printf "  %-24s %s\n", name, $0 }'
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "[setup] no apt-get here; please have these libraries and programs (Debian's names):"
  describe <<<"$wanted"
  exit 0
fi

installed=" $(awk '{ print $2 }' <<<"$wanted" |
  xargs dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null |
  awk '$2 == "installed" { printf "%s ", $1 }' || true)"
missing=""
while read -r job package program reason; do
  case "$installed" in *" $package "*) continue ;; esac
  if [ "$program" != - ] && command -v "$program" >/dev/null; then continue; fi
  missing+="$job $package $program $reason"$'\n'
done <<<"$wanted"
[ -n "$missing" ] || exit 0

names=$(awk 'NF { printf "%s%s", sep, $2; sep = " " }' <<<"$missing")
echo "[setup] missing for: $1"
describe <<<"${missing%$'\n'}"
manual="apt-get update && apt-get install -y --no-install-recommends $names"

install_with() {  # "" or "sudo"
  # A repository that does not answer is no reason to stop: the package may come from another one.
  $1 apt-get update -q || echo "[setup] apt-get update failed; trying with the lists at hand" >&2
  # shellcheck disable=SC2086  # names are words
  $1 env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $names
}

if [ "$(id -u)" -eq 0 ]; then
  echo "[setup] installing with apt-get"
  install_with "" && exit 0
elif command -v sudo >/dev/null; then
  echo "[setup] installing with sudo apt-get"
  install_with sudo && exit 0
fi
echo "[setup] please run this as root, then try again:" >&2
echo "  $manual" >&2
exit 4
