#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The planted sources compiled by nvcc against CUDA's own headers, warnings as errors: what the shim takes is CUDA. Exit 77, with the
# reason, where there is no nvcc 12.8 or later.
set -uo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/local/cuda/bin
version=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$version" ] || [ "$(printf '%s\n12.8\n' "$version" | sort -V | head -1)" != 12.8 ]; then
  echo "cudasim: nvcc 12.8 or later was not found (found: ${version:-none})"
  exit 77
fi
out=$(mktemp -d) bad=0
trap 'rm -rf "$out"' EXIT
for f in tests/cudasim/planted/*.cu; do
  nvcc -std=c++17 -arch=sm_80 -fmad=false -Werror all-warnings -Xcompiler -Wall,-Werror -Ikernels/cuda -Itests/cudasim/planted -c "$f" -o "$out/x.o" || bad=1
done
[ $bad = 0 ] && echo "cudasim: nvcc $version compiles the planted sources against CUDA's headers"
exit $bad
