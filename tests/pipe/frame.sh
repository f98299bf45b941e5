#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The frame around every stage: help for each row of the table, man pages, suggestions, exit numbers, closed descriptors.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
bad=0
no() { echo "FAIL: $1"; bad=1; }

"$RETORT" | grep >/dev/null '^usage: retort STAGE' || no "front page"
"$RETORT" --version | grep >/dev/null '^retort [0-9]' || no "version"
stages=$(sed -n 's/^STAGE(\([a-z]*\))$/\1/p' "$RETORT_SOURCE/core/stages.def")
for s in $stages; do
  "$RETORT" "$s" -h >"$work/h" || no "$s -h exits $?"
  grep -q "retort $s" "$work/h" || no "$s -h has no usage line"
  awk -v s="$s" 'length($0) > 80 && $0 !~ /^ / { print "FAIL: " s " -h: line over 80 columns: " $0; exit 1 }' "$work/h" || bad=1
  [ "$(grep -cE '^  retort |\| retort |^  (cat|find|jq|echo|printf|zcat) |^ +retort ' "$work/h")" -ge 2 ] || no "$s -h shows fewer than two examples"
  "$RETORT" help man "$s" >"$work/man" # not into grep -q: it closes the pipe early, and pipefail sees 141
  grep -q "^.TH RETORT-$s" "$work/man" || no "man page of $s"
done
"$RETORT" help completion | bash -n || no "completion is not bash"
"$RETORT" help exit | grep >/dev/null '141' || no "exit page"

expect() { # STATUS TEXT command...
  local want=$1 text=$2 rc
  shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null
  rc=$?
  [ $rc = "$want" ] || no "$*: exit $rc, expected $want: $(cat "$work/err")"
  grep -qF -- "$text" "$work/err" || no "$*: stderr lacks '$text': $(cat "$work/err")"
}
expect 2 "did you mean 'fetch'" "$RETORT" fetsh
expect 2 "not a stage" "$RETORT" zzzzz
expect 2 "did you mean '--threads'" "$RETORT" fetch --thread 2 .
expect 2 "is expected" "$RETORT" fetch --threads 9999 .
expect 3 "cannot be opened" "$RETORT" fetch -C nowhere.yaml .
printf 'threads: 1\nthreads: 2\n' >twice.yaml
expect 2 "line 2: 'threads' stands there a second time" "$RETORT" fetch -C twice.yaml .
printf 'threads: 1\n---\nthreads: 2\n' >two.yaml
expect 2 "one YAML document is expected" "$RETORT" fetch -C two.yaml .
printf '"threads\\0x": 1\n' >nul.yaml
expect 2 "holds a NUL" "$RETORT" fetch -C nul.yaml .
printf 'threads: 1\nfetch:\n  licence: MIT\ntokenize:\n  nonsense: 1\n' >c.yaml
printf 'hello world, this is a text\n' >'a file.txt'
"$RETORT" fetch -C c.yaml 'a file.txt' 2>/dev/null | grep >/dev/null '"licence":"MIT"' || no "options from YAML"

# a closed stdout must not make a file of ours stdout
"$RETORT" fetch 'a file.txt' >&- 2>"$work/err"
[ $? -le 3 ] || no "closed stdout"
"$RETORT" fetch 'a file.txt' >/dev/full 2>"$work/err"
rc=$?
[ $rc = 3 ] || no "/dev/full: exit $rc"
grep -qi 'no space' "$work/err" || no "/dev/full: $(cat "$work/err")"
"$RETORT" fetch --log-json 'a file.txt' 2>"$work/err" >/dev/null
jq -e .msg <"$work/err" >/dev/null || no "--log-json is not JSON: $(cat "$work/err")"
[ $bad = 0 ] && echo "frame: all good"
exit $bad
