#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Folders whose writer was killed: the same command again ends with the same files, none of the killed writer's among them.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
model=$RETORT_SOURCE/tests/golden/data/model/llama_tied
tokens() { for i in 1 2 3 4 5 6 7 8; do printf '{"id":"r%d","ids":[%d,7,9,200,31,%d,5,6,77,80]}\n' $i $((i * 11)) $((300 - i)); done; }

# the golden tokenizer cut to the golden model's 320 tokens
jq -c '.model.merges |= .[:63] | .model.vocab |= with_entries(select(.value < 319)) | .added_tokens[0].id = 319' \
  "$RETORT_SOURCE/tests/golden/data/tokenizer/gpt2_style.tokenizer.json" >tok.json || exit 1

# shard: killed while it wrote its key and while it wrote the manifest
"$RETORT" shard --tokenizer tok.json --context 32 -o whole < <(tokens) 2>err || no "shard: $(cat err)"
mkdir sh.part
touch sh.part/key.part-99 sh.part/manifest.json.part-4194000
"$RETORT" shard --tokenizer tok.json --context 32 -o sh < <(tokens) 2>err || no "shard again: $(cat err)"
diff -r whole sh || no "shard after a kill has other files"

# train: a run that was killed between its last evaluation and the end, and one killed before the evaluation of a saved step
run=("$RETORT" train --student "$model" --shards sh --loss ce --epochs 4 --tokens-per-step 32 --eval-shards sh --eval-every 2 --checkpoint-every 2 -q -o trained)
"${run[@]}" 2>err || no "train: $(cat err)"
steps() { jq -c 'del(.time, .seconds, .tok_s, .gflops)' "$1"; }
steps trained/metrics.jsonl >want
cp -r trained trained.whole
mv trained trained.part
rm -r trained.part/manifest.json trained.part/student
touch trained.part/metrics.jsonl.part-99
"${run[@]}" 2>err || no "train, killed at the end: $(cat err)"
steps trained/metrics.jsonl | diff want - || no "train, killed at the end: other metrics"
[ -z "$(find trained -name '*.part-*')" ] || no "train: left over: $(find trained -name '*.part-*')"
cmp -s trained/student/model.safetensors trained.whole/student/model.safetensors || no "train, killed at the end: another student"
rm -r trained
mv trained.whole trained.part
rm -r trained.part/manifest.json trained.part/student
last=$(ls trained.part/checkpoints | tail -1)
rm -r "trained.part/checkpoints/$last"
step=$(ls trained.part/checkpoints | tail -1 | sed 's/step-0*//')
[ "$step" -gt 0 ] && jq -c "select(.step <= $step and (.eval == null or .step < $step))" trained.part/metrics.jsonl >m && mv m trained.part/metrics.jsonl
"${run[@]}" 2>err || no "train, stopped before an evaluation: $(cat err)"
steps trained/metrics.jsonl | diff want - || no "train, stopped before an evaluation: other metrics"
exit $bad
