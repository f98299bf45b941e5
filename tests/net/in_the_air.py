#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was in the air at each kill of the soak, exactly: in_the_air.py BOOK MOCK_LOG WIDTH KILLS.

After kill K the soak has written the names of the book's segments to segments.K and marked the mock's log (mark K); the rows that came
out are in part.K. In the air at kill K = asked by that process (its arrivals at the server stand between two marks) and not in the book
when it was dead. This reader of segments is its own (docs/formats.md, "Book"), not retort's. It is an error when
  - a question was asked although the book held its answer (paid twice for nothing),
  - more than WIDTH were in the air,
  - a row came out whose answer was not in the book,
  - a question was answered more often than 1 + the kills it was in the air at, answered and unread."""
import hashlib, json, os, struct, sys
book, log, width, kills = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
bad = []


def answers(path):
    """SHA-256 and text of the requests of a segment's answers; a torn last record ends it."""
    d, at, out = open(path, 'rb').read(), 32, []
    while at + 40 <= len(d) and d[at:at + 4] == b'Rrec':
        kind, n = struct.unpack_from('<IQ', d, at + 4)
        if at + 40 + n > len(d):
            break
        if kind == 1:
            body = struct.unpack_from('<Q', d, at + 40 + 32)[0]
            text = d[at + 40 + 56:at + 40 + 56 + body]
            out.append((hashlib.sha256(text).hexdigest(), json.loads(text)['messages'][-1]['content']))
        at += 40 + (n + 7) // 8 * 8
    return out


segment = {name: answers(os.path.join(book, name)) for name in os.listdir(book) if name.startswith('seg-')}
arrived, answered, when = [[]], [[]], [{}]
stamp = []
for line in open(log):
    t, what, word = line.split(' ', 2)
    if what == 'mark':
        stamp.append(float(t)); arrived.append([]); answered.append([]); when.append({})
    elif word == 'in\n':
        arrived[-1].append(what)
    elif word == 'ok\n':
        answered[-1].append(what); when[-1][what] = float(t)
held, air_total, air_most, unread, oldest = set(), 0, 0, {}, 0.0
for k in range(kills + 1):  # the last run was not killed
    known = [h for h in arrived[k] if h in held]
    if known:
        bad.append(f'run {k}: {len(known)} questions asked although the book held their answers')
    if len(arrived[k]) != len(set(arrived[k])):
        bad.append(f'run {k}: a question was asked twice in one run')
    if k < kills:
        names = open(f'segments.{k + 1}').read().split()
        held = {h for n in names for h, _ in segment[n]}
        texts = {t for n in names for _, t in segment[n]}
        air = {h for h in arrived[k] if h not in held}
        air_total += len(air); air_most = max(air_most, len(air))
        if len(air) > width:
            bad.append(f'kill {k + 1}: {len(air)} in the air, {width} can be')
        for h in air & set(answered[k]):
            unread[h] = unread.get(h, 0) + 1
            oldest = max(oldest, stamp[k] - when[k][h])
        for line in open(f'part.{k + 1}', 'rb').read().split(b'\n')[:-1]:
            if json.loads(line)['messages'][0]['content'] not in texts:
                bad.append(f'kill {k + 1}: a row came out whose answer is not in the book: {line[:60]}')
times = {}
for k in range(kills + 1):
    for h in answered[k]:
        times[h] = times.get(h, 0) + 1
twice = sum(n - 1 for n in times.values())
beyond = sum(max(0, n - 1 - unread.get(h, 0)) for h, n in times.items())
if beyond:
    bad.append(f'{beyond} answers paid twice that were not in the air at a kill')
print(f'in the air at the kills: {air_total} (at most {air_most} at once), answered there and never read: {sum(unread.values())} (the oldest {oldest * 1000:.0f} ms before its mark); '
      f'answers paid twice: {twice}, beyond those in the air: {beyond}')
for b in bad[:10]:
    print('FAIL:', b)
sys.exit(bool(bad))
