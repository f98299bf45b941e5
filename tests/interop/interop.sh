#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Do llama.cpp and transformers compute what retort computes from the files it writes? (`make interop`; not part of
# `make check`: installs torch, transformers, llama-cpp-python[server] and gguf into build/venv; the third is compiled, minutes.)
# usage: interop.sh   with RETORT (binary), RETORT_CACHE (smollm2/), INTEROP_VENV (default build/venv), INTEROP_OUT
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
retort=${RETORT:-$root/build/retort}
venv=${INTEROP_VENV:-$root/build/venv}
out=${INTEROP_OUT:-$root/build/interop}
model=${RETORT_CACHE:-$root/build/cache}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
[ -x "$retort" ] || { echo "interop: no binary at '$retort': build first" >&2; exit 2; }
[ -s "$model" ] || { echo "interop: no '$model': fetch the data first" >&2; exit 2; }
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" - <<'PY' || "$venv/bin/pip" install -q 'torch==2.15.0' 'transformers==5.23.0' 'gguf==0.19.0' 'llama-cpp-python[server]==0.3.36' numpy
import gguf, llama_cpp.server.app, numpy, torch, transformers
PY
rm -rf "$out"
mkdir -p "$out"
cd "$out"
# Calibration text: this project's own prose.
"$venv/bin/python" "$here/interop.py" rows "$root/README.md" "$root/docs" >cal.jsonl
quiet="--quiet --no-progress"
echo "interop: a student of 12 layers, 6 heads, ffn 1024; SmolLM2; the six small golden models"
"$retort" prune "$model" --layers 12 --heads 6 --ffn 1024 --calibrate cal.jsonl --samples 8 --length 128 -o student $quiet
"$retort" export student -o f32.gguf --type f32 $quiet
"$retort" export student -o f16.gguf --type f16 $quiet
"$retort" export student -o q8_0.gguf --type q8_0 $quiet
"$retort" export student -o q4_1.gguf --type q4_1 $quiet
for kind in q8_0 q4_1; do "$retort" export $kind.gguf -o ${kind}_as_f32.gguf --type f32 $quiet; done
"$retort" export "$model" -o teacher $quiet
"$retort" export "$model" -o teacher_f32.gguf --type f32 $quiet
for m in "$root"/tests/golden/data/model/*/; do
  n=$(basename "$m")
  cp -r "$m" "src_$n"
  "$retort" export "src_$n" -o "hf_$n" --teacher-terms apache-2.0 $quiet
  "$retort" export "src_$n" -o "gg_$n.gguf" --type f32 --teacher-terms apache-2.0 $quiet
done
"$venv/bin/python" "$here/interop.py" compare "$retort" "$root/tests/golden/data/model"
echo "interop: llama.cpp's server as a teacher"
"$venv/bin/python" "$here/teacher_server.py" "$retort" "$model" teacher_f32.gguf
echo "interop: docs/read_shards.py, a second reader of shard folders"
"$venv/bin/python" -c 'import xxhash, zstandard' 2>/dev/null || "$venv/bin/pip" install -q zstandard xxhash
PYTHON=$venv/bin/python RETORT=$retort RETORT_SOURCE=$root RETORT_CACHE=$(dirname "$(dirname "$model")") "$here/read_shards.sh"
RETORT=$retort RETORT_SOURCE=$root "$here/convert.sh"
