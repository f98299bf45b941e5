#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chooses the demo's licence texts and writes corpora/legal/licences.tsv (family, file). Run by hand when the list is to
change; the list itself is in the tree. usage: make_list.py FOLDER_OF_LICENSE_FILES > licences.tsv

Open-source categories only, texts of 1,500 to 9,000 characters, at most three of a family (first word of the key without
its version), in an order drawn by the hash of the key, so that no taste of ours is in it."""
import hashlib, os, re, sys
folder, wanted = sys.argv[1], 110
rows, per_family = [], {}
for name in sorted(os.listdir(folder), key=lambda n: hashlib.sha256(n.encode()).hexdigest()):
    text = open(os.path.join(folder, name), encoding='utf-8').read()
    if not text.startswith('---'):
        continue
    front, body = text[3:].split('\n---', 1)
    field = dict(re.findall(r'^(\w+): (.*)$', front, re.M))
    if field.get('category') not in ('Permissive', 'Copyleft', 'Copyleft Limited', 'Public Domain') or field.get('language', 'en') != 'en':
        continue
    if field.get('is_deprecated') == 'yes' or field.get('is_exception') == 'yes':
        continue
    if not 1500 <= len(body) <= 9000:
        continue
    family = re.split(r'[-.]', field['key'])[0]
    if per_family.get(family, 0) == 3:
        continue
    per_family[family] = per_family.get(family, 0) + 1
    rows.append((family, name))
    if len(rows) == wanted:
        break
print('# family\tfile: licence texts of scancode-toolkit-mini 32.5.0 used by the demo (corpora/legal/make_list.py)')
for family, name in sorted(rows):
    print(f'{family}\t{name}')
