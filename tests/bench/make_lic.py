#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The 39,087 licence texts and rules of scancode-toolkit-mini's wheel (CC-BY-4.0) as JSON Lines: {"id","text"}, front matter
left out, in order of name. usage: make_lic.py WHEEL OUT.jsonl"""
import json
import os
import sys
import zipfile


def text_of(raw):
    s = raw.decode('utf-8', 'replace')
    if s.startswith('---'):
        end = s.find('\n---', 3)
        if end >= 0:
            s = s[s.find('\n', end + 1) + 1:] if s.find('\n', end + 1) >= 0 else ''
    return s.strip('\n')


def main():
    wheel, out = sys.argv[1:3]
    z = zipfile.ZipFile(wheel)
    names = sorted(n for n in z.namelist() if n.startswith('licensedcode/data/') and n.rsplit('.', 1)[-1] in ('LICENSE', 'RULE'))
    kept = 0
    with open(out + '.part', 'w', encoding='utf-8') as f:
        for n in names:
            t = text_of(z.read(n))
            kept += 1
            f.write(json.dumps({'id': n.rsplit('/', 1)[-1], 'text': t}, ensure_ascii=False) + '\n')
    os.replace(out + '.part', out)
    print(f'{out}: {kept} texts, {os.path.getsize(out) / 1e6:.1f} MB', file=sys.stderr)


main()
