#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `curate` and `shard` as parts of a pipe: nothing depends on order or threads, rows stay byte for byte, every drop is accounted
# for, groups do not cross a split, folders are complete or absent.
set -u
R=$(realpath "${RETORT:-./retort}"); S=$(realpath "${RETORT_SOURCE:-.}"); C=$S/tests/golden/data/curate; Q=$S/tests/golden/data/tokenizer/qwen2_small.tokenizer.json
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
cd "$T"; bad=0
fail() { echo "FAILED: $1"; bad=1; }
same() { cmp -s "$1" "$2" || fail "$3: $1 and $2 differ"; }
exits() { local want=$1 rc; shift; "$@" >out 2>err; rc=$?; [ $rc = "$want" ] || fail "'$*' gave $rc, expected $want: $(tail -1 err)"; }
says() { grep -q -- "$1" err || fail "'$1' expected in: $(tail -2 err)"; }

# ---- curate ----
"$R" curate -q --near 0.8 --against "$C/eval.jsonl" --rejects rejects <"$C/corpus.jsonl" >kept || fail "curate"
[ $(($(wc -l <kept) + $(wc -l <rejects))) = 580 ] || fail "kept and rejects are not all rows"
[ "$(sort kept "$C/corpus.jsonl" | uniq -d | wc -l)" = "$(wc -l <kept)" ] || fail "a kept row is not byte for byte what came in"
grep -vq '"curate":{"reason":"[a-z_0-9]*","score":[0-9.e-]*,"evidence":".*","witness":".*"\(,"at":\[[0-9]*,[0-9]*\],"witness_at":\[[0-9]*,[0-9]*\]\)\?}}$' rejects && fail "a reject without reason"
for threads in 1 3; do
  awk 'BEGIN{srand('$threads')} {print rand() "\t" $0}' "$C/corpus.jsonl" | sort | cut -f2- | "$R" curate -q --threads $threads --near 0.8 --against "$C/eval.jsonl" --rejects again.rejects >again || fail "curate, other order"
  sort kept >a; sort again >b; same a b "order of arrival"
  sort rejects >a; sort again.rejects >b; same a b "rejects and order of arrival"
done
"$R" curate -q --near 0.8 --arrival <"$C/corpus.jsonl" >arrival || fail "curate --arrival"
[ "$(wc -l <arrival)" -gt 400 ] || fail "--arrival kept $(wc -l <arrival)"
: | "$R" curate -q --near 0.8 >empty || fail "empty input"; [ -s empty ] && fail "rows out of nothing"
{ cat "$C/corpus.jsonl" "$C/corpus.jsonl" "$C/corpus.jsonl"; } | "$R" curate -q --no-exact --no-repetition 2>err | head -1 >/dev/null
[ "${PIPESTATUS[1]}" = 141 ] && [ ! -s err ] || fail "a closed pipe: exit ${PIPESTATUS[1]}, $(cat err)"
printf '{"id":"x","messages":"no"}\n' >row; exits 1 "$R" curate -q <row; says "'stdin' row 1: field 'messages' is a string"
printf '{"id":"x","text":"a"}\n{"id":' >row; exits 0 "$R" curate -q <row; says "row 2"; exits 1 "$R" curate -q --strict <row; says "1 of 2 rows failed"
exits 2 "$R" curate --split a,b </dev/null; exits 2 "$R" curate --near 2 </dev/null; exits 3 "$R" curate --against none </dev/null
# the last 13 words of an item count, 12 do not; an item of 9 words is searched for as a whole
cat >eval.jsonl <<'ROWS'
{"id":"long","question":"one two three four five six","answer":"seven eight nine ten eleven twelve thirteen fourteen"}
{"id":"short","text":"red orange yellow green blue indigo violet black white"}
ROWS
cat >row <<'ROWS'
{"id":"a","text":"so: TWO three four five six seven eight nine ten eleven twelve thirteen fourteen!"}
{"id":"b","text":"so: three four five six seven eight nine ten eleven twelve thirteen fourteen"}
{"id":"c","text":"colours are red, orange, yellow, green, blue, indigo, violet, black, white"}
{"id":"d","text":"colours are red, orange, yellow, green, blue, indigo, violet, black"}
ROWS
"$R" curate -q --against eval.jsonl <row | sed 's/.*"id":"\(.\)".*/\1/' | tr -d '\n' >ids
[ "$(cat ids)" = bd ] || fail "contamination at its borders kept $(cat ids), expected bd"
# refusals only in what the assistant says
cat >row <<'ROWS'
{"id":"1","messages":[{"role":"user","content":"Why?"},{"role":"assistant","content":"As an AI language model, I have no opinion."}]}
{"id":"2","messages":[{"role":"user","content":"You say: as an AI, I cannot."},{"role":"assistant","content":"Understood."}]}
{"id":"3","instruction":"go","output":"I’m sorry, but I can’t do that."}
{"id":"4","text":"As an AI system under this Act means a machine."}
{"id":"5","text":""}
{"id":"6","text":"It is 2+3."}
{"id":"7","text":"it is 2-3"}
{"id":"8","text":"It is  2 + 3!"}
ROWS
"$R" curate -q --rejects r <row | sed 's/.*"id":"\(.\)".*/\1/' | tr -d '\n' >ids
[ "$(cat ids)" = 2467 ] || fail "refusals and exact duplicates kept $(cat ids), expected 2467"

# ---- split ----
awk '{ sub(/^\{/, "{\"meta\":{\"family\":\"f" int(NR / 7) "\"},"); print }' "$C/corpus.jsonl" >families
"$R" curate -q --no-exact --no-repetition --split meta.family --split-fraction 0.3 <families >marked || fail "split"
grep -o '"family":"f[0-9]*"\|"split":"[a-z]*"' marked | paste - - | sort -u >pairs
[ "$(cut -f1 pairs | sort | uniq -d | wc -l)" = 0 ] || fail "a family on both sides"
n=$(grep -c '"split":"test"' marked); [ "$n" -gt 100 ] && [ "$n" -lt 250 ] || fail "$n of 580 rows in test at 0.3"
head -200 families | "$R" curate -q --no-exact --no-repetition --split meta.family --split-fraction 0.3 >fewer; head -n "$(wc -l <fewer)" marked >a; same a fewer "old rows moved when rows were added"
# documents d0012 and d0469 are near (0.853): their families must stand together
"$R" curate -q --no-exact --no-repetition --split group:meta.family,near --split-fraction 0.5 <families >joined
python3 - "$C/truth.json" joined <<'PY' || fail "a near pair crosses the split"
import json, sys
pairs = json.load(open(sys.argv[1]))['pairs_jaccard_ge_0.2']
rows = {r['id']: r for r in map(json.loads, open(sys.argv[2], encoding='utf-8').read().split('\n')[:-1])}
assert len({r['split'] for r in rows.values()}) == 2
crossed = [(a, b, j) for a, b, j in pairs if j >= .8 and rows[a]['split'] != rows[b]['split']]
families = {}
for r in rows.values(): families.setdefault(r['meta']['family'], set()).add(r['split'])
assert not crossed and all(len(s) == 1 for s in families.values()), crossed[:5]
PY
"$R" curate -q --only-split test <marked >tests; [ "$(wc -l <tests)" -le "$n" ] && ! grep -q '"split":"train"' tests || fail "--only-split"

# ---- shard ----
cat >rows <<'ROWS'
{"id":"a","messages":[{"role":"user","content":"What is the capital of France?"},{"role":"assistant","content":"Paris is the capital of France."}],"split":"train","teacher":{"name":"T","identity":"x","sampling":"{}","terms":"MIT"}}
{"id":"b","text":"Permission is hereby granted, free of charge, to any person obtaining a copy.","split":"test","meta":{"licence":"MIT"}}
{"id":"c","ids":[1,2,3,4,5],"mask":[0,0,1,1,0],"split":"train","weight":0.5}
{"id":"d","instruction":"Add 1 and 2","output":"3","split":"train"}
{"id":"e","messages":[{"role":"user","content":"nobody answers"}]}
{"id":"f","prompt":"x","chosen":"y","rejected":"z"}
ROWS
shard() { "$R" shard --tokenizer "$Q" --chat-template chatml --no-progress "$@"; }
exits 0 shard --context 64 --weights -o s <rows; says "6 in, 4 kept, 2 dropped (no_answer 1, no_text 1)"
exits 0 "$R" check s --tokenizer "$Q"; grep -q 's: ok: shards:' out || fail "check: $(cat out)"
grep -q '"row_teachers":\[{"name":"T","terms":"MIT","rows":1}\]' s/manifest.json || fail "the rows' teacher is not in the manifest"
zstdcat s/data-00000.rtz 2>/dev/null | head -c 4 | grep >/dev/null RTSB || fail "zstdcat"
cp -r s before; exits 0 shard --context 64 --weights -o s <rows; says "left alone"; says "6 in, 4 kept, 2 dropped"; same s/manifest.json before/manifest.json "left alone"
exits 2 shard --context 32 --weights -o s <rows; says "use --force"
head -3 rows >three; exits 2 shard --context 64 --weights -o s <three; says "use --force"; same s/manifest.json before/manifest.json "refused"
exits 0 shard --context 64 --weights --force -o s <three; grep -q '"docs":3' s/manifest.json || fail "--force did not replace"
exits 0 shard --split test -o st <rows; says "1 kept, 5 dropped (no_split 2, other_split 3)"
shard --context 64 --threads 1 -o t1 <rows 2>/dev/null; shard --context 64 --threads 3 -o t3 <rows 2>/dev/null; same t1/data-00000.rtz t3/data-00000.rtz "threads"
for i in $(seq 200); do printf '%s ' "word$i"; done >long; printf '{"id":"l","text":"%s"}\n' "$(cat long)" >row
exits 0 shard --context 64 --too-long drop -o ld <row; says "too_long 1"; exits 0 shard --context 64 -o lc <row; grep -q '"docs":1' lc/manifest.json || fail "cut"
exits 0 shard --context 64 --too-long split -o ls <row; grep -q '"rows_split":1,"tokens_left_out":0' ls/manifest.json || fail "split: $(grep packing ls/manifest.json)"
printf '%s\n' '{"id":"c","messages":[{"role":"user","content":"a question"},{"role":"assistant","content":"an answer"}]}' >chat
exits 2 shard --loss-on all --targets topk:4 -t replay:b -o x <chat; says "of answers only"
exits 0 shard --context 64 -o la <chat; exits 0 shard --context 64 --loss-on all -o lall <chat
jq -e --slurpfile a la/manifest.json '.counts.tokens == $a[0].counts.tokens and .counts.targets == .counts.tokens - 1 and $a[0].counts.targets < .counts.targets / 2' lall/manifest.json >out || fail "--loss-on all: $(jq -c .counts la/manifest.json lall/manifest.json)"
exits 0 shard -o none </dev/null; exits 0 "$R" check none
# folders of version 1: without top k they are read, with it they are refused by name
exits 0 "$R" check "$S/tests/golden/data/shards_v1/none"; exits 1 "$R" check "$S/tests/golden/data/shards_v1/topk" 2>err
grep -q "version 1 with top-k" out || fail "version 1: $(cat out)"
cat rows | "$R" curate -q 2>/dev/null | cat | shard -q -o foreign 2>err || fail "a foreign filter in between: $(cat err)"
exits 2 shard <rows; exits 2 shard --targets topk:4 -o x <rows; exits 2 shard --targets best -o x <rows
printf '{"id":"x","ids":[1,999999]}\n' >row; exits 1 shard -o x <row; says "field 'ids\[1\]' is 999999"; [ -e x ] && fail "a folder after an error"
# upstream killed in the middle: exit 9 and no folder
mkfifo feed.fifo
{ head -2 rows; exec sleep 60; } >feed.fifo & feeder=$! # stays in the middle of its rows
{ "$R" curate -q <feed.fifo & echo $! >curate.pid; wait; } 2>/dev/null | shard -o killed 2>err & pipe=$!
for _ in $(seq 50); do [ -s curate.pid ] && break; sleep 0.1; done
sleep 0.5; kill -9 "$(cat curate.pid)"; kill $feeder 2>/dev/null
wait $pipe; rc=$?
[ -e killed ] && fail "a folder although upstream was killed"
[ $rc = 9 ] || fail "upstream killed: exit $rc, expected 9: $(cat err)"
if [ -n "${RETORT_CACHE:-}" ]; then
  M=$RETORT_CACHE/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  exits 1 shard -t "$M" --targets topk:4 -o x <rows; says "tokenizer"
  exits 10 "$R" shard -t "$M" --teacher-terms gemma --targets topk:4 -o x <rows; [ -e x ] && fail "a folder against the terms"
  exits 0 "$R" shard -t "$M" --targets topk:4,sample:8,hidden --context 64 --no-progress -o ok <rows
  exits 0 "$R" check ok --tokenizer "$M"
  # a student learns from the draws alone; the draws of a row do not depend on how it is packed
  exits 0 "$R" prune "$M" --layers 2 --ffn 128 --calibrate ok --no-progress -o student
  exits 0 "$R" train --student student --shards ok --loss sample --tokens 256 --no-progress -o trained; says "the 8 stored draws"
  grep -q '"targets":"sample"' trained/manifest.json || fail "trained on: $(grep -o '"targets":"[a-z]*"' trained/manifest.json)"
  exits 0 "$R" eval student --teacher "$M" --data ok --targets hidden --no-progress; says "8 bits cost [0-9.e-]* nat of KL"
  exits 0 "$R" shard --tokenizer "$M" --context 64 --no-progress -o plain <rows; exits 2 "$R" train --student student --shards plain --loss sample --no-progress -o x; says "no draws"
  # killed while the teacher works: the same command goes on and ends with the same bytes
  head -12 "$C/corpus.jsonl" >many
  again() { "$R" shard -t "$M" --targets topk:16,sample:4 --context 64 --frame-bytes 1K --no-progress -o "$1" <many; }
  again whole 2>err || fail "whole: $(tail -1 err)"
  "$R" shard -t "$M" --targets topk:16,sample:4 --context 64 --frame-bytes 1K --no-progress -o torn <many 2>err & pid=$! # not the function: its shell would die alone
  for _ in $(seq 200); do [ -s torn.part/data-00000.rtz ] && break; sleep 0.02; done
  kill -9 $pid; wait $pid 2>/dev/null; [ -e torn ] && fail "a folder after kill -9 (was it too late?)"
  again torn 2>err || fail "resume: $(tail -1 err)"
  says "samples were taken from the interrupted run"
  same torn/data-00000.rtz whole/data-00000.rtz "resumed"; same torn/manifest.json whole/manifest.json "resumed"
  [ -e torn.part ] && fail "torn.part is still there"
fi
[ $bad = 0 ] && echo "curate and shard: ok"
exit $bad
