#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The form of an answer from a server: told to the server where there is a member for it, judged here in any case.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
for i in 1 2 3; do echo "{\"id\":\"r$i\",\"messages\":[{\"role\":\"user\",\"content\":\"question $i\"}]}"; done >q.jsonl
echo '{"type": "object", "required": ["a"]}' >s.json
start_mock --latency 1
ask() { RETORT_BOOK=$1 "$RETORT" label -t "$(T)" --accept-terms "a mock" "${@:2}" <q.jsonl 2>err; }

ask free >free.jsonl || no "free: $(tail -1 err)"
ask free --regex '[^\n]{20,}' >regex.jsonl || no "regex that fits: $(tail -1 err)"
[ "$(jq -c .messages regex.jsonl)" = "$(jq -c .messages free.jsonl)" ] || no "a form that fits changed the answers"
ask strict --schema s.json >schema.jsonl
[ -s schema.jsonl ] && no "text passed as JSON: $(head -1 schema.jsonl)"
grep -q "wrong form" err || RETORT_BOOK=strict "$RETORT" ledger 2>/dev/null | grep >/dev/null "wrong form" || no "the reason is not told: $(cat err)"
[ "$(stat answered)" = 6 ] || no "$(stat answered) answers, expected 6: a regex is no part of a request, a schema is"
grep -aq '"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","required":\["a"\]},"strict":true}}' -r strict || no "the schema was not sent"
ask strict --schema s.json >again.jsonl
[ "$(stat answered)" = 6 ] || no "the same form was asked again"
ask x --one-of a --regex b >/dev/null && no "two forms at once"
grep -q "give one of them" err || no "two forms: $(tail -1 err)"
[ $bad = 0 ] && echo "answer_form: all good"
exit $bad
