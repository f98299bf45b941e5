#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory runs out at allocation FIRST, FIRST + STEP, ... of a command that asks a server (ALLOC_STEP; 1 = every one, slow). Allowed: exit
# 5 with a message, or 0 with the whole right output. Afterwards the same command gives the same rows, paying again at most for the one
# question that was in the air.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
step=${ALLOC_STEP:-331} first=${ALLOC_FIRST:-$((RANDOM % step + 1))}
start_mock --latency 0
torture() { # NAME INPUT command... (with --book b)
  local name=$1 input=$2 n rc hits=0 quiet=0 twice before was
  shift 2
  rm -rf b; "$@" <"$input" >want 2>err || { no "$name: fails without faults: $(tail -1 err)"; return; }
  before=$(stat requests); rm -rf b; "$@" <"$input" >got 2>err; cmp -s want got || { no "$name: two runs differ"; return; }
  local each=$(($(stat requests) - before))
  for ((n = first; quiet < 3 && n < 9000; n += step)); do
    rm -rf b; was=$(stat requests)
    RETORT_FAIL_ALLOC=$n timeout 60 "$@" <"$input" >got 2>err; rc=$?
    case $rc in
      0) cmp -s want got || { no "$name: allocation $n failed, exit 0, but the output differs: $(tail -2 err)"; break; }; quiet=$((quiet + 1)); continue ;;
      5) grep -q 'out of memory' err || { no "$name: allocation $n: exit 5 without a message: $(cat err)"; break; }; hits=$((hits + 1)); quiet=0 ;;
      *) no "$name: allocation $n: exit $rc: $(tail -3 err)"; break ;;
    esac
    timeout 60 "$@" <"$input" >got 2>err || { no "$name: after allocation $n failed: exit $?: $(tail -1 err)"; break; }
    cmp -s want got || { no "$name: after allocation $n failed the rows differ"; break; }
    twice=$(($(stat requests) - was - each))
    [ "$twice" -le 1 ] || { no "$name: allocation $n: $twice questions were asked again, one can have been in the air"; break; }
  done
  [ $hits -gt $((200 / step)) ] || no "$name: only $hits faults were hit: the test proves nothing"
  echo "$name: every $step. allocation from $first to $n, $hits noticed"
}
python3 -c "
import json
for i in range(4): print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i} about contract law'}]}))" >q.jsonl
cat >prices.yaml <<'Y'
prices:
  - { model: "mo*", input: 10, cached: 1, output: 100, read: "made up", date: 2026-11-25 }
Y
torture label q.jsonl "$RETORT" label -q -t "$(T)" --teacher-terms mit --concurrency 1 --book b --prices prices.yaml --max-usd 5 --max-tokens 60
torture vote q.jsonl "$RETORT" label -q -k vote -n 3 --choices 3 --temperature 0.5 -t "$(T)" --teacher-terms mit --concurrency 1 --book b --pii refuse
torture ask q.jsonl "$RETORT" ask -q -t "$(T)" --teacher-terms mit --concurrency 1 --book b --logprobs 2
exit $bad
