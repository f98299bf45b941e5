#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several teachers (--mix) against mock_api.py: who is asked, who answers, agreement, cascades, replay, kill and again.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock mock_api.py
T() { echo "http://127.0.0.1:$port/v1#$1"; }
L() { "$RETORT" label --teacher-terms mit --concurrency 8 "$@"; }
python3 -c '
import json
for i in range(60):
    yes = "((m1:Yes.))((m2: yes))((m3:no))" if i % 2 else "((m1:a))((m2:B!))((m3: b ))"
    print(json.dumps({"id": f"r{i}", "scores": {"old": 1.5, "agreement": 9}, "meta": {"lang": "de" if i % 3 == 0 else "en"}, "messages": [{"role": "user", "content": f"question {i} {yes}"}]}))' >q.jsonl

# vote: the majority's first teacher answers; agreement is a score, the other scores stay
L -t "$(T m1)" -t "$(T m2)" -t "$(T m3)" --mix vote --book b1 <q.jsonl >vote.jsonl 2>err || no "vote: exit $? $(cat err)"
python3 - <<'E2' || bad=1
import json
rows = [json.loads(l) for l in open('vote.jsonl')]
assert [r['id'] for r in rows] == [f'r{i}' for i in range(60)], 'order'
for i, r in enumerate(rows):
    want = ('Yes.', 'm1') if i % 2 else ('B!', 'm2')
    assert (r['messages'][1]['content'], r['teacher']['name']) == want, (i, r)
    assert r['scores'] == {'old': 1.5, 'agreement': 2 / 3}, r['scores']
E2
[ "$(mock_stat answered)" = 180 ] || no "vote asked $(mock_stat answered)"
L -t "$(T m1)" -t "$(T m2)" -t "$(T m3)" --mix vote --book b1 <q.jsonl 2>/dev/null | cmp - vote.jsonl || no "vote again differs"
[ "$(mock_stat answered)" = 180 ] || no "vote again asked"
"$RETORT" label -t replay:b1#m1 -t replay:b1#m2 -t replay:b1#m3 --mix vote <q.jsonl 2>err | cmp - vote.jsonl || no "replay of a vote differs: $(cat err)"

# all: a row for each teacher
L -t "$(T m1)" -t "$(T m2)" --mix all --book b1 <q.jsonl >all.jsonl 2>err || no "all: exit $? $(cat err)"
python3 - <<'E2' || bad=1
import json
rows = [json.loads(l) for l in open('all.jsonl')]
assert [(r['id'], r['teacher']['name']) for r in rows] == [(f'r{i}#{k}', f'm{k}') for i in range(60) for k in (1, 2)], rows[:2]
E2
[ "$(mock_stat answered)" = 180 ] || no "all asked what the vote had asked: $(mock_stat answered)"

# route by a field of the row: labels; one without a label takes the rest; nobody = a failed row
L -t "de=$(T m1)" -t "$(T m2)" --mix route:meta.lang --book b2 <q.jsonl >route.jsonl 2>err || no "route: $(cat err)"
python3 - <<'E2' || bad=1
import json
rows = [json.loads(l) for l in open('route.jsonl')]
assert [r['teacher']['name'] for r in rows] == ['m1' if i % 3 == 0 else 'm2' for i in range(60)]
E2
L -t "de=$(T m1)" -t "fr=$(T m2)" --mix route:meta.lang --book b2 <q.jsonl >out 2>err; [ "$(wc -l <out)" = 20 ] && grep -q "no teacher for this row 40" err || no "route without a teacher: $(cat err)"

# weights: shares, the same teacher for the same row every time and in another order
L -t "$(T m1)" -t "$(T m2)" --mix weights:1,3 --book b3 <q.jsonl >w.jsonl 2>err || no "weights: $(cat err)"
tac q.jsonl | L -t "$(T m1)" -t "$(T m2)" --mix weights:1,3 --book b4 2>/dev/null | tac | cmp - w.jsonl || no "weights depend on the order"
n=$(grep -c '"name":"m1"' w.jsonl); [ "$n" -ge 5 ] && [ "$n" -le 27 ] || no "weights 1,3: $n of 60 to the first"
L -t "$(T m1)" -t "$(T m2)" --mix weights:1,3 --seed 2 --book b3 <q.jsonl 2>/dev/null | python3 -c 'import json, sys; print(*(json.loads(l)["teacher"]["name"] for l in sys.stdin))' >names2
python3 -c 'import json; print(*(json.loads(l)["teacher"]["name"] for l in open("w.jsonl")))' | cmp -s - names2 && no "weights do not depend on --seed"

# cascade: the second teacher only where the first one's answer is no answer
before=$(mock_stat answered)
python3 -c '
import json
for i in range(20): print(json.dumps({"id": f"c{i}", "messages": [{"role": "user", "content": f"q{i} " + ("((empty))" if i % 4 == 0 else "((long))" if i % 4 == 1 else "") + "((m2:rescued))"}]}))' >c.jsonl
L -t "$(T m1)" -t "$(T m2)" --mix cascade:answered:1 --book b5 <c.jsonl >c.out 2>err || no "cascade: $(cat err)"
python3 - <<'E2' || bad=1
import json
rows = [json.loads(l) for l in open('c.out')]
got = {r['id']: (r['teacher']['name'], r['messages'][1]['content']) for r in rows}
for i in range(20):
    if i % 4 > 1: assert got[f'c{i}'][0] == 'm1', got
    if i % 4 == 1: assert got[f'c{i}'] == ('m2', 'rescued'), got
assert all(r['scores']['answered'] == 1 for r in rows if r['teacher']['name'] == 'm1')
E2
[ $(($(mock_stat answered) - before)) = 30 ] || no "cascade asked $(($(mock_stat answered) - before)), expected 20 + 10"
L -t "$(T m1)" -t "$(T m2)" --mix cascade:nonsense:1 --book b5 <c.jsonl >out 2>err; [ $? = 2 ] && grep -q "no score 'nonsense'" err || no "cascade with an unknown score: $(cat err)"

# kill -9 in the middle, then the same output, nothing asked twice but what was in the air (4 kills, 2 teachers, 8 requests each)
start_mock mock_teacher.py --latency 15
vote() { L -t "http://127.0.0.1:$port/v1#m1" -t "http://127.0.0.1:$port/v1#m2" --mix vote --book b6 <q.jsonl; }
for i in 1 2 3 4; do
  "$RETORT" label --teacher-terms mit --concurrency 8 -t "http://127.0.0.1:$port/v1#m1" -t "http://127.0.0.1:$port/v1#m2" --mix vote --book b6 <q.jsonl >part 2>/dev/null & pid=$!
  sleep "0.$((RANDOM % 20 + 5))"; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
done
vote >k1 2>err || no "after kills: $(cat err)"
vote 2>/dev/null | cmp - k1 || no "killed and run again differs"
[ "$(mock_stat unique_answered)" = 120 ] && [ "$(mock_stat paid_twice)" -le 64 ] || no "kills: $(mock_stat unique_answered) unique, $(mock_stat paid_twice) twice"

# what cannot be meant is refused by name
refused() { local want=$1; shift; L "$@" --book b7 <q.jsonl >out 2>err; local rc=$?; { [ $rc = 2 ] && grep -q -e "$want" err; } || no "expected '$want': exit $rc $(cat err)"; }
refused "how they work together" -t "$(T m1)" -t "$(T m2)"
refused "expected 2 to 32" -t "$(T m1)" --mix vote
refused "unknown; known are all, vote" -t "$(T m1)" -t "$(T m2)" --mix votes
refused "expected 2 numbers" -t "$(T m1)" -t "$(T m2)" --mix weights:1
refused "all weights are 0" -t "$(T m1)" -t "$(T m2)" --mix weights:0,0
refused "two teachers have this label" -t "x=$(T m1)" -t "x=$(T m2)" --mix vote
refused "no --teacher has the label 'z'" -t "x=$(T m1)" -t "y=$(T m2)" --mix vote --key-env z=HOME
refused "expected route:FIELD" -t "$(T m1)" -t "$(T m2)" --mix route
refused "expected cascade:SCORE:MIN" -t "$(T m1)" -t "$(T m2)" --mix cascade:x
# terms are asked for each teacher
"$RETORT" label -t "x=$(T m1)" -t "y=$(T m2)" --mix vote --teacher-terms x=mit --book b7 <q.jsonl >out 2>err; [ $? = 10 ] || no "terms of the second teacher: $(cat err)"
# keys: each teacher gets its own, and only its own
start_mock mock_api.py --key sk-planted-one; one=$port
start_mock mock_api.py --key sk-planted-two; two=$port
env K1=sk-planted-one K2=sk-planted-two "$RETORT" label -t "x=http://127.0.0.1:$one/v1#m1" -t "y=http://127.0.0.1:$two/v1#m2" --mix vote --teacher-terms mit --key-env x=K1 --key-env y=K2 --book b8 -v <c.jsonl >out 2>err || no "keys: $(cat err)"
[ "$(wc -l <out)" -ge 15 ] || no "keys: $(wc -l <out) rows"
grep -rqa sk-planted out err b8 run 2>/dev/null && no "a key was seen"
# augment: children carry the teacher that wrote them
start_mock mock_teacher.py --latency 0
echo '{"id":"d1","text":"A contract requires offer, acceptance and consideration; the court held that the contract was void because acceptance came late and no consideration was given at all by the parties."}' >d.jsonl
cat >r.yaml <<'Y'
name: two
skill: s
elicitation: e
summary: x
input: text
per_row: 2
sampling: { temperature: 1, max_tokens: 50 }
prompts: ["Say something about: {text}"]
parse: whole
validate: [ { chars: [1, 5000] } ]
output: "{answer}"
Y
"$RETORT" augment --recipe ./r.yaml -t "http://127.0.0.1:$port/v1#m1" -t "http://127.0.0.1:$port/v1#m2" --mix all --teacher-terms mit --book b9 <d.jsonl >out 2>err || no "augment: $(cat err)"
python3 -c '
import json
rows = [json.loads(l) for l in open("out")]
assert [r["task"]["teacher"] for r in rows] == ["m1", "m2", "m1", "m2"] and [r["id"] for r in rows] == ["d1#1", "d1#2", "d1#3", "d1#4"], rows' || no "augment --mix all"
done_testing "several teachers"
