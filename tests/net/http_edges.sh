#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Servers at their worst (edge_server.py): waiting as told, broken and hostile answers, answers of their own kind, the circuit breaker,
# redirects, TLS with a CA file, requests a minute.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
start_edge() { # OPTIONS...
  for port in $(python3 -c 'import random; print(*random.sample(range(20000, 32000), 8))'); do
    python3 "$RETORT_SOURCE/tests/net/edge_server.py" "$port" "$work/log" "$@" >mock.out 2>&1 &
    mock=$!
    for _ in $(seq 300); do grep -q '^ready' mock.out && return 0; kill -0 $mock 2>/dev/null || break; sleep 0.1; done
  done
  echo "FAIL: no server: $(cat mock.out)"; exit 1
}
row() { python3 -c 'import json, sys; [print(json.dumps({"id": k, "messages": [{"role": "user", "content": k}]})) for k in sys.argv[1:]]' "$@"; }
label() { timeout 60 "$RETORT" label -t "$(T)" --teacher-terms mit --book b "$@"; }
waited() { python3 -c "
import sys
t = [float(l.split()[0]) for l in open('log') if l.split()[1] == '$1'][:2]
d = t[1] - t[0]
sys.exit(not ($2 <= d <= $3)) or print(d)" || no "$1: waited otherwise than told: $(grep " $1 " log | head -2 | tr '\n' ' ')"; }

start_edge
row "EDGE after_s" "EDGE after_ms" "EDGE after_date" | label >out 2>err || no "Retry-After: $(tail -1 err)"
[ "$(wc -l <out)" = 3 ] || no "Retry-After: $(wc -l <out) of 3 rows"
waited after_s 1 2.5; waited after_ms 0.7 2.2; waited after_date 1 3.9

row "EDGE gzip" "EDGE typed" "EDGE nochoice" "EDGE empty" "EDGE cut" "EDGE error200" "EDGE bighead" "EDGE left" | label >out 2>err || no "broken answers: $(tail -1 err)"
[ "$(grep -c 'a good answer' out)" = 8 ] || no "broken answers: $(grep -c 'a good answer' out) of 8 rows"
for k in typed nochoice empty cut error200; do [ "$(grep -c " $k " log)" = 3 ] || no "$k: $(grep -c " $k " log) requests, expected 3"; done

row "EDGE silent" plain | label --silence-timeout 1 >out 2>err || no "silence: $(tail -1 err)"
[ "$(wc -l <out)" = 2 ] && [ "$(grep -c ' silent ' log)" = 2 ] || no "a silent server was not given up"

# a bomb is stopped at the cap of the unpacked size (64 MB sent as 64 kB), whatever it says
( ulimit -v 4000000; row "EDGE bomb" plain | label --retries 1 >out 2>err ); [ "$(wc -l <out)" = 1 ] || no "bomb: $(wc -l <out) rows"
grep -q "longer than" err || no "bomb: $(tail -2 err)"

# answers of their own kind: one request each, kept in the book
for again in 1 2; do
  row "EDGE filter400" "EDGE filter" "EDGE refusal" "EDGE length" | label >out 2>err || no "own kinds: $(tail -1 err)"
  grep -q '"finish":"length"' out && [ "$(wc -l <out)" = 1 ] || no "own kinds: $(cat out)"
  grep -q "content filter" err && grep -q "refusal" err || no "own kinds: reasons: $(tail -3 err)"
done
for k in filter400 filter refusal length; do [ "$(grep -c " $k " log)" = 1 ] || no "$k: $(grep -c " $k " log) requests, expected 1"; done
# one refused row fails alone; when nothing is ever answered the run ends after twenty
row "EDGE bad400" plain | label >out 2>err || no "one refused: $?"
[ "$(wc -l <out)" = 1 ] && grep -q "bad parameter" err || no "one refused: $(tail -2 err)"
python3 -c 'import json; [print(json.dumps({"id": str(i), "messages": [{"role": "user", "content": f"EDGE bad400 {i}"}]})) for i in range(500)]' | label >out 2>err; [ $? = 4 ] || no "hopeless: exit $?, expected 4"
[ "$(grep -c ' bad400 ' log)" -lt 60 ] && grep -q "all failed" err || no "hopeless: $(grep -c ' bad400 ' log) requests; $(tail -1 err)"

# the circuit breaker: what is in the air gets home, the rest is not sent
export OPENAI_API_KEY=sk-planted-1357
mixed() { python3 -c "
import json
for i in range(400): print(json.dumps({'id': str(i), 'messages': [{'role': 'user', 'content': 'EDGE $1 %d' % i if i == 50 else '$1 plain %d' % i}]}))"; }
mixed key | label >out 2>err; [ $? = 4 ] || no "key: exit $?"
grep -q "refuses the key" err && ! grep -rq sk-planted err out b || no "key: $(tail -1 err)"
mixed quota | label >out 2>err; [ $? = 8 ] || no "quota: exit $?"
grep -q "quota is used up" err || no "quota: $(tail -1 err)"
before=$(wc -l <log)
mixed quota | label >out2 2>err; again=$(($(wc -l <log) - before))
[ "$again" -lt 380 ] || no "quota: answers of the first run were asked again ($again)"
row "EDGE redirect" | label >out 2>err; [ $? = 4 ] && grep -q "redirect" err || no "redirect: $(tail -1 err)"
grep -q elsewhere log && no "a redirect was followed"
unset OPENAI_API_KEY

# requests a minute: 120 means 6 at once and 1.9 a second then
t0=$(date +%s%N)
python3 -c 'import json; [print(json.dumps({"id": str(i), "messages": [{"role": "user", "content": f"slow {i}"}]})) for i in range(12)]' | label --rpm 120 >out 2>err || no "rpm: $(tail -1 err)"
ms=$((($(date +%s%N) - t0) / 1000000))
[ "$ms" -ge 2900 ] && [ "$(wc -l <out)" = 12 ] || no "rpm: 12 requests in $ms ms at 120 a minute"
kill $mock; wait $mock 2>/dev/null; mock=0

# TLS: an unknown authority is refused, the right one taken
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null || no "no openssl"
start_edge --tls cert.pem key.pem
S="https://127.0.0.1:$port/v1#m"
row plain | "$RETORT" label -t "$S" --teacher-terms mit --book b3 --outage 1 --retries 1 >out 2>err; [ $? != 0 ] && [ ! -s out ] || no "TLS: an unknown authority was taken"
row plain | "$RETORT" label -t "$S" --teacher-terms mit --book b3 --ca-file cert.pem >out 2>err || no "TLS: $(tail -1 err)"
[ "$(wc -l <out)" = 1 ] || no "TLS: no answer"
exit $bad
