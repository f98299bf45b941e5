#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Methods and steps of `retort augment` against a teacher whose words are known: chains with asking again, dialogs that stop, grids with
# quotas, a growing pool, passages with citations and abstention, tool calls; replay gives the same bytes.
. "$RETORT_SOURCE/tests/net/scripted.bash"
cat >script.json <<'J'
[
 [["Write one question that this passage answers", "heron"], ["Where does the grey heron stand and fish?"]],
 [["Write one question that this passage answers", "licensee"], ["What?"]],
 [["Write one question that this passage answers", "gravel"], ["Who spreads gravel on the winter road?"]],
 [["Question: Where does the grey heron", "not accepted"], ["The grey heron stands in shallow water [1]. It fishes there [2]."]],
 [["Question: Where does the grey heron"], ["The grey heron stands in shallow water [9]."]],
 [["Question: Who spreads gravel"], ["The gravel on the road is spread by the road crew [1]."]],
 [["Write the person's next turn", "Assistant: A heron stands in water. It waits for fish."], ["[END]"]],
 [["Write the person's next turn", "Assistant: "], ["And what does the heron wait for?"]],
 [["Write the person's next turn"], ["Where does a heron stand?"]],
 [["Write the assistant's next turn", "wait for?"], ["A heron stands in water. It waits for fish."]],
 [["Write the assistant's next turn"], ["A heron stands in shallow water."]],
 [["You play a cell good"], ["a good thing number one", "a good thing number one", "some other fine matter here"]],
 [["You play a cell bad"], ["bad"]],
 [["Come up with one new task", "Task 4:", "vowels"], ["Draw up a list of five rare birds."]],
 [["Come up with one new task"], ["Count the vowels of a word.", "Translate this sentence into Latin for a friend.", "Write a poem about rivers and stones.", "Explain why the sky is blue at noon.", "Write a poem about rivers and stones!"]],
 [["Write what a user could ask"], ["Where can I find the heron in shallow water?"]],
 [["You call functions", "not accepted"], ["{\"name\":\"search\",\"arguments\":{\"query\":\"heron\",\"limit\":2}}"]],
 [["You call functions"], ["{\"name\":\"find\",\"arguments\":{}}"]],
 [["Result of the search"], ["The grey heron stands in shallow water."]],
 [["careful assistant"], ["Water boils at one hundred degrees at sea level."]],
 [["careless assistant"], ["It just boils, everybody knows that, trust me."]]
]
J
script_start script.json
A() { "$RETORT" augment -t "$T" --teacher-terms mit --book "book$RANDOM$RANDOM" --concurrency 1 "$@"; }
cat >docs.jsonl <<'D'
{"id":"d1","n":1.50,"text":"The grey heron stands in shallow water and fishes there. It waits for fish without moving, often for an hour, and then strikes with its bill in one blow."}
{"id":"d2","text":"The licensee may copy the program, provided the notice is kept in every copy that the licensee hands to somebody else or puts on a server of his own."}
{"id":"d3","text":"In winter the road crew spreads gravel on the road before six in the morning. Where the road is steep the crew spreads salt as well, unless the water works forbid it."}
D
A -r rag <docs.jsonl >out 2>err || no "rag: exit $?: $(tail -2 err)"
python3 - <<'P' || bad=1
import json
rows = [json.loads(l) for l in open('out')]
ids = [r['id'] for r in rows]
if ids != ['d1#1', 'd1#2', 'd3#1', 'd3#2']: print('FAIL: rag ids', ids); raise SystemExit(1)
a, b = rows[0], rows[1]
if not a['messages'][2]['content'].endswith('It fishes there [2].') or [m['role'] for m in a['messages']] != ['system', 'user', 'assistant']: print('FAIL: rag answer', a['messages']); raise SystemExit(1)
if {p['id'] for p in a['passages']} != {'d1', 'd2', 'd3'} or 'd1' in {p['id'] for p in b['passages']}: print('FAIL: passages', a['passages'], b['passages']); raise SystemExit(1)
for r in rows:
    if any(f"[{i + 1}] {p['text']}" not in r['messages'][1]['content'] for i, p in enumerate(r['passages'])): print('FAIL: passages and prompt differ', r); raise SystemExit(1)
if 'do not answer' not in b['messages'][2]['content'] or a['task']['skill'] != 'RAG capability' or a['teacher']['terms'] != 'mit' or 'text' in a: print('FAIL: rag', b, a['task']); raise SystemExit(1)
P
grep -q '"n":1.50' out || no "a foreign field changed"
grep -q "wrong length 1" err || no "rag reasons: $(cat err)"
head -1 docs.jsonl | A -r chat >out 2>err || no "chat: exit $?: $(tail -2 err)"
python3 -c '
import json
r = json.loads(open("out").readline()); m = r["messages"]
assert [x["role"] for x in m] == ["user", "assistant", "user", "assistant"] and m[3]["content"] == "A heron stands in water. It waits for fish.", m' || no "chat: $(cat out err)"
head -1 docs.jsonl | A -r tool_use >out 2>err || no "tool_use: exit $?: $(tail -2 err)"
python3 -c '
import json
r = json.loads(open("out").readline()); m = r["messages"]
assert [x["role"] for x in m] == ["user", "assistant", "tool", "assistant"], m
assert m[1]["tool_calls"][0]["function"] == {"name": "search", "arguments": {"query": "heron", "limit": 2}} and r["tools"][0]["function"]["name"] == "search", r' || no "tool_use: $(cat out err)"
printf '%s\n' '{"id":"q","messages":[{"role":"user","content":"When does water boil?"}]}' | A -r contrast >out 2>err || no "contrast: exit $?: $(tail -2 err)"
python3 -c '
import json
r = json.loads(open("out").readline())
assert r["chosen"][0]["content"].startswith("Water boils") and r["rejected"][0]["content"].startswith("It just") and r["prompt"] == [{"role": "user", "content": "When does water boil?"}] and "messages" not in r, r' || no "contrast: $(cat out err)"
cat >grid.yaml <<'G'
name: cells
skill: testing
elicitation: curation
method: grid
input: nothing
grid: [mood]
per_cell: 2
lists: { mood: [good, bad] }
prompts: ["You play a cell {mood}"]
sampling: { temperature: 0.5 }
parse: whole
validate: [{ words: [2, 9] }, { unique: 0.8 }]
output: { messages: [{ role: user, content: "{answer}" }], label: "{mood}" }
G
A -r ./grid.yaml </dev/null >out 2>err || no "grid: exit $?: $(tail -2 err)"
[ "$(grep -c '"label":"good"' out)" = 2 ] && ! grep -q '"label":"bad"' out && grep -q "1 of 2 cells" err || no "grid: $(cat out err)"
: >asked.log
printf '{"id":"s%s","messages":[{"role":"user","content":"seed task number %s about %s"}]}\n' 1 one cats 2 two dogs 3 three birds | A -r self_instruct --count 4 >out 2>err || no "pool: exit $?: $(tail -2 err)"
[ "$(wc -l <out)" -ge 2 ] && [ "$(python3 -c 'import json; print(len({json.loads(l)["messages"][0]["content"] for l in open("out")}))')" = "$(wc -l <out)" ] && grep -q "too near to the pool" err || no "pool: $(cat out err)"
grep "seed task number" asked.log | grep >/dev/null "Task 3: " || no "pool: demos are not shown: $(head -1 asked.log)"
"$RETORT" augment -r rag -t "$T" --teacher-terms mit --book br --concurrency 7 <docs.jsonl >o1 2>err; "$RETORT" augment -r rag -t replay:br <docs.jsonl 2>err | cmp -s - o1 && [ -s o1 ] || no "replay of a recipe in steps differs: $(tail -2 err)"
"$RETORT" taxonomy | grep 'out of scope' >/dev/null || no "taxonomy"
"$RETORT" taxonomy --recipes | grep '^rag ' >/dev/null || no "taxonomy --recipes"
finish "augment methods"
