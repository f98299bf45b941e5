#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Token shards beside mosaicml-streaming (MDS with zstd) on the same samples: 2,048 two-byte ids each, from the licences and rules of
# data.md, both in turn so that both see the same load. Prints bytes, samples a second, and the ratios of the pairs.
# usage: shards.sh [PAIRS]   environment: RETORT_CACHE, BUILD (build tree with the tests, default build/gcc-test), PYTHON (has streaming)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build/gcc-test} cache=${RETORT_CACHE:-$root/build/cache} pairs=${1:-5}
venv=$root/build/bench/streaming python=${PYTHON:-}
if [ -z "$python" ]; then
  python=$venv/bin/python
  [ -x "$python" ] || python3 -m venv "$venv"
  "$python" -c 'import streaming' 2>/dev/null || "$venv/bin/pip" install -q 'mosaicml-streaming==0.13.0'
fi
cmake --build "$build" --target bench_shards retort >/dev/null
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$python" - "$cache"/scancode_toolkit_mini-*.whl <<'PY' | "$build/retort" tokenize -q "$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" | "$python" -c '
import json, sys, array
for line in sys.stdin: array.array("H", json.loads(line)["ids"] + [2]).tofile(sys.stdout.buffer)' >"$work/ids"
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
for f in sorted(z.namelist()):
    if f.endswith(('.LICENSE', '.RULE')) and '/data/' in f:
        t = z.read(f).decode('utf-8', 'replace')
        print(json.dumps({'id': f, 'text': t.split('---', 2)[-1].strip() if t.startswith('---') else t}))
PY
for pair in $(seq "$pairs"); do
  "$build/tests/bench_shards" "$work/ids" "$work/ours" >"$work/ours.$pair"
  rm -rf "$work/mds"; "$python" - "$work" >"$work/mds.$pair" 2>/dev/null <<'PY'
import json, os, sys, time, numpy as np
from streaming import MDSWriter, StreamingDataset
work = sys.argv[1]; a = np.fromfile(work + '/ids', np.uint16); n = len(a) // 2048; a = a[:n * 2048].reshape(n, 2048); o = work + '/mds'
t = time.perf_counter()
with MDSWriter(out=o, columns={'tokens': 'ndarray:uint16'}, compression='zstd') as w:
    for x in a: w.write({'tokens': x})
write = n / (time.perf_counter() - t); reads = []
size = sum(os.path.getsize(o + '/' + f) for f in os.listdir(o))
for r in range(3):  # the first pass unpacks the shards beside themselves
    t = time.perf_counter(); ds = StreamingDataset(local=o, shuffle=False, batch_size=1); s = 0
    for i in range(len(ds)): s += int(ds[i]['tokens'][0])
    reads.append(n / (time.perf_counter() - t))
p = np.random.default_rng(0).permutation(n); t = time.perf_counter()
for i in p: ds[int(i)]
print(json.dumps(dict(samples=n, write_samples_s=write, read_samples_s=reads, random_samples_s=n / (time.perf_counter() - t), bytes=size)), flush=True)
os._exit(0)
PY
done
"$python" - "$work" "$pairs" "$(du -sb --apparent-size "$work/ours" | cut -f1)" <<'PY'
import json, statistics as s, sys
work, pairs, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ours, mds = [[json.load(open(f'{work}/{k}.{p}')) for p in range(1, pairs + 1)] for k in ('ours', 'mds')]
print(f"{ours[0]['samples']} samples of 2,048; bytes: retort {size:,}, MDS+zstd {mds[0]['bytes']:,}")
for what, get in (('write', lambda x: x['write_samples_s']), ('read, first pass', lambda x: x['read_samples_s'][0]), ('read, later passes', lambda x: max(x['read_samples_s'][1:])), ('read, random', lambda x: x['random_samples_s'])):
    pair = [get(o) / get(m) for o, m in zip(ours, mds)]
    print(f"{what:20} retort {s.median(map(get, ours)):9,.0f}/s  MDS+zstd {s.median(map(get, mds)):8,.0f}/s  ratio of pairs: median {s.median(pair):.1f}, {min(pair):.1f} to {max(pair):.1f}")
PY
