#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort convert` read by those it is for: streaming (MDS), webdataset, datasets (both kinds of source), and Megatron's index by its
# published layout; the ids and masks must be those that docs/read_shards.py reads. Part of `make interop`.
# usage: PYTHON=(one with streaming, webdataset, datasets, zstandard, xxhash) RETORT=.. RETORT_SOURCE=.. convert.sh
set -eu
R=$(realpath "${RETORT:-./build/retort}"); S=$(realpath "${RETORT_SOURCE:-.}")
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
P=${PYTHON:-}
if [ -z "$P" ]; then
  python3 -m venv "$T/venv"; "$T/venv/bin/pip" -q install 'mosaicml-streaming==0.13.0' 'webdataset==1.0.2' 'datasets==5.0.1' zstandard xxhash; P=$T/venv/bin/python
fi
cd "$T"; export HF_HOME=$T/hf HF_HUB_OFFLINE=1
Q=$S/tests/golden/data/tokenizer/qwen2_small.tokenizer.json
head -300 "$S/tests/golden/data/curate/corpus.jsonl" >rows
"$R" shard -q --tokenizer "$Q" --context 128 --too-long split --frame-bytes 4K -o shards <rows
for f in mds webdataset megatron hf; do "$R" convert -q shards --to $f --part-bytes 20K -o $f; done
"$R" convert -q shards --to jsonl >out.jsonl
"$R" shard -q --tokenizer "$Q" --context 128 --frame-bytes 4K -o again <out.jsonl
cat >foreign <<'E'
{"id":"a","instruction":"Add.","input":"1 2","output":"3"}
{"id":"s","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"hello"}],"split":"test"}
{"id":"p","prompt":"Who?","completion":"Nobody.","n":12345678901234567890}
E
"$R" convert -q foreign --to hf -o hf_rows
"$R" convert -q foreign --to webdataset -o wds_rows
"$P" - "$S/docs" <<'E'
import glob, json, os, struct, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import read_shards
want = list(read_shards.samples('shards'))
docs = [(s['row_id'][d], s['ids'][a:b].tolist(), s['mask'][a:b].tolist()) for s in want for d, (a, b) in enumerate(zip(s['doc_start'], s['doc_start'][1:]))]
from streaming import StreamingDataset
mds = StreamingDataset(local='mds', shuffle=False, batch_size=1)
assert len(mds) == len(want) and len(glob.glob('mds/*.mds')) > 1
for g, s in zip((mds[i] for i in range(len(mds))), want):
    assert (g['tokens'] == s['ids']).all() and (g['mask'] == s['mask']).all() and g['doc_start'].tolist() == s['doc_start'].tolist() and g['row_ids'].split('\n') == s['row_id']
import webdataset
n = 0
for g, s in zip(webdataset.WebDataset(sorted(glob.glob('webdataset/*.tar')), shardshuffle=False).decode(), want):
    assert (g['ids.npy'] == s['ids']).all() and (g['mask.npy'] == s['mask']).all() and g['json']['row_ids'] == s['row_id'], g['__key__']; n += 1
assert n == len(want) and len(glob.glob('webdataset/*.tar')) > 1
i = open('megatron/data.idx', 'rb').read(); magic, version, code, seqs, ndoc = struct.unpack_from('<9sQBQQ', i)
assert (magic, version, seqs, ndoc) == (b'MMIDIDX\0\0', 1, len(docs), len(docs) + 1)
sizes = np.frombuffer(i, '<i4', seqs, 34); at = np.frombuffer(i, '<i8', seqs, 34 + 4 * seqs); bounds = np.frombuffer(i, '<i8', ndoc, 34 + 12 * seqs)
assert bounds.tolist() == list(range(ndoc)) and len(i) == 34 + 12 * seqs + 8 * ndoc
b = open('megatron/data.bin', 'rb').read()
dt = {8: '<u2', 4: '<i4'}[code]
assert all(np.frombuffer(b, dt, n, a).tolist() == d[1] for n, a, d in zip(sizes, at, docs))
import datasets
d = datasets.load_dataset('hf')
assert [(r['id'], r['ids'], r['mask']) for r in d['train']] == docs
assert 'README.md' in os.listdir('hf')
r = datasets.load_dataset('hf_rows')
assert r['train'][0]['messages'] == [{'role': 'user', 'content': 'Add.\n\n1 2'}, {'role': 'assistant', 'content': '3'}] or r['train'][0]['messages'][-1]['content'] == '3', r['train'][0]
assert r['test'][0]['messages'][1] == {'role': 'assistant', 'content': 'hello'} and set(r) == {'train', 'test'}
w = [g['json'] for g in webdataset.WebDataset(sorted(glob.glob('wds_rows/*.tar')), shardshuffle=False).decode()]
assert [x['id'] for x in w] == ['a', 's', 'p'] and w[2]['n'] == 12345678901234567890 and w[2]['messages'][1]['content'] == 'Nobody.'
a = [(s['row_id'][k], s['ids'][x:y].tolist()) for s in read_shards.samples('again') for k, (x, y) in enumerate(zip(s['doc_start'], s['doc_start'][1:]))]
assert sorted(a) == sorted(x[:2] for x in docs)
print(f'convert: {len(want)} samples, {len(docs)} documents, read the same by streaming, webdataset, datasets and as Megatron')
E
