#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One book for many: two processes with the same new questions at once, one of them killed; then an array of 20 as Slurm would start
# it, with shared and own rows. Nothing is paid twice, nothing is lost, outputs are the same as those of one process.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
rows() { python3 -c "
import json
for i in range($1, $2): print(json.dumps({'id': f'r{i}', 'messages': [{'role': 'user', 'content': f'question {i}'}]}))"; }

start_mock --latency 40
rows 0 300 >q.jsonl
label() { "$RETORT" label -t "$(T)" --teacher-terms mit --concurrency 16 --book "$@"; }
label b <q.jsonl >one 2>err1 & p1=$!
label b <q.jsonl >two 2>err2 & p2=$!
wait $p1 || no "first of two: $(tail -1 err1)"
wait $p2 || no "second of two: $(tail -1 err2)"
cmp one two || no "two processes differ"
[ "$(wc -l <one)" = 300 ] || no "rows: $(wc -l <one)"
[ "$(stat requests)" = 300 ] && [ "$(stat paid_twice)" = 0 ] || no "two processes: $(stat requests) requests, $(stat paid_twice) twice"

# the owner of claims is killed: the other takes over, asking again at most what was in flight
rows 1000 1400 >q2.jsonl
"$RETORT" label -t "$(T)" --teacher-terms mit --concurrency 16 --book b <q2.jsonl >dead 2>/dev/null & p1=$!
sleep 0.4
label b <q2.jsonl >alive 2>err2 & p2=$!
sleep 0.3
kill -9 $p1; wait $p1 2>/dev/null
wait $p2 || no "the survivor: $(tail -1 err2)"
label fresh <q2.jsonl >expect 2>/dev/null
cmp alive expect || no "the survivor's output differs"
twice=$(($(stat paid_twice) - 400)) # `fresh` asked all of them once more
[ "$twice" -ge 0 ] && [ "$twice" -le 16 ] || no "the survivor paid $twice twice"

# an array of 20: task k has rows of its own and rows of its neighbours
before=$(stat requests)
for k in $(seq 0 19); do
  { rows $((2000 + k * 20)) $((2000 + k * 20 + 60)); } >in.$k
  label b <in.$k >out.$k 2>err.$k & pids[k]=$!
done
for k in $(seq 0 19); do wait ${pids[k]} || no "task $k: $(tail -1 err.$k)"; done
[ $(($(stat requests) - before)) = 440 ] || no "the array sent $(($(stat requests) - before)) requests for 440 questions"
cat in.* | "$RETORT" label -t "replay:b" >expect 2>/dev/null
cat out.* | cmp - expect || no "the array's rows differ from the book's"
[ "$(cat out.* | wc -l)" = 1200 ] || no "the array lost rows: $(cat out.* | wc -l) of 1200"
"$RETORT" book verify b >report || no "the book is damaged: $(tail -2 report)"
"$RETORT" book index b 2>/dev/null && cat in.* | "$RETORT" label -t "replay:b" 2>/dev/null | cmp - expect || no "the index answers otherwise"

# every row of the index names the record that holds its key, and no key of the segments is missing (read apart from retort)
cat >index.py <<'E'
import glob, os, sqlite3, struct, sys
seen = {}
for path in glob.glob(f'{sys.argv[1]}/seg-*.seg'):
    d, at = open(path, 'rb').read(), 32
    while at + 40 <= len(d) and d[at:at + 4] == b'Rrec':
        kind, n, t = struct.unpack_from('<IQQ', d, at + 4)
        if at + 40 + n > len(d): break
        if kind == 1: seen.setdefault(d[at + 40:at + 72], []).append((t, os.path.basename(path), at, n))
        at += 40 + (n + 7) // 8 * 8
db = sqlite3.connect(f'{sys.argv[1]}/index.sqlite')
rows = {bytes(k): (t, name, at, n) for k, t, name, at, n in db.execute('SELECT key, time_ns, name, offset, length FROM answers JOIN segments ON id = segment')}
want = {k: min(v) for k, v in seen.items()}
if rows != want: sys.exit(f'FAIL: the index has {len(rows)} answers, the segments {len(want)}; {sum(rows.get(k) != v for k, v in want.items())} differ')
print(len(want))
E
python3 index.py b >n || bad=1
rm b/index.sqlite; "$RETORT" book index b 2>/dev/null; python3 index.py b >n2 && cmp n n2 || no "the index built again differs"

# a torn last record: cut in the middle of the last answer as a power cut would; noticed, only it is asked again, all else is as it was
cat >tear.py <<'E'
import glob, os, struct, sys
path = sys.argv[1]
d, at, last = open(path, 'rb').read(), 32, 0
while at + 40 <= len(d):
    kind, n = struct.unpack_from('<IQ', d, at + 4)
    if kind == 1: last = at
    at += 40 + (n + 7) // 8 * 8
os.truncate(path, last + 100)
E
rows 5000 5040 >q3.jsonl
label t <q3.jsonl >whole 2>err || no "before the tear: $(tail -1 err)"
"$RETORT" book verify t >report || no "verify before the tear: $(tail -1 report)"; grep -q torn report && no "torn before the tear"
python3 tear.py t/seg-*.seg
"$RETORT" book verify t >report || no "a torn record is no damage: $(tail -1 report)"
grep -q "last record torn (100 bytes" report || no "the torn record was not noticed: $(cat report)"
before=$(stat requests)
label t <q3.jsonl 2>err | cmp - whole || no "after the tear the rows differ"
[ $(($(stat requests) - before)) = 1 ] || no "after the tear $(($(stat requests) - before)) questions were asked, 1 was torn"
exit $bad
