#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Memory of `label` over HTTP with the book on, at several numbers of rows, and with one row that the server keeps for STUCK seconds:
# at most 64 MB each time. usage: teacher_memory.sh [ROWS...] [stuck:ROWS:SECONDS...]; RETORT and RETORT_SOURCE as in tests.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
[ $# -gt 0 ] || set -- 20000 100000 1000000 stuck:1000000:60
cat >measure.py <<'E2'
import json, resource, subprocess, sys, threading, time
retort, t, n, stuck = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
t0 = time.time()
first = {}
def feed(pipe):
    for i in range(n):
        word = 'STUCK' if stuck and i == n // 10 else ''
        pipe.write(b'{"id":"r%d","messages":[{"role":"user","content":"question %d about contract law %s"}]}\n' % (i, i, word.encode()))
    pipe.close()
p = subprocess.Popen([retort, 'label', '-t', t, '--teacher-terms', 'mit', '--book', 'b', '--concurrency', '256'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open('err', 'w'))
threading.Thread(target=feed, args=(p.stdin,), daemon=True).start()
rows = wrong = 0
last, gap = time.time(), 0
for line in p.stdout: # in order, none missing, none twice
    wrong += not line.startswith(b'{"id":"r%d",' % rows)
    rows += 1
    now = time.time()
    gap, last = max(gap, now - last), now
p.wait()
u = resource.getrusage(resource.RUSAGE_CHILDREN)
out = dict(rows=rows, wrong=wrong, exit=p.returncode, rss_mb=round(u.ru_maxrss / 1024, 1), req_s=round(n / (time.time() - t0)), cpu_ms=round((u.ru_utime + u.ru_stime) * 1000 / n, 3))
if stuck: out['longest_wait_s'] = round(gap, 1)
print(json.dumps(out))
if rows != n or wrong or p.returncode: sys.exit(open('err').read()[-500:])
if out['rss_mb'] > 64: sys.exit('above 64 MB')
E2
for what in "$@"; do
  IFS=: read -r mode n s <<<"$what"
  [ "$mode" = stuck ] || { n=$mode; s=0; }
  start_mock --latency 0 --stuck "STUCK=$s"
  printf '%s: ' "$what"
  python3 measure.py "$RETORT" "$(T)" "$n" "$s" || no "$what: see above"
  [ "$(stat answered)" = "$n" ] && [ "$(stat paid_twice)" = 0 ] || no "$what: $(stat answered) answered, $(stat paid_twice) twice"
  stop_mock; rm -rf b
done
exit $bad
