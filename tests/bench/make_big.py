#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A random llama-shaped model in bfloat16 as several safetensors files (standard library only), and a runner that measures.

  make_big.py make DIR [PARAMETERS]     3.2 billion parameters by default: 6.4 GB in files of at most 2 GB
  make_big.py wide DIR                  one float32 tensor of 4.5 GB (a vocabulary of 1,100,000), whose log-probabilities are known in closed form
  make_big.py rows N LENGTH             N rows of LENGTH token ids
  make_big.py run MAX_GB COMMAND...     runs it, prints seconds and peak resident memory, fails above MAX_GB
"""
import json, os, random, resource, struct, subprocess, sys, time

VOCAB, HIDDEN, LAYERS, HEADS, KV, DIM, FFN = 128256, 3072, 28, 24, 8, 128, 8192
FILE_BYTES = 2_000_000_000
BLOCK = 1 << 25


def shapes(layers):
    out = [('model.embed_tokens.weight', (VOCAB, HIDDEN))]
    for i in range(layers):
        p = f'model.layers.{i}.'
        out += [(p + 'input_layernorm.weight', (HIDDEN,)), (p + 'self_attn.q_proj.weight', (HEADS * DIM, HIDDEN)),
                (p + 'self_attn.k_proj.weight', (KV * DIM, HIDDEN)), (p + 'self_attn.v_proj.weight', (KV * DIM, HIDDEN)),
                (p + 'self_attn.o_proj.weight', (HIDDEN, HEADS * DIM)), (p + 'post_attention_layernorm.weight', (HIDDEN,)),
                (p + 'mlp.gate_proj.weight', (FFN, HIDDEN)), (p + 'mlp.up_proj.weight', (FFN, HIDDEN)), (p + 'mlp.down_proj.weight', (HIDDEN, FFN))]
    return out + [('model.norm.weight', (HIDDEN,))]


def count(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def pool():
    """bfloat16 numbers of either sign between 2^-7 and 2^-5, about as large as weights of std 0.02."""
    r = random.Random(1)
    b = bytearray(2 * BLOCK)
    b[0::2] = r.randbytes(BLOCK)                                                  # lowest bit of the exponent and the mantissa
    b[1::2] = r.randbytes(BLOCK).translate(bytes(0x3c | (i & 0x80) for i in range(256)))  # sign and the rest of the exponent
    return bytes(b)


def make(folder, parameters):
    per_layer = sum(count(s) for _, s in shapes(1)) - VOCAB * HIDDEN - HIDDEN
    layers = max(1, min(LAYERS, round((parameters - VOCAB * HIDDEN) / per_layer)))
    tensors, files, size = shapes(layers), [[]], 0
    for t in tensors:
        b = 2 * count(t[1])
        if size and size + b > FILE_BYTES:
            files.append([])
            size = 0
        files[-1].append(t)
        size += b
    os.makedirs(folder, exist_ok=True)
    data, at, index = pool(), 0, {}
    for k, group in enumerate(files):
        name = f'model-{k + 1:05d}-of-{len(files):05d}.safetensors'
        head, offset = {'__metadata__': {'format': 'pt'}}, 0
        for n, s in group:
            head[n] = {'dtype': 'BF16', 'shape': list(s), 'data_offsets': [offset, offset + 2 * count(s)]}
            offset += 2 * count(s)
            index[n] = name
        h = json.dumps(head, separators=(',', ':')).encode()
        h += b' ' * (-len(h) % 8)
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(struct.pack('<Q', len(h)) + h)
            for n, s in group:
                left = 2 * count(s)
                if len(s) == 1:
                    f.write(b'\x80\x3f' * s[0])
                    continue
                while left:
                    at = (at + 2 * 7919) % len(data)  # another stretch of the pool every time
                    piece = data[at:at + left]
                    f.write(piece)
                    left -= len(piece)
    total = 2 * sum(count(s) for _, s in tensors)
    with open(os.path.join(folder, 'model.safetensors.index.json'), 'w') as f:
        json.dump({'metadata': {'total_size': total}, 'weight_map': index}, f)
    with open(os.path.join(folder, 'config.json'), 'w') as f:
        json.dump({'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'dtype': 'bfloat16', 'hidden_act': 'silu', 'hidden_size': HIDDEN,
                   'intermediate_size': FFN, 'num_hidden_layers': layers, 'num_attention_heads': HEADS, 'num_key_value_heads': KV, 'head_dim': DIM,
                   'vocab_size': VOCAB, 'max_position_embeddings': 8192, 'rms_norm_eps': 1e-5, 'tie_word_embeddings': True, 'bos_token_id': 1,
                   'eos_token_id': 2, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 500000.0}}, f, indent=1)
    print(f'{folder}: {total // 2:,} parameters, {layers} layers, {len(files)} files, {total / 1e9:.2f} GB', file=sys.stderr)


def wide(folder):
    """All rows of the embedding are 0 but the last two: +0.01 and -0.01 everywhere; every layer adds 0. So the state after row r's token
    is +-1 everywhere, and a token's logit is +-10.24 for the two rows and 0 for all others. Written as a file with holes."""
    vocab, hidden = 1_100_000, 1024
    shapes_ = [('model.embed_tokens.weight', (vocab, hidden)), ('model.norm.weight', (hidden,))]
    p = 'model.layers.0.'
    shapes_ += [(p + n, s) for n, s in (('input_layernorm.weight', (hidden,)), ('post_attention_layernorm.weight', (hidden,)),
                ('self_attn.q_proj.weight', (64, hidden)), ('self_attn.k_proj.weight', (64, hidden)), ('self_attn.v_proj.weight', (64, hidden)),
                ('self_attn.o_proj.weight', (hidden, 64)), ('mlp.gate_proj.weight', (64, hidden)), ('mlp.up_proj.weight', (64, hidden)), ('mlp.down_proj.weight', (hidden, 64)))]
    os.makedirs(folder, exist_ok=True)
    head, offset = {}, 0
    for n, s in shapes_:
        head[n] = {'dtype': 'F32', 'shape': list(s), 'data_offsets': [offset, offset + 4 * count(s)]}
        offset += 4 * count(s)
    h = json.dumps(head, separators=(',', ':')).encode()
    h += b' ' * (-len(h) % 8)
    with open(os.path.join(folder, 'model.safetensors'), 'wb') as f:
        f.write(struct.pack('<Q', len(h)) + h)
        base = f.tell()
        f.truncate(base + offset)
        f.seek(base + 4 * (vocab - 2) * hidden)
        f.write(struct.pack('<f', 0.01) * hidden + struct.pack('<f', -0.01) * hidden)
        for n, s in shapes_:
            if len(s) == 1:
                f.seek(base + head[n]['data_offsets'][0])
                f.write(struct.pack('<f', 1.0) * s[0])
    with open(os.path.join(folder, 'config.json'), 'w') as f:
        json.dump({'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'dtype': 'float32', 'hidden_act': 'silu', 'hidden_size': hidden, 'intermediate_size': 64,
                   'num_hidden_layers': 1, 'num_attention_heads': 1, 'num_key_value_heads': 1, 'head_dim': 64, 'vocab_size': vocab, 'max_position_embeddings': 64,
                   'rms_norm_eps': 1e-12, 'tie_word_embeddings': True, 'bos_token_id': 1, 'eos_token_id': 2, 'rope_parameters': {'rope_type': 'default', 'rope_theta': 1e4}}, f)


def run(limit_gb, command):
    t = time.time()
    code = subprocess.run(command, check=False).returncode
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f'big: {command[1]:8} {time.time() - t:7.1f} s, peak {peak:.2f} GB resident (limit {limit_gb})', file=sys.stderr)
    if code or peak > limit_gb:
        sys.exit(code or 1)


if __name__ == '__main__':
    if sys.argv[1] == 'make':
        make(sys.argv[2], int(float(sys.argv[3])) if len(sys.argv) > 3 else 3_200_000_000)
    elif sys.argv[1] == 'wide':
        wide(sys.argv[2])
    elif sys.argv[1] == 'rows':
        r = random.Random(2)
        for i in range(int(sys.argv[2])):
            print(json.dumps({'id': str(i), 'ids': [r.randrange(VOCAB) for _ in range(int(sys.argv[3]))]}))
    else:
        run(float(sys.argv[2]), sys.argv[3:])
