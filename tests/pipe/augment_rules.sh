#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `augment --rules`: the same bytes at any number of threads and beside other rows, ledger counts, ids, a private mapping file,
# rows that fail, hostile patterns that end.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
cat >r.yaml <<'Y'
copies: 3
keep_row: true
rules:
  - deidentify: { map: map.jsonl }
  - substitute: { pattern: '\bwords?\b', with: [terms, tokens], case: match, ignore_case: true, chance: 0.7 }
  - dates: 40
  - numbers: 0.3
  - casing: 0.1
  - ocr: 0.01
  - typos: 0.02
Y
python3 - <<'P'
import json, random
r = random.Random(5)
with open("in.jsonl", "w") as f:
    for i in range(2000):
        who = r.choice(["Ada Byron", "John Smith", "Eva Lund", "Max Roth"])
        f.write(json.dumps({"id": f"r{i}", "messages": [{"role": "user", "content": f"Dr. {who} paid {r.randrange(100, 9999)} Euro in words on 2024-0{r.randrange(1, 9)}-1{r.randrange(0, 9)} to x{i % 50}@example.org."}, {"role": "assistant", "content": f"{who} paid."}]}) + "\n")
P
run() { "$RETORT" augment -q --rules r.yaml --seed 3 "$@"; }
run --threads 1 <in.jsonl >one || no "one thread: $?"
mv map.jsonl map.one
run --threads 3 <in.jsonl >three || no "three threads: $?"
cmp one three || no "threads change the output"
cmp map.one map.jsonl || no "threads change the mapping"
[ "$(stat -c %a map.jsonl)" = 600 ] || no "the mapping file is open to others"
! grep -q 'Ada Byron\|@example.org' one || no "a name or address went out"
[ "$(grep -c . map.jsonl)" = 54 ] || no "$(grep -c . map.jsonl) values in the mapping, expected 4 names and 50 addresses"
head -3 in.jsonl | run >first
head -"$(grep -c . first)" one | cmp - first || no "rows behind change a row"
sed -n 700p in.jsonl | run | grep '"id": "r699#' >alone
[ -s alone ] || no "no copy of r699"
grep '"id": "r699#' one | cmp - alone || no "rows before change a row"
jq -r .id one | sort | uniq -d | grep >/dev/null . && no "an id twice"
run --seed 4 <in.jsonl | cmp -s - one && no "another seed gives the same"
python3 - <<'P' || bad=1
import json
ids = [json.loads(l)["id"] for l in open("one")]
parents = [i for i in ids if "#" not in i]
if parents != [f"r{i}" for i in range(2000)]: print("FAIL: rows lost or moved"); raise SystemExit(1)
at = -1
for i in ids:  # a row, then its copies in order
    p, _, n = i.partition("#")
    if n == "": at += 1; last = 0
    elif p != f"r{at}" or not last < int(n) <= 3: print("FAIL: order", i); raise SystemExit(1)
    else: last = int(n)
P

# in place: the id stays, rows that nothing changes stay too
printf 'copies: 0\nrules: [{deidentify: all}]\n' >place.yaml
printf '{"id":"a","text":"a@b.org","x":1e400}\n{"id":"b","text":"nothing"}\n' | "$RETORT" augment -q --rules place.yaml >place
[ "$(cat place)" = '{"id":"a","text":"[EMAIL_1]","x":1e400}
{"id":"b","text":"nothing"}' ] || no "in place: $(cat place)"

# a copy without a change is dropped with a reason; the ledger adds up; a hostile pattern fails its row and ends
printf 'rules: [{substitute: {pattern: zebra, with: horse}}]\n' >none.yaml
{ printf '{"id":"z","text":"zebra"}\n'; rows 5; } | RETORT_BOOK=b "$RETORT" augment --rules none.yaml >made 2>err || no "none: $(cat err)"
[ "$(jq -c '[.id,.text]' made)" = '["z#1","horse"]' ] || no "made $(cat made)"
"$RETORT" ledger --book b | grep >/dev/null 'no rule changed it.*5\|5.*no rule changed it' || no "ledger: $("$RETORT" ledger --book b)"
printf 'rules: [{substitute: {pattern: "(a|aa)+$", with: x}}]\n' >evil.yaml
python3 -c 'import json; print(json.dumps({"id": "e", "text": "a" * 5000 + "b"})); print(json.dumps({"id": "f", "text": "a"}))' >evil.jsonl
timeout 60 "$RETORT" augment --rules evil.yaml <evil.jsonl >out 2>err || no "evil: $?"
[ "$(jq -r .id out)" = 'f#1' ] || no "evil: $(cat out)"
grep -q "row 1: rule 1 'substitute': pattern '(a|aa)+\$' on a text of 5001 bytes" err || no "evil: $(cat err)"

# what cannot be
"$RETORT" augment --rules r.yaml --recipe qa </dev/null 2>err && no "rules and a recipe"
grep -q "without a teacher" err || no "$(cat err)"
"$RETORT" augment --rules none-such.yaml </dev/null 2>/dev/null && no "a missing file"
exit $bad
