#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort fetch`: every kind of document, every way of naming one, what is dropped and failed, and the ledger's sum. Expected texts
# are written by hand here; the documents are made by Python's own zipfile, tarfile and gzip.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
bad=0
no() { echo "FAIL: $1"; bad=1; }

python3 - <<'E'
import zipfile, gzip, tarfile, io, os
os.makedirs('d/sub')
def put(n, b): open('d/' + n, 'wb').write(b if isinstance(b, bytes) else b.encode())
put('a.html', '<!-- c --><!DOCTYPE html><html><head><title>My  page</title><style>x{}</style></head><body><h1>Head</h1><p>Para one &amp; two\nline</p>'
    '<script>bad()</script><p hidden>gone</p><ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table><pre>x\n  y</pre></body></html>')
put('b.md', '```\n# not this\n```\n# Title here\r\n\r\nText **bold**.\n')
put('c.LICENSE', '---\nkey: mit\nname: \'MIT: "quoted"\'\nother:\n  - one\n  - two\nversion: 1.10\nsource: own\n---\n\nPermission is granted.\n')
put('rows.jsonl', '{"body":"row one","n":12345678901234567890}\n{"text":"row two","id":"k","meta":{"source":"mine","year":"1999"}}\n{"x":1}\nnot json\n')
put('lat.txt', 'caf\xe9 \x93quoted\x94'.encode('latin1'))
put('bad.txt', 'caf\u00e9 '.encode() + b'\xff broken')
put('empty.txt', ''); put('blank.txt', ' \n \n'); put('bin.dat', b'abc\0def')
put('sub/u16.txt', '\ufeffhello \u65e5 \U0001f600'.encode('utf-16-le'))
put('sub/.hidden', 'hidden')
put('g.txt.gz', gzip.compress(b'gz text'))
put('cut.gz', gzip.compress(os.urandom(4000))[:2000])
put('named.zip', 'not a zip at all')
with zipfile.ZipFile('d/z.zip', 'w') as z:
    z.writestr('in/one.txt', 'zip one'); z.writestr('../evil.txt', 'evil'); z.writestr('/abs.txt', 'evil'); z.writestr('two.html', '<html><body>zip <b>two</b></body></html>')
with tarfile.open('d/t.tar.gz', 'w:gz') as t:
    for n, b in (('x/a.txt', b'tar a'), ('x/b.txt.gz', gzip.compress(b'nested'))):
        i = tarfile.TarInfo(n); i.size = len(b); t.addfile(i, io.BytesIO(b))
    i = tarfile.TarInfo('x/link'); i.type = tarfile.SYMTYPE; i.linkname = '/etc/passwd'; t.addfile(i)
with zipfile.ZipFile('d/doc.docx', 'w') as z:
    z.writestr('[Content_Types].xml', '<x/>')
    z.writestr('word/document.xml', '<w:document><w:p><w:r><w:t>Hello &amp; &#x65e5;</w:t></w:r><w:r><w:t xml:space="preserve"> world</w:t></w:r></w:p><w:p><w:r><w:t>Second</w:t></w:r></w:p></w:document>')
    z.writestr('docProps/core.xml', '<cp><dc:title>Doc title</dc:title></cp>')
os.symlink('..', 'd/sub/loop'); os.symlink('nowhere', 'd/sub/dangling'); os.mkfifo('d/sub/fifo')
open('bomb.gz', 'wb').write(gzip.compress(b'\n' * 30_000_000))
open('deep.html', 'w').write('<html>' + '<div>' * 200000)
E

"$RETORT" fetch d --front-matter --licence CC-BY-4.0 --map text=body >out 2>err || no "folder: exit $?: $(cat err)"
python3 - <<'E' || bad=1
import json, hashlib, sys
rows = [json.loads(l) for l in open('out', encoding='utf-8')]
got = {r['meta'].get('source') + ('' if r['id'] != 'k' else '#k'): r for r in rows}
want = {'d/a.html': 'Head\n\nPara one & two line\n\n- one\n- two\n\na\tb\nc\td\n\nx\n  y', 'd/b.md': '```\n# not this\n```\n# Title here\n\nText **bold**.',
        'd/c.LICENSE': 'Permission is granted.', 'd/rows.jsonl': 'row one', 'mine#k': 'row two', 'd/lat.txt': 'caf\u00e9 \u201cquoted\u201d',
        'd/bad.txt': 'caf\u00e9 \ufffd broken', 'd/sub/u16.txt': 'hello \u65e5 \U0001f600', 'd/g.txt.gz': 'gz text', 'd/named.zip': 'not a zip at all',
        'd/z.zip!/in/one.txt': 'zip one', 'd/z.zip!/two.html': 'zip two', 'd/t.tar.gz!/x/a.txt': 'tar a', 'd/t.tar.gz!/x/b.txt.gz': 'nested',
        'd/doc.docx': 'Hello & \u65e5 world\n\nSecond'}
bad = 0
for k, v in want.items():
    if k not in got or got[k]['text'] != v: print('FAIL:', k, repr(got.get(k, {}).get('text')), 'expected', repr(v)); bad = 1
for k in got:
    if k not in want: print('FAIL: not expected:', k); bad = 1
m = got['d/c.LICENSE']['meta']
if (m.get('key'), m.get('name'), m.get('other'), m.get('version'), m.get('front_source'), m.get('licence')) != ('mit', 'MIT: "quoted"', 'one, two', '1.10', 'own', 'CC-BY-4.0'): print('FAIL: front matter', m); bad = 1
if got['d/a.html']['meta']['title'] != 'My page' or got['d/b.md']['meta']['title'] != 'Title here' or got['d/doc.docx']['meta']['title'] != 'Doc title': print('FAIL: titles'); bad = 1
if got['d/b.md']['meta']['sha256'] != hashlib.sha256(open('d/b.md', 'rb').read()).hexdigest(): print('FAIL: sha256'); bad = 1
if got['mine#k']['meta']['year'] != '1999': print('FAIL: own meta'); bad = 1
if any(not isinstance(v, str) for r in rows for v in r['meta'].values()): print('FAIL: meta holds something that is no string'); bad = 1
if '12345678901234567890' not in open('out').read(): print('FAIL: a large integer changed'); bad = 1
if [r['meta']['source'] for r in rows if r['id'] != 'k'] != sorted(r['meta']['source'] for r in rows if r['id'] != 'k'): print('FAIL: not in order'); bad = 1
sys.exit(bad)
E
# 15 rows kept; blank, empty (2), bin, fifo, hidden, loop, tar link, no text; cut.gz (the member, then the archive), dangling, two unsafe names, bad row
grep -qE '^retort fetch: [0-9]+ in, 15 kept, ' err || no "ledger: $(tail -1 err)"
grep -q "empty 2" err && grep -q "link or special file 2" err && grep -q "link to a folder 1" err && grep -q "hidden 1" err && grep -q "unsafe name 2" err || no "reasons: $(tail -1 err)"
grep -q "'d/cut.gz'" err || no "a cut archive is not named"
"$RETORT" fetch d --strict >/dev/null 2>&1; [ $? = 1 ] || no "--strict"

# ids come from the text: another place, the same id
mkdir e; cp d/b.md e/x.md
[ "$("$RETORT" fetch e 2>/dev/null | cut -d'"' -f4)" = "$("$RETORT" fetch d/b.md 2>/dev/null | cut -d'"' -f4)" ] || no "id depends on the place"
# ways of naming
[ "$(printf 'hello' | "$RETORT" fetch - 2>/dev/null | grep -c '"hello"')" = 1 ] || no "stdin"
[ "$(printf 'b.md\nmissing\n' | "$RETORT" fetch --from-file - --root d 2>err | wc -l)" = 1 ] || no "--from-file"
grep -q "'missing': failed (missing)" err || no "missing name of a list is not named"
[ "$("$RETORT" fetch 'd/*.md' 2>/dev/null | wc -l)" = 1 ] || no "glob"
[ "$("$RETORT" fetch d --include '*.md' --include '*.html' 2>/dev/null | wc -l)" = 2 ] || no "--include"
for a in nowhere 'd/*.nothing'; do "$RETORT" fetch d/b.md "$a" >out 2>err; [ $? = 2 ] && [ ! -s out ] || no "$a: expected exit 2 and no row"; done
"$RETORT" fetch >/dev/null 2>&1; [ $? = 2 ] || no "no argument"
# bounds
"$RETORT" fetch bomb.gz --max-unpacked 1M >out 2>err; rc=$?; [ $rc = 1 ] || no "bomb: exit $rc"
[ ! -s out ] && grep -q "max-unpacked" err || no "bomb: $(cat err)"
"$RETORT" fetch bomb.gz --max-document 1M >out 2>err; [ ! -s out ] && grep -q "max-document" err || no "large member: $(cat err)"
"$RETORT" fetch deep.html >out 2>err; rc=$?; [ $rc = 1 ] || no "deep html: exit $rc"
grep -q "nest deeper" err || no "deep html: $(cat err)"
# PDF: a small one made by hand; skipped when pdftotext is missing, but then the message must name it
python3 - <<'E'
objs = [b'<</Type/Catalog/Pages 2 0 R>>', b'<</Type/Pages/Kids[3 0 R]/Count 1>>', b'<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>',
        b'<</Length 44>>stream\nBT /F1 24 Tf 20 100 Td (Hello from PDF) Tj ET\nendstream', b'<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>']
out, at = b'%PDF-1.4\n', []
for i, o in enumerate(objs, 1): at.append(len(out)); out += b'%d 0 obj' % i + o + b'endobj\n'
x = len(out); out += b'xref\n0 6\n0000000000 65535 f \n' + b''.join(b'%010d 00000 n \n' % a for a in at) + b'trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF' % x
open('p.pdf', 'wb').write(out)
E
if command -v pdftotext >/dev/null; then "$RETORT" fetch p.pdf 2>err | grep >/dev/null '"text":"Hello from PDF"' || no "pdf: $(cat err)"; fi
PATH=/nowhere "$RETORT" fetch p.pdf 2>err >out; grep -q "poppler-utils" err || no "missing pdftotext: $(cat err)"

# splitting: the pieces are the text, in order, none too long; sentences are whole
python3 - > long.txt <<'E'
for p in range(30): print(' '.join(f'Sentence {p}.{i} of the text says, cf. Art. {i}, something about Mr. Smith and the U.S. law.' for i in range(6)), end='\n\n')
print('x' * 1000)
E
"$RETORT" fetch long.txt --split chars:300 >out 2>/dev/null
python3 - <<'E' || bad=1
import json, re, sys
rows = [json.loads(l) for l in open('out')]; text = open('long.txt').read(); bad = 0
squash = lambda s: re.sub(r'\s+', '', s)
if squash(''.join(r['text'] for r in rows)) != squash(text): print('FAIL: pieces are not the text'); bad = 1
if max(len(r['text']) for r in rows) > 300: print('FAIL: a piece is too long'); bad = 1
if any(not re.search(r'(law\.|x)$', r['text']) for r in rows): print('FAIL: a sentence was cut:', [r['text'][-30:] for r in rows if not re.search(r'(law\.|x)$', r['text'])][:3]); bad = 1
ids = [r['id'] for r in rows]; p = ids[0].split('#')[0]
if ids != [f'{p}#{i + 1}' for i in range(len(ids))] or rows[2]['meta']['part'] != '3' or rows[2]['meta']['document'] != p: print('FAIL: ids', ids[:3]); bad = 1
sys.exit(bad)
E
"$RETORT" fetch long.txt --split chars:300 --overlap 100 2>/dev/null | python3 -c '
import json, sys
rows = [json.loads(l)["text"] for l in sys.stdin]
n = sum(any(b.startswith(a[-k:]) for k in range(60, 101)) for a, b in zip(rows, rows[1:]))
sys.exit(not (n > len(rows) // 2 and max(map(len, rows)) <= 300))' || no "--overlap"
"$RETORT" fetch long.txt --split words:3 >/dev/null 2>&1; [ $? = 2 ] || no "--split words:3"

# a failed allocation never gives a partial success
n=0; hits=0
"$RETORT" fetch d/a.html d/z.zip d/rows.jsonl d/c.LICENSE --front-matter >want 2>/dev/null
for i in $(seq 1 4 400); do
  RETORT_FAIL_ALLOC=$i timeout 20 "$RETORT" fetch d/a.html d/z.zip d/rows.jsonl d/c.LICENSE --front-matter >got 2>err; rc=$?
  if [ $rc = 0 ]; then cmp -s want got || { no "allocation $i failed, exit 0, other output"; break; }; elif [ $rc = 5 ]; then hits=$((hits + 1)); else no "allocation $i: exit $rc $(tail -1 err)"; break; fi
done
[ $hits -gt 5 ] || no "only $hits allocation faults were hit"
[ $bad = 0 ] && echo "fetch: all good"
exit $bad
