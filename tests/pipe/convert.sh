#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort convert`: foreign rows become messages, documents of shards come back as rows that give the same shards, folders are
# complete or absent, and what a format cannot take is refused. (tests/interop/convert.sh has the real readers.)
. "$RETORT_SOURCE/tests/pipe/lib.bash"
Q=$RETORT_SOURCE/tests/golden/data/tokenizer/qwen2_small.tokenizer.json
cat >foreign <<'E'
{"id":"a","instruction":"Add.","input":"","output":"3","big":12345678901234567890}
{"id":"s","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"hello"}]}
{"id":"t","text":"plain"}
E
"$RETORT" convert -q foreign --to jsonl >out 2>err || no "convert: $(cat err)"
cat >want <<'E'
{"id":"a","big":12345678901234567890,"messages":[{"role":"user","content":"Add."},{"role":"assistant","content":"3"}]}
{"id":"s","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}
{"id":"t","text":"plain"}
E
cmp -s out want || no "foreign rows: $(diff out want)"
"$RETORT" convert -q - --to jsonl <foreign 2>/dev/null | cmp -s - want || no "stdin"
head -60 "$RETORT_SOURCE/tests/golden/data/curate/corpus.jsonl" >rows
"$RETORT" shard -q --tokenizer "$Q" --context 128 --too-long split --no-pack -o shards <rows 2>err || no "shard: $(cat err)"
"$RETORT" convert -q shards --to jsonl >docs || no "shards to rows"
"$RETORT" shard -q --tokenizer "$Q" --context 128 --no-pack -o again <docs 2>err || no "rows to shards: $(cat err)"
cmp -s shards/data-00000.rtz again/data-00000.rtz || no "other shards from converted rows"
for f in mds webdataset megatron hf; do
  "$RETORT" convert -q shards --to $f -o $f 2>err || no "$f: $(cat err)"
  "$RETORT" convert -q shards --to $f -o $f 2>err; [ $? = 2 ] && grep -q "exists already" err || no "$f over another: $(cat err)"
  "$RETORT" convert -q shards --to $f -o $f.2 2>err && diff -r $f $f.2 >/dev/null || no "$f twice is not the same"
done
tar tf webdataset/data-00000.tar 2>/dev/null | sed -n 1,3p | tr '\n' ' ' | grep >/dev/null '000000000.ids.npy 000000000.mask.npy 000000000.json' || no "members: $(tar tf webdataset/data-00000.tar | head -3)"
"$RETORT" convert -q foreign --to mds -o x 2>err; [ $? = 2 ] && grep -q "make shards first" err || no "rows to MDS: $(cat err)"
"$RETORT" convert -q shards --to parquet -o x 2>err; [ $? = 2 ] || no "an unknown format"
printf '{"id":"x","instruction":3}\n' | "$RETORT" convert -q - --to hf -o x 2>err; [ $? = 1 ] && grep -q "row 1" err && [ ! -e x ] || no "a bad row: $(cat err; ls -d x)"
if [ -n "${RETORT_CACHE:-}" ]; then # prune calibrates on foreign rows too
  M=$RETORT_CACHE/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  "$RETORT" prune "$M" --layers 2 --ffn 128 --calibrate foreign --no-progress -o student 2>err || no "prune --calibrate with foreign rows: $(tail -1 err)"
fi
[ $bad = 0 ] && echo "convert: ok"
exit $bad
