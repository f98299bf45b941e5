#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several teachers are asked at the same time: by the most requests the mock ever had open, with cascades that go on while their
# first teacher still answers, and with a model of this machine beside a server, whose rows come out between each other's. (No
# time is judged: tests/bench measures.) --dry-run quotes every member.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock mock_teacher.py --latency 60
T() { echo "http://127.0.0.1:$port/v1#$1"; }
L() { "$RETORT" label --teacher-terms mit --concurrency 8 "$@"; }
python3 -c '
import json
for i in range(240): print(json.dumps({"id": f"r{i}", "meta": {"t": f"m{i % 3}"}, "messages": [{"role": "user", "content": f"question {i}"}]}))' >q.jsonl

# one member works at most 8 requests at once: more than 16 in the air are three members at work together
L -t "$(T m1)" -t "$(T m2)" -t "$(T m3)" --mix all --book all <q.jsonl >out 2>err || no "all: $(tail -3 err)"
[ "$(wc -l <out)" = 720 ] || no "$(wc -l <out) rows of 3 x 240"
peak=$(mock_stat max_in_flight); [ "$peak" -gt 16 ] && [ "$peak" -le 24 ] || no "at most $peak requests were open, expected 17 to 24"

# a cascade's second teacher begins before the first one has seen all rows
stop_mock; start_mock mock_teacher.py --latency 60 --log order.log
L -t "$(T a)" -t "$(T b)" --mix cascade:answered:2 --book casc <q.jsonl >out 2>err || no "cascade: $(cat err)"
[ "$(mock_stat answered)" = 480 ] || no "cascade asked $(mock_stat answered), expected 480"
peak=$(mock_stat max_in_flight); [ "$peak" -gt 8 ] || no "cascade: at most $peak requests were open: its teachers took turns"

# route: the share of each at the same time as the others'
stop_mock; start_mock mock_teacher.py --latency 60
L -t "m0=$(T m0)" -t "m1=$(T m1)" -t "m2=$(T m2)" --mix route:meta.t --book route <q.jsonl >out 2>err || no "route: $(cat err)"
peak=$(mock_stat max_in_flight); [ "$peak" -gt 16 ] || no "route: at most $peak requests were open"

# one teacher that is slow: with --unordered the fast rows are out long before it answers
stop_mock; start_mock mock_api.py; fast=$port
start_mock mock_teacher.py --latency 3000; slow=$port
head -4 q.jsonl >q4.jsonl
L --unordered -t "m0=http://127.0.0.1:$slow/v1#s" -t "x=http://127.0.0.1:$fast/v1#f" -t "http://127.0.0.1:$fast/v1#g" --mix route:meta.t --book un <q4.jsonl 2>err | head -2 | grep -c '"name":"g"' >n
[ "$(cat n)" = 2 ] || no "--unordered: $(cat n) of the first two rows are the fast teacher's: $(cat err)"

# a local model beside a server: rows of each come out while the other still works, and what they say is what they say alone
M=${RETORT_CACHE:-}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -f "$M" ]; then
  stop_mock; start_mock mock_teacher.py --latency 500
  python3 -c '
import json
for i in range(40): print(json.dumps({"id": f"r{i}", "meta": {"t": "near" if i % 2 else "far"}, "messages": [{"role": "user", "content": f"question {i}"}]}))' >q40.jsonl
  L --unordered --concurrency 2 -t "near=$M" -t "far=$(T m1)" --mix route:meta.t --max-tokens 24 --book local <q40.jsonl >out 2>err || no "local beside a server: $(tail -3 err)"
  "$RETORT" label -t "$M" --max-tokens 24 --book alone <q40.jsonl >alone.out 2>err || no "local alone: $(tail -3 err)"
  python3 - <<'P' || bad=1
import json
rows = [json.loads(l) for l in open('out')]
assert sorted(r['id'] for r in rows) == sorted(f'r{i}' for i in range(40)), len(rows)
assert all((r['teacher']['name'] == 'm1') == (r['meta']['t'] == 'far') for r in rows)
order = ''.join(r['meta']['t'][0] for r in rows)
assert order.index('n') < order.rindex('f') and order.index('f') < order.rindex('n'), 'one waited for the other: ' + order
say = {r['id']: r['messages'][-1]['content'] for r in map(json.loads, open("alone.out"))}
assert all(r['messages'][-1]['content'] == say[r['id']] for r in rows if r['meta']['t'] == 'near'), 'beside a server the local model answers otherwise'
P
fi

# --dry-run: a quote for every member and for all
stop_mock; start_mock mock_api.py
cat >p.yaml <<'Y'
prices:
  - { host: "127.0.0.1", model: "m1", input: 1, output: 10, date: 2026-11-25, read: test }
  - { host: "127.0.0.1", model: "m2", input: 2, output: 20, date: 2026-11-25, read: test }
Y
L -t "$(T m1)" --max-tokens 100 --prices p.yaml --dry-run <q.jsonl >out 2>one.err
L -t "$(T m1)" -t "second=$(T m2)" --mix all --max-tokens 100 --prices p.yaml --dry-run <q.jsonl >out 2>err; rc=$?
[ ! -s out ] && [ "$(mock_stat requests)" = 0 ] || no "a dry run asked or wrote (exit $rc)"
grep -q 'm1: 240 questions, 0 in the book, 0 the same as another, 240 requests to send' err || no "no quote for m1: $(cat err)"
grep -q 'second: 240 questions' err || no "no quote for the second: $(cat err)"
python3 - <<'P' || bad=1
import re
def usd(text, who): # low, high
    return [float(x) for x in re.search(r'dry run: ' + who + r'([0-9.]+) to ([0-9.]+) USD', text).groups()]
alone, both = open('one.err').read(), open('err').read()
m1, m2, total = usd(both, 'm1: '), usd(both, 'second: '), usd(both, 'all teachers: ')
assert m1 == usd(alone, ''), 'a member is quoted as it is alone'
assert all(abs(b - 2 * a) < 2e-4 for a, b in zip(m1, m2)), 'twice the price, the same bytes'
assert all(abs(t - a - b) < 2e-4 for t, a, b in zip(total, m1, m2)), (total, m1, m2)
P
L -t "$(T m1)" -t "$(T m2)" --mix cascade:answered:1 --max-tokens 100 --prices p.yaml --dry-run <q.jsonl >out 2>err
[ "$(grep -c '240 questions' err)" = 2 ] || no "a cascade's quote counts each teacher at most: $(cat err)"
L -t "$(T m1)" -t "$(T m2)" --mix weights:1,1 --max-tokens 100 --prices p.yaml --dry-run <q.jsonl >out 2>err
python3 -c '
import re
n = [int(x) for x in re.findall(r": (\d+) questions", open("err").read())]
assert len(n) == 2 and sum(n) == 240 and min(n) > 80, n' || no "weights: the shares do not add up: $(cat err)"
done_testing "several teachers together"
