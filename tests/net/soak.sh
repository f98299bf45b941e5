#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nothing lost, nothing paid twice (`make soak`; a short form is part of `make check`): SOAK_KILLS random kill -9, each followed by the
# same command; all fault kinds at 30 %; a server that is dead for SOAK_DEAD seconds. What was in the air at a kill is bounded by the
# width of the run. Prints a line of figures for each part.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
kills=${SOAK_KILLS:-8} dead=${SOAK_DEAD:-5} width=16
rows=$((kills * 150)) # so many that the last kill still finds work
python3 -c "
import json
for i in range($rows): print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i} of the soak'}]}))" >q.jsonl
again_mock() { # the same address, so that rows can be compared: they name it
  stop_mock
  python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" "$@" >mock.out 2>&1 & mock=$!
  for _ in $(seq 300); do grep -q ready mock.out && return 0; sleep 0.1; done
  echo "FAIL: no mock server: $(cat mock.out)"; exit 1
}
run() { exec "$RETORT" label -t "$(T)" --teacher-terms mit --concurrency $width "$@"; }

# kill -9 at random moments; the last run is left alone. With a slower server for longer soaks, so that all kills find work.
start_mock --latency 20
( run --book whole <q.jsonl >expect 2>err ) || no "an undisturbed run: $(tail -1 err)"
again_mock --latency 20
killed=0 asked_before=0
for k in $(seq "$kills"); do
  ( run --book b <q.jsonl >part 2>err ) & p=$!
  sleep "$(python3 -c "import random; print(round(random.uniform(0.03, 0.25), 3))")"
  kill -9 $p 2>/dev/null && killed=$((killed + 1)); wait $p 2>/dev/null
  cmp -s -n "$(python3 -c "import os; d = open('part', 'rb').read(); print(d.rfind(b'\n') + 1)")" part expect || no "kill $k: what came out is not the beginning of the answer"
done
( run --book b <q.jsonl >out 2>err ) || no "after the kills: $(tail -1 err)"
cmp out expect || no "after the kills: the output differs"
twice=$(stat paid_twice); air=$((killed * width))
echo "kills $killed, rows $(wc -l <out) of $rows, answers paid twice $twice (in the air at the kills: at most $air)"
[ "$(wc -l <out)" = "$rows" ] || no "rows were lost"
[ "$killed" -ge $((kills * 3 / 4)) ] || no "only $killed of $kills kills found the run at work"
[ "$twice" -le "$air" ] || no "$twice answers were paid twice, only $air can have been in the air"
[ "$(stat requests)" -le $((rows + air)) ] || no "$(stat requests) requests for $rows rows"

# all kinds of faults at 30 %
again_mock --latency 5 --faults 0.3 --seed 11
t0=$(date +%s)
head -200 q.jsonl >q200
( run --book f <q200 >out 2>err ) || no "faults: $(tail -2 err)"
dropped=$(python3 -c "import json, urllib.request; print(json.load(urllib.request.urlopen('http://127.0.0.1:$port/stats'))['faults'].get('filter', 0))")
echo "faults at 30 %: $(wc -l <out) answered + $dropped filtered of 200 in $(($(date +%s) - t0)) s, paid twice $(stat paid_twice)"
[ $(($(wc -l <out) + dropped)) = 200 ] && [ "$(sort out | uniq -d | wc -l)" = 0 ] && [ "$(stat paid_twice)" = 0 ] || no "faults: rows lost or doubled"
( run --book f <q200 2>/dev/null ) | cmp - out || no "faults: the second run differs"

# the server dies in the middle and comes back
again_mock --latency 30
( run --book d <q.jsonl >out 2>err ) & p=$!
sleep 0.4; kill -9 $mock; wait $mock 2>/dev/null; mock=0
sleep "$dead"
python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" --latency 5 >mock.out 2>&1 & mock=$!
wait $p || no "dead server: $(tail -1 err)"
echo "server dead for $dead s: $(wc -l <out) of $rows rows"
cmp out expect || no "dead server: the output differs"
exit $bad
