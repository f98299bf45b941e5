#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Decontamination: which row shares what with which item and where, against brute force in Python on the curation goldens, whose
# planted items are also broken over lines, hyphenated and put between signs.
. "$RETORT_SOURCE/tests/pipe/lib.bash" || exit 1
G=$RETORT_SOURCE/tests/golden/data/curate
cat >brute.py <<'PY'
import json, random, sys
n = int(sys.argv[1])
rows = [json.loads(x) for x in open('rows.jsonl', encoding='utf-8')]
items = {d['id']: d['text'] if 'text' in d else '\n'.join(v for k, v in d.items() if k != 'id' and isinstance(v, str)) for d in map(json.loads, open('items.jsonl', encoding='utf-8'))}
norm = lambda t: ''.join(c.lower() for c in t if c.isalnum())
grams = {}
for i, t in items.items():
    t = norm(t)
    for k in range(len(t) - n + 1):
        grams.setdefault(t[k:k + n], i)
texts = {r['id']: norm(r['text']) for r in rows}
want = {i for i, t in texts.items() if any(t[k:k + n] in grams for k in range(len(t) - n + 1))}
got = {}
for x in map(json.loads, open('r', encoding='utf-8')):
    c = x['curate']
    assert c['reason'] == 'contaminated_text', c
    got[x['id']] = c
    a, b = c['at']
    wa, wb = c['witness_at']
    text, item = x['text'].encode(), items[c['witness']].encode()
    run = norm(text[a:b].decode())
    assert run == norm(item[wa:wb].decode()), (x['id'], c)
    assert len(run) == c['score'] >= n and text[a:b].decode().startswith(c['evidence'][:50]), (x['id'], c)
    left, right, il, ir = norm(text[:a].decode()), norm(text[b:].decode()), norm(item[:wa].decode()), norm(item[wb:].decode())
    assert not (left and il and left[-1] == il[-1]) and not (right and ir and right[0] == ir[0]), ('not as long as it is', x['id'], c)
assert set(got) == want, (sorted(set(got) ^ want))
print(len(want))
PY
# rows: the goldens, and items hidden in other spelling; no item stands there whole by words
python3 - "$G/corpus.jsonl" "$G/eval.jsonl" <<'PY'
import json, random, re, sys
rng = random.Random(3)
rows = [json.loads(x) for x in open(sys.argv[1], encoding='utf-8')]
items = [json.loads(x) for x in open(sys.argv[2], encoding='utf-8')]
text = lambda d: d['text'] if 'text' in d else '\n'.join(v for k, v in d.items() if k != 'id' and isinstance(v, str))
items.append({'id': 'ja', 'text': '契約は年末に終わるものとし、双方の書面による合意がない限り更新されない。'})
hide = [lambda t: t.upper(), lambda t: t.replace(' ', '\n'), lambda t: re.sub(r'(\w{3})', r'\1-', t), lambda t: t.replace(' ', ''), lambda t: '* ' + '. * '.join(t.split())]
with open('rows.jsonl', 'w') as f, open('items.jsonl', 'w') as g:
    for d in items:
        g.write(json.dumps(d) + '\n')
    for d in rows:
        f.write(json.dumps({'id': d['id'], 'text': d['text']}) + '\n')
    for k, d in enumerate(items):
        for j, h in enumerate(hide):
            f.write(json.dumps({'id': f'h{k}_{j}', 'text': rng.choice(rows)['text'] + ' ' + h(text(d)) + ' ' + rng.choice(rows)['text']}) + '\n')
    f.write(json.dumps({'id': 'aaaa', 'text': 'a' * 5000}) + '\n')
PY
for n in 25 50 80; do
  "$RETORT" curate -q "${plain[@]}" --against items.jsonl --against-words 63 --against-chars $n --rejects r0 <rows.jsonl >out || no "--against-chars $n"
  grep '"contaminated_text"' r0 >r
  jq -r 'select(.curate.reason == "contaminated") | .id' <r0 | sort >by_words
  grep -v -F -f <(sed 's/.*/"id": "&"/' by_words) rows.jsonl >left; mv left rows.jsonl # the words' filter stands first
  found=$(python3 brute.py $n) || no "--against-chars $n"
  [ "${found:-0}" -gt 80 ] || no "--against-chars $n: $found rows"
done
# the 13-gram: every pair the goldens know, with the place of the run in both texts
"$RETORT" curate -q "${plain[@]}" --against "$G/eval.jsonl" --rejects r <"$G/corpus.jsonl" >out
[ "$(jq -r .id <r | sort | tr '\n' ' ')" = "$(jq -r '.contaminated_docs_13[]' <"$G/truth.json" | sort | tr '\n' ' ')" ] || no "contaminated rows: $(jq -r .id <r | tr '\n' ' ')"
python3 - "$G/eval.jsonl" <<'PY' || no "places of runs of words"
import json, re, sys
items = {d['id']: d['text'] if 'text' in d else '\n'.join(v for k, v in d.items() if k != 'id' and isinstance(v, str)) for d in map(json.loads, open(sys.argv[1], encoding='utf-8'))}
words = lambda b: re.findall('[a-z0-9]+', b.decode().lower())
for x in map(json.loads, open('r', encoding='utf-8')):
    c = x['curate']
    (a, b), (wa, wb) = c['at'], c['witness_at']
    w = words(x['text'].encode()[a:b])
    assert len(w) == 13 and w == words(items[c['witness']].encode()[wa:wb]), (x['id'], c)
PY
exit $bad
