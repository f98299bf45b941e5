#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The HTTP engine against a bare socket loop (tests/bench/peers/api_raw.py: no retry, no parsing, no book) on the same mock servers:
# alternating pairs, median of the ratios; CPU a request and memory with the book on.
# usage: teacher_http.sh [REQUESTS] [PAIRS] [CONCURRENCY]; RETORT and RETORT_SOURCE as in tests.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
n=${1:-20000} pairs=${2:-5} c=${3:-256}
start_mock --latency 100
python3 -c "
import json
for i in range($n): print(json.dumps({'messages': [{'role': 'user', 'content': f'question {i} about contract law'}]}))" >q.jsonl
for p in $(seq "$pairs"); do
  python3 "$RETORT_SOURCE/tests/bench/peers/api_raw.py" "http://127.0.0.1:$port" "$n" "$c" raw.out | tee -a raw.log
  python3 - "$RETORT" "$(T)" "$c" "$p" "$n" <<'E' | tee -a ours.log
import json, resource, subprocess, sys, time
retort, t, c, p, n = sys.argv[1:]
t0 = time.time()
with open('q.jsonl') as i, open('out', 'w') as o, open('err', 'w') as e:
    q = subprocess.Popen([retort, 'label', '-t', t, '--teacher-terms', 'mit', '--book', 'b' + p, '--concurrency', c], stdin=i, stdout=o, stderr=e)
    q.wait()
s = time.time() - t0; u = resource.getrusage(resource.RUSAGE_CHILDREN)
if q.returncode: sys.exit(open('err').read())
print(json.dumps(dict(tool='retort', req_s=round(int(n) / s, 1), cpu_ms=round((u.ru_utime + u.ru_stime) * 1000 / int(n), 4), rss_mb=round(u.ru_maxrss / 1024, 1))))
E
done
python3 - <<'E'
import json, statistics
raw = [json.loads(l)['req_s'] for l in open('raw.log')]; ours = [json.loads(l) for l in open('ours.log')]
print('ratio of rates, median of %d pairs: %.3f; CPU ms a request: %.3f; memory MB: %.1f' % (len(raw), statistics.median(o['req_s'] / r for o, r in zip(ours, raw)),
      statistics.median(o['cpu_ms'] for o in ours), max(o['rss_mb'] for o in ours)))
E
exit $bad
