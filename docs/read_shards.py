#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a shard folder of retort (docs/formats.md, "Shard folder"): python3 read_shards.py FOLDER [N] prints N samples as JSON Lines.
Needs zstandard, numpy and xxhash. Sample k of `samples(folder)` is a dict of numpy arrays."""
import hashlib, json, os, struct, sys
import numpy as np, xxhash, zstandard

def check(ok, what):
    if not ok: raise ValueError(what)

def manifest(folder):
    text = open(os.path.join(folder, 'manifest.json'), 'rb').read()
    body, close = text[:-89], text[-89:]  # ,\n"manifest_sha256":"<64 hex>"\n}\n
    check(close == b',\n"manifest_sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"\n}\n', 'manifest was changed')
    return json.loads(text)

def blocks(folder, m):
    for f in m['files']:
        data = open(os.path.join(folder, f['name']), 'rb').read()
        entries, flags, magic = struct.unpack('<IBI', data[-9:])
        check(magic == 0x8F92EAB1 and len(data) == f['bytes'], 'no seek table: cut off')
        seek = len(data) - (8 + 12 * entries + 9)
        index = seek - (8 + 16 + 40 * (entries - 1) + 8)
        check(xxhash.xxh3_64_intdigest(data[index:]) == int(f['tail_xxh3'], 16), 'index was changed')
        for n in range(entries - 1):
            first, at, count, comp, raw, _, h = struct.unpack_from('<QQIIIIQ', data, index + 24 + 40 * n)
            check(xxhash.xxh3_64_intdigest(data[at:at + comp]) == h, 'frame was changed')
            yield zstandard.ZstdDecompressor().decompress(data[at:at + comp], max_output_size=raw)

def columns(b):
    (magic, version, _, n_samples, n_tok, n_doc, n_target, context, vocab, hidden, k, width, n_col, _, first, _) = struct.unpack_from('<IHHIIIIIIIHHIIQQ', b)
    check(magic == 0x42535452 and version == 1, 'not a block of version 1')
    ids, at, col = '<u2' if width == 2 else '<u4', 64 + 24 * n_col, {}
    kinds = {1: '<u4', 2: '<u4', 3: '<u4', 4: ids, 5: 'u1', 6: '<u4', 7: 'u1', 8: '<f4', 9: '<u8', 10: ids, 11: '<u2', 12: '<f4', 13: '<f4', 14: 'i1', 15: '<f4'}
    for c in range(n_col):
        number, encoding, _, size, h = struct.unpack_from('<HHIQQ', b, 64 + 24 * c)
        check(encoding == 0 and xxhash.xxh3_64_intdigest(b[at:at + size]) == h, f'column {number} was changed')
        col[number] = np.frombuffer(b, kinds[number], size // np.dtype(kinds[number]).itemsize, at)
        at += size + -size % 8
    return col, k, hidden, n_tok

def samples(folder):
    for b in blocks(folder, manifest(folder)):
        col, k, hidden, n_tok = columns(b)
        mask = np.unpackbits(col[5], bitorder='little')[:n_tok]
        tok = doc = target = name = 0
        for n, d in zip(col[1], col[2]):
            n, lens = int(n), col[3][doc:doc + d].astype(int)
            start = np.concatenate([[0], np.cumsum(lens)])
            s = {'ids': col[4][tok:tok + n].astype('i4'), 'mask': mask[tok:tok + n], 'doc_start': start, 'row_id': []}
            for size in col[6][doc:doc + d]:
                s['row_id'].append(col[7][name:name + size].tobytes().decode()); name += int(size)
            s['weight'] = col[8][doc:doc + d] if 8 in col else np.ones(d, 'f4')
            s['target_pos'] = np.array([i - 1 for i in range(n) if s['mask'][i] and i not in set(start.tolist())], 'i4')
            t = slice(target, target + len(s['target_pos'])); target = t.stop
            for j in range(d if 9 in col else 0):
                check(xxhash.xxh3_64_intdigest(s['ids'][start[j]:start[j + 1]].tobytes()) == col[9][doc + j], 'targets of other tokens')
            if k:
                s['top_id'] = col[10].reshape(-1, k)[t].astype('i4')
                s['top_logprob'] = -col[11].reshape(-1, k)[t].astype('f4') * col[12][t][:, None]
                s['rest'] = col[13][t]
            if hidden: s['hidden'] = col[14].reshape(-1, hidden)[t].astype('f4') * col[15][t][:, None]
            tok += n; doc += int(d)
            yield s

if __name__ == '__main__':
    for i, s in zip(range(int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 62), samples(sys.argv[1])):
        print(json.dumps({key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in s.items()}))
