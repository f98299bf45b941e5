#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails allocation 1, 2, 3, ... of a stage until none is hit any more. Allowed outcomes: exit 5 with a message (out of
# memory), or 0 with the whole right output (the failed one was not needed). Never a crash, a hang or a partial success.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_RUN="$work/run"
bad=0

torture() { # NAME MOST INPUT command...
  local name=$1 most=$2 input=$3 n rc hits=0
  shift 3
  "$@" <"$input" >"$work/want" 2>"$work/err" || { echo "$name: fails without faults: $(cat "$work/err")"; bad=1; return; }
  for ((n = 1; n <= most; n++)); do
    RETORT_FAIL_ALLOC=$n timeout 20 "$@" <"$input" >"$work/got" 2>"$work/err"
    rc=$?
    case $rc in
      0) cmp -s "$work/want" "$work/got" || { echo "$name: allocation $n failed, exit 0, but the output differs"; bad=1; break; } ;;
      5) hits=$((hits + 1)); grep -q 'out of memory' "$work/err" || { echo "$name: allocation $n: exit 5 without a message: $(cat "$work/err")"; bad=1; break; } ;;
      *) echo "$name: allocation $n: exit $rc: $(tail -3 "$work/err")"; bad=1; break ;;
    esac
  done
  [ "$hits" -gt 5 ] || { echo "$name: only $hits faults were hit: the test proves nothing"; bad=1; }
  echo "$name: $((n - 1)) faults, $hits noticed"
}

cat >"$work/rows.jsonl" <<'J'
{"id":"a","text":"The licensee may copy the work and give it to others without charge, as long as this notice stays."}
{"id":"b","text":"The licensee may copy the work and give it to others without charge, as long as this notice stays."}
{"id":"c","text":"A warranty is not given, neither express nor implied, and the author is not liable for any damage at all."}
J
torture curate 400 "$work/rows.jsonl" "$RETORT" curate -q --near 0.8
printf '%s' '{"teacher":[[1,2,3]],"student":[[3,2,1]],"mask":[1],"temperature":1}' >"$work/loss.json"
torture loss 200 "$work/loss.json" "$RETORT" loss -q fkl
exit $bad
