#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small GGUF and safetensors files, good and damaged, as fuzz seeds. Standard library only; its output is committed.

  make_weight_seeds.py tests/fuzz/seeds
"""
import json, os, random, struct, sys

R = random.Random(1)
OUT = sys.argv[1]
BLOCK = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144), 14: (256, 210)}


def s(x):
    b = x.encode()
    return struct.pack('<Q', len(b)) + b


def value(v):
    if isinstance(v, bool):
        return struct.pack('<IB', 7, v)
    if isinstance(v, int):
        return struct.pack('<II', 4, v)
    if isinstance(v, float):
        return struct.pack('<If', 6, v)
    if isinstance(v, str):
        return struct.pack('<I', 8) + s(v)
    if v and isinstance(v[0], str):
        return struct.pack('<IIQ', 9, 8, len(v)) + b''.join(map(s, v))
    return struct.pack('<IIQ', 9, 5, len(v)) + b''.join(struct.pack('<i', x) for x in v)


def gguf(arch='llama', quant=0, hidden=32, version=3, vocab=8, extra=None, untied=False, scaled=False):
    heads, kv, ffn = 4, 2, hidden
    dh = hidden // heads
    meta = {'general.architecture': arch, 'general.name': 'seed', f'{arch}.block_count': 1, f'{arch}.context_length': 64,
            f'{arch}.embedding_length': hidden, f'{arch}.feed_forward_length': ffn, f'{arch}.attention.head_count': heads,
            f'{arch}.attention.head_count_kv': kv, f'{arch}.attention.layer_norm_rms_epsilon': 1e-5, f'{arch}.rope.freq_base': 10000.0,
            'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'smollm', 'tokenizer.ggml.tokens': [chr(97 + i) for i in range(vocab)],
            'tokenizer.ggml.token_type': [1] * vocab, 'tokenizer.ggml.merges': ['a b', 'c d'], 'tokenizer.ggml.eos_token_id': 2,
            'tokenizer.ggml.add_bos_token': False}
    meta.update(extra or {})
    p = 'blk.0.'
    t = [('token_embd.weight', (vocab, hidden)), (p + 'attn_norm.weight', (hidden,)), (p + 'attn_q.weight', (heads * dh, hidden)),
         (p + 'attn_k.weight', (kv * dh, hidden)), (p + 'attn_v.weight', (kv * dh, hidden)), (p + 'attn_output.weight', (hidden, heads * dh)),
         (p + 'ffn_norm.weight', (hidden,)), (p + 'ffn_gate.weight', (ffn, hidden)), (p + 'ffn_up.weight', (ffn, hidden)),
         (p + 'ffn_down.weight', (hidden, ffn)), ('output_norm.weight', (hidden,))]
    if untied:
        t.append(('output.weight', (vocab, hidden)))
    if scaled:
        t.append(('rope_freqs.weight', (dh // 2,)))
    head, data = b'', b''
    for name, dims in t:
        kind = quant if len(dims) == 2 else 0
        n = 1
        for d in dims:
            n *= d
        blk, size = BLOCK[kind]
        raw = R.randbytes(n // blk * size) if kind else b''.join(struct.pack('<f', 1.0 if scaled and 'freqs' in name else R.gauss(0, 1)) for _ in range(n))
        head += s(name) + struct.pack('<I', len(dims)) + b''.join(struct.pack('<Q', d) for d in reversed(dims)) + struct.pack('<IQ', kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    out = b'GGUF' + struct.pack('<IQQ', version, len(t), len(meta)) + b''.join(s(k) + value(v) for k, v in meta.items()) + head
    return out + bytes(-len(out) % 32) + data


def st(tensors, meta=None, pad=True):
    head, data = {}, b''
    if meta:
        head['__metadata__'] = meta
    for name, dtype, shape, size in tensors:
        head[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + size]}
        data += R.randbytes(size)
    h = json.dumps(head, separators=(',', ':')).encode()
    h += b' ' * (-len(h) % 8 if pad else 0)
    return struct.pack('<Q', len(h)) + h + data


def put(folder, name, b):
    os.makedirs(os.path.join(OUT, folder), exist_ok=True)
    with open(os.path.join(OUT, folder, name), 'wb') as f:
        f.write(b)


for name, kw in {'f32': {}, 'v2': {'version': 2}, 'f16': {'quant': 1}, 'bf16': {'quant': 30}, 'q4_0': {'quant': 2}, 'q4_1': {'quant': 3},
                 'q8_0': {'quant': 8}, 'qwen2': {'arch': 'qwen2'}, 'qwen3': {'arch': 'qwen3'}, 'untied': {'untied': True}, 'scaled': {'scaled': True},
                 'linear': {'extra': {'llama.rope.scaling.type': 'linear', 'llama.rope.scaling.factor': 2.0}},
                 'layers': {'extra': {'llama.attention.head_count': [4], 'llama.feed_forward_length': [32]}},
                 'other_arch': {'arch': 'gemma'}, 'version9': {'version': 9}}.items():
    put('fuzz_gguf', name + '.gguf', gguf(**kw))
for name, kind in (('q4_k', 12), ('q6_k', 14)):
    put('fuzz_gguf', name + '.gguf', gguf(quant=kind, hidden=256, vocab=2))
good = gguf()
put('fuzz_gguf', 'cut_header.gguf', good[:30])
put('fuzz_gguf', 'cut_data.gguf', good[:-64])
put('fuzz_gguf', 'many_tensors.gguf', good[:8] + struct.pack('<Q', 1 << 60) + good[16:])
put('fuzz_gguf', 'long_key.gguf', good[:24] + struct.pack('<Q', (1 << 64) - 1) + good[32:])
put('fuzz_gguf', 'empty.gguf', b'')

two = [('a', 'F32', [2, 3], 24), ('b.weight', 'BF16', [4], 8), ('c', 'F16', [2, 2], 8), ('i', 'I64', [1], 8), ('u', 'U8', [3], 3)]
put('fuzz_safetensors', 'types.safetensors', st(two, {'format': 'pt'}))
put('fuzz_safetensors', 'scalar.safetensors', st([('s', 'F32', [], 4), ('z', 'F64', [0, 3], 0)]))
put('fuzz_safetensors', 'unpadded.safetensors', st(two, pad=False))
g = st(two)
put('fuzz_safetensors', 'cut.safetensors', g[:-5])
put('fuzz_safetensors', 'long_header.safetensors', struct.pack('<Q', 1 << 40) + g[8:])
put('fuzz_safetensors', 'tail.safetensors', g + b'xxxx')
h = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
h += b' ' * (-len(h) % 8)
put('fuzz_safetensors', 'twice.safetensors', struct.pack('<Q', len(h)) + h + bytes(8))
h = b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,18446744073709551612]}}'
put('fuzz_safetensors', 'negative.safetensors', struct.pack('<Q', len(h)) + h)
