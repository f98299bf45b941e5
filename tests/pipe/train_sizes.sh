#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# train: a forward pass as large as one likes takes no more memory than a step has tokens, and its size does not change the result
# beyond rounding.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
model=$RETORT_SOURCE/tests/golden/data/model/llama_tied
jq -c '.model.merges |= .[:63] | .model.vocab |= with_entries(select(.value < 319)) | .added_tokens[0].id = 319' \
  "$RETORT_SOURCE/tests/golden/data/tokenizer/gpt2_style.tokenizer.json" >tok.json || exit 1
for i in 1 2 3 4 5 6 7 8; do printf '{"id":"r%d","ids":[%d,7,9,200,31,%d,5,6,77,80]}\n' $i $((i * 11)) $((300 - i)); done |
  "$RETORT" shard -q --tokenizer tok.json --context 16 -o sh || no "shard"
losses() { # FOLDER OPTIONS...
  local folder=$1; shift
  "$RETORT" train --student "$model" --shards sh --loss ce --epochs 3 --tokens-per-step 32 -q -o "$folder" "$@" 2>err || no "train $*: $(cat err)"
  jq '.loss // empty' "$folder/metrics.jsonl"
}
losses a --micro-tokens 1 >a.loss
losses b --micro-tokens 2G >b.loss
[ -s a.loss ] || no "no losses"
paste a.loss b.loss | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-5) exit 1 }' || no "the size of a forward pass changes the losses: $(paste a.loss b.loss)"
"$RETORT" train --student "$model" --shards sh --loss ce --tokens-per-step 2G --micro-tokens 2G -q -o c 2>err || no "train with 2G tokens a step: $(cat err)"
for beta in beta1 beta2; do # at 1 the moments would stay what they were: no step
  "$RETORT" train --student "$model" --shards sh --loss ce -q -o d --$beta 1 2>err
  [ $? = 2 ] && grep -q -- "--$beta.: 1 was given" err || no "--$beta 1: $(cat err)"
done
exit $bad
