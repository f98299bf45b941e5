#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort rounds`: a small pruned student answers, a scripted teacher revises, training, held-out loss a round; the same command again asks
# and trains nothing; a rising loss stops the loop.
. "$RETORT_SOURCE/tests/net/scripted.bash"
model="${RETORT_CACHE:-/nowhere}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
[ -f "$model" ] || { echo "SmolLM2 is not in RETORT_CACHE: not run"; exit 0; }
cat >script.json <<'J'
[[["Criticise the answer"], ["It says nothing."]], [["Critique:"], ["The grey heron stands in shallow water."]]]
J
script_start script.json
for i in 1 2 3 4 5 6; do printf '{"id":"q%s","messages":[{"role":"user","content":"Question %s: where does the grey heron stand?"}]}\n' $i $i; done >prompts.jsonl
for i in 7 8; do printf '{"id":"h%s","messages":[{"role":"user","content":"Question %s: where does the grey heron stand?"},{"role":"assistant","content":"The grey heron stands in shallow water."}]}\n' $i $i; done >held.jsonl
"$RETORT" shard --tokenizer "$model" --context 128 -o held <held.jsonl 2>err || no "shard: $(tail -1 err)"
"$RETORT" prune "$model" --layers 2 --ffn 128 --calibrate held -o small 2>err || no "prune: $(tail -1 err)"
cat >loop.yaml <<E
student: small
student-terms: apache-2.0
teacher: $T
teacher-terms: mit
prompts: prompts.jsonl
held-out: held
output: loop
answer-option: [--max-tokens, "4"]
shard-option: [--context, "128"]
train-option: [--tokens, "600", --lr, "1e-3", --tokens-per-step, "128"]
E
"$RETORT" rounds 2 -C loop.yaml --book b >out 2>err || no "rounds: exit $?: $(tail -3 err)"
python3 - <<'P' || bad=1
import json
r = [json.loads(l) for l in open('out')]
if [x['round'] for x in r] != [0, 1, 2] or r[1]['rows'] != 6 or r[1]['kept'] != 6: print('FAIL: rounds', r); raise SystemExit(1)
if not (r[1]['loss'] < r[0]['loss'] and r[2]['loss'] < r[1]['loss']): print('FAIL: the loss does not fall', r); raise SystemExit(1)
print('held-out loss by round:', [x['loss'] for x in r])
P
asked=$(wc -l <asked.log)
"$RETORT" rounds 2 -C loop.yaml --book b 2>err | cmp - out || no "the same command again differs"
[ "$(wc -l <asked.log)" = "$asked" ] || no "the second run asked again"
sed 's/^output:.*/output: bad/; s/1e-3/3/' loop.yaml >bad.yaml
"$RETORT" rounds 3 -C bad.yaml --book b >out2 2>err || no "a loop that worsens: exit $?: $(tail -3 err)"
[ "$(wc -l <out2)" -lt 4 ] && grep -q "held-out loss rose" err && grep -q "best student: small " err || no "no stop: $(cat out2) $(tail -2 err)"
"$RETORT" rounds x -C loop.yaml 2>err; [ $? = 2 ] || no "rounds x"
"$RETORT" rounds 1 --student small 2>err; [ $? = 2 ] && grep -q -- '--prompts is needed' err || no "rounds without prompts: $(cat err)"
finish "rounds"
