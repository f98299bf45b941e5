#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Distillation step, retort against PyTorch in turn in one run: teacher SmolLM2-135M, student of 12 layers and FFN 1024 (60 M),
# forward KL over the full vocabulary, float32, 4 x 256 tokens a step, every token in the loss. Prints medians and ratios.
# usage: tests/bench/train.sh [PAIRS] ; env RETORT (binary), RETORT_CACHE (SmolLM2), BENCH (working folder), TEXT (JSON Lines)
# torch gets OMP_WAIT_POLICY=passive: on a machine that does anything else its spinning barriers cost it three quarters of its speed
# (27 tok/s instead of 105 measured), which would be no fair peer. Not part of `make check`: it installs torch and transformers from PyPI into BENCH/venv (about 6 GB with what torch requires).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); tree=$(cd "$here/../.." && pwd)
RETORT=$(realpath "${RETORT:-$tree/build/retort}"); BENCH=${BENCH:-$tree/build/bench}; pairs=${1:-2}; B=4; T=256; STEPS=5
gguf=${RETORT_CACHE:?set RETORT_CACHE to the folder with smollm2/}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$BENCH"; export RETORT_RUN="$BENCH/lease"; mkdir -p -m 700 "$RETORT_RUN"
python=$BENCH/venv/bin/python
[ -x "$python" ] || python3 -m venv "$BENCH/venv"
"$python" -c 'import torch, transformers' 2>/dev/null || "$BENCH/venv/bin/pip" install -q torch transformers
cd "$BENCH"; export OMP_WAIT_POLICY=passive
[ -d teacher ] || "$RETORT" export "$gguf" -o teacher --type f32
if [ -z "${TEXT:-}" ]; then TEXT=$BENCH/text.jsonl; "$RETORT" fetch "$tree/docs" "$tree/README.md" > "$TEXT" 2>/dev/null || "$RETORT" fetch "$tree/docs" > "$TEXT"; fi
[ -s rows.jsonl ] || { rm -rf student shards; "$python" "$here/peers/torch_kd.py" setup teacher student rows.jsonl "$TEXT" $B $T $STEPS; }
[ -d shards ] || "$RETORT" shard --tokenizer teacher --context $T --no-pack -o shards < rows.jsonl
: > results.jsonl
for i in $(seq "$pairs"); do
  for mode in kd kdchunk; do "$python" "$here/peers/torch_kd.py" $mode teacher student rows.jsonl $B $T $STEPS 2>/dev/null | tee -a results.jsonl; done
  rm -rf run run.part
  "$RETORT" train -q --no-progress --student student --shards shards --teacher "$gguf" --loss fkl --tokens-per-step $((B * T)) --lr 1e-4 --schedule constant \
    --warmup 0 --weight-decay 0.01 --clip 0 --teacher-terms apache-2.0 -o run
  "$python" - "$BENCH" <<'P' | tee -a results.jsonl
import json, sys
m = [json.loads(l) for l in open(sys.argv[1] + '/run/metrics.jsonl')]; r = json.load(open(sys.argv[1] + '/run/manifest.json'))['result']
s = sorted(x['tok_s'] for x in m[1:]); g = sorted(x['gflops'] for x in m[1:])
print(json.dumps({'tool': 'retort', 'tok_s': s[len(s) // 2], 'rss_mb': r['peak_rss_bytes'] / 2**20, 'step_s': 1024 / s[len(s) // 2], 'gflops': g[len(g) // 2], 'loss_first': m[0]['loss']}))
P
done
"$python" - results.jsonl <<'P'
import json, statistics, sys
rows = [json.loads(l) for l in open(sys.argv[1])]
def med(tool, key):
    return statistics.median(r[key] for r in rows if r['tool'] == tool)
print(f"{'tool':14} {'tok/s':>8} {'RSS MB':>8}")
for t in ('torch kd', 'torch kdchunk', 'retort'):
    print(f"{t:14} {med(t, 'tok_s'):8.1f} {med(t, 'rss_mb'):8.0f}")
best = max(med('torch kd', 'tok_s'), med('torch kdchunk', 'tok_s'))
print(f"retort / best torch: {med('retort', 'tok_s') / best:.2f} x tokens/s (goal 1.00); memory {med('retort', 'rss_mb') / med('torch kd', 'rss_mb'):.2f} of torch kd (goal 0.50)")
P
