#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nothing lost, nothing paid twice (`make soak`; a short form is part of `make check`): SOAK_KILLS random kill -9, each followed by the
# same command, with the exact set in the air at each kill (in_the_air.py); every kind of fault at 30 %, alone (SOAK_FAULT_ROWS rows) and
# all mixed; a server that is dead for SOAK_DEAD seconds. Prints a line of figures for each part.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
kills=${SOAK_KILLS:-8} dead=${SOAK_DEAD:-5} width=16
rows=$((kills * 300)) # so many that the last kill still finds work
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

# kill -9 at random moments; the last run is left alone
start_mock --latency 20
( run --book whole <q.jsonl >expect 2>err ) || no "an undisturbed run: $(tail -1 err)"
again_mock --latency 20 --log mock.log
killed=0
mark() { python3 - "$1" "$port" <<'E'
import json, sys, time, urllib.request
for _ in range(600): # whatever the dead process had sent was read, and its answers were given, before the mark is made
    if json.load(urllib.request.urlopen(f'http://127.0.0.1:{sys.argv[2]}/stats'))['connections'] == 1: break
    time.sleep(0.02)
else: sys.exit('the mock still holds connections of a dead process')
urllib.request.urlopen(f'http://127.0.0.1:{sys.argv[2]}/mark/{sys.argv[1]}').read()
E
}
for k in $(seq "$kills"); do
  ( run --book b <q.jsonl >part.$k 2>err ) & p=$!
  sleep "$(python3 -c "import random; print(round(random.uniform(0.03, 0.25), 3))")"
  kill -9 $p 2>/dev/null && killed=$((killed + 1)); wait $p 2>/dev/null
  mark $k || no "kill $k: no mark"
  ls b 2>/dev/null | grep '^seg-' >segments.$k
  cmp -s -n "$(python3 -c "d = open('part.$k', 'rb').read(); print(d.rfind(b'\n') + 1)")" part.$k expect || no "kill $k: what came out is not the beginning of the answer"
done
( run --book b <q.jsonl >out 2>err ) || no "after the kills: $(tail -1 err)"
cmp out expect || no "after the kills: the output differs"
echo "kills $killed, rows $(wc -l <out) of $rows, requests $(stat requests)"
[ "$(wc -l <out)" = "$rows" ] || no "rows were lost"
[ "$killed" -ge $((kills * 3 / 4)) ] || no "only $killed of $kills kills found the run at work"
python3 "$RETORT_SOURCE/tests/net/in_the_air.py" b mock.log $width "$kills" || bad=1

# each kind of fault alone at 30 %: all rows answered, in order, nothing twice, no hang
n=${SOAK_FAULT_ROWS:-48}
head -$n q.jsonl >qn
for kind in 429 500 503 reset truncate garbage hang empty html slow filter; do
  again_mock --latency 5 --faults 0.3 --kinds $kind --seed 5
  t0=$(date +%s)
  ( exec timeout 600 "$RETORT" label -t "$(T)" --teacher-terms mit --concurrency $width --book "f$kind" <qn >out 2>err ) || no "$kind: exit $?: $(tail -1 err)"
  met=$(python3 -c "import json, urllib.request; print(json.load(urllib.request.urlopen('http://127.0.0.1:$port/stats'))['faults'].get('$kind', 0))")
  filtered=0; [ $kind = filter ] && filtered=$met
  echo "$kind at 30 %: met $met times, $(wc -l <out) of $n rows + $filtered filtered in $(($(date +%s) - t0)) s, paid twice $(stat paid_twice)"
  [ "$met" -ge $((n / 8)) ] || no "$kind: met only $met times"
  [ $(($(wc -l <out) + filtered)) = "$n" ] && [ "$(sort out | uniq -d | wc -l)" = 0 ] && [ "$(stat paid_twice)" = 0 ] || no "$kind: rows lost or doubled"
  cut -d'"' -f4 out | cmp -s - <(cut -d'"' -f4 out | sort -V) || no "$kind: the order is not that of the rows"
  asked=$(stat requests)
  ( run --book "f$kind" <qn 2>/dev/null ) | cmp - out || no "$kind: the second run differs"
  [ "$(stat requests)" = "$asked" ] || no "$kind: the second run asked $(($(stat requests) - asked)) times"
done

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
for _ in $(seq 600); do [ "$(stat answered)" -lt 50 ] || break; sleep 0.05; done # in the middle: a server that never answered is given up after 5 s
had=$(stat answered); [ "$had" -ge 50 ] && [ "$had" -lt "$rows" ] || no "dead server: killed after $had answers"
kill -9 $mock; wait $mock 2>/dev/null; mock=0
sleep "$dead"
python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" --latency 5 >mock.out 2>&1 & mock=$!
wait $p || no "dead server: $(tail -1 err)"
echo "server dead for $dead s: $(wc -l <out) of $rows rows"
cmp out expect || no "dead server: the output differs"
most=$((rows - had + 3 * width)) # the new server sees what the old one had not answered, what was on its way twice
[ "$(stat requests)" -le $most ] && [ "$(stat paid_twice)" = 0 ] || no "dead server: $(stat requests) requests after it, at most $most were open; $(stat paid_twice) paid twice"
exit $bad
