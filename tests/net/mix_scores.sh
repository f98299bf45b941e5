#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What several teachers' answers are measured by: --mix cascade by the form of the kind or the recipe's validators (valid) or by a
# judge; votes over what an answer says and not over its words; curate on the disagreement. With teachers whose words are known.
. "$RETORT_SOURCE/tests/net/scripted.bash"
cat >s.json <<'E'
[[["You are a strict judge", "good words"], ["It is fine.\nScore: 9"]],
 [["You are a strict judge", "odd words"], ["Hm."]],
 [["You are a strict judge"], ["Score: 3"]],
 [["capital", "Choose exactly"], ["Either Bern or Basel, I think."]],
 [["river", "Choose exactly"], ["Aare"]],
 [["wordy one", "Answer:"], ["Six by seven.\nAnswer: 42"]],
 [["bare one", "Answer:"], ["42"]],
 [["the one"], ["good words"]], [["the two"], ["bad words"]], [["the three"], ["odd words"]],
 [[], ["dunno"]]]
E
cat >big.json <<'E'
[[["capital", "Choose exactly"], ["Bern"]], [["river", "Choose exactly"], ["Rhein"]],
 [["bare one"], ["We multiply six and seven.\nAnswer: 42."]], [["wordy one"], ["Else said: 6 * 7.\nAnswer: 42"]],
 [[], ["the big one's words"]]]
E
script_start s.json; small=$T; first=$server
server=0; cp asked.log small.log 2>/dev/null
sed 's/asked.log/big.log/' "$RETORT_SOURCE/tests/net/scripted.bash" >second.bash
cp asked.log asked.keep 2>/dev/null; eval "$(sed -n '/^script_start()/,/^}/p' second.bash)"; script_start big.json; big=$T
trap 'kill $first 2>/dev/null; [ $server = 0 ] || kill $server 2>/dev/null; rm -rf "$work"' EXIT # (kill 0 is everybody in this process group)
row() { python3 -c 'import json, sys; print(json.dumps({"id": sys.argv[1], "messages": [{"role": "user", "content": sys.argv[2]}], **json.loads(sys.argv[3])}))' "$1" "$2" "${3:-{\}}"; }
by() { python3 -c 'import json, sys
for l in open("out"):
    r = json.loads(l); print(r["id"], r["teacher"]["identity"][-1] == "d" and "small" or "big", r["messages"][-1]["content"], json.dumps(r.get("scores", {}), sort_keys=True))'; }
same() { [ "$1" = "$2" ] || no "$3: found
$1
expected
$2"; }
L() { "$RETORT" label --teacher-terms mit "$@" 2>err >out || no "$*: $(cat err)"; }
big=${big%#*}#large # names differ; the identity's end tells them apart

# valid: the kind's own form decides; the second teacher is asked only where the first named no choice
{ row c capital '{"choices":["Bern","Basel"]}'; row r river '{"choices":["Aare","Rhein"]}'; } >q
L --kind classify -t "$small" -t "$big" --mix cascade:valid:1 --book b1 <q
same "$(by)" 'c big Bern {}
r small Aare {"answered": 1, "valid": 1}' "cascade:valid"
[ "$(wc -l <big.log)" = 1 ] || no "the big one was asked $(wc -l <big.log) times, expected once"

# judge: by the one who answered; 3 and an unclear verdict are below 7
{ row a 'the one'; row b 'the two'; row c 'the three'; } >q
L -t "$small" -t "$big" --mix cascade:judge:7 --book b2 <q
same "$(by)" 'a small good words {"answered": 1, "judge": 9}
b big the big one'"'"'s words {}
c big the big one'"'"'s words {}' "cascade:judge"
# by a judge of its own: the first answers all and judges nothing, the second answers nothing
: >big.log
L -t "$big" -t "x=$big" -t "judge=$small" --mix cascade:judge:3 --book b3 <q
same "$(by)" 'a big the big one'"'"'s words {"answered": 1, "judge": 3}
b big the big one'"'"'s words {"answered": 1, "judge": 3}
c big the big one'"'"'s words {"answered": 1, "judge": 3}' "a judge of its own"
[ "$(wc -l <big.log)" = 3 ] || no "with a judge of its own the first was asked $(wc -l <big.log) times, expected 3"
L -t "$big" -t "x=$big" -t "judge=$small" --mix cascade:judge:3 --book b3 <q
[ "$(wc -l <big.log)" = 3 ] || no "the same again asked again"
"$RETORT" label --teacher-terms mit -t "$small" -t "judge=$big" --mix cascade:judge:7 --book b4 <q >out 2>err; [ $? = 2 ] && grep -q 'one teacher beside the judge' err || no "a judge and one teacher: $(cat err)"
"$RETORT" label --teacher-terms mit -t "judge=$small" -t "$big" -t "x=$big" --mix cascade:judge:7 --book b4 <q >out 2>err; [ $? = 2 ] && grep -q 'the judge stands last' err || no "a judge in front: $(cat err)"

# votes: over the final answers of chains of thought; an output without the line has no vote
row w 'wordy one' >q
L --kind cot -t "$small" -t "$big" --mix vote --book b5 <q
same "$(by)" 'w small 42 {"agreement": 1}' "a vote over final answers"
row w 'bare one' >q
L --kind cot -t "$small" -t "$big" --mix vote --book b6 <q
same "$(by)" 'w big 42. {"agreement": 0.5}' "an output without the line"

# the recipe's validators: "good words" and "dunno" have fewer than three words
cat >r.yaml <<'Y'
name: two
skill: s
elicitation: e
summary: x
input: text
per_row: 1
sampling: { temperature: 0, max_tokens: 50 }
prompts: ["Say something about: {text}"]
parse: whole
validate: [ { words: [3, 50] } ]
output: "{answer}"
Y
echo '{"id":"d1","text":"the one A contract requires offer, acceptance and consideration; the court held that the contract was void."}
{"id":"d2","text":"A passage that nobody knows about, long enough to be a passage of its own, in any case."}' >d.jsonl
"$RETORT" augment --recipe ./r.yaml -t "$small" -t "$big" --mix cascade:valid:1 --teacher-terms mit --book b7 <d.jsonl >out 2>err || no "augment cascade: $(cat err)"
python3 -c '
import json
rows = [json.loads(l) for l in open("out")]
assert [r["task"]["teacher"] for r in rows] == ["large", "large"], rows' || no "augment by validators: $(cat out err)"
finish "scores of several teachers"
