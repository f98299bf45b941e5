#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tokenizer on one thread, cold, on the licence texts and rules of data.md (make_lic.py), in turn with Hugging Face's tokenizers and
# with tiktoken, each given the same vocabulary (SmolLM2) and one text a call. Megabytes of text a second of processor time, so that the
# load of the machine matters little; every id of every text is compared with Hugging Face's. Last, `retort tokenize` from JSON to JSON.
# usage: tokenizer.sh [PAIRS]   environment: RETORT_CACHE, BUILD (build tree with the tests, default build/gcc-test), PYTHON (has both)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build/gcc-test} cache=${RETORT_CACHE:-$root/build/cache} pairs=${1:-3}
model=$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
venv=$root/build/bench/tok python=${PYTHON:-}
if [ -z "$python" ]; then
  python=$venv/bin/python
  [ -x "$python" ] || python3 -m venv "$venv"
  "$python" -c 'import tokenizers, tiktoken' 2>/dev/null || "$venv/bin/pip" install -q 'tokenizers==0.23.3' 'tiktoken==0.14.0'
fi
cmake --build "$build" --target bench_tokenizer retort >/dev/null
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$python" "$root/tests/bench/make_lic.py" "$cache"/scancode_toolkit_mini-*.whl "$work/lic.jsonl"
echo "machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), load $(cut -d' ' -f1-3 /proc/loadavg)"
for pair in $(seq "$pairs"); do
  "$build/tests/bench_tokenizer" "$model" "$work/lic.jsonl" "$work/ids" "$work/hf" | tee -a "$work/ours"
  TOKENIZERS_PARALLELISM=false RAYON_NUM_THREADS=1 "$python" - "$work" "$pair" <<'PY' | tee -a "$work/theirs"
import array, json, sys, time
import tiktoken
from tokenizers import Tokenizer
work, pair = sys.argv[1], int(sys.argv[2])
texts = [json.loads(line)['text'] for line in open(work + '/lic.jsonl', encoding='utf-8')]
size = sum(len(t.encode()) for t in texts)
def cpu(f):
    start = time.process_time(); out = f(); return size / 1e6 / (time.process_time() - start), out
hf = Tokenizer.from_file(work + '/hf/tokenizer.json')
control = [a['content'] for a in json.load(open(work + '/hf/tokenizer.json'))['added_tokens']]
hf.encode_special_tokens = True
hf_speed, hf_ids = cpu(lambda: [hf.encode(t, add_special_tokens=False).ids for t in texts])
model = json.load(open(work + '/hf/tokenizer.json'))['model']
plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
byte = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
ranks = {bytes(byte[c] for c in w): i for w, i in model['vocab'].items() if w not in control}
free = max(ranks.values()) + 1  # tiktoken wants every byte; those that SmolLM2 lacks are in none of the texts' ids if the ids agree
for b in range(256):
    if bytes([b]) not in ranks: ranks[bytes([b])] = free; free += 1
pattern = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
tt = tiktoken.Encoding('smollm', pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
tt_speed, tt_ids = cpu(lambda: [tt.encode_ordinary(t) for t in texts])
ours = array.array('i'); ours.frombytes(open(work + '/ids', 'rb').read())
at, same = 0, {'tokenizers': 0, 'tiktoken': 0}
for h, k in zip(hf_ids, tt_ids):
    row = ours[at + 1:at + 1 + ours[at]].tolist(); at += 1 + ours[at]
    same['tokenizers'] += row == h; same['tiktoken'] += row == k
assert at == len(ours)
print(json.dumps(dict(texts=len(texts), tokenizers_mb_s=round(hf_speed, 2), tiktoken_mb_s=round(tt_speed, 2), same_ids=same)))
PY
done
"$python" - "$work" <<'PY'
import json, statistics as s, sys
ours, theirs = [[json.loads(line) for line in open(f'{sys.argv[1]}/{f}')] for f in ('ours', 'theirs')]
cold = [o['cold_mb_s'] for o in ours]
print(f"retort cold {s.median(cold):.1f} MB/s ({min(cold):.1f} to {max(cold):.1f}), warm {s.median(o['warm_mb_s'] for o in ours):.1f}, load of the GGUF {s.median(o['load_s'] for o in ours) * 1e3:.0f} ms")
for k in ('tokenizers', 'tiktoken'):
    r = [o['cold_mb_s'] / t[k + '_mb_s'] for o, t in zip(ours, theirs)]
    print(f"{k:10} {s.median(t[k + '_mb_s'] for t in theirs):6.2f} MB/s, retort {s.median(r):.1f} x ({min(r):.1f} to {max(r):.1f}); same ids in {min(t['same_ids'][k] for t in theirs):,} of {theirs[0]['texts']:,} texts")
PY
TIMEFORMAT='retort tokenize, JSON to JSON: %U s user + %S s system, %R s in all'
time "$build/retort" tokenize -q --no-special "$model" <"$work/lic.jsonl" >"$work/out"
