#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a shard folder of retort (docs/formats.md): python3 read_shards.py FOLDER [N] prints N samples as JSON Lines; needs zstandard, numpy, xxhash."""
import hashlib, json, os, struct, sys, numpy as np, xxhash, zstandard
def check(ok, what):
    if not ok: raise ValueError(what)
def manifest(folder):
    text = open(os.path.join(folder, 'manifest.json'), 'rb').read(); check(text[-89:] == b',\n"manifest_sha256":"' + hashlib.sha256(text[:-89]).hexdigest().encode() + b'"\n}\n', 'manifest was changed')
    return json.loads(text)
def blocks(folder, m):
    for f in m['files']:
        data = open(os.path.join(folder, f['name']), 'rb').read(); check(data[-4:] == b'\xb1\xea\x92\x8f' and len(data) == f['bytes'], 'no seek table: cut off')
        index = len(data) - (8 + 12 * (n := struct.unpack('<I', data[-9:-5])[0]) + 9) - (32 + 40 * (n - 1))
        check(xxhash.xxh3_64_intdigest(data[index:]) == int(f['tail_xxh3'], 16), 'index was changed')
        for i in range(n - 1):
            _, at, _, comp, raw, _, h = struct.unpack_from('<QQIIIIQ', data, index + 24 + 40 * i); check(xxhash.xxh3_64_intdigest(data[at:at + comp]) == h, 'frame was changed'); yield zstandard.ZstdDecompressor().decompress(data[at:at + comp], max_output_size=raw)
class Coded:  # "Coded targets": one stream, a node is [chance, times used]
    def __init__(self, b): self.b, self.at, self.low, self.high, self.x, self.node = b, 4, 0, 2**32 - 1, int.from_bytes(b[:4].ljust(4, b'\0'), 'big'), {}
    def bit(self, key):
        n = self.node.setdefault(key, [32768, 0]) if key else [32768, 0]; mid, rate = self.low + ((self.high - self.low) * n[0] >> 16), 131072 // (2 * n[1] + 3)
        self.low, self.high = (self.low, mid) if (bit := int(self.x <= mid)) else (mid + 1, self.high); n[:] = n[0] + ((65536 - 32 - n[0]) * rate >> 16) if bit else n[0] - ((n[0] - 32) * rate >> 16), min(n[1] + 1, 255)
        while (self.low ^ self.high) < 1 << 24:
            self.low, self.high, self.x, self.at = self.low << 8 & 0xffffffff, self.high << 8 & 0xffffffff | 255, self.x << 8 & 0xffffffff | (self.b[self.at] if self.at < len(self.b) else 0), self.at + 1
        return bit
    def path(self, kind, bits, v=1, learnt=99):
        for i in range(bits): v = v << 1 | self.bit((kind, v) if i < learnt else None)
        return v
    def number(self, context): return 0 if (n := self.path(context, 5) - 32) == 0 else self.path((context, n), n - 1, 1, 3)
def coded(stream, n_target, k, draws, rest, scale, vocab):
    c, levels, bits = Coded(stream), [0.0], max(1, (vocab - 1).bit_length())
    out = {x: np.zeros((n_target, n), 'f4' if x == 'top_logprob' else 'i4') for x, n in (('top_id', k), ('top_logprob', k), ('draw_id', draws), ('draw_count', draws))}
    for t in range(n_target):
        for j in range(k): out['top_logprob'][t, j], out['top_id'][t, j] = c.number(j if j < 8 else min(j // 8 + 7, 15)), c.path('id', bits) - (1 << bits)
        for j in range(draws):
            if out['draw_count'][t, :j].sum() == draws: break
            n = int(out['draw_count'][t, j - 1]); out['draw_count'][t, j], out['draw_id'][t, j] = c.number(16) if j == 0 else 1 if n == 1 else n - c.number(17 + min(n, 15)), c.path('id', bits) - (1 << bits)
    level, step = out['top_logprob'].cumsum(1).astype(int), scale[0] if k else 0
    while len(levels) <= level.max(initial=0): levels.append(levels[-1] - step); step = min(step + step * step / 2, scale[1])
    lp = np.array(levels)[level]
    if k: out['top_logprob'] = np.minimum(lp + (np.log(-np.expm1(rest.astype('f8'))) - np.log(np.exp(lp).sum(1)))[:, None], 0).astype('f4')
    return {x: v for x, v in out.items() if v.shape[1]}
def samples(folder):
    for b in blocks(folder, manifest(folder)):
        magic, version, _, _, n_tok, _, _, _, vocab, hidden, k, width, n_col, draws, _, _ = struct.unpack_from('<IHHIIIIIIIHHIIQQ', b); check(magic == 0x42535452 and version <= 2 and (version == 2 or not k), 'not a block of version 2')
        kinds, at, col = {4: f'<u{width}', 5: 'u1', 7: 'u1', 8: '<f4', 9: '<u8', 13: '<f4', 14: 'i1', 15: '<f4', 17: 'u1', 18: '<f8', 20: 'u1'}, 64 + 24 * n_col, {}
        for number, encoding, _, size, h in struct.iter_unpack('<HHIQQ', b[64:at]):
            check(encoding == 0 and xxhash.xxh3_64_intdigest(b[at:at + size]) == h, f'column {number} was changed'); col[number] = np.frombuffer(b[at:at + size], kinds.get(number, '<u4')); at += size + -size % 8
        mask, tok, doc, target, name, code = np.unpackbits(col[5], bitorder='little')[:n_tok], 0, 0, 0, 0, 0
        for i, (n, d) in enumerate(zip(col[1].tolist(), col[2].tolist())):
            start = np.concatenate([[0], np.cumsum(col[3][doc:doc + d])]).astype(int)
            s = {'ids': col[4][tok:tok + n].astype('i4'), 'mask': mask[tok:tok + n], 'doc_start': start, 'row_id': []}
            for size in col[6][doc:doc + d].tolist(): s['row_id'].append(col[7][name:name + size].tobytes().decode()); name += size
            s['weight'], s['target_pos'] = col[8][doc:doc + d] if 8 in col else np.ones(d, 'f4'), np.setdiff1d(np.flatnonzero(s['mask']), start) - 1; t = slice(target, target := target + len(s['target_pos']))
            for j in range(d if 9 in col else 0): check(xxhash.xxh3_64_intdigest(s['ids'][start[j]:start[j + 1]].tobytes()) == col[9][doc + j], 'targets of other tokens')
            if 17 in col: s.update(coded(col[17][code:code + col[16][i]].tobytes(), t.stop - t.start, k, draws, col[13][t] if k else None, col.get(18), vocab)); code += int(col[16][i])
            if k: s['rest'] = col[13][t]
            if hidden: s['hidden'] = col[14].reshape(-1, hidden)[t].astype('f4') * col[15][t][:, None]
            tok += n; doc += d; yield s
if __name__ == '__main__':
    for _, s in zip(range(int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 62), samples(sys.argv[1])): print(json.dumps({k: v.tolist() if hasattr(v, 'tolist') else v for k, v in s.items()}))
