#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures (once) and builds one tree. usage: tools/build.sh FOLDER COMPILER [cmake option...]
set -euo pipefail
folder=$1 compiler=$2
shift 2
mkdir -p "$folder"
generator=()
command -v ninja >/dev/null && [ ! -f "$folder/Makefile" ] && generator=(-G Ninja)
log="$folder/configure.log"
cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_C_COMPILER="$compiler" "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
echo "build: compiling into $folder (log: $folder/build.log)" >&2
cmake --build "$folder" -j "${JOBS:-$(nproc)}" >"$folder/build.log" 2>&1 || { tail -60 "$folder/build.log" >&2; exit 1; }
echo "built $folder ($compiler)"
