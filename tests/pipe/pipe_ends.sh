#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How a pipe may end: head, a full disk, nothing at all, Ctrl-C, an upstream that is killed, jq in the middle.
. "$RETORT_SOURCE/tests/pipe/lib.bash"

# 1. the reader leaves: 141, quiet, the book closed
rows 20000 | "$RETORT" curate "${plain[@]}" --book bk 2>err | head -1 >out
st=("${PIPESTATUS[@]}")
[ "${st[1]}" = 141 ] || no "head: exit ${st[1]}, expected 141"
grep -qE 'error|warn' err && no "head: not quiet: $(cat err)"
grep -q '"id":"r0"' out || no "head: got $(cat out)"
"$RETORT" ledger bk >l || no "head: a broken pipe with a closing line is no error of the ledger"
grep -q 'broken pipe' l || no "head: the ledger does not say 'broken pipe'"

# 2. a full disk
rows 20000 | "$RETORT" curate "${plain[@]}" >/dev/full 2>err
[ ${PIPESTATUS[1]} = 3 ] || no "/dev/full: exit ${PIPESTATUS[1]}"
grep -q 'No space left' err || no "/dev/full: message: $(cat err)"
rows 1 | "$RETORT" curate "${plain[@]}" >/dev/full 2>err # fits the buffer: found at the end
[ ${PIPESTATUS[1]} = 3 ] || no "/dev/full, one row: exit ${PIPESTATUS[1]}"

# 3. nothing comes
"$RETORT" curate </dev/null >out 2>err || no "empty: exit $?: $(cat err)"
[ -s out ] && no "empty: wrote something"
printf '\n\r\n\n' | "$RETORT" curate >out 2>err || no "empty lines: exit $?"
[ -s out ] && no "empty lines: wrote something"

# 4. Ctrl-C while waiting: 130, a word on how to go on, the closing line in the book
mkfifo slow
"$RETORT" curate "${plain[@]}" --book bk2 <slow >out 2>err &
pid=$!
exec 7>slow
rows 3 >&7
wait_for 20 test -s out || no "Ctrl-C: rows are held back while the input is idle"
# background jobs ignore SIGINT at birth, the stage sets its own handler: wait until it has
kill -INT $pid
wait $pid
rc=$?
[ $rc = 130 ] || no "Ctrl-C: exit $rc: $(cat err)"
exec 7>&-
grep -q 'again' err || no "Ctrl-C: says not how to go on: $(cat err)"
[ "$(wc -l <out)" = 3 ] || no "Ctrl-C: $(wc -l <out) rows out"
"$RETORT" ledger bk2 | grep >/dev/null STOPPED || no "Ctrl-C: no closing line"

# 5. upstream killed in the middle: the neighbour says so, exit 9, its own manifest-like file is absent
mkfifo feed
rm out # of 4: row 1 there is the sign that both stages run
(cat feed | { "$RETORT" curate "${plain[@]}" 2>err1 & echo $! >pid1; wait $!; } | "$RETORT" curate "${plain[@]}" --rejects rejects.jsonl --book bk3 >out 2>err; echo "${PIPESTATUS[2]}" >rc) &
job=$!
exec 7>feed
rows 3 >&7
wait_for 20 test -s out || no "kill: nothing came through"
kill -9 "$(cat pid1)"
exec 7>&-
wait $job
[ "$(cat rc)" = 9 ] || no "kill: exit $(cat rc): $(cat err)"
grep -q "upstream stage 'curate'" err || no "kill: message: $(cat err)"
[ -e rejects.jsonl ] && no "kill: a final output was left"
[ -z "$(ls run | grep '^pipe-')" ] || no "kill: pipe records left: $(ls run)"

# 6. upstream fails on its own: the neighbour stops too
{ rows 5; echo 'not json'; rows 5; } | "$RETORT" curate --strict "${plain[@]}" 2>err1 | "$RETORT" curate "${plain[@]}" >out 2>err
st=("${PIPESTATUS[@]}")
[ "${st[1]} ${st[2]}" = "1 9" ] || no "upstream error: exits ${st[*]}"
grep -q "'stdin' row 6: byte 1" err1 || no "upstream error: message $(cat err1)"

"$RETORT" curate --no-such-option 2>err1 | "$RETORT" curate >out 2>err
st=("${PIPESTATUS[@]}")
[ "${st[*]}" = "2 9" ] || no "upstream usage error: exits ${st[*]}: $(cat err)"
grep -q "'curate' .* ended early (USAGE)" err || no "upstream usage error: $(cat err)"

# 7. jq in the middle is somebody else's: counted, no error
if command -v jq >/dev/null; then filter=(jq -c .); else filter=(sed -u s/number/numero/); fi
rows 1000 | "$RETORT" curate "${plain[@]}" --book bk4 2>/dev/null | "${filter[@]}" | "$RETORT" curate "${plain[@]}" --book bk4 >out 2>err || no "jq: exit $?: $(cat err)"
[ "$(wc -l <out)" = 1000 ] || no "jq: $(wc -l <out) rows"
"$RETORT" ledger bk4 >l || no "jq: ledger exit $?"
[ "$(grep -c 'outside retort' l)" = 2 ] || no "jq: the ledger does not say 'outside retort' twice: $(cat l)"

# 8. direct neighbours: one flow that adds up, foreign bytes survive three stages
rows 1000 | "$RETORT" curate "${plain[@]}" --book bk5 2>/dev/null | "$RETORT" curate "${plain[@]}" --book bk5 2>/dev/null | "$RETORT" curate --book bk5 2>/dev/null >out || no "three stages: exit ${PIPESTATUS[*]}"
rows 1000 | cmp -s - out || no "three stages changed bytes"
"$RETORT" ledger --json bk5 >l || no "three stages: ledger exit $?"
[ "$(grep -c '"flow":1' l)" = 3 ] || no "three stages: not one flow: $(cat l)"
[ "$(grep -c '"upstream":"checked"' l)" = 2 ] || no "three stages: not checked: $(cat l)"

# 9. a run without a closing line is named
mkfifo feed2
"$RETORT" curate "${plain[@]}" --book bk6 <feed2 >out 2>err &
pid=$!
exec 7>feed2
rows 1 >&7
wait_for 20 test -s out
"$RETORT" ledger bk6 >l 2>err && no "running: exit 0"
grep -q running l || no "running: not said"
kill -9 $pid
wait $pid 2>/dev/null
exec 7>&-
"$RETORT" ledger bk6 >l 2>err
[ $? = 1 ] || no "no closing line: exit $?"
grep -q 'NO CLOSING LINE' l && grep -q 'curate' err || no "no closing line: $(cat l err)"
rows 1 | "$RETORT" curate "${plain[@]}" --book bk6 >out 2>err
"$RETORT" ledger bk6 >l 2>err || no "done later: exit $?: $(cat l)"

# 10. closed descriptors: rows are not read from nowhere and not written to nowhere; a closed stderr hurts nobody
"$RETORT" curate <&- >out 2>err
[ $? = 3 ] && grep -q "stdin" err || no "closed stdin: exit $?: $(cat err)"
rows 3 | "$RETORT" curate "${plain[@]}" >&- 2>err
[ ${PIPESTATUS[1]} = 3 ] && grep -q "stdout" err || no "closed stdout: $(cat err)"
rows 3 | "$RETORT" curate "${plain[@]}" 2>&- >out
[ ${PIPESTATUS[1]} = 0 ] && [ "$(wc -l <out)" = 3 ] || no "closed stderr: exit ${PIPESTATUS[*]}"

# 11. a limit on file sizes is an error of the write, not a death by signal
(ulimit -f 8; rows 20000 | "$RETORT" curate "${plain[@]}" 2>&1 >limited | grep -v ' rows ' >err; exit "${PIPESTATUS[1]}")
[ $? = 3 ] && grep -q 'File too large' err || no "ulimit -f: $(cat err)"
exit $bad
