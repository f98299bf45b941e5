#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What must not get out: a planted key (from a variable, from a descriptor) is in no log, error, book, option print, run folder or
# process list, whatever goes wrong; planted personal data reaches neither server nor book nor log under --pii refuse and mask.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
key=sk-planted-8f3c1d7e
export RETORT_BOOK=$work/book
row() { python3 -c 'import json, sys; [print(json.dumps({"id": str(i), "messages": [{"role": "user", "content": k}]})) for i, k in enumerate(sys.argv[1:])]' "$@"; }
nowhere() { # TEXT: not in any file of the work folder, also not in the compressed or binary ones
  grep -rlaF -e "$1" "$work" --exclude=seen.log --exclude='*.plant' && no "'$1' was written into the files above ($2)"
}
start_mock --latency 300 --key "$key"
echo "$key" >key.plant
# right key, by variable and by descriptor; the process list is looked at while it runs
row a b c >q.jsonl
PLANTED=$key "$RETORT" label -t "$(T)" --teacher-terms mit --key-env PLANTED -v --log-json <q.jsonl >out1 2>err1 & p=$!
sleep 0.3; tr '\0' ' ' </proc/$p/cmdline >ps1; ps ax -o args | grep -v mock_teacher >ps2; wait $p || no "key by variable: $(tail -1 err1)"
[ "$(wc -l <out1)" = 3 ] || no "key by variable: no answers"
row d e f | "$RETORT" label -t "$(T)" --teacher-terms mit --key-fd 3 -v 3<key.plant >out2 2>err2 || no "key by descriptor: $(tail -1 err2)"
[ "$(wc -l <out2)" = 3 ] || no "key by descriptor: no answers"
# wrong ones, broken ones, in every place that might repeat them
row g | PLANTED=$key-wrong "$RETORT" label -t "$(T)" --teacher-terms mit --key-env PLANTED -v >out3 2>err3; [ $? = 4 ] || no "wrong key: exit $?"
row g | PLANTED="$key two words" "$RETORT" label -t "$(T)" --teacher-terms mit --key-env PLANTED -v >out4 2>err4; [ $? = 2 ] || no "bad key: exit $?"
row g | "$RETORT" label -t "http://user:$key@127.0.0.1:$port/v1#mock" --teacher-terms mit >out5 2>err5; [ $? = 2 ] || no "key in the address: exit $?"
row g | "$RETORT" label -t "$(T)" --teacher-terms mit --key-fd 9 >out6 2>err6; [ $? = 2 ] || no "closed descriptor: exit $?"
PLANTED=$key "$RETORT" ledger --json >led 2>&1; "$RETORT" book verify >ver 2>&1; "$RETORT" book index 2>/dev/null; "$RETORT" cost >cost 2>&1
sqlite3 book/index.sqlite .dump >dump 2>/dev/null
nowhere "$key" "key"
stop_mock

# personal data
start_mock --latency 5 --log "$work/seen.log"
name="Ms. Zebulonia Quackenbush"; mail=zebulonia.q@example.org
for how in refuse mask; do
  row "What did $name say to $mail?" "Summarise the weather." "Mail $(printf '%s' "$mail") again" >rows.plant
  "$RETORT" label -t "$(T)" --teacher-terms mit --pii $how -v --book "$work/b-$how" <rows.plant >$how.plant 2>err-$how || no "$how: $(tail -1 err-$how)"
done
[ "$(wc -l <refuse.plant)" = 1 ] && grep -q "personal data" err-refuse || no "refuse: $(wc -l <refuse.plant) rows: $(tail -2 err-refuse)"
[ "$(wc -l <mask.plant)" = 3 ] && grep -q "$mail" mask.plant || no "mask: the row itself must keep its text: $(wc -l <mask.plant) rows"
nowhere "Quackenbush" "name"; nowhere "$mail" "address"
grep -aq '\[EMAIL_1\]' b-mask/seg-* || no "mask: no placeholder in the request"
"$RETORT" label -t "replay:b-mask" --pii mask <rows.plant 2>/dev/null | cmp - mask.plant || no "replay of masked questions"
"$RETORT" label -t "$(T)" --teacher-terms mit --pii allow --book "$work/b.plant" <rows.plant >allow.plant 2>err || no "allow: $(tail -1 err)"
[ "$(wc -l <allow.plant)" = 3 ] || no "allow: rows"
exit $bad
