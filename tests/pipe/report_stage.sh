#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# retort report: all parts, missing parts, hostile texts, nothing loaded from outside, same bytes twice, refusals.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
mkdir -p 'run <b>/student'
for i in 1 2 3 4; do
  echo "{\"step\":$i,\"tokens\":$((i * 1000)),\"loss\":$((5 - i)).5,\"kl\":0.$((9 - i)),\"lr\":1e-4,\"grad_norm\":1,\"tok_s\":16$i}"
  echo "{\"step\":$i,\"tokens\":$((i * 1000)),\"eval\":{\"loss_tokens\":9,\"loss\":3.$((9 - i)),\"kl\":0.7$i,\"agreement\":0.$i}}"
done >'run <b>/metrics.jsonl'
echo '{"kind":"run","loss":"fkl","options":{"lr":1e-4},"result":{"steps":4,"tokens":4000,"seconds":10,"peak_rss_bytes":1e9}}' >'run <b>/manifest.json'
echo '{"question":"<script>alert(1)</script>","teacher":"a & b","student":"\u0000\"q\""}' >samples.jsonl
echo '{"teacher":{"params":100,"bytes":4e8,"kl":0,"tok_s":4},"distilled":{"params":50,"bytes":2e8,"kl":0.25,"agreement":0.5,"text_loss":2.5,"loss":1.75,"tok_s":8},"pruned":{"params":50,"bytes":2e8,"kl":3.5}}' >summary.json
rows 30 | "$RETORT" curate -q --min-words 3 --book bk | "$RETORT" curate -q --min-chars 9000 --book bk >/dev/null
"$RETORT" report 'run <b>' --book bk --summary summary.json --samples samples.jsonl -o all.html --title 'T <i>' 2>err || no "exit $?: $(cat err)"
has() { grep -qF -- "$2" "$1" || no "$1 lacks: $2"; }
for want in 'T &lt;i&gt;' 'run &lt;b&gt;' 'Training objective' 'Held-out loss' 'KL to the teacher' 'Throughput' '0.74' '2× smaller' 'KL to the teacher on held-out answers' \
  'Loss on held-out text' '1.7500' '&lt;script&gt;alert(1)&lt;/script&gt;' 'a &amp; b' '−30 ' '30 of 30 kept' '0 of 30 kept' 'Every sum adds up'; do has all.html "$want"; done
grep -qiE '<script|<link|src=|@import|url\(|https?://' all.html && no "the page runs or loads something"
grep -q 'class="missing"' all.html && no "something is said to be missing"
cp all.html first.html
"$RETORT" report 'run <b>' --book bk --summary summary.json --samples samples.jsonl -o all.html --title 'T <i>' 2>err || no "again: exit $?: $(cat err)"
has err 'up to date'
cmp -s first.html all.html || no "another page from the same inputs"
"$RETORT" report 'run <b>' -o all.html 2>err
[ $? = 2 ] || no "an existing page was replaced without --force"
cmp -s first.html all.html || no "an existing page was changed"
"$RETORT" report 'run <b>' -o all.html --force 2>err || no "--force: exit $?"
for want in 'No book was given' 'No summary was given' 'No samples were given'; do has all.html "$want"; done
mkdir empty
"$RETORT" report empty -o empty.html 2>err || no "empty run: exit $?: $(cat err)"
has empty.html 'holds no metrics.jsonl'
echo '{"step":1,"tokens":1,"loss":' >>'run <b>/metrics.jsonl'
"$RETORT" report 'run <b>' -o bad.html 2>err
[ $? = 1 ] || no "bad metrics: exit $?"
grep -q 'row 9' err || no "bad metrics: $(cat err)"
[ -e bad.html ] && no "bad metrics: a page was left"
printf '{"name":"a","params":5,"bytes":10,"kl":1}\n{"name":"b","params":6,"bytes":20,"kl":2}\n' >rows.jsonl
"$RETORT" report --summary rows.jsonl -o rows.html 2>err || no "summary as lines: $(cat err)"
has rows.html '<td>b</td>'
"$RETORT" report nowhere -o x.html 2>err
[ $? = 3 ] || no "no such run: exit $?"
"$RETORT" report empty 2>err
[ $? = 2 ] || no "no -o: exit $?"
exit $bad
