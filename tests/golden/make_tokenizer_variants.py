#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_tokenizer_variants.py   (needs the package `tokenizers`; not part of the checks)
Writes data/tokenizer/variants.jsonl: what Hugging Face's tokenizers gives for forms of tokenizer.json that the other golden
files do not have. Each variant is a base file with top-level fields replaced (and ignore_merges set); its ids follow."""
import json, os
from tokenizers import Tokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'data', 'tokenizer')
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def added(id, content, **flags):
    return {'id': id, 'content': content, **{k: False for k in ('single_word', 'lstrip', 'rstrip', 'normalized', 'special')}, **flags}


BYTE_LEVEL = {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True}
VARIANTS = {
    'llama3': ('gpt2_style', True, {
        'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Split', 'pattern': {'Regex': LLAMA3}, 'behavior': 'Isolated', 'invert': False}, {**BYTE_LEVEL, 'use_regex': False}]}}),
    'digits': ('gpt2_style', False, {'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'Digits', 'individual_digits': True}, BYTE_LEVEL]}}),
    'prefix_space': ('gpt2_style', False, {'pre_tokenizer': {**BYTE_LEVEL, 'add_prefix_space': True}}),
    'flags': ('qwen2_small', False, {'added_tokens': [
        added(8192, '<|endoftext|>', special=True, lstrip=True), added(8193, '<|im_start|>', special=True, rstrip=True),
        added(8194, '<|im_end|>', special=True, lstrip=True, rstrip=True), added(8195, '<|im'), added(8196, 'theq', single_word=True),
        added(8197, 'e\u0301', normalized=True), added(8198, 'が', normalized=True), added(8199, 'user\n'), added(8200, 'usq', normalized=True, single_word=True),
        added(8201, '\u00a0', rstrip=True), added(8202, '人', normalized=True, lstrip=True)]}),
}
MORE = ['abc1234567 12 1', ' theq theq, theqme (theq) theq', 'é e\u0301 E\u0301', 'が か\u3099 が', 'usq usqe usq-usq', 'a <|im_end|> \n b<|im_end|>', '<|im_start <|im', 'x \u00a0 \u00a0y',
        ' 人 人人', "I'LL don't", '12345678901234567890', 'a  1   22', '  <|endoftext|>  ', '<|im_start|> user\n hello']

cases = [json.loads(l) for l in open(f'{HERE}/cases.jsonl', encoding='utf-8').read().split('\n') if l]
texts = [c['text'] for i, c in enumerate(cases) if i % 5 == 0 or '<' in c['text']] + MORE
with open(f'{HERE}/variants.jsonl', 'w', encoding='utf-8') as out:
    for name, (base, ignore_merges, fields) in VARIANTS.items():
        j = json.load(open(f'{HERE}/{base}.tokenizer.json', encoding='utf-8'))
        j.update(fields)
        j['model']['ignore_merges'] = ignore_merges
        if 'added_tokens' in fields:  # the other tokens of the base are part of its vocabulary already
            for t in fields['added_tokens']:
                assert j['model']['vocab'].setdefault(t['content'], t['id']) == t['id'], t
        tok = Tokenizer.from_str(json.dumps(j))
        out.write(json.dumps({'variant': name, 'base': base, 'ignore_merges': ignore_merges, 'fields': fields}, ensure_ascii=False) + '\n')
        for text in texts:
            row = {'text': text}
            for special in (True, False):
                tok.encode_special_tokens = not special
                ids = tok.encode(text, add_special_tokens=False).ids
                if special or ids != row['ids']:
                    row['ids' if special else 'ids_text'] = ids
            out.write(json.dumps(row, ensure_ascii=False, separators=(',', ':')) + '\n')
