#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort label` against a loopback server (mock_teacher.py) that fails on purpose: all faults at 30 %, order, kill -9 and the same
# command again, a key that must not be seen anywhere, terms, a server that is not there, replay from the book.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
python3 -c '
import json
print(json.dumps({"id": "twin", "messages": [{"role": "user", "content": "question 0 \u65e5"}]}, ensure_ascii=False))
for i in range(400): print(json.dumps({"id": f"r{i}", "big": 12345678901234567890, "messages": [{"role": "user", "content": f"question {i} \u65e5"}]}, ensure_ascii=False))' >q.jsonl

# every kind of fault; order; nothing twice; a twin of a question costs nothing
start_mock --latency 5 --faults 0.3 --kinds 429,500,503,reset,truncate,garbage,empty,html,slow --seed 7
RETORT_BOOK=b1 "$RETORT" label -t "$(T)" --accept-terms "a mock" --concurrency 32 <q.jsonl >a.jsonl 2>err || no "faults: exit $?: $(tail -2 err)"
python3 - <<'E' || bad=1
import json, sys
q = [json.loads(l) for l in open('q.jsonl')]; a = [json.loads(l) for l in open('a.jsonl')]
if [r['id'] for r in q] != [r['id'] for r in a]: print('FAIL: order or rows:', len(a)); sys.exit(1)
bad = [r['id'] for r in a if [m['role'] for m in r['messages']] != ['user', 'assistant'] or len(r['messages'][1]['content']) < 20 or not all(isinstance(v, str) for v in r['teacher'].values())]
if bad: print('FAIL: rows', bad[:3]); sys.exit(1)
if a[0]['messages'][1] != a[1]['messages'][1] or a[1]['messages'][1] == a[2]['messages'][1]: print('FAIL: answers do not belong to their questions'); sys.exit(1)
if a[0]['teacher']['terms'] != 'unknown; accepted: a mock': print('FAIL: terms', a[0]['teacher']); sys.exit(1)
E
grep -q '"big": 12345678901234567890' a.jsonl || no "a foreign field changed"
[ "$(stat answered)" = 400 ] && [ "$(stat paid_twice)" = 0 ] || no "answered $(stat answered), twice $(stat paid_twice)"
python3 -c "import json, urllib.request; f = json.load(urllib.request.urlopen('http://127.0.0.1:$port/stats'))['faults']; raise SystemExit(len(f) < 9)" || no "not every fault was met"
# again: all from the book, the server is not asked; replay needs no server
RETORT_BOOK=b1 "$RETORT" label -t "$(T)" --accept-terms "a mock" <q.jsonl 2>/dev/null | cmp - a.jsonl || no "second run differs"
[ "$(stat answered)" = 400 ] || no "the second run asked"
stop_mock
"$RETORT" label -t replay:b1 <q.jsonl 2>/dev/null | cmp - a.jsonl || no "replay differs"
"$RETORT" label -t replay:b1 <<<'{"messages":[{"role":"user","content":"never asked"}]}' >out 2>err; [ $? = 1 ] && grep -q "not in the book" err || no "replay of an unknown question: $(cat err)"

# kill -9 at ten moments; then the same output, and twice only what was in flight
start_mock --latency 20
for i in 1 2 3 4 5 6 7 8 9 10; do
  "$RETORT" label -t "$(T)" --teacher-terms mit --book b2 --concurrency 8 <q.jsonl >part.jsonl 2>/dev/null & pid=$!
  sleep "0.$((RANDOM % 15 + 10))"; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
  cp part.jsonl "part$i"
done
"$RETORT" label -t "$(T)" --teacher-terms mit --book b2 --concurrency 8 <q.jsonl >after.jsonl 2>err || no "after kills: $(tail -1 err)"
[ "$(stat paid_twice)" -le 80 ] && [ "$(stat unique_answered)" = 400 ] || no "kills: twice $(stat paid_twice), unique $(stat unique_answered)"
twice=$(stat paid_twice)
"$RETORT" label -t "$(T)" --teacher-terms mit --book b3 --concurrency 8 <q.jsonl >never_killed.jsonl 2>/dev/null
cmp after.jsonl never_killed.jsonl || no "killed and never killed runs differ"
for p in part[0-9]*; do cmp -s -n "$(wc -c <"$p")" "$p" never_killed.jsonl || no "$p is no beginning of the output"; done
echo "ten kills: $twice of 400 answers paid twice (8 in flight at each)"
# Ctrl-C: what is in flight is kept, exit 130
"$RETORT" label -t "$(T)" --teacher-terms mit --book b4 --concurrency 8 <q.jsonl >part.jsonl 2>err & pid=$!
sleep 0.4; kill -INT $pid; wait $pid; rc=$?
[ $rc = 130 ] && grep -q "run the same command again" err || no "Ctrl-C: exit $rc: $(cat err)"
# a slow upstream must not hold answers back
( head -1 q.jsonl; sleep 2; sed -n 2p q.jsonl ) | "$RETORT" label -t "$(T)" --teacher-terms mit --book b5 2>/dev/null | ( read -r -t 1 line && [ -n "$line" ] && cat >/dev/null ) || no "an answer waited for the next question"
# a reader that goes away
"$RETORT" label -t "$(T)" --teacher-terms mit --book b6 <q.jsonl 2>err | head -2 >out; rc=${PIPESTATUS[0]}
[ "$rc" = 141 ] || [ "$rc" = 0 ] || no "broken pipe: exit $rc $(cat err)"
stop_mock

# a server that goes away for some seconds costs nothing but time
start_mock --latency 40
"$RETORT" label -t "$(T)" --teacher-terms mit --book b11 --concurrency 8 --outage 60 <q.jsonl >out 2>err & pid=$!
sleep 0.8; stop_mock; sleep 3
python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" --latency 5 >mock.out 2>&1 & mock=$!
wait $pid; rc=$?
[ $rc = 0 ] && cmp -s <(cut -d'"' -f4 out) <(cut -d'"' -f4 q.jsonl) && grep -q "cannot be reached" err || no "outage: exit $rc, $(wc -l <out) rows: $(tail -2 err)"
stop_mock

# the key: used, and seen nowhere
start_mock --latency 0 --key sk-planted-123456
head -5 q.jsonl >q5.jsonl
env MY_KEY=sk-planted-123456 "$RETORT" label -t "$(T)" --teacher-terms mit --book b7 --key-env MY_KEY -v <q5.jsonl >out 2>err || no "key: exit $? $(cat err)"
[ "$(wc -l <out)" = 5 ] || no "key: rows"
env OPENAI_API_KEY=sk-planted-654321 "$RETORT" label -t "$(T)" --teacher-terms mit --book b8 -v --log-json <q5.jsonl >out8 2>err8; [ $? = 4 ] || no "wrong key: expected exit 4"
grep -q "refuses the key (401)" err8 || no "wrong key: $(cat err8)"
if grep -rqa 'sk-planted' out err out8 err8 b7 b8 run 2>/dev/null; then no "the key was seen: $(grep -rla sk-planted out err out8 err8 b7 b8 run)"; fi
"$RETORT" label -t "http://u:sk-planted@127.0.0.1:$port/v1#m" --teacher-terms mit <q5.jsonl >out 2>err; [ $? = 2 ] && ! grep -q sk-planted err || no "a password in the address"
"$RETORT" label -t "$(T)" --key-env NO_SUCH_VAR --teacher-terms mit <q5.jsonl >out 2>err; [ $? = 2 ] || no "--key-env of a variable that is not set"
# terms: nothing is asked
before=$(stat requests)
"$RETORT" label -t "$(T)" --book b9 <q5.jsonl >out 2>err; [ $? = 10 ] && grep -q -- '--accept-terms' err && [ ! -s out ] || no "unknown terms: $(cat err)"
"$RETORT" label -t "$(T)" --teacher-terms gemma --book b9 <q5.jsonl >out 2>err; [ $? = 10 ] && grep -q 'Model Derivative' err || no "gemma terms: $(cat err)"
[ "$(stat requests)" = "$before" ] || no "asked before the terms were clear"
stop_mock

# no server: exit 4 in a few seconds, with the address
SECONDS=0
"$RETORT" label -t "$(T)" --teacher-terms mit --book b10 <q5.jsonl >out 2>err; rc=$?
[ $rc = 4 ] && [ $SECONDS -lt 15 ] && grep -q "127.0.0.1:$port" err || no "no server: exit $rc after $SECONDS s: $(cat err)"
# a book is made when none is named, and said so
start_mock --latency 0
"$RETORT" label -t "$(T)" --teacher-terms mit <q5.jsonl >out 2>err || no "without --book: $(cat err)"
[ -d retort.book ] && grep -q 'retort.book' err || no "no default book: $(cat err)"
# rows that cannot be asked are counted
printf '%s\n' '{"text":"no messages"}' '{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}' '{"messages":7}' '{"instruction":"alpaca","output":""}' \
  | "$RETORT" label -t "$(T)" --teacher-terms mit >out 2>err; rc=$?
[ $rc = 0 ] && grep -q "no messages 1" err && grep -q "already answered" err && grep -q "bad messages 1" err || no "odd rows: exit $rc $(cat err)"
# documents come over HTTP too; an answer that is an error fails by name
"$RETORT" fetch --type text "http://127.0.0.1:$port/stats" 2>err | grep >/dev/null 'unique_answered' || no "fetch over HTTP: $(cat err)"
"$RETORT" fetch "http://127.0.0.1:1/x" >out 2>err; grep -q "failed (network)" err || no "fetch without a server: $(cat err)"
stop_mock
[ $bad = 0 ] && echo "label over HTTP: all good"
exit $bad
