#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make big`: a random model of 3.2 billion bf16 parameters in several files is loaded, scored over 64 tokens, pruned and
# exported, each within 16 GB of resident memory (mapped pages of the files count). Needs 20 GB of disk.
# usage: big.sh   with RETORT (binary), BIG_OUT (folder), BIG_PARAMETERS, BIG_GB
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
retort=${RETORT:-$root/build/retort}
out=${BIG_OUT:-$root/build/big}
limit=${BIG_GB:-16}
export LC_ALL=C
mkdir -p "$out"
cd "$out"
trap 'rm -rf student student.gguf wide wide.gguf' EXIT
[ -s model/config.json ] || python3 "$here/make_big.py" make model "${BIG_PARAMETERS:-3.2e9}"
python3 "$here/make_big.py" rows 1 64 >rows.jsonl
python3 "$here/make_big.py" rows 2 64 >cal.jsonl
rm -rf student student.gguf
"$retort" inspect model
python3 "$here/make_big.py" run "$limit" "$retort" score model --top 5 --quiet <rows.jsonl >scores.jsonl
# every predicted token has a finite log-probability, near the uniform one: the weights are noise
python3 - <<'PY'
import json, math
row = json.loads(open('scores.jsonl').readline())
lp = row['logprobs']
assert len(lp) == 63 and all(math.isfinite(x) and -60 < x < 0 for x in lp), lp[:5]
assert all(len(t) == 5 for t in row['top'])
mass = max(abs(sum(math.exp(p) for _, p in t) + math.exp(r) - 1) for t, r in zip(row['top'], row['rest']))
assert mass < 1e-4, mass
print(f'big: 64 tokens scored, mean log-probability {sum(lp) / len(lp):.2f}, mass off by {mass:.1e}')
PY
python3 "$here/make_big.py" run "$limit" "$retort" prune model --layers 14 --heads 16 --ffn 6144 --calibrate cal.jsonl --teacher-terms apache-2.0 -o student --quiet
python3 "$here/make_big.py" run "$limit" "$retort" export student -o student.gguf --type q8_0 --quiet
"$retort" inspect student.gguf
python3 "$here/make_big.py" run "$limit" "$retort" score student.gguf --quiet <rows.jsonl >pruned.jsonl
grep -q '"logprobs":\[-' pruned.jsonl
# a single tensor above 4 GB, read from safetensors, written as GGUF and read again: the last rows lie beyond 2^32 bytes
rm -rf wide wide.gguf
python3 "$here/make_big.py" wide wide
echo '{"id":"w","ids":[1099998,1099999,1099998,1099998,5]}' >wide.rows
python3 "$here/make_big.py" run "$limit" "$retort" export wide -o wide.gguf --type f32 --teacher-terms apache-2.0 --quiet
for m in wide wide.gguf; do
  python3 "$here/make_big.py" run "$limit" "$retort" score "$m" --top 2 --quiet <wide.rows >wide.scores
  python3 - "$m" <<'PY'
import json, math, sys
row = json.loads(open('wide.scores').readline())
z = math.log(1_099_998 + math.exp(10.24) + math.exp(-10.24))
want = [-10.24 - z, -10.24 - z, 10.24 - z, -z]  # +row to -row, -row to +row, +row to itself, +row to a zero row
worst = max(abs(a - b) for a, b in zip(row['logprobs'], want))
assert len(row['logprobs']) == 4 and worst < 1e-4, (row['logprobs'], want)
print(f'big: {sys.argv[1]}: one tensor of 4.5 GB, log-probabilities within {worst:.1e} of the closed form')
PY
done
echo "big: passed"
