#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: compile.sh FOLDER. Builds the CUDA plugin in a tree of its own (sm_80, sm_90, sm_100, warnings as errors) and checks what
# ptxas says: no kernel may spill more than SPILL_BYTES. Exit 0 good, 1 bad, 77 skipped (no nvcc 12.8 or later).
set -uo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build/cuda}
SPILL_BYTES=64
PATH=$PATH:/usr/local/cuda/bin
version=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\.[0-9]*\).*/\1/p')
if [ -z "$version" ] || [ "$(printf '%s\n12.8\n' "$version" | sort -V | head -1)" != 12.8 ]; then
  echo "cuda: nvcc 12.8 or later was not found (found: ${version:-none})"
  exit 77
fi
mkdir -p "$folder"
if ! { cmake -S . -B "$folder" -DRETORT_TESTS=OFF -DRETORT_CUDA=ON && cmake --build "$folder" --target retort-cuda -j "${JOBS:-$(nproc)}"; } >"$folder/build.log" 2>&1; then
  tail -40 "$folder/build.log"
  exit 1
fi
bad=0 kernels=0
for log in "$folder"/cuda/*.ptxas; do
  [ -f "${log%.ptxas}.o" ] || continue
  kernels=$((kernels + $(grep -c 'Compiling entry function' "$log")))
  while read -r name bytes; do
    echo "cuda: $(basename "$log" .ptxas).cu: $name spills $bytes bytes, the bound is $SPILL_BYTES: fewer values at a time, or more launch bounds"
    bad=1
  done < <(awk -v most=$SPILL_BYTES '/Compiling entry function/ { name = $0; sub(/.*function ./, "", name); sub(/. for/, " for", name); gsub(/[\x27]/, "", name); gsub(/ /, "_", name) }
    /bytes spill stores/ { for (i = 1; i <= NF; i++) if ($i == "spill" && $(i - 2) + 0 > most) { print name, $(i - 2); break } }' "$log")
done
[ "$kernels" -gt 0 ] || { echo "cuda: no kernel was compiled"; exit 1; }
echo "cuda: $kernels kernels (entry points of all architectures) compiled by nvcc $version, none spills above $SPILL_BYTES bytes"
exit $bad
