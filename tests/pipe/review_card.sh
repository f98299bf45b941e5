#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort review` and `retort card`: a stratified sample that does not depend on the order of rows, verdicts that come back with
# reviewer and date, nothing of a row becomes markup, and the card's numbers against counts made here.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
python3 - <<'E' >rows
import json
for i in range(60):
    print(json.dumps({"id": f"r{i}", "messages": [{"role": "user", "content": f"question {i} <script>alert(1)</script> | \"x\""}, {"role": "assistant", "content": f"answer {i}\nline two, with \"quotes\""}],
                      "meta": {"source": f"/t/{i % 3}.txt", "licence": ["MIT", "CC0-1.0"][i % 2]}, "task": {"recipe": ["qa", "rank"][i % 4 == 0], "lang": "en"}, "teacher": {"name": "T", "terms": "mit"},
                      "scores": {"judge": i % 5}}))
E
"$RETORT" review -q --by task.recipe --sample 5 -o page.html <rows 2>err || no "review: $(cat err)"
shuf --random-source=<(yes) rows | "$RETORT" review -q --by task.recipe --sample 5 -o shuffled.csv 2>err || no "review csv: $(cat err)"
python3 - <<'E' || bad=1
import csv, html.parser, sys
class P(html.parser.HTMLParser):
    def __init__(s): super().__init__(); s.ids = []; s.scripts = 0
    def handle_starttag(s, t, a):
        a = dict(a); s.scripts += t == 'script'
        if a.get('class') == 'row': s.ids.append(a['data-id'])
p = P(); p.feed(open('page.html').read())
rows = list(csv.DictReader(open('shuffled.csv', newline='')))
assert p.scripts == 1, 'a row became a script'
assert sorted(p.ids) == sorted(r['id'] for r in rows) and len(rows) == 10, 'other samples from another order'
assert sorted(r['stratum'] for r in rows) == ['qa'] * 5 + ['rank'] * 5
assert all(r['answer'] == f"answer {r['id'][1:]}\nline two, with \"quotes\"" for r in rows)
E
printf '\xef\xbb\xbfid,decision,text,reviewer,date\r\nr3,approve,,Ann,2026-11-25\r\nr5,reject,,Ann,2026-11-25\r\n"r7","edit","a ""better"" answer,\nin two lines","Bob","2026-11-24"\r\nr8,,,,\r\nr9,approve,,Ann,2026-11-20\r\nr9,reject,,Ann,2026-11-25\r\nnobody,approve,,Ann,2026-11-25\r\n' >verdicts.csv
"$RETORT" review --apply verdicts.csv --rejects refused <rows >reviewed 2>err || no "apply: $(cat err)"
grep -q '1 approved, 1 edited, 2 rejected' err && grep -q '1 verdicts of .* are of rows that did not come' err || no "apply says: $(cat err)"
python3 - <<'E' || bad=1
import json
old = [json.loads(l) for l in open('rows')]; new = {r['id']: r for r in map(json.loads, open('reviewed'))}; gone = {r['id']: r for r in map(json.loads, open('refused'))}
assert set(gone) == {'r5', 'r9'} and gone['r9']['review'] == {'decision': 'reject', 'reviewer': 'Ann', 'date': '2026-11-25'}
assert len(new) == 58 and new['r3']['review'] == {'decision': 'approve', 'reviewer': 'Ann', 'date': '2026-11-25'}
assert new['r7']['messages'][1]['content'] == 'a "better" answer,\nin two lines' and new['r7']['messages'][0] == old[7]['messages'][0]
assert all(new[r['id']] == r for r in old if r['id'] not in ('r3', 'r5', 'r7', 'r9'))
E
printf 'id,decision\nr1,maybe\n' >x.csv; "$RETORT" review --apply x.csv <rows >out 2>err; [ $? = 1 ] && grep -q "line 2: decision 'maybe'" err || no "a bad decision: $(cat err)"
printf 'id,decision\n"r1,approve\n' >x.csv; "$RETORT" review --apply x.csv <rows >out 2>err; [ $? = 1 ] && grep -q "quote is not closed" err || no "an open quote: $(cat err)"
# ---- card ----
cat "$RETORT_SOURCE/tests/golden/data/curate/corpus.jsonl" | RETORT_BOOK=b "$RETORT" curate -q --near 0.8 --rejects rejects >kept 2>err || no "curate: $(cat err)"
RETORT_BOOK=b "$RETORT" card -q --rejects rejects -o card <kept 2>err || no "card: $(cat err)"
for reason in $(grep -o '"reason":"[a-z_]*"' rejects | sort | uniq -c | awk '{print $2 "=" $1}' | sed 's/"reason":"//; s/"//'); do
  grep -q "^| ${reason%=*} | ${reason#*=} |" card/card.md || no "card lacks $reason: $(grep -A9 'rejected' card/card.md)"
done
grep -q "^$(wc -l <kept) rows, " card/card.md || no "rows: $(head -3 card/card.md)"
grep -q "^| curate | 580 | $(wc -l <kept) |" card/card.md || no "stages: $(grep curate card/card.md)"
"$RETORT" card -q --rejects refused --judge scores.judge --judge-min 2 -o card2 <reviewed 2>err || no "card 2: $(cat err)"
# r3 (judge 3, kept), r7 (2, kept), r5 (0, rejected), r9 (4, rejected): 3 of 4 agree; kappa = (3/4 - (3*2+1*2)/16) / (1 - 8/16) = 0.5
grep -q 'both keep 2, both reject 1, only the judge keeps 1, only the person keeps 0. Agreement 0.750, Cohen.s kappa 0.500' card2/card.md || no "agreement: $(grep Agreement card2/card.md)"
grep -q '^| MIT | 30 |' card2/card.md && grep -q '| /t/1.txt | ' card2/card.md || no "licences: $(grep -A4 Licences card2/card.md)"
grep -q '<script' card2/card.html && no "a row became markup"; python3 -c 'import html.parser; html.parser.HTMLParser().feed(open("card2/card.html").read())' || no "card.html"
[ $bad = 0 ] && echo "review and card: ok"
exit $bad
