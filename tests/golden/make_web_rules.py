#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verdicts of datatrove's own filters (0.10.1: GopherRepetitionFilter, GopherQualityFilter, C4QualityFilter, FineWebQualityFilter,
at their published thresholds) on texts of the curation goldens and on mutations of them, as JSON Lines:
{"id","text","repetition","quality","c4","c4_text","fineweb"}: the reason, "" = kept. usage: make_web_rules.py CORPUS.jsonl OUT.jsonl

datatrove splits words and sentences with spaCy; `curate` has rules of its own (corpora/filter_text.h), which are written here a
second time: words of the repetition rules are runs of letters and digits, of the others what stands between blanks; a sentence
ends with . ? or !, closing signs behind it, before a blank or the end."""
import json
import random
import re
import sys
import types

from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

ALNUM = re.compile(r'[^\W_]+')
END = re.compile(r'''[.?!]+["')\]”’»]*(?=\s|$)''')


def sentences(text, language=None):
    pieces = [p for p in END.split(text) if p.strip()]
    return pieces


gopher_repetition_filter.split_into_words = lambda t, lang=None: ALNUM.findall(t.lower())
gopher_quality_filter.split_into_words = lambda t, lang=None: t.split()
fineweb_quality_filter.split_into_words = lambda t, lang=None: t.split()
c4_filters.split_into_sentences = sentences


def verdict(f, text):
    doc = Document(text=text, id='x')
    try:
        r = f.filter(doc)
    except ZeroDivisionError:
        return None, doc.text
    return ('' if r is True else r[1]), doc.text


def mutate(rng, text):
    lines = text.split('\n')
    kind = rng.randrange(15)
    if kind == 0:  # lines again
        for _ in range(rng.randrange(1, 12)):
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    elif kind == 1:  # paragraphs again
        paras = re.split(r'(?<=[.;])\s', text)
        paras += [rng.choice(paras) for _ in range(rng.randrange(1, 8))]
        rng.shuffle(paras)
        return '\n\n'.join(paras)
    elif kind == 2:  # runs of words again
        w = text.split()
        n = rng.randrange(2, 14)
        i = rng.randrange(max(1, len(w) - n))
        for _ in range(rng.randrange(1, 10)):
            at = rng.randrange(len(w))
            w[at:at] = w[i:i + n]
        return ' '.join(w)
    elif kind == 3:
        return re.sub(r' ', lambda m: ' # ' if rng.random() < 0.1 else ' ', text)
    elif kind == 4:
        return re.sub(r' ', lambda m: rng.choice(['... ', '… ']) if rng.random() < 0.12 else ' ', text)
    elif kind == 5:
        return '\n'.join(rng.choice(['- ', '• ', '  - ', '']) + p if rng.random() < 0.97 else p for p in re.split(r'(?<=[,.;])\s', text))
    elif kind == 6:
        return '\n'.join(p + rng.choice(['...', ' …', '.', '', '."', '?', '!']) for p in re.split(r'[,.;]\s', text))
    elif kind == 7:
        return ' '.join(x if rng.random() < 0.75 else str(rng.randrange(10000)) for x in text.split())
    elif kind == 8:
        return ' '.join(x[:rng.randrange(1, 4)] for x in text.split())
    elif kind == 9:
        w = text.split()
        return ' '.join(''.join(w[i:i + 3]) for i in range(0, len(w), 3))
    elif kind == 10:  # a web page
        extra = ['Please enable JavaScript to see this page.', 'By using this site you accept our Terms of Use and cookies.', 'Home | About', 'Lorem ipsum dolor sit amet, all of it.',
                 'function f() { return 1; }.', 'He said it twice [1], and again [citation needed].', 'It ended here [edit].', 'Read more...', 'x' * rng.randrange(990, 1010) + ' is long indeed.', 'Too few.', '']
        out = re.split(r'(?<=[.;])\s', text)
        for _ in range(rng.randrange(1, 6)):
            out.insert(rng.randrange(len(out) + 1), rng.choice(extra))
        return rng.choice(['\n', '\r\n', '\n\n', '\u2028', '\x0b']).join(out)
    elif kind == 11:
        return '\n'.join(' '.join(text.split()[i:i + rng.randrange(1, 9)]) for i in range(0, len(text.split()), 6))
    elif kind == 12:
        return ' '.join(x for x in text.split() if x.lower() not in gopher_quality_filter.STOP_WORDS)
    elif kind == 13:
        return '\n'.join(rng.choice(['one', 'two', 'word', 'and', 'more of it']) for _ in range(rng.randrange(1, 120)))
    elif kind == 14:
        return rng.choice(['\u00a0', '\u3000', '  ', '\t']).join(text.split()[:rng.randrange(40, 60)]) + rng.choice(['.', '。', '?"', ''])
    return '\n'.join(lines)


def main():
    corpus, out = sys.argv[1:3]
    rng = random.Random(5)
    docs = [json.loads(x) for x in open(corpus, encoding='utf-8')]
    docs = [d for d in docs if 60 < len(d['text']) < 1600 and not re.search('[\u0e00-\u0eff\u1780-\u17ff\u3040-\u9fff\uac00-\ud7a3]', d['text'])]
    filters = {'repetition': GopherRepetitionFilter(), 'quality': GopherQualityFilter(), 'c4': C4QualityFilter(), 'fineweb': FineWebQualityFilter()}
    for f in filters.values():
        f.stat_update = types.MethodType(lambda self, *a, **k: None, f)
    rows, seen = [], {}
    for i in range(6000):
        text = rng.choice(docs)['text']
        for _ in range(rng.randrange(0, 3)):
            text = mutate(rng, text)
        row = {'id': f'w{i}', 'text': text}
        ok = len(text) < 2500 and len(ALNUM.findall(text)) >= 10
        for name, f in filters.items():
            v, t = verdict(f, text)
            ok &= v is not None
            row[name] = v
            if name == 'c4':
                row['c4_text'] = t if v == '' else ''
        key = tuple(row[k] for k in filters)
        if not ok or seen.get(key, 0) >= (12 if key == ('', '', '', '') else 2) or any(seen.get((k, row[k]), 0) >= 60 for k in filters if row[k]):
            continue
        seen[key] = seen.get(key, 0) + 1
        for k in filters:
            seen[(k, row[k])] = seen.get((k, row[k]), 0) + 1
        rows.append(row)
    with open(out, 'w', encoding='utf-8') as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + '\n')
    for k in filters:
        print(k, {v: sum(r[k] == v for r in rows) for v in sorted({r[k] for r in rows})})
    print(len(rows), 'rows')


main()
