#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every kind of label and every shipped recipe of augment on a few good and bad rows, against a mock whose words mostly fit nothing and
# whose requests partly fail for good: every row ends kept, dropped or failed in the ledger, and every row that a method made does too.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock mock_teacher.py --latency 0 --faults 0.15 --kinds 500,filter,garbage
T="http://127.0.0.1:$port/v1#m"
python3 - <<'P'
import json
say = lambda *t: [{'role': 'user' if i % 2 == 0 else 'assistant', 'content': x} for i, x in enumerate(t)]
text = 'A contract requires offer, acceptance and consideration; the court held that the contract was void because acceptance came late. '
bad = ['not json', '{"id":1}', '{"id":"m","messages":7}', '{"id":"e","messages":[]}', '[]']
w = lambda name, rows: open(name, 'w').write(''.join((r if isinstance(r, str) else json.dumps(r)) + '\n' for r in rows))
row = lambda i, **k: {'id': f'r{i}', 'text': text * 3 + str(i), 'meta': {'gold': '4', 'vertical': 'law'}, 'choices': ['yes', 'no'], **k}
w('asked', [row(i, messages=say(f'question {i} of law?')) for i in range(6)] + bad)
w('answered', [row(i, messages=say(f'question {i} of law?', f'an answer {i}')) for i in range(6)] + bad)
w('pairs', [row(i, prompt=say(f'question {i}?'), chosen=[{'role': 'assistant', 'content': f'good {i}'}], rejected=[{'role': 'assistant', 'content': f'bad {i}'}]) for i in range(6)] + bad)
P
# NAME INPUT COMMAND...: the closing line of its own book
checked=0
adds_up() {
  local name=$1 input=$2; shift 2
  "$@" -t "$T" --teacher-terms mit --retries 0 --book "b-$name" <"$input" >out 2>err; local rc=$?
  [ $rc -le 1 ] || no "$name: exit $rc: $(tail -2 err)"
  "$RETORT" ledger --json "b-$name" >ledger.json 2>lerr || [ $rc = 1 ] || no "$name: $(cat lerr)"
  python3 - "$name" "$input" <<'P' || bad=1
import json, re, sys
l = [json.loads(x) for x in open('ledger.json')][-1]
lines, out, err = open(sys.argv[2]).read().count('\n'), open('out').read().count('\n'), open('err').read()
drop, fail = sum(l['dropped'].values()), sum(l['failed'].values())
def check(ok, what):
    if not ok: print(f'FAIL: {sys.argv[1]}: {what}: {({k: l[k] for k in ("in", "kept", "made", "dropped", "failed", "changed")})}'); sys.exit(1)
check(l['in'] == lines, f'{lines} rows were read')
check(l['in'] == l['kept'] + drop + fail, 'the sum is wrong')
check(l['made'] == out, f'{out} lines came out')
check('undecided' not in l['failed'], 'a row was not decided')
made = {k: v for k, v in l['changed'].items() if k.startswith('made row')}
check(not any('undecided' in k for k in made), 'a made row was not decided')
asked = re.search(r'(\d+) outputs \((\d+) asked', err)
if sys.argv[1] in ('self_instruct',): # one question for each made row, never asked again
    check(sum(made.values()) == int(asked.group(2)), f'{asked.group(2)} questions were asked for made rows')
if sys.argv[1] in ('meta', 'nlu', 'self_instruct'):
    check(made.get('made row kept', 0) == out and (out > 0 or sys.argv[1] == 'nlu'), 'kept made rows are the lines written') # (the mock's words are no NLU rows)
    check(any(k.startswith('made row failed') for k in made), 'no made row failed: the faults tested nothing')
P
  checked=$((checked + 1))
}
kinds=$(sed -n 's/^KIND(\(.*\))$/\1/p' "$RETORT_SOURCE/label/kinds.def")
for k in $kinds; do
  input=asked; more=
  case $k in
    score | revise) input=answered ;;
    pairwise) input=pairs ;;
    star) more="--gold meta.gold" ;;
    context) more="--system Be_brief" ;;
  esac
  adds_up "$k" $input "$RETORT" label --kind "$k" $more
done
for f in "$RETORT_SOURCE"/augment/recipes/*.yaml; do
  r=$(basename "$f" .yaml); input=answered
  case $r in self_instruct) more="--count 30" ;; *) more= ;; esac
  adds_up "$r" $input "$RETORT" augment -r "$r" $more
done
[ $checked -ge 44 ] || no "only $checked kinds and recipes were run"
echo "$checked kinds and recipes"
# the same rows and ledger in any order
"$RETORT" label -t "$T" --teacher-terms mit --book b-answer <asked 2>/dev/null | sort >o1
"$RETORT" label -t "$T" --teacher-terms mit --book b-answer --unordered <asked 2>/dev/null | sort | cmp - o1 || no "--unordered gives other rows"
done_testing "ledgers"
