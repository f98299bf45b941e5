#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Log-probabilities of a local teacher's answers (--logprobs): those of `retort score` over the same tokens; and a cascade between
# two local teachers by them. Needs SmolLM2 (RETORT_CACHE).
. "$RETORT_SOURCE/tests/pipe/lib.bash"
M="${RETORT_CACHE:-}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
[ -s "$M" ] || { echo "local log-probabilities: no SmolLM2, skipped"; exit 0; }
echo '{"id":"a","messages":[{"role":"user","content":"Name three colours."}]}' >q
"$RETORT" ask -t "$M" --logprobs 3 --max-tokens 8 --teacher-terms apache-2.0 --book b <q >out 2>err || no "ask: $(cat err)"
python3 - "$RETORT" "$M" <<'E2' || bad=1
import json, math, subprocess, sys
retort, model = sys.argv[1:]
run = lambda a, row: json.loads(subprocess.run([retort, *a, '-q'], input=json.dumps(row) + '\n', capture_output=True, text=True, check=True).stdout)
r = json.loads(open('out').read())
prompt = run(['tokenize', model, '--messages', '--generation-prompt'], json.loads(open('q').read()))['ids']
ids = [t['id'] for t in r['logprobs']]
score = run(['score', model, '--top', '3'], {'id': 'a', 'ids': prompt + ids})
at = len(prompt) - 1
worst = max(abs(t['logprob'] - score['logprobs'][at + k]) for k, t in enumerate(r['logprobs']))
assert len(ids) == 8 and worst < 1e-3, worst  # seen: 1.6e-5 (decoding adds in another order than scoring)
assert ''.join(t['token'] for t in r['logprobs']) == r['content']
for k, t in enumerate(r['logprobs']):
    assert [x['id'] for x in t['top']] == [x[0] for x in score['top'][at + k]], (t['top'], score['top'][at + k])
E2
"$RETORT" ask -t replay:b --logprobs 3 --max-tokens 8 <q 2>err | cmp - out || no "replay: $(cat err)"
mean=$(python3 -c 'import json; l = json.loads(open("out").read())["logprobs"]; print(sum(t["logprob"] for t in l) / len(l))')
for low in -100:0 0:1; do
  "$RETORT" label -t "x=$M" -t "y=$M" --mix "cascade:logprob:${low%:*}" --logprobs 3 --max-tokens 8 --teacher-terms apache-2.0 --book b --system "$low" <q >c.out 2>err || no "cascade: $(cat err)"
  n=$(grep -o '[0-9]* asked' err | head -1 | cut -d' ' -f1)
  # (both members are the same model: the second one's answer is the first one's entry of the book)
  [ "$n" = 1 ] || no "cascade $low asked $n"
  python3 -c 'import json; s = json.loads(open("c.out").read())["scores"]; assert -20 < s["logprob"] < 0, s' || no "cascade $low: no score"
done
"$RETORT" label -t "x=$M" -t "y=$M" --mix cascade:logprob:-1 --max-tokens 8 --teacher-terms apache-2.0 --book b <q >c.out 2>err; [ $? = 2 ] && grep -q -- '--logprobs' err || no "cascade without log-probabilities: $(cat err)"
[ $bad = 0 ] && echo "local log-probabilities: all good (mean $mean)"
exit $bad
