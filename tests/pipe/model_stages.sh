#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort score` and `retort generate` on the pipe: order, packing, threads, rows that cannot be used, options, broken pipe.
set -u
R=${RETORT:-./retort}; D=${RETORT_SOURCE:-.}/tests/golden/data/model/llama_tied; bad=0
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
fail() { echo "FAILED: $*"; bad=1; }
for i in 1 2 3 4 5 6 7 8; do echo "{\"id\":\"r$i\",\"ids\":[$(seq -s, $i $((i * 9)))]}"; done > "$T/rows"
"$R" score "$D" --top 4 < "$T/rows" > "$T/all" 2> "$T/err" || fail "score: $(cat "$T/err")"
[ "$(jq -r .id "$T/all" | tr '\n' ' ')" = "r1 r2 r3 r4 r5 r6 r7 r8 " ] || fail "order of score"
# each row alone, with three threads: the same bytes
while read -r line; do echo "$line" | "$R" score "$D" --top 4 --threads 3 2> /dev/null; done < "$T/rows" > "$T/alone"
cmp -s "$T/all" "$T/alone" || fail "a row's numbers depend on its neighbours"
jq -e '(.top | length) == (.rest | length) and (.logprobs | length) == (.top | length) - 1 and (.top[0] | length) == 4
  and ([.top[0][][1] | exp] | add) + (.rest[0] | exp) - 1 < 1e-5' "$T/all" > /dev/null || fail "shape or mass of score"
# what cannot be scored is counted, the rest goes on
printf '{"id":"a","ids":[1,2]}\n{"id":"b","ids":[1,320]}\n{"id":"c","ids":["x"]}\n{"id":"d","ids":[]}\n{"id":"e","ids":[3]}' | "$R" score "$D" > "$T/out" 2> "$T/err" || fail "score of bad rows: $(cat "$T/err")"
[ "$(jq -r .id "$T/out" | tr '\n' ' ')" = "a d e " ] || fail "rows left after bad ones: $(cat "$T/out")"
grep -q '2 failed' "$T/err" || fail "bad rows are not counted: $(cat "$T/err")"
# a row without tokens behind others, with an id too long for the memory they share: read after that was given back, once
{ head -1 "$T/rows"; printf '{"ids":[],"id":"'; head -c 3000000 /dev/zero | tr '\0' E; printf '"}\n'; } | "$R" score "$D" > "$T/out" 2> "$T/err" || fail "score of a long id: $?"
[ "$(jq -r '.id | length' "$T/out" | tr '\n' ' ')" = "2 3000000 " ] || fail "ids of score: $(cut -c1-80 "$T/out")"
echo '{"text":"x"}' | "$R" score "$D" > "$T/out" 2> "$T/err" && fail "score of text without a tokenizer went on"
"$R" score "$D" --top 321 < "$T/rows" > "$T/out" 2>&1; [ $? = 2 ] || fail "--top above the vocabulary"
"$R" score < "$T/rows" > "$T/out" 2>&1; [ $? = 2 ] || fail "no model"
"$R" score "$T/none" < "$T/rows" > "$T/out" 2>&1; rc=$?; { [ $rc != 0 ] && grep -q none "$T/out"; } || fail "missing model"
"$R" score "$D" < /dev/null > "$T/out" 2> /dev/null && [ ! -s "$T/out" ] || fail "empty input"
for i in $(seq 400); do cat "$T/rows"; done | "$R" score "$D" --top 64 2> "$T/err" | head -1 > /dev/null
[ "${PIPESTATUS[1]}" = 141 ] || fail "broken pipe: $(cat "$T/err")"
[ -n "${RETORT_CACHE:-}" ] || { echo "generate needs RETORT_CACHE"; exit $bad; }
M=$RETORT_CACHE/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
"$R" generate "$M" --text --prompt "What is the capital of France?" 2> "$T/err" | grep >/dev/null '^The capital of France is Paris' || fail "generate --prompt: $(cat "$T/err")"
printf '{"id":1,"big":123456789012345678901,"messages":[{"role":"user","content":"Name a colour."}]}\n{"x":1}\n{"id":2,"prompt":"Say hi."}\n{"id":3,"text":"Once upon a time"}\n' > "$T/rows"
for b in 1 16; do "$R" generate "$M" --temperature 0.9 --seed 7 --max-tokens 12 --batch $b < "$T/rows" > "$T/out$b" 2> "$T/err" || fail "generate: $(cat "$T/err")"; done
cmp -s "$T/out1" "$T/out16" || fail "the batch changed an answer"
[ "$(jq -c '[.id, (.messages | length), (.completion | type)]' "$T/out1" | tr '\n' ' ')" = '[1,2,"null"] [2,2,"null"] [3,0,"string"] ' ] || fail "fields: $(cat "$T/out1")"
grep -q 123456789012345678901 "$T/out1" || fail "a field of its own was changed"
"$R" generate "$M" --text --prompt "Count from one to ten in words." --stop ", three" 2> /dev/null | grep >/dev/null three && fail "stop string in the text"
exit $bad
