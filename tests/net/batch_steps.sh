#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kinds and recipes that ask several times a row over the Batch API: each collect submits the next step, until the rows come out; the
# same pipe live, as a batch and from the recording gives the same bytes, and nothing is asked twice.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock mock_api.py
mock_set '{"batches":"complete"}'
T="http://127.0.0.1:$port/v1#m1"
python3 - <<'P'
import json
# the mock answers ((m1:TEXT)) with TEXT: verdicts and scores have to be readable
say = lambda t: f' ((m1:{t}))'
msg = lambda *t: [{'role': 'user' if i % 2 == 0 else 'assistant', 'content': x} for i, x in enumerate(t)]
w = lambda name, rows: open(name + '.jsonl', 'w').write(''.join(json.dumps(r) + '\n' for r in rows))
w('answered', [{'id': f'a{i}', 'messages': msg(f'question {i}', f'answer {i}')} for i in range(6)])
w('pairs', [{'id': f'p{i}', 'prompt': msg(f'question {i}' + say('[[tie]]' if i % 3 == 0 else '[[A]]')), 'chosen': [{'role': 'assistant', 'content': f'good {i}'}],
             'rejected': [{'role': 'assistant', 'content': f'bad {i}'}]} for i in range(6)])
w('asked', [{'id': f'q{i}', 'messages': msg(f'question {i}' + (say('Score: 7') if i % 2 else ''))} for i in range(6)])
w('docs', [{'id': f'd{i}', 'text': f'Passage {i}. A contract requires offer, acceptance and consideration; the court held that the contract was void because acceptance came late.'} for i in range(4)])
P
# the command until it ends; $rounds = how often it ended as STOPPED before
until_done() { # BOOK INPUT COMMAND...
  local book=$1 input=$2; shift 2; rounds=0
  while :; do
    "$@" -t "batch:$T" --book "$book" --teacher-terms mit <"$input" >batch.out 2>err; local rc=$?
    [ $rc = 9 ] || break
    rounds=$((rounds + 1)); [ $rounds -lt 12 ] || { no "$*: no end after $rounds rounds: $(tail -2 err)"; return; }
  done
  [ $rc -le 1 ] || no "$*: exit $rc: $(tail -3 err)"
}
ended() { grep -o 'asked again), .*\|rejected: .*' "$1" | head -1; }
three_ways() { # NAME LEAST_ROUNDS INPUT COMMAND...
  local name=$1 least=$2 input=$3; shift 3
  until_done "b-$name" "$input" "$@"
  [ $rounds -ge "$least" ] || no "$name: done after $rounds rounds, expected $least or more"
  "$@" -t "$T" --book "l-$name" --teacher-terms mit <"$input" >live.out 2>lerr
  cmp live.out batch.out || no "$name: live and batch differ: $(tail -2 lerr) | $(tail -2 err)"
  "$@" -t "replay:b-$name" <"$input" >replay.out 2>rerr
  cmp replay.out batch.out || no "$name: the recording gives other bytes: $(tail -2 rerr)"
  [ "$(ended err)" = "$(ended lerr)" ] && [ "$(ended err)" = "$(ended rerr)" ] || no "$name: rows end otherwise: batch $(ended err), live $(ended lerr), recording $(ended rerr)"
  echo "$name: $rounds rounds, $(wc -l <batch.out) rows"
}
three_ways revise 2 answered.jsonl "$RETORT" label --kind revise
[ "$(wc -l <batch.out)" = 6 ] || no "revise: $(wc -l <batch.out) rows, expected 6"
three_ways pairwise 1 pairs.jsonl "$RETORT" label --kind pairwise
three_ways prefer 2 asked.jsonl "$RETORT" label --kind prefer -n 3 --margin 0
three_ways self_judge 2 asked.jsonl "$RETORT" label --kind self_judge
cat >steps.yaml <<'Y'
name: steps
skill: s
elicitation: e
summary: x
input: text
per_row: 2
sampling: { temperature: 0.7, max_tokens: 50 }
steps:
  - { name: question, says: user, prompts: ["Ask about: {text} {dialog}"], parse: whole, validate: [ { chars: [1, 500] } ] }
  - { name: answer, says: assistant, prompts: ["Answer: {question}"], parse: whole, validate: [ { chars: [1, 500] } ] }
turns: 2
output:
  messages: "{json:messages}"
Y
three_ways steps 4 docs.jsonl "$RETORT" augment --recipe ./steps.yaml
[ "$(wc -l <batch.out)" = 8 ] || no "steps: $(wc -l <batch.out) rows, expected 8: $(tail -1 err)"
python3 -c 'import json
assert all([m["role"] for m in json.loads(l)["messages"]] == ["user", "assistant"] * 2 for l in open("batch.out")), "two turns a row"' || bad=1
# killed in the middle of the second step: the next run goes on
for k in 1 2 3; do
  timeout -s KILL 0.$((RANDOM % 4 + 1)) "$RETORT" label --kind revise -t "batch:$T" --book killed --teacher-terms mit <answered.jsonl >/dev/null 2>&1
done
until_done killed answered.jsonl "$RETORT" label --kind revise
"$RETORT" label --kind revise -t "$T" --book l-revise --teacher-terms mit <answered.jsonl 2>/dev/null | cmp - batch.out || no "after kills: other rows"
done_testing "steps as batches"
