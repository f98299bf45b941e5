#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The local teacher beside its peers, in turn in one run: SmolLM2 Q4_1 decoded by 1, 8, 16 and 32 streams (llama.cpp on the same
# file), 512-token rows scored with their top 64 log-probabilities (transformers, float32). Prints medians of the pairs, their
# ratios and peak memory. retort's decoding counts the prompts' prefill, llama.cpp's does not; retort's scoring includes writing
# the JSON rows, transformers' does not; neither counts loading.
# usage: tests/bench/teacher.sh [PAIRS] ; env RETORT (binary), RETORT_CACHE (SmolLM2), BENCH (working folder); NO_PEERS=1: retort alone
# Installs torch, transformers and llama-cpp-python from PyPI into BENCH/venv. OMP_WAIT_POLICY=passive as in train.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); tree=$(cd "$here/../.." && pwd)
R=$(realpath "${RETORT:-$tree/build/gcc/retort}"); BENCH=${BENCH:-$tree/build/bench}; pairs=${1:-3}
M=${RETORT_CACHE:?set RETORT_CACHE to the folder with smollm2/}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$BENCH"; export RETORT_RUN="$BENCH/lease" OMP_WAIT_POLICY=passive; mkdir -p -m 700 "$RETORT_RUN"
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python=$BENCH/venv/bin/python
if [ -z "${NO_PEERS:-}" ]; then
  [ -x "$python" ] || python3 -m venv "$BENCH/venv"
  "$python" -c 'import torch, transformers, llama_cpp' 2>/dev/null || "$BENCH/venv/bin/pip" install -q torch transformers llama-cpp-python==0.3.36
  [ -d "$BENCH/teacher" ] || "$R" export -q "$M" -o "$BENCH/teacher" --type f32
fi
words=(the court held that a licence to copy and use software grants no right beyond its terms so each party must keep every notice intact when they share)
for i in $(seq 32); do
  printf '{"id":"%s","text":"' "$i"; for j in $(seq 24); do printf '%s ' "${words[$(((i * 7 + j * 5) % ${#words[@]}))]}"; done; printf '"}\n'
done > "$T/short"
for i in $(seq 12); do echo "{\"id\":\"$i\",\"ids\":[$(seq -s, $((i * 31)) $((i * 31 + 511)))]}"; done > "$T/long"
measure() { # WHAT TOKENS INPUT COMMAND...: loading (0.1 s) counts
  python3 -c '
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[4:], stdin=open(sys.argv[3]), stdout=subprocess.DEVNULL, check=True)
print(json.dumps({"tool": "retort", "what": sys.argv[1], "tok_s": int(sys.argv[2]) / (time.perf_counter() - start), "rss_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}))' "$@"
}
: > "$BENCH/teacher.jsonl"
echo "load: $(cut -d' ' -f1-3 /proc/loadavg)"
for _ in $(seq "$pairs"); do
  measure score $((12 * 512)) "$T/long" "$R" score -q "$M" --top 64 | tee -a "$BENCH/teacher.jsonl"
  [ -n "${NO_PEERS:-}" ] || "$python" "$here/peers/hf_score.py" "$BENCH/teacher" "$T/long" 64 2>/dev/null | tee -a "$BENCH/teacher.jsonl"
  for b in 1 8 16 32; do
    head -n "$b" "$T/short" > "$T/in"
    "$R" generate "$M" --batch "$b" --max-tokens 128 < "$T/in" 2>&1 > /dev/null |
      sed -n "s/.*generate: .* \([0-9.]*\) a second.*/{\"tool\":\"retort\",\"what\":\"decode $b\",\"tok_s\":\1,\"rss_mb\":0}/p" | tee -a "$BENCH/teacher.jsonl"
    [ -n "${NO_PEERS:-}" ] || "$python" "$here/peers/llama_decode.py" "$M" "$b" 128 | tee -a "$BENCH/teacher.jsonl"
  done
done
python3 - "$BENCH/teacher.jsonl" <<'P'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
def med(tool, what, key):
    v = [r[key] for r in rows if r['tool'] == tool and r['what'] == what]
    return statistics.median(v) if v else None
for what in ('score', 'decode 1', 'decode 8', 'decode 16', 'decode 32'):
    peer = 'transformers' if what == 'score' else 'llama.cpp'
    a, b = med('retort', what, 'tok_s'), med(peer, what, 'tok_s')
    print(f"{what:10} retort {a:7.1f} tok/s" + (f"   {peer} {b:7.1f} tok/s   ratio {a / b:.2f}" if b else ''))
a, b = med('retort', 'score', 'rss_mb'), med('transformers', 'score', 'rss_mb')
if b: print(f"memory of scoring: retort {a:.0f} MB, transformers {b:.0f} MB, ratio {a / b:.2f}")
P
