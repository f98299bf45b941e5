#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort book retry --failed`: of rows that failed exactly their questions are asked again, answered ones never, and the command's
# next run is what an undisturbed run gives. Counts come from the mock's /stats.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
python3 -c "
import json
for i in range(120): print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i} of the retry'}]}))" >q.jsonl
label() { "$RETORT" label -t "$(T)" --teacher-terms mit --book b --concurrency 8 "$@"; }
retry() { "$RETORT" book retry --failed -t "$(T)" --teacher-terms mit --retries 0 "$@"; }

# one attempt each, some fail: no row of theirs comes out
start_mock --latency 1 --faults 0.25 --kinds 500 --seed 3
label --retries 0 <q.jsonl >first 2>err || no "first run: $(tail -1 err)"
failed=$((120 - $(wc -l <first)))
[ "$failed" -ge 10 ] && [ "$(stat requests)" = 120 ] || no "the first run tested nothing: $failed failed, $(stat requests) requests"

# who it was is told; nothing is asked, nothing is written
"$RETORT" book retry --failed b >out 2>err; [ $? = 2 ] && grep -q "$failed failed questions without an answer" err && grep -q "openai:$(T | cut -d'#' -f1)" err || no "without a teacher: $(cat err)"
"$RETORT" book retry b -t "$(T)" >out 2>err; [ $? = 2 ] && grep -q -- '--failed' err || no "without --failed: $(cat err)"
"$RETORT" book retry --failed -t "$(T)" --teacher-terms mit nowhere >out 2>err; [ $? = 3 ] && [ ! -e nowhere ] || no "a book that is not there: $(cat err)"
retry --dry-run b >out 2>err || no "dry run: $(tail -1 err)"
grep -q "$failed questions" err || no "dry run: $(cat err)"
"$RETORT" book retry --failed -t "http://127.0.0.1:$port/v1#other" --teacher-terms mit b >out 2>err; [ $? = 1 ] && grep -q "$failed of $failed failed questions are still without an answer (they were put to other teachers)" err || no "another teacher: $(tail -1 err)"
[ "$(stat requests)" = 120 ] || no "$(stat requests) requests before anything was to be asked"

# one round: exactly the failed ones, each once; some fail again
retry b >out 2>err; rc=$?
left=$((120 - $(stat unique_answered)))
[ "$(stat requests)" = $((120 + failed)) ] && [ "$(stat paid_twice)" = 0 ] || no "round 1: $(stat requests) requests for 120 + $failed, $(stat paid_twice) paid twice"
[ "$left" -ge 1 ] && [ $rc = 1 ] && grep -q "$left of $failed failed questions are still without an answer" err || no "round 1: exit $rc, $left left: $(tail -1 err)"
[ ! -s out ] || no "retry printed rows"
# the second round asks only what is left; the mock answers a body at the third time at the latest
retry b >out 2>err; rc=$?
[ "$(stat requests)" = $((120 + failed + left)) ] || no "round 2: $(stat requests) requests for 120 + $failed + $left"
while [ $rc = 1 ]; do retry b >out 2>err; rc=$?; [ "$(stat requests)" -lt 400 ] || break; done
[ $rc = 0 ] && [ "$(stat unique_answered)" = 120 ] && [ "$(stat answered)" = 120 ] || no "after the rounds: exit $rc, $(stat unique_answered) answered: $(tail -1 err)"
# nothing failed any more: nothing is asked, no server is needed
n=$(stat requests)
retry b >out 2>err && grep -q "no question failed" err || no "nothing left: $(tail -1 err)"
label <q.jsonl >again 2>err || no "again: $(tail -1 err)"
[ "$(stat requests)" = "$n" ] || no "the command asked $(($(stat requests) - n)) questions after the retry"
stop_mock; start_mock_again() { python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" --latency 1 >mock.out 2>&1 & mock=$!; for _ in $(seq 300); do grep -q '^ready' mock.out && return; sleep 0.1; done; echo "FAIL: no mock"; exit 1; }
start_mock_again
"$RETORT" label -t "$(T)" --teacher-terms mit --book whole --concurrency 8 <q.jsonl 2>/dev/null | cmp - again || no "the rows differ from those of an undisturbed run"
stop_mock

# samples that share a request (--choices), an index, and a request under --pii
start_mock --latency 1 --faults 0.5 --kinds 500 --seed 5
printf '%s\n' '{"id":"m","messages":[{"role":"user","content":"write to anna.meier@example.com"}]}' >>q.jsonl
vote() { "$RETORT" label --kind vote --samples 5 --choices 3 --temperature 0.7 -t "$(T)" --teacher-terms mit --book v --concurrency 8 "$@"; }
head -30 q.jsonl >q30; tail -1 q.jsonl >>q30
vote --retries 0 <q30 >first 2>err || no "votes: $(tail -1 err)"
n=$(stat requests) had=$(stat answered)
"$RETORT" book index v 2>/dev/null
for _ in 1 2 3; do retry --pii refuse v >out 2>err; done
grep -q "personal data" err || no "--pii refuse: $(cat err)"
for _ in 1 2 3; do retry v >out 2>err && break; done
[ "$(stat paid_twice)" = 0 ] && [ "$(stat answered)" -gt "$had" ] || no "votes: $(stat paid_twice) paid twice"
vote <q30 >again 2>err
asked=$(stat requests); [ "$(stat paid_twice)" = 0 ] || no "votes again: $(stat paid_twice) paid twice"
vote <q30 2>/dev/null | cmp - again || no "votes: the third run differs"
[ "$(stat requests)" = "$asked" ] || no "votes: the third run asked"
stop_mock
[ $bad = 0 ] && echo "book retry: all good"
exit $bad
