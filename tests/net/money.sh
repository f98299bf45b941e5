#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Money: a quote, a limit that holds at any concurrency, with two processes and across kills, `retort cost`, unknown prices. The mock
# counts tokens; what it charged is computed from its log apart from retort.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
rows() { python3 -c "
import json
for i in range($1, $2): print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i} about contract law and its many exceptions'}]}))"; }
cat >prices.yaml <<'Y'
prices:
  - { model: "mo*", input: 10, cached: 1, output: 100, read: "made up", date: 2026-11-25 }
Y
start_mock --latency 10 --charge
charged() { stat micro_usd; } # tokens in x 10 + tokens out x 100 of every answer it gave, in micro-dollars
label() { timeout 120 "$RETORT" label -t "$(T)" --teacher-terms mit --prices prices.yaml --max-tokens 60 "$@"; }
rows 0 400 >q.jsonl

label --book b --dry-run <q.jsonl >out 2>err || no "dry run: $(tail -1 err)"
[ ! -s out ] && [ "$(stat requests)" = 0 ] || no "the dry run asked or printed"
grep -q "400 questions, 0 in the book, 0 the same as another, 400 requests" err || no "quote: $(grep 'dry run' err)"
quote=$(grep -o '[0-9.]* to [0-9.]* USD' err); [ -n "$quote" ] || no "quote without money: $(grep 'dry run' err)"

# one dollar would be enough for all; fifty cents are not
label --book b --max-usd 0.50 --concurrency 64 <q.jsonl >out 2>err; [ $? = 8 ] || no "limit: exit $?, expected 8: $(tail -1 err)"
c=$(charged); [ "$c" -le 500000 ] && [ "$c" -ge 440000 ] || no "limit of 500000: charged $c"
"$RETORT" cost --json b >cost.json 2>err || no "cost: $(cat err)"
python3 - "$c" <<'E' || bad=1
import json, sys
r = [json.loads(l) for l in open('cost.json')]
usd = sum(x['usd'] for x in r); open_ = sum(x['usd_unsettled'] for x in r)
if abs(usd - int(sys.argv[1]) / 1e6) > 1e-6 or open_: print('FAIL: cost says', usd, open_, 'the mock charged', sys.argv[1]); sys.exit(1)
if {x['stage'] for x in r} != {'label'} or {x['model'] for x in r} != {'mock'}: print('FAIL: cost rows', r); sys.exit(1)
E
"$RETORT" cost b | grep >/dev/null "label .*mock" || no "cost table: $("$RETORT" cost b)"
label --book b --max-usd 0.50 --concurrency 64 <q.jsonl >out 2>err; [ $? = 8 ] && [ "$(charged)" = "$c" ] || no "again at the limit: charged $(charged) after $c"
label --book b --max-usd 5 <q.jsonl >out 2>err || no "more money: $(tail -1 err)"
[ "$(wc -l <out)" = 400 ] && [ "$(stat paid_twice)" = 0 ] || no "more money: $(wc -l <out) rows, $(stat paid_twice) paid twice"

# the same fifty cents at any concurrency, and by two processes at once; little of them is left
at=10000
for c in 1 16 256 1024 two; do
  rows $at $((at + 300)) >q1; tac q1 >q2; at=$((at + 1000)); was=$(charged)
  w=$c; [ $c = two ] && w=64
  label --book "m$c" --max-usd 0.50 --concurrency $w <q1 >out 2>err & p1=$!; p2=
  [ $c = two ] && { label --book "m$c" --max-usd 0.50 --concurrency $w <q2 >out2 2>err2 & p2=$!; }
  wait $p1; r=$?; [ $r = 8 ] || no "concurrency $c: exit $r, expected 8: $(tail -1 err)"
  [ -z "$p2" ] || { wait $p2; r=$?; [ $r = 8 ] || no "the second of two: exit $r, expected 8: $(tail -1 err2)"; }
  d=$(($(charged) - was)); [ "$d" -le 500000 ] && [ "$d" -ge 440000 ] || no "concurrency $c: charged $d of 500000"
done

# input that the server had seen before costs its own price: to the cent what the mock charged, and the limit holds with it
stop_mock; start_mock --latency 5 --charge --cached 0.75
label --book cached --concurrency 16 <q.jsonl >out 2>err || no "cached: $(tail -1 err)"
"$RETORT" cost --json cached | python3 -c '
import json, sys
r = [json.loads(l) for l in sys.stdin]
usd, want = sum(x["usd"] for x in r), int(sys.argv[1]) / 1e6
assert abs(usd - want) < 1e-6, f"cost says {usd}, the mock charged {want}"
full = want + 9 * sum(x["tokens_in"] for x in r) * 0.75 / 1e6
assert full > want * 1.05, "the cached part is too small to tell the prices apart"' "$(charged)" || no "cached tokens: $("$RETORT" cost --json cached)"
label --book cached2 --max-usd 0.30 --concurrency 32 <q.jsonl >out 2>err; [ $? = 8 ] || no "cached, limit: exit $?: $(tail -1 err)"
stop_mock; start_mock --latency 10 --charge

# two processes and kills: never above, whatever happens
rows 5000 6500 >q2.jsonl
base=$(charged)
tac q2.jsonl >q3.jsonl
for k in 1 2 3 4 5 6; do
  for q in q2 q3; do
    "$RETORT" label -t "$(T)" --teacher-terms mit --prices prices.yaml --max-tokens 60 --book b2 --max-usd 3 --concurrency 32 <$q.jsonl >/dev/null 2>&1 & eval "$q=$!"
  done
  sleep 0.$((RANDOM % 20 + 10)); kill -9 $q2 $q3 2>/dev/null; wait $q2 $q3 2>/dev/null
done
label --book b2 --max-usd 3 <q2.jsonl >/dev/null 2>err & p1=$!
label --book b2 --max-usd 3 <q3.jsonl >/dev/null 2>err2 & p2=$!
wait $p1; r1=$?; wait $p2; r2=$?
[ $r1 = 8 ] && [ $r2 = 8 ] || no "two at the limit: exits $r1 $r2: $(tail -1 err)"
sleep 0.3
c=$(($(charged) - base)); [ "$c" -le 3000000 ] || no "two processes and kills: charged $c of 3000000"
[ "$c" -ge 1000000 ] || no "two processes and kills: charged only $c"
"$RETORT" book index b2 2>/dev/null; a=$("$RETORT" cost --json b2 | python3 -c "import json, sys; print(round(sum(json.loads(l)['usd'] * 1e6 + json.loads(l)['usd_unsettled'] * 1e6 for l in sys.stdin)))")
"$RETORT" cost --json b2 | grep >/dev/null '"unsettled":[1-9]' || no "no request was in the air at any of the kills: the test tested nothing"
[ "$a" -le 3000000 ] && [ "$a" -ge "$c" ] || no "the book says $a were spent, the mock charged $c"

# what cannot be counted is refused before anything is sent
n=$(stat requests)
timeout 60 "$RETORT" label -t "$(T)" --teacher-terms mit --book b3 --max-usd 1 <q.jsonl >out 2>err; [ $? = 2 ] && grep -q "no price is known" err || no "unknown price: $(tail -1 err)"
label --book b3 --max-usd 1 --request '{"max_completion_tokens":9000}' <q.jsonl >out 2>err; [ $? = 2 ] || no "unbounded output: exit $?"
label --book b3 --max-usd 0 <q.jsonl >out 2>err; [ $? = 8 ] || no "nothing to spend: exit $?"
[ "$(stat requests)" = "$n" ] || no "requests were sent without money"
exit $bad
