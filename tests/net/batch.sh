#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Batch API against mock_api.py: submit, exit, collect later; results out of order; partial, expired, refused, malformed and
# missing ones; lost answers, kills and a server that is not there; live, batch and replay give the same bytes.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock mock_api.py
T="http://127.0.0.1:$port/v1#m1"
L() { "$RETORT" label --teacher-terms mit "$@"; }
rows() { python3 -c "import json; [print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i} ${2:-}'}]})) for i in range($1)]"; }
stopped() { [ $rc = 9 ] && grep -q "run the same command again" err || no "$1: expected exit 9, got $rc: $(tail -3 err)"; }

# submit, look too early, collect; nothing is asked again; the three ways give the same bytes
rows 40 >q.jsonl
L -t "batch:$T" --book b1 --batch-size 15 <q.jsonl >out 2>err; rc=$?; stopped submit
[ ! -s out ] && [ "$(mock_stat batch_requests)" = 40 ] || no "submit: $(wc -l <out) rows, $(mock_get /stats)"
[ "$(ls b1/batch-*.jsonl | wc -l)" = 3 ] || no "expected 3 parts: $(ls b1)"
L -t "batch:$T" --book b1 --batch-size 15 <q.jsonl >out 2>err; rc=$?; stopped "too early"; grep -q "in_progress" err || no "the state of the batch is not said: $(cat err)"
mock_set '{"batches":"complete"}'
L -t "batch:$T" --book b1 --batch-size 15 <q.jsonl >batch.jsonl 2>err || no "collect: exit $? $(tail -3 err)"
[ "$(mock_stat batch_requests)" = 40 ] && [ "$(mock_stat asked_twice)" = 0 ] || no "collect asked again: $(mock_get /stats)"
ls b1/batch-*.jsonl 2>/dev/null && no "a collected part was left"
L -t "$T" --book live <q.jsonl 2>/dev/null | cmp - batch.jsonl || no "live and batch differ"
"$RETORT" label -t replay:b1 <q.jsonl 2>err | cmp - batch.jsonl || no "replay of a batch differs: $(cat err)"
L -t "$T" --book b1 <q.jsonl 2>err | cmp - batch.jsonl || no "live after the batch differs"
grep -q "0 asked, 40 from the book" err || no "live after the batch asked: $(cat err)"
grep -q "custom_id of nobody here" err || true
# one more row: only that is submitted
(cat q.jsonl; rows 41 | tail -1) >q41.jsonl
L -t "batch:$T" --book b1 <q41.jsonl >out 2>err; rc=$?; stopped "one more row"
cmp -s out batch.jsonl || no "the answered rows in front of a waiting one are passed on"
[ "$(mock_stat batch_requests)" = 41 ] || no "one more row submitted $(mock_stat batch_requests)"

# expired: what is there is kept, the rest goes into another batch; then complete
rows 20 other >q20.jsonl
mock_set '{"batches":"progress"}'
L -t "batch:$T" --book b2 <q20.jsonl >out 2>err; rc=$?; stopped "expire submit"
mock_set '{"batches":"expire"}'; before=$(mock_stat batch_requests)
L -t "batch:$T" --book b2 <q20.jsonl >out 2>err; rc=$?; stopped expired
grep -q "expired: 10 of 20 answered" err && [ $(($(mock_stat batch_requests) - before)) = 10 ] || no "expired: $(cat err)"
mock_set '{"batches":"cancel"}'
L -t "batch:$T" --book b2 <q20.jsonl >out 2>err; rc=$?; stopped cancelled; [ $(($(mock_stat batch_requests) - before)) = 15 ] || no "cancelled: $(mock_get /stats)"
mock_set '{"batches":"complete"}'
L -t "batch:$T" --book b2 <q20.jsonl >out 2>err || no "after expiry: $(cat err)"
L -t "$T" --book live <q20.jsonl 2>/dev/null | cmp - out || no "after expiry: other rows"
[ "$(mock_stat asked_twice)" = 0 ] || no "answered twice"

# refused, failed for the moment, malformed, missing
(rows 4 '((400))'; rows 4 '((500once))'; rows 4 '((malformedonce))'; rows 4 '((dropanswer))'; rows 4 fine) >bad.jsonl
L -t "batch:$T" --book b3 <bad.jsonl >out 2>err; rc=$?; stopped "partial submit"
before=$(mock_stat batch_requests)
L -t "batch:$T" --book b3 <bad.jsonl >out 2>err; rc=$?; stopped "partial"
[ $(($(mock_stat batch_requests) - before)) = 12 ] || no "expected 12 asked again, got $(($(mock_stat batch_requests) - before)): $(cat err)"
L -t "batch:$T" --book b3 <bad.jsonl >out 2>err || no "partial: $(tail -3 err)"
[ "$(wc -l <out)" = 16 ] && grep -q "failed.*http 400 4" err || no "partial: $(wc -l <out) rows: $(cat err)"
[ $(($(mock_stat batch_requests) - before)) = 12 ] || no "the refused were submitted again"
# no endless circle: after --retries batches a question fails
mock_set '{"batches":"progress"}'
rows 1 'again ((malformedonce))' >one.jsonl
L -t "batch:$T" --book b3r --retries 0 <one.jsonl >out 2>err; mock_set '{"batches":"complete"}'
L -t "batch:$T" --book b3r --retries 0 <one.jsonl >out 2>err; [ $? = 1 ] && grep -q "none of 1 rows" err || no "--retries 0: $(cat err)"

# results that are nonsense: nothing is taken, everything is asked again
mock_set '{"batches":"progress"}'
rows 14 hostile >h.jsonl
L -t "batch:$T" --book b3h <h.jsonl >out 2>err; rc=$?; stopped "hostile submit"
mock_set '{"batches":"hostile"}'
L -t "batch:$T" --book b3h <h.jsonl >out 2>err; rc=$?; stopped "hostile results"; [ ! -s out ] && grep -q "0 of 14 answered, 0 refused, 14 failed for the moment" err || no "hostile results: $(cat err)"
mock_set '{"batches":"complete"}'
L -t "batch:$T" --book b3h <h.jsonl >out 2>err && [ "$(wc -l <out)" = 14 ] || no "after hostile results: $(cat err)"

# a batch refused as a whole
mock_set '{"batches":"progress"}'
rows 5 whole >w.jsonl
L -t "batch:$T" --book b4 <w.jsonl >out 2>err; rc=$?; stopped "whole submit"
mock_set '{"batches":"fail"}'
L -t "batch:$T" --book b4 <w.jsonl >out 2>err; [ $? = 4 ] && grep -q "Enqueued token limit" err || no "failed batch: $(cat err)"
mock_set '{"batches":"complete"}'
L -t "batch:$T" --book b4 <w.jsonl >out 2>err; rc=$?; stopped "anew"
L -t "batch:$T" --book b4 <w.jsonl >out 2>err && [ "$(wc -l <out)" = 5 ] || no "anew: $(cat err)"

# the answer to "create" is lost: the batch is found in the list, not made twice
mock_set '{"create":"lose"}'; before=$(mock_stat batch_requests)
rows 6 lost >l.jsonl
L -t "batch:$T" --book b5 <l.jsonl >out 2>err; rc=$?; stopped "lost answer"
[ $(($(mock_stat batch_requests) - before)) = 6 ] && grep -q "looking whether the batch was made" err || no "lost answer: $(mock_get /stats) $(cat err)"
# ... and when the process dies just then, the next run finds it
rows 7 lost >l7.jsonl
mock_set '{"create":"hang"}'; before=$(mock_stat batch_requests)
"$RETORT" label --teacher-terms mit -t "batch:$T" --book b6 <l7.jsonl >out 2>err & pid=$!
for _ in $(seq 100); do [ $(($(mock_stat batch_requests) - before)) = 7 ] && break; sleep 0.1; done
L -t "batch:$T" --book b6 <l7.jsonl >out 2>err2; rc=$?; [ $rc = 9 ] && grep -q "another process" err2 || no "two processes on one batch book: exit $rc $(cat err2)"
kill -9 $pid; wait $pid 2>/dev/null
mock_set '{"create":"ok"}'
L -t "batch:$T" --book b6 <l7.jsonl >out 2>err || { rc=$?; no "after the kill: $rc $(cat err)"; }
[ $(($(mock_stat batch_requests) - before)) = 7 ] && [ "$(wc -l <out)" = 7 ] || no "killed while creating: $(mock_get /stats)"

# kill -9 at any moment of submitting and collecting: nothing is answered twice, nothing lost
rows 30 kill >k.jsonl
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
  "$RETORT" label --teacher-terms mit -t "batch:$T" --book b7 --batch-size 4 <k.jsonl >out 2>err & pid=$!
  sleep "0.0$((RANDOM % 9))$((RANDOM % 9))"; kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
done
until L -t "batch:$T" --book b7 --batch-size 4 <k.jsonl >out 2>err; do [ $? = 9 ] || { no "kills: $(cat err)"; break; }; done
L -t "$T" --book live <k.jsonl 2>/dev/null | cmp - out || no "after kills: other rows"
[ "$(mock_stat asked_twice)" = 0 ] || no "kills: answered twice: $(mock_get /stats)"

# completions with log-probabilities, embeddings
echo '{"id":"a","text":"the law of the place"}' >txt
for d in completions: embeddings:; do
  o=; [ $d = completions: ] && o="--score --logprobs 2"
  "$RETORT" ask --teacher-terms mit -t "batch:$d$T" --book b8 $o <txt >out 2>err; [ $? = 9 ] || no "batch:$d $(cat err)"
  "$RETORT" ask --teacher-terms mit -t "batch:$d$T" --book b8 $o <txt >out 2>err || no "batch:$d collect: $(cat err)"
  "$RETORT" ask --teacher-terms mit -t "$d$T" --book live $o <txt 2>/dev/null | cmp - out || no "batch:$d differs from live"
done
# a batch beside a live teacher: the vote waits for it
mock_set '{"batches":"progress"}'
rows 6 vote >v.jsonl
L -t "batch:$T" -t "http://127.0.0.1:$port/v1#m2" --mix vote --book b9 <v.jsonl >out 2>err; rc=$?; stopped "vote with a batch"; [ ! -s out ] || no "a vote without all answers"
mock_set '{"batches":"complete"}'
L -t "batch:$T" -t "http://127.0.0.1:$port/v1#m2" --mix vote --book b9 <v.jsonl >out 2>err && [ "$(wc -l <out)" = 6 ] || no "vote with a batch: $(cat err)"
# money: reserved when submitted, at the batch price, settled by what was counted; a limit is never passed
cat >prices.yaml <<'Y'
prices:
  - { model: "m1", input: 10, output: 100, batch: 0.5, read: "made up", date: 2026-11-25 }
Y
rows 10 money >m.jsonl
M() { L -t "batch:$T" --prices prices.yaml --max-tokens 60 --book b14 "$@" <m.jsonl >out 2>err; }
mock_set '{"batches":"progress"}'; before=$(mock_stat batch_requests)
M --max-usd 0.01; [ $? = 8 ] && [ "$(mock_stat batch_requests)" = "$before" ] || no "over the limit: $(tail -1 err)"
M --max-usd 0.1; rc=$?; stopped "money submit"
M --max-usd 0.1; rc=$?; stopped "money waits"
mock_set '{"batches":"complete"}'
M --max-usd 0.1 || no "money collect: $(tail -1 err)"
"$RETORT" cost --json b14 >cost.json 2>err || no "cost: $(cat err)"
python3 - <<'E2' || bad=1
import json
r = [json.loads(l) for l in open('cost.json')]
want = sum((len(json.loads(l)['messages'][0]['content']) * 10 + 10 * 100) * 0.5 for l in open('m.jsonl')) / 1e6
assert abs(sum(x['usd'] for x in r) - want) < 1.1e-5 and not sum(x['usd_unsettled'] for x in r), (r, want)
E2
# kinds that ask in steps go on batch by batch, and end where a live run ends
python3 -c 'import json; [print(json.dumps({"id": f"s{i}", "messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a first draft"}]})) for i in range(3)]' >s.jsonl
n=0
until L -t "batch:$T" --book b13 --kind revise <s.jsonl >out 2>err; do [ $? = 9 ] && [ $((++n)) -lt 9 ] || { no "steps: $(tail -2 err)"; break; }; done
[ $n -ge 2 ] || no "steps took $n batches"
L -t "$T" --book live --kind revise <s.jsonl 2>/dev/null | cmp - out || no "steps differ from live"
# what cannot be
L -t "batch:anthropic:$T" --book b10 <v.jsonl >out 2>err; [ $? = 2 ] && grep -q "expected batch:http" err || no "batch:anthropic: $(cat err)"
L -t "batch:model.gguf" --book b10 <v.jsonl >out 2>err; [ $? = 2 ] || no "batch: of a file: $(cat err)"
stop_mock
# nobody there: exit 4 soon, and the next run asks anew what was never sent
L -t "batch:$T" --book b11 --outage 1 <w.jsonl >out 2>err; [ $? = 4 ] || no "no server: $(cat err)"
L -t "batch:$T" --book b11 --outage 1 <w.jsonl >out 2>err; [ $? = 4 ] || no "no server, again: $(cat err)"
start_mock mock_api.py --key sk-planted-88
T="http://127.0.0.1:$port/v1#m1"
env OPENAI_API_KEY=sk-planted-88 "$RETORT" label --teacher-terms mit -t "batch:$T" --book b12 -v <w.jsonl >out 2>err; [ $? = 9 ] || no "batch with a key: $(cat err)"
env OPENAI_API_KEY=sk-planted-99 "$RETORT" label --teacher-terms mit -t "batch:$T" --book b12 -v <w.jsonl >out 2>err2; [ $? = 4 ] && grep -q "refuses the key" err2 || no "batch with a wrong key: $(cat err2)"
grep -rqa 'sk-planted' out err err2 b12 run 2>/dev/null && no "the key was seen"
done_testing "batches"
