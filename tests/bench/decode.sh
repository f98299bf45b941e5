#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Decoding, prefill and scoring speed of SmolLM2 Q4_1: `RETORT=build/retort RETORT_CACHE=... tests/bench/decode.sh`. Prompts of 24
# words, 128 tokens each; tokens a second include the prompts' prefill. Peers: llama.cpp 0.3.36 decode 16 = 197, prefill 512 = 275;
# transformers generate 16 = 136, score 512 + top 64 = 403 (2 cores; machines differ, measure them in the same minute).
set -eu
R=${RETORT:-build/retort}; M=$RETORT_CACHE/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
words=(the court held that a licence to copy and use software grants no right beyond its terms so each party must keep every notice intact when they share)
for i in $(seq 32); do
  printf '{"id":"%s","text":"' "$i"; for j in $(seq 24); do printf '%s ' "${words[$(((i * 7 + j * 5) % ${#words[@]}))]}"; done; printf '"}\n'
done > "$T/short"
for i in $(seq 12); do echo "{\"id\":\"$i\",\"ids\":[$(seq -s, $((i * 31)) $((i * 31 + 511)))]}"; done > "$T/long"
for i in $(seq 6); do printf '{"id":"%s","text":"' "$i"; for j in $(seq 400); do printf '%s ' "${words[$(((i * 3 + j * j) % ${#words[@]}))]}"; done; printf '"}\n'; done > "$T/prompts"
for b in 1 8 16 32; do
  head -n "$b" "$T/short" | "$R" generate "$M" --batch "$b" --max-tokens 128 2>&1 > /dev/null | sed -n "s/.*generate: \(.*a second\)/decode batch $b: \1/p"
done
"$R" generate "$M" --batch 6 --max-tokens 1 --verbose < "$T/prompts" 2>&1 > /dev/null | sed -n 's/.*generate: \(.*prompt tokens.*\)/prefill: \1/p'
/usr/bin/env time -f 'score 12 x 512, top 64: %e s in all' "$R" score "$M" --top 64 --no-progress < "$T/long" 2>&1 > /dev/null | grep -v kept
