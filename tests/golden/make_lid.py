#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small fastText models of every kind that corpora/lid.c reads, and what fasttext-predict 0.9.2.4 predicts with them and with
lid.176.ftz. The weights are random: only the arithmetic is looked at. usage: make_lid.py LID.ftz CORPUS.jsonl OUT_DIR"""
import json
import os
import random
import struct
import sys

import fasttext

TEXTS = ['the cat sat', 'über allen Gipfeln ist Ruh', 'новые слова здесь', '日本語の文章です', 'a', 'ab the', '', '   ', 'word0 word1 word2', 'WORD0 word3 __label__x word1', 'x' * 200,
         'tab\tand word4', 'emoji 😀 word5', 'é', 'word1 ' * 50, '١٢٣ عربي', '__label__l0', 'nothing known: qqq zzz']


def matrix(rng, rows, cols):
    return struct.pack('<qq', rows, cols) + b''.join(struct.pack('<f', rng.gauss(0, 1)) for _ in range(rows * cols))


def pq(rng, dim, dsub, scale=1.0):
    parts = (dim + dsub - 1) // dsub
    last = dim % dsub or dsub
    return struct.pack('<iiii', dim, parts, dsub, last) + b''.join(struct.pack('<f', scale * rng.gauss(0, 1) if dim > 1 else 0.2 + rng.random()) for _ in range(dim * 256)), parts


def qmatrix(rng, rows, cols, dsub, qnorm):
    q, parts = pq(rng, cols, dsub)
    out = struct.pack('<?qqi', qnorm, rows, cols, rows * parts) + bytes(rng.randrange(256) for _ in range(rows * parts)) + q
    if qnorm:
        out += bytes(rng.randrange(256) for _ in range(rows)) + pq(rng, 1, 1)[0]
    return out


def model(seed, loss, quant=False, qout=False, qnorm=True, prune=0, maxn=3, minn=1, dim=7, bucket=40, labels=5):
    rng = random.Random(seed)
    words = ['</s>'] + [f'word{i}' for i in range(6)] + ['the', 'über', '日本語の文章です']
    out = struct.pack('<ii12id', 793712314, 12, dim, 5, 5, 1, 5, 1, loss, 3, bucket, minn, maxn, 100, 1e-4)
    out += struct.pack('<iiiqq', len(words) + labels, len(words), labels, 1000, prune if prune else -1)
    for w in words:
        out += w.encode() + b'\0' + struct.pack('<qb', 10, 0)
    for i in range(labels):
        out += f'__label__l{i}'.encode() + b'\0' + struct.pack('<qb', 1000 >> i, 1)
    rows = len(words) + (prune if prune else bucket if maxn else 0)
    for i, b in enumerate(rng.sample(range(bucket), prune)):
        out += struct.pack('<ii', b, i)
    out += struct.pack('<?', quant) + (qmatrix(rng, rows, dim, 3, qnorm) if quant else matrix(rng, rows, dim))
    return out + struct.pack('<?', qout) + (qmatrix(rng, labels, dim, 2, False) if qout else matrix(rng, labels, dim))


def main():
    lid, corpus, out = sys.argv[1:4]
    os.makedirs(out, exist_ok=True)
    kinds = {'hs': model(1, 1), 'softmax': model(2, 3), 'ova': model(3, 4), 'ns_words': model(4, 2, maxn=0, minn=0), 'quantised': model(5, 1, quant=True, prune=15),
             'quantised_out': model(6, 3, quant=True, qout=True, qnorm=False, prune=20, minn=2, maxn=4)}
    with open(os.path.join(out, 'predictions.jsonl'), 'w', encoding='utf-8') as f:
        def put(name, m, texts):
            for t in texts:
                labels, p = m.predict(t, k=1)
                f.write(json.dumps({'model': name, 'text': t, 'label': labels[0][9:] if labels else '', 'p': float(p[0]) if len(p) else 0.0}, ensure_ascii=False) + '\n')
        for name, data in kinds.items():
            path = os.path.join(out, name + '.bin')
            with open(path, 'wb') as g:
                g.write(data)
            put(name, fasttext.load_model(path), TEXTS)
        docs = [json.loads(x) for x in open(corpus, encoding='utf-8')]
        more = ['Der Vertrag endet mit Ablauf des Jahres.', 'Le contrat prend fin à la fin de l’année.', 'El contrato termina al final del año.', 'Договор заканчивается в конце года.', '合同于年底终止。',
                'Η σύμβαση λήγει στο τέλος του έτους.', 'ينتهي العقد في نهاية العام', 'A szerződés az év végén lejár.', 'Sopimus päättyy vuoden lopussa.', 'สัญญาสิ้นสุดในปลายปี', '계약은 연말에 종료됩니다.']
        put('lid.176', fasttext.load_model(lid), more + [d['text'].replace('\n', ' ') for d in docs[::6]])


main()
