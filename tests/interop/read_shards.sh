#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/read_shards.py reads what `retort shard` wrote, value for value, and refuses a changed byte. Part of `make interop`: makes
# a virtual environment with zstandard, numpy and xxhash (PYTHON names one that has them already).
set -eu
R=$(realpath "${RETORT:-./build/retort}"); S=$(realpath "${RETORT_SOURCE:-.}"); M=${RETORT_CACHE:-$S/build/cache}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
P=${PYTHON:-}
if [ -z "$P" ]; then
  python3 -m venv "$T/venv"; "$T/venv/bin/pip" -q install zstandard numpy xxhash; P=$T/venv/bin/python
fi
cat >"$T/rows" <<'ROWS'
{"id":"a","ids":[101,202,303,404,505,606,707],"mask":[0,1,1,1,0,1,1],"weight":0.5}
{"id":"b\u00e9","ids":[11,22,33,44,55,66,77,88,99,100,200,300,400,500,600]}
{"id":"cc","ids":[5,6,7,8,9,10,11,12],"mask":[0,0,0,0,1,1,1,1]}
ROWS
"$R" shard -q --tokenizer "$M" -t "$M" --targets topk:4:0.0002,sample:6,hidden --context 16 --weights --frame-bytes 1K -o "$T/shards" <"$T/rows"
"$P" "$S/docs/read_shards.py" "$T/shards" >"$T/out"
# the same tokens scored by another command
"$R" score "$M" -q --top 4 <"$T/rows" >"$T/scores"
"$P" - "$T/rows" "$T/out" "$T/scores" <<'PY'
import json, sys
rows, got, scores = [[json.loads(l) for l in open(p, encoding='utf-8').read().split('\n') if l] for p in sys.argv[1:]]
want, top = {r['id']: r for r in rows}, {s['id']: s for s in scores}
seen, worst = set(), 0
for s in got:
    t = 0
    for d, name in enumerate(s['row_id']):
        a, b, r = s['doc_start'][d], s['doc_start'][d + 1], want[name]
        seen.add(name)
        assert s['ids'][a:b] == r['ids'], name
        mask = [0] + r.get('mask', [1] * len(r['ids']))[1:]
        assert s['mask'][a:b] == mask, name
        assert s['weight'][d] == r.get('weight', 1)
        for i in [i for i in range(1, len(mask)) if mask[i]]:
            assert s['target_pos'][t] == a + i - 1
            assert len(s['hidden'][t]) == 576
            drawn = [(n, -i) for i, n in zip(s['draw_id'][t], s['draw_count'][t]) if n]
            assert sum(n for n, _ in drawn) == 6 and drawn == sorted(drawn, reverse=True) and len(set(drawn)) == len(drawn)
            pairs = dict(map(tuple, top[name]['top'][i - 1]))
            for k, lp in zip(s['top_id'][t], s['top_logprob'][t]):
                worst = max(worst, abs(pairs[k] - lp))
            t += 1
assert seen == set(want) and worst < 4e-4, worst
print(f'read_shards: {len(got)} samples, worst difference {worst:.2g}')
PY
for kind in topk:3 sample:5 hidden none; do # each alone gives what it gives beside the others
  "$R" shard -q --tokenizer "$M" -t "$M" --targets $kind --context 16 --frame-bytes 1K -o "$T/one" --force <"$T/rows"
  "$P" "$S/docs/read_shards.py" "$T/one" >"$T/one.out" || { echo "$kind cannot be read"; exit 1; }
  "$P" -c 'import json, sys; want = {"topk": "top_id", "sample": "draw_id", "hidden": "hidden", "none": None}[sys.argv[1].split(":")[0]]
for l in open(sys.argv[2]):
    s = json.loads(l)
    assert {k for k in s if k in ("top_id", "draw_id", "hidden")} == ({want} if want else set()), list(s)
    assert not want or len(s[want]) == len(s["target_pos"])' $kind "$T/one.out"
done
# log-probabilities that came with a teacher's answers, out of the book, are those of the teacher over the same tokens
for i in 1 2 3; do echo '{"id":"q'$i'","messages":[{"role":"user","content":"Name '$i' colours of the rainbow and say why you like them."}]}'; done |
  RETORT_RUN="$T/run" "$R" label -q -t "$M" --logprobs 20 --max-tokens 60 --book "$T/book" >"$T/labelled"
for t in "$M" "replay:$T/book"; do
  "$R" shard -q --tokenizer "$M" -t "$t" --targets topk:20:0.0002 -o "$T/one" --force <"$T/labelled"
  "$P" "$S/docs/read_shards.py" "$T/one" >>"$T/pair"
done
"$P" - "$T/pair" <<'PY'
import json, sys
scored, told = [json.loads(l) for l in open(sys.argv[1])]
assert scored['ids'] == told['ids'] and len(told['target_pos']) > 60
at, worst, n = {p: i for i, p in enumerate(scored['target_pos'])}, 0, 0
for p, ids, lps in zip(told['target_pos'], told['top_id'], told['top_logprob']):
    if lps[0] == 0: continue  # the end of a turn: nobody told
    want = dict(zip(scored['top_id'][at[p]], scored['top_logprob'][at[p]]))
    for i, lp in zip(ids[:15], lps): worst, n = max(worst, abs(want[i] - lp)), n + 1
assert n > 60 * 15 and worst < 2e-3, (n, worst)
print(f'read_shards: {n} log-probabilities out of the book, worst difference {worst:.2g}')
PY
printf '\x55' | dd of="$T/shards/data-00000.rtz" bs=1 seek=90 conv=notrunc status=none
if "$P" "$S/docs/read_shards.py" "$T/shards" >/dev/null 2>"$T/err"; then echo "a changed byte was not noticed"; exit 1; fi
grep -q 'was changed' "$T/err"
echo "read_shards: ok"
