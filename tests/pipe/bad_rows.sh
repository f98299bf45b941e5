#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One rule for rows that cannot be used, in every stage that reads rows: counted as failed, named with their number, the others
# go on; exit 1 only with --strict or when no row was good. Only the first 20 are named without -v.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
model=$RETORT_CACHE/smollm2/model.gguf
[ -f "$model" ] || model=$(ls "$RETORT_CACHE"/smollm2/*.gguf 2>/dev/null | head -1)

{ rows 2; echo 'not json'; echo '{"id":"z","text":7}'; echo '{"id":"m","messages":"no"}'; rows 1 | sed s/r0/r9/; } >mixed.jsonl
check() { # NAME ROWS command...
  local name=$1 want=$2
  shift 2
  "$@" <mixed.jsonl >out 2>err
  [ $? = 0 ] || no "$name: exit: $(cat err)"
  grep -q "'stdin' row 3: byte 1: found 'n'" err || no "$name: row 3 is not named: $(cat err)"
  grep -q "row 4: .*text" err || no "$name: row 4 is not named: $(cat err)"
  [ "$(wc -l <out)" = "$want" ] || no "$name: $(wc -l <out) rows out, expected $want"
  "$@" --strict <mixed.jsonl >out 2>err
  [ $? = 1 ] || no "$name --strict: exit"
}
check curate 3 "$RETORT" curate "${plain[@]}"
"$RETORT" curate "${plain[@]}" <mixed.jsonl 2>&1 >out | grep >/dev/null '6 in, 3 kept, 3 failed (bad row 3)' || no "curate: count"
check curate-near 2 "$RETORT" curate "${plain[@]}" --near 0.99
if [ -n "$model" ]; then
  check tokenize 3 "$RETORT" tokenize "$model"
  "$RETORT" shard --tokenizer "$model" -o s <mixed.jsonl >out 2>err || no "shard: exit: $(cat err)"
  grep -q 'row 3: ' err && grep -q 'row 4: ' err && grep -q '6 in, 3 kept, 3 failed' err || no "shard: $(cat err)"
  "$RETORT" shard --tokenizer "$model" --strict -o t <mixed.jsonl >out 2>err
  [ $? = 1 ] && [ ! -e t ] || no "shard --strict: a folder stands there"
fi
for i in $(seq 30); do echo bad; done >bad.jsonl
"$RETORT" curate <bad.jsonl >out 2>err
[ $? = 1 ] || no "only bad rows: exit"
[ "$(grep -c "stdin. row .*: byte" err)" = 20 ] || no "only bad rows: $(grep -c failed err) named"
grep -q '10 more bad rows' err || no "only bad rows: the others are not counted: $(cat err)"
grep -q 'none of 30 rows could be read' err || no "only bad rows: message: $(cat err)"
"$RETORT" curate -v <bad.jsonl >out 2>err
[ "$(grep -c 'stdin. row .*: byte' err)" = 30 ] || no "-v does not name all"
exit $bad
