#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Signature files on the command line: parts signed apart, merged and applied keep what one run keeps; --memory changes no byte;
# damaged files are refused; rows that came before stay.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
C=$RETORT_SOURCE/tests/golden/data/curate
q=(--near 0.7 --no-repetition)
"$RETORT" curate -q "${q[@]}" --rejects one.rejects <"$C/corpus.jsonl" >one || no "one run"
"$RETORT" curate -q "${q[@]}" --memory 8M --threads 3 --rejects small.rejects <"$C/corpus.jsonl" >small || no "--memory 8M"
cmp -s one small && cmp -s one.rejects small.rejects || no "--memory changes the output"

split -n r/3 "$C/corpus.jsonl" part.
for p in part.a?; do "$RETORT" curate -q "${q[@]}" --signatures-out "$p.sig" <"$p" >/dev/null || no "$p: signing"; done
"$RETORT" curate -q --merge "${q[@]}" --signatures-out all.sig part.ac.sig part.aa.sig part.ab.sig 2>err || no "merge: $(cat err)"
for p in part.a?; do "$RETORT" curate -q "${q[@]}" --against-signatures all.sig --rejects "$p.rejects" <"$p" || no "$p: applying"; done >parts
sort one >a; sort parts >b; cmp -s a b || no "parts keep other rows than one run: $(wc -l <a) and $(wc -l <b)"
sort one.rejects >a; cat part.a?.rejects | sort >b; cmp -s a b || no "parts reject other rows, or for other reasons"

# new rows against a corpus that is only known by its signatures
head -300 "$C/corpus.jsonl" >old; tail -280 "$C/corpus.jsonl" | sed 's/"id": *"d/"id":"0/' >new # ids that would walk first
"$RETORT" curate -q "${q[@]}" --signatures-out old.sig <old >old.kept
"$RETORT" curate -q "${q[@]}" --against-signatures old.sig --signatures-out both.sig <new >new.kept 2>err || no "new rows: $(cat err)"
cat new old | "$RETORT" curate -q "${q[@]}" --against-signatures old.sig >both.kept
cat new.kept old.kept | cmp -s - both.kept || no "old rows do not stand"
"$RETORT" curate -q "${q[@]}" --against-signatures both.sig <new >again && cmp -s again new.kept || no "the file goes on"
[ "$(wc -l <new.kept)" -gt 100 ] || no "new rows: $(wc -l <new.kept) kept"

# damage, and what does not go together
cp all.sig bad.sig; printf '\xff' | dd of=bad.sig bs=1 seek=5000 conv=notrunc status=none
"$RETORT" curate -q "${q[@]}" --against-signatures bad.sig <new >out 2>err
[ $? = 6 ] || no "a damaged file: exit, $(cat err)"
head -c 5000 all.sig >cut.sig
"$RETORT" curate -q "${q[@]}" --against-signatures cut.sig <new >out 2>err
[ $? = 6 ] || no "a cut file: exit, $(cat err)"
"$RETORT" curate -q "${q[@]}" --against-signatures new <new >out 2>err
[ $? = 1 ] && grep -q 'no signature file' err || no "another file: $(cat err)"
"$RETORT" curate -q "${q[@]}" --against-signatures "$RETORT_SOURCE/tests/fuzz/seeds/fuzz_signature/version1" <new >out 2>err
[ $? = 1 ] && grep -q 'version 1, expected 2.*make it again' err || no "an old file: $(cat err)"
for wrong in "--merge --signatures-out x.sig" "--merge part.aa.sig" "--signatures-out x.sig --arrival" "--merge --split id --signatures-out x.sig part.aa.sig"; do
  "$RETORT" curate $wrong </dev/null >out 2>err
  [ $? = 2 ] || no "$wrong: exit $?"
done
[ -e x.sig ] && no "a signature file was left by a refused run"
TMPDIR=/nowhere "$RETORT" curate -q "${q[@]}" --memory 8M <"$C/corpus.jsonl" >out 2>err
[ $? = 3 ] && grep -q "'/nowhere'.*TMPDIR" err || no "no folder for temporary files: $(cat err)"

# the split: rows that bring theirs keep it and come first; a new twin on the other side is a leak
cat >rows.jsonl <<'ROWS'
{"id":"b","text":"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen","split":"test"}
{"id":"a","text":"one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen other words"}
{"id":"c","text":"quite another text that has nothing to do with the two before it and so may go anywhere","split":"mine"}
ROWS
"$RETORT" curate -q --split id --split-fraction 0 --split-near 0.6 --rejects r <rows.jsonl >out 2>err || no "leak: $(cat err)"
[ "$(jq -r '.id + .split' <out | tr '\n' ' ')" = 'btest cmine ' ] || no "leak: kept $(cat out)"
[ "$(jq -r '.id + .curate.reason + .curate.witness' <r)" = 'asplit_leakb' ] || no "leak: $(cat r)"
"$RETORT" curate -q --split id --split-fraction 0 --split-near 0.6 --no-split-leak <rows.jsonl >out
[ "$(jq -r '.id + .split' <out | tr '\n' ' ')" = 'btest atrain cmine ' ] || no "--no-split-leak: $(cat out)"
"$RETORT" curate -q --split id,near --split-fraction 0 --split-near 0.6 <rows.jsonl >out
[ "$(jq -r '.id + .split' <out | tr '\n' ' ')" = 'btest atest cmine ' ] || no "near: a new row goes to its twin's side: $(cat out)"
# stable: the same rows with more beside them, and with the marked ones first
"$RETORT" curate -q --no-repetition --split id --split-fraction 0.3 <old >marked
cat new marked | "$RETORT" curate -q --no-repetition --split id --split-fraction 0.3 --split-seed 9 >more
grep -F -x -f marked more | sort >a; sort marked >b; cmp -s a b || no "an old row moved or went"
exit $bad
