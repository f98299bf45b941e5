#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort augment`: rows made, ids, tasks, fields kept, rejections counted; with the mock server, and (with SmolLM2) the real
# recipe end to end: passages, questions, answers, and the same bytes from batch 1, batch 5 and the book.
set -uo pipefail
work=$(mktemp -d)
mock=0
trap '[ $mock != 0 ] && kill $mock 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
unset OPENAI_API_KEY RETORT_BOOK
bad=0
no() { echo "FAIL: $1"; bad=1; }
for port in $(python3 -c 'import random; print(*random.sample(range(20000, 32000), 8))'); do
  python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" --latency 2 >mock.out 2>&1 & mock=$!
  for _ in $(seq 300); do grep -q '^ready' mock.out && break 2; kill -0 $mock 2>/dev/null || break; sleep 0.1; done
done
grep -q '^ready' mock.out || { echo "FAIL: no mock server: $(cat mock.out)"; exit 1; }
T="http://127.0.0.1:$port/v1#mock"
# the mock answers 12 to 60 words of a small vocabulary
cat >mine.yaml <<'E'
name: mine
skill: testing
elicitation: expansion
per_row: 4
prompts: ["Say something about: {text}", "Else about: {text}"]
parse: first_line
validate:
  - words: [1, 40]
  - unique: 0.99
output: "{text} => {answer}"
E
python3 -c '
import json
for i in range(30): print("{\"id\":\"d%d\",\"big\":12345678901234567890,\"text\":%s,\"meta\":{\"a\":\"b\"}}" % (i, json.dumps(f"document {i} {{answer}}")))
print("{\"id\":\"none\",\"messages\":[]}"); print("{\"id\":\"n\",\"text\":7}")' >docs.jsonl
"$RETORT" augment --recipe ./mine.yaml -t "$T" --teacher-terms mit --book b --vertical law <docs.jsonl >out 2>err || no "exit $?: $(cat err)"
python3 - <<'E' || bad=1
import json, re, sys
rows = [json.loads(l) for l in open('out')]; bad = 0; seen = {}
for r in rows:
    parent, n = r['id'].rsplit('#', 1)
    seen[parent] = seen.get(parent, 0) + 1
    u = r['messages'][0]['content']
    if int(n) != seen[parent] or 'text' in r or r['big'] != 12345678901234567890 or r['meta'] != {'a': 'b'} or [m['role'] for m in r['messages']] != ['user']: print('FAIL: row', r); bad = 1
    if not u.startswith(f'document {parent[1:]} {{answer}} => ') or len(u.split(' => ')[1].split()) > 40: print('FAIL: content', u); bad = 1
    if len(r['task'].pop('key')) != 64 or r['task'] != {'recipe': 'mine', 'skill': 'testing', 'elicitation': 'expansion', 'vertical': 'law', 'lang': 'en', 'teacher': 'mock', 'terms': 'mit'}: print('FAIL: task', r['task']); bad = 1
if [p for p in seen] != [f'd{i}' for i in range(30) if f'd{i}' in seen] or not 25 <= len(seen) <= 30: print('FAIL: parents', len(seen)); bad = 1
if len({r['messages'][0]['content'] for r in rows}) != len(rows): print('FAIL: twins'); bad = 1
n = int(re.search(r'120 outputs .* gave (\d+) rows', open('err').read()).group(1))
rejected = sum(map(int, re.findall(r'(?:wrong length|duplicate) (\d+)', re.search(r'gave.*', open('err').read()).group(0))))
if n != len(rows) or n + rejected != 120: print('FAIL: counts', n, len(rows), rejected); bad = 1
sys.exit(bad)
E
grep -q "no text 1" err && grep -q "bad row 1" err || no "odd rows: $(tail -1 err)"
"$RETORT" augment --recipe ./mine.yaml -t "replay:b#mock" --vertical law <docs.jsonl 2>/dev/null | cmp - out || no "replay differs"
# nothing usable: every row is dropped by name, nothing is written
"$RETORT" augment --recipe qa -t "$T" --teacher-terms mit --book b <<<'{"id":"x","text":"The licensee may copy the program and distribute copies of it, as long as this notice is kept in every one of the copies that he gives away."}' >out2 2>err || no "qa on the mock: exit $?"
[ ! -s out2 ] && grep -q "dropped (nothing to parse 1)" err || no "qa on the mock: $(cat err)"
"$RETORT" augment --recipe nothing -t "$T" </dev/null 2>err; [ $? = 2 ] && grep -q "qa" err || no "unknown recipe: $(cat err)"
"$RETORT" augment -t "$T" </dev/null 2>err; [ $? = 2 ] || no "no recipe"

model="${RETORT_CACHE:-/nowhere}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
if [ -f "$model" ]; then
  cat >real.jsonl <<'E'
{"id":"p1","text":"If the Licensee modifies the player, the logo must be replaced by a new name that is not confusingly similar to the old one. The copyright holder provides the program without any warranty."}
{"id":"p2","text":"You may copy and distribute verbatim copies of the source code as you receive it, provided that you publish on each copy an appropriate copyright notice and disclaimer of warranty."}
{"id":"p3","text":"In no event shall the authors be liable for any damages arising from the use of this database. Redistribution of the database must keep the list of contributors and this notice."}
E
  "$RETORT" augment --recipe qa --per-row 2 -t "$model" --batch 5 --book m <real.jsonl >q5 2>err || no "qa: exit $?: $(cat err)"
  [ "$(wc -l <q5)" -ge 2 ] || no "qa made $(wc -l <q5) questions: $(cat err)"
  grep -q '"content":"If the Licensee' q5 || no "the passage is not in the question"
  "$RETORT" augment --recipe qa --per-row 2 -t "$model" --batch 1 <real.jsonl 2>/dev/null | cmp - q5 || no "batch 1 and 5 differ"
  "$RETORT" augment --recipe qa --per-row 2 -t "$model" --book m <real.jsonl 2>err | cmp - q5 || no "the book gives another output"
  grep -q "(0 asked, 6 from the book)" err || no "asked again in spite of the book: $(cat err)"
  "$RETORT" label -t "$model" --max-tokens 24 --threads 1 <q5 >a1 2>err || no "label: exit $?: $(cat err)"
  "$RETORT" label -t "$model" --max-tokens 24 --threads 2 --batch 2 --book m <q5 2>/dev/null | cmp - a1 || no "threads and batch change answers"
  "$RETORT" label -t "replay:m#${model##*/}" --max-tokens 24 <q5 2>/dev/null | cmp - a1 || no "replay of a local teacher differs"
  grep -q '"terms":"apache-2.0","finish":"' a1 || no "teacher field: $(head -1 a1)"
  # two local teachers in one pipe: no deadlock, same rows
  timeout 300 "$RETORT" augment --recipe qa --per-row 2 -t "$model" <real.jsonl 2>/dev/null | timeout 300 "$RETORT" label -t "$model" --max-tokens 24 2>/dev/null | cmp - a1 || no "the pipe gives another output"
else
  echo "SmolLM2 is not in RETORT_CACHE: the real recipe was not run"
fi
[ $bad = 0 ] && echo "augment: all good"
exit $bad
