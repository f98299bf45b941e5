#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every kind of question of `retort label` against a teacher whose words are known: what is written, what is asked again, what is
# dropped and why; order with and without --unordered.
. "$RETORT_SOURCE/tests/net/scripted.bash"
cat >script.json <<'J'
[
 [["again1", "not accepted"], ["So 3.\nAnswer: 3"]], [["again1"], ["three"]],
 [["never1"], ["no form"]],
 [["cot1"], ["We add.\n**Answer:** 4"]],
 [["pot1"], ["```python\nprint(2 + 2)\n```"]], [["pot2", "brackets", "not accepted"], ["```python\nprint(5)\n```"]], [["pot2"], ["```python\nprint((5)\n```"]],
 [["class1"], ["The mood is very bad."]], [["class2", "not accepted"], ["good"]], [["class2"], ["good or bad"]],
 [["Rate the quality", "weak"], ["Poor. Score: 2"]], [["Rate the quality", "fine"], ["Score: 8/10"]], [["Rate the quality", "odd"], ["hm"]],
 [["Rate the honesty"], ["Score: 9"]], [["Rate the depth"], ["[[4]]"]],
 [["[Answer A]\nlong good", "[Answer B]\nshort"], ["[[A]]"]], [["[Answer A]\nshort", "[Answer B]\nlong good"], ["Better answer: B"]],
 [["[Answer A]\nwrong", "[Answer B]\nright"], ["[[B]]"]], [["[Answer A]\nright", "[Answer B]\nwrong"], ["[[A]]"]],
 [["[Answer A]\nfirst", "[Answer B]\nsecond"], ["[[A]]"]], [["[Answer A]\nsecond", "[Answer B]\nfirst"], ["[[A]]"]],
 [["[Answer A]\nsame", "[Answer B]\nalike"], ["tie"]], [["[Answer A]\nalike", "[Answer B]\nsame"], ["[[tie]]"]],
 [["Rank the 3 passages"], ["[3] > [1] > [2]"]], [["Rank the 2 answers", "not accepted"], ["2 > 1"]], [["Rank the 2 answers"], ["[2] > [2]"]],
 [["Criticise the answer", "revise1"], ["It is rude."]], [["Critique:\nIt is rude."], ["Kind words."]],
 [["Criticise the answer", "revise2"], ["Nothing."]], [["Critique:\nNothing."], ["old words"]],
 [["sample1"], ["weak one", "fine one", "odd one"]], [["sample2"], ["fine one"]],
 [["vote1"], ["x\nAnswer: 4", "y\nAnswer: 5", "z\nAnswer: 4.0"]], [["vote2"], ["Answer: 1", "Answer: 2", "hm"]], [["vote3"], ["A", "a.", "b"]], [["vote4"], ["A", "a.", "b"]], [["selfw"], ["weak one"]], [["best1"], ["fine one", "weak one", "odd one"]],
 [["star1"], ["wrong\nAnswer: 1", "good\nAnswer: 7"]], [["star2", "Hint: the right answer is 9"], ["Led there.\nAnswer: 9"]], [["star2"], ["bad\nAnswer: 8"]],
 [["star3"], ["bad\nAnswer: 8"]],
 [["ctx1", "Be terse"], ["ok"]],
 [["shot1"], ["blue"]],
 [["reason1"], [{"content": "four", "reasoning_content": "I added."}]]
]
J
script_start script.json
L() { "$RETORT" label -t "$T" --teacher-terms mit --book "book$RANDOM$RANDOM" --concurrency 1 "$@"; }
q() { for w in "$@"; do printf '{"id":"%s","keep":1.50,"messages":[{"role":"user","content":"%s"}]}\n' "$w" "$w"; done; }
a() { while [ $# -gt 0 ]; do printf '{"id":"%s","messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s"}],"scores":{"old":1}}\n' "$1" "$1" "$2"; shift 2; done; }
same() { # NAME ID FIELD JSON: the field of the row with this id
  python3 - "$2" "$3" "$4" <<'P' || no "$1: row $2 field $3"
import json, sys
rows = {r['id']: r for r in map(json.loads, open('out'))}
got = rows.get(sys.argv[1], {}).get(sys.argv[2]); want = json.loads(sys.argv[3])
if got != want: print(f'got {got!r}, expected {want!r}'); sys.exit(1)
P
}
gone() { grep -q "\"id\":\"$2\"" out && no "$1: row $2 should not be there"; grep -q "$3" err || no "$1: no reason '$3': $(tail -2 err)"; }

q cot1 again1 never1 | L -k cot >out 2>err || no "cot: exit $?"
same cot cot1 messages '[{"role":"user","content":"cot1"},{"role":"assistant","content":"4"}]'
same cot cot1 rationale '"We add."'; same cot again1 rationale '"So 3."'; gone cot never1 'dropped (no line begins with "Answer:" 1)'
grep -q '"keep":1.50' out || no "cot: a foreign field changed"
[ "$(grep -c never1 asked.log)" = 3 ] || no "cot: --tries 3 asked $(grep -c never1 asked.log) times"
q never1 | L -k cot --tries 1 >out 2>err; [ $? = 1 ] || no "nothing answered must be exit 1"
q reason1 | L >out 2>err; same answer reason1 rationale '"I added."'
q pot1 pot2 never1 | L -k pot >out 2>err || no "pot: exit $?"
same pot pot1 messages '[{"role":"user","content":"pot1"},{"role":"assistant","content":"```python\nprint(2 + 2)\n```"}]'
same pot pot2 messages '[{"role":"user","content":"pot2"},{"role":"assistant","content":"```python\nprint(5)\n```"}]'; gone pot never1 'no closed ``` block 1'
(q class1 class2 never1; printf '%s\n' '{"id":"own","choices":["cat","form"],"messages":[{"role":"user","content":"never1 own"}]}') | L -k classify --choice good --choice "very bad" --choice bad >out 2>err || no "classify: exit $?"
same classify class1 label '"very bad"'; same classify class2 label '"good"'; same classify class2 choices '["good","very bad","bad"]'; same classify own label '"form"'; gone classify never1 "not exactly one of the choices 1"
q x | L -k classify >out 2>err; grep -q "no choices 1" err || no "classify without choices: $(tail -1 err)"
a s1 "weak one" s2 "fine one" s3 "odd one" | L -k score --min-score 3 >out 2>err || no "score: exit $?"
same score s2 scores '{"old":1,"judge":8}'; gone score s1 'score below --min-score 1'; gone score s3 'no clear score 1'
a s2 fine | L -k score --aspects honesty --aspects depth >out 2>err; same aspects s2 scores '{"old":1,"honesty":9,"depth":4}'
q x | L -k score >out 2>err; grep -q "no answer 1" err || no "score of a question: $(tail -1 err)"
p() { printf '{"id":"%s","prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"%s"}],"rejected":[{"role":"assistant","content":"%s"}]}\n' "$1" "$2" "$3"; }
(p keep "long good" short; p swap wrong right; p place first second; p tie same alike; p twin one one; q none) | L -k pairwise >out 2>err || no "pairwise: exit $?"
same pairwise keep chosen '[{"role":"assistant","content":"long good"}]'; same pairwise swap chosen '[{"role":"assistant","content":"right"}]'; same pairwise swap rejected '[{"role":"assistant","content":"wrong"}]'
same pairwise keep scores '{"pairwise":1}'; gone pairwise place "verdict follows the order 1"; gone pairwise tie "tie 1"; gone pairwise twin "equal answers 1"; gone pairwise none "no pair 1"
printf '%s\n' '{"id":"r","messages":[{"role":"user","content":"q"}],"passages":[{"id":"a","text":"x"},{"id":"b","text":"y"},{"id":"c","text":"z","n":1.0}]}' | L -k rank >out 2>err || no "rank: exit $?"
grep -qF '"passages":[{"id":"c","text":"z","n":1.0},{"id":"a","text":"x"},{"id":"b","text":"y"}]' out || no "rank: $(cat out)"
q vote3 | L -k rank -n 3 >out 2>err || no "rank answers: exit $? $(cat err)"
same rank vote3 ranking '["b","A"]'; same rank vote3 chosen '[{"role":"assistant","content":"b"}]'; same rank vote3 rejected '[{"role":"assistant","content":"A"}]'
a revise1 rude revise2 "old words" | L -k revise >out 2>err || no "revise: exit $?"
same revise revise1 messages '[{"role":"user","content":"revise1"},{"role":"assistant","content":"Kind words."}]'; same revise revise1 rationale '"It is rude."'; gone revise revise2 "the answer was not changed 1"
a revise1 rude | L -k revise --pairs >out 2>err; same pairs revise1 chosen '[{"role":"assistant","content":"Kind words."}]'; same pairs revise1 rejected '[{"role":"assistant","content":"rude"}]'; same pairs revise1 messages null
q sample1 sample2 | L -k prefer -n 3 >out 2>err || no "prefer: exit $?"
same prefer sample1 chosen '[{"role":"assistant","content":"fine one"}]'; same prefer sample1 rejected '[{"role":"assistant","content":"weak one"}]'; same prefer sample1 scores '{"chosen":8,"rejected":2}'; gone prefer sample2 "margin too small 1"
q vote1 vote2 | L -k vote -n 3 --think >out 2>err || no "vote: exit $?"
same vote vote1 messages '[{"role":"user","content":"vote1"},{"role":"assistant","content":"4"}]'; same vote vote1 rationale '"x"'; same vote vote1 scores '{"agreement":0.6666666666666666}'; gone vote vote2 "vote tied 1"
q vote4 | L -k vote -n 3 --min-agree 0.9 >out 2>err; grep -q "agreement below --min-agree 1" err || no "min-agree: $(tail -1 err)"
q selfw sample2 | L -k self_judge --min-score 5 >out 2>err || no "self_judge: exit $?"
same self sample2 scores '{"self":8}'; gone self selfw "score below --min-score 1"
(printf '{"id":"star%s","meta":{"gold":"%s"},"messages":[{"role":"user","content":"star%s"}]}\n' 1 7 1 2 9 2 3 5 3; q x) | L -k star --gold meta.gold -n 2 >out 2>err || no "star: exit $?"
same star star1 rationale '"good"'; same star star1 scores '{"hinted":0}'; same star star2 rationale '"Led there."'; same star star2 scores '{"hinted":1}'; gone star star3 "gold answer missed 1"; grep -q "no gold answer 1" err || no "star: $(tail -1 err)"
printf '%s\n' '{"id":"c","messages":[{"role":"system","content":"S"},{"role":"user","content":"ctx1"}]}' | L -k context --system "Be terse" >out 2>err || no "context: exit $?"
same context c messages '[{"role":"user","content":"ctx1"},{"role":"assistant","content":"ok"}]'
L -k context </dev/null >out 2>err; [ $? = 2 ] || no "context without --system"
L -k star </dev/null >out 2>err; [ $? = 2 ] || no "star without --gold"
L -k nothing </dev/null >out 2>err; [ $? = 2 ] && grep -q self_judge err || no "unknown kind: $(cat err)"
# demonstrations: the most similar last, the row's own question never
: >asked.log
(a "the colour of the sky" blue "the colour of grass" green "a tax form" paper "shot1 the colour of the sky" no) >demos.jsonl
q "shot1 the colour of the sky" | L --demos demos.jsonl --shots 2 >out 2>err || no "demos: exit $?"
python3 - <<'P' || bad=1
import json
m = json.loads(open('asked.log').readline())
if [x['content'] for x in m] != ['the colour of grass', 'green', 'the colour of the sky', 'blue', 'shot1 the colour of the sky']: print('FAIL: demos', m); raise SystemExit(1)
P
printf '{"text":"x"}\n' >bad.jsonl; q x | L --demos bad.jsonl >out 2>err; [ $? = 1 ] && grep -q "bad.jsonl' line 1" err || no "bad demos: $(cat err)"
# every row once, in order without --unordered, complete with it
q $(seq -f 'n%g' 60) >many; "$RETORT" label -t "$T" --teacher-terms mit --book bm <many >o1 2>err; "$RETORT" label -t "$T" --teacher-terms mit --book bn --unordered <many >o2 2>err
cmp -s <(sort o1) <(sort o2) && [ "$(wc -l <o2)" = 60 ] || no "--unordered loses or changes rows"
"$RETORT" label -t replay:bm <many 2>/dev/null | cmp -s - o1 || no "replay differs"
# a kind of several questions is replayed from the book as well
q best1 vote2 | "$RETORT" label -k prefer -n 3 -t "$T" --teacher-terms mit --book bp --concurrency 1 >o1 2>err; q best1 vote2 | "$RETORT" label -k prefer -n 3 -t replay:bp 2>/dev/null | cmp -s - o1 && [ -s o1 ] || no "replay of prefer differs: $(cat err)"
finish "label kinds"
