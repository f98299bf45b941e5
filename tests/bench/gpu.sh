#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A training step on a GPU: tokens/s, share of the card's peak, memory; in f32, tf32 and bf16, and PyTorch beside it where it is
# installed with CUDA (chunked forward KL as in tests/bench/peers/torch_kd.py). Prints a table for docs/performance.md.
# usage: tests/bench/gpu.sh TEACHER STUDENT SHARDS [STEPS]; env RETORT (binary, its retort-cuda.so beside it), PEAK_TFLOPS (dense bf16,
# for the share; 989 for an H100 SXM). Exit 77, with the reason, where there is no GPU.
set -euo pipefail
tree=$(cd "$(dirname "$0")/../.." && pwd)
ls /dev/nvidia[0-9]* >/dev/null 2>&1 || { echo "skipped: no /dev/nvidia0, this machine has no NVIDIA device"; exit 77; }
[ $# -ge 3 ] || { sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 2; }
teacher=$1 student=$2 shards=$3 steps=${4:-12} tokens=${TOKENS:-8192}
RETORT=$(realpath "${RETORT:-$tree/build/gcc/retort}")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
name=$(nvidia-smi --query-gpu=name,driver_version,power.limit --format=csv,noheader | head -1)
echo "$name; $(date +%F); $steps steps of $tokens tokens; the first two are left out"
echo "| | tokens/s | model TFLOP/s | share of ${PEAK_TFLOPS:-?} TFLOP/s | GPU memory, MiB |"
echo "|---|---|---|---|---|"
for precision in f32 tf32 bf16; do
  (while sleep 0.5; do nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1; done) >"$out/memory" 2>/dev/null &
  watcher=$!
  "$RETORT" train -q --no-progress --student "$student" --teacher "$teacher" --shards "$shards" --loss fkl --targets online --device cuda --precision $precision \
    --tokens $((steps * tokens)) --tokens-per-step "$tokens" --micro-tokens "$tokens" --teacher-terms "${TERMS:-apache-2.0}" -o "$out/$precision"
  kill $watcher 2>/dev/null || true
  python3 - "$out/$precision/metrics.jsonl" "$out/memory" $precision "${PEAK_TFLOPS:-0}" <<'P'
import json, statistics, sys
rows = [r for r in map(json.loads, open(sys.argv[1])) if 'tok_s' in r][2:]
tok, tf = (statistics.median(r[k] for r in rows) for k in ('tok_s', 'gflops'))
peak = float(sys.argv[4])
memory = max((int(x) for x in open(sys.argv[2]).read().split()), default=0)
print(f"| retort {sys.argv[3]} | {tok:,.0f} | {tf / 1e3:.1f} | {f'{tf / 10 / peak:.0f} %' if peak else '?'} | {memory} |")
P
done
if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "PyTorch with CUDA is here: python3 tests/bench/peers/torch_kd.py is CPU code; run Liger's fused KL beside these rows by hand and note its versions"
else
  echo "no PyTorch with CUDA: nothing to compare with"
fi
