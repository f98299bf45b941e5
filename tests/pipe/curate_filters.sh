#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Filters of `curate` on the command line: expected values are the planted ones of the curation goldens or made by hand. What
# filters write and drop must depend neither on the order of rows, nor on threads, nor on memory.
. "$RETORT_SOURCE/tests/pipe/lib.bash" || exit 1
G=$RETORT_SOURCE/tests/golden/data/curate
ids() { jq -r .id <"$1" | sort | tr '\n' ' '; }
kept() { # NAME EXPECTED-IDS args...: rows.jsonl through curate
  local name=$1 want=$2; shift 2
  "$RETORT" curate -q "${plain[@]}" --rejects r "$@" <rows.jsonl >out 2>err || no "$name: $(cat err)"
  [ "$(ids out)" = "$want" ] || no "$name: kept $(ids out), expected $want"
}
why() { jq -r '"\(.id) \(.curate.reason) \(.curate.evidence)"' <r | sort | tr '\n' '|'; }

# ---- personal data: every planted value and nothing else, against offsets of the goldens ----
kinds=(--pii-kinds all,-name,-dob,-mrn)
python3 - "$G/corpus.jsonl" "$G/pii.json" <<'PY' || no "expected texts"
import json, sys
label = {'email': 'EMAIL', 'iban': 'IBAN', 'credit_card': 'CARD', 'api_key': 'API_KEY', 'ssn_us': 'NATIONAL_ID', 'my_number_jp': 'NATIONAL_ID', 'url_credentials': 'URL_CREDENTIALS'}
spans = {}
for x in json.load(open(sys.argv[2], encoding='utf-8'))['pii']:
    name = 'PHONE' if x['type'].startswith('phone') else 'IP' if x['type'].startswith('ipv') else label[x['type']]
    spans.setdefault(x['doc'], []).append((x['byte_start'], x['byte_end'], name))
with open('mask', 'w') as m, open('place', 'w') as p, open('with', 'w') as w:
    for line in open(sys.argv[1], encoding='utf-8'):
        d = json.loads(line)
        t, out, num, at, seen = d['text'].encode(), [b''] * 2, {}, 0, {}
        for a, b, name in sorted(spans.get(d['id'], [])):
            key = (name, bytes(c for c in t[a:b].lower() if chr(c).isalnum() or c >= 128))
            if key not in seen:
                num[name] = num.get(name, 0) + 1
                seen[key] = num[name]
            out = [out[0] + t[at:a] + b'[%s]' % name.encode(), out[1] + t[at:a] + b'[%s_%d]' % (name.encode(), seen[key])]
            at = b
        m.write(json.dumps([d['id'], (out[0] + t[at:]).decode()]) + '\n')
        p.write(json.dumps([d['id'], (out[1] + t[at:]).decode()]) + '\n')
        if d['id'] in spans:
            w.write(d['id'] + '\n')
PY
texts() { python3 -c 'import json,sys
for l in sys.stdin:
    d = json.loads(l); print(json.dumps([d["id"], d["text"]]))'; }
"$RETORT" curate "${plain[@]}" --no-progress --pii mask "${kinds[@]}" <"$G/corpus.jsonl" 2>err | texts >got
cmp -s got mask || no "--pii mask: $(diff got mask | head -4)"
sum=$(grep -o 'pii_[a-z_]* [0-9]*' err | awk '{ n += $2 } END { print n }')
[ "$sum" = "$(jq '.pii | length' <"$G/pii.json")" ] || no "--pii mask: $sum values counted: $(tail -1 err)"
"$RETORT" curate -q "${plain[@]}" --pii placeholder "${kinds[@]}" <"$G/corpus.jsonl" | texts >got
cmp -s got place || no "--pii placeholder: $(diff got place | head -4)"
"$RETORT" curate -q "${plain[@]}" --pii drop "${kinds[@]}" --rejects r <"$G/corpus.jsonl" >out
[ "$(ids r)" = "$(sort with | tr '\n' ' ')" ] || no "--pii drop: $(wc -l <r) rows, expected $(wc -l <with)"
jq -r .curate.evidence <r | grep -v '\[[A-Z_]*\]' >without && no "evidence without a label: $(head -1 without)"
printf '%s\n' '{"id":"a","messages":[{"role":"user","content":"mail to x.y@example.org"},{"role":"assistant","content":"I wrote to X.Y@example.org and z@example.org"}],"meta":{"n":12345678901234567890}}' >rows.jsonl
"$RETORT" curate -q "${plain[@]}" --pii placeholder <rows.jsonl >out
[ "$(cat out)" = '{"id":"a","messages":[{"role":"user","content":"mail to [EMAIL_1]"},{"role":"assistant","content":"I wrote to [EMAIL_1] and [EMAIL_2]"}],"meta":{"n":12345678901234567890}}' ] || no "conversation: $(cat out)"

# ---- gibberish and mojibake: the planted ones of the goldens, and no other row ----
"$RETORT" curate -q "${plain[@]}" --gibberish 0.4 --mojibake 0.1 --rejects r <"$G/corpus.jsonl" >out
of() { jq -r --arg k "$1" 'select(.curate.reason == $k) | .id' <r | sort | tr '\n' ' '; } # ids of the generator's low_quality
[ "$(of gibberish)" = 'd0020 d0057 d0167 d0507 d0558 ' ] || no "gibberish: $(of gibberish)"
[ "$(of mojibake)" = 'd0114 d0116 d0263 d0348 d0455 ' ] || no "mojibake: $(of mojibake)"
[ "$(wc -l <r)" = 10 ] || no "gibberish: $(wc -l <r) rows dropped"

# ---- answers ----
cat >rows.jsonl <<'ROWS'
{"id":"closed","prompt":"q","completion":"See:\n```c\nint x;\n```\nand ~~~ in a line"}
{"id":"cut","prompt":"q","completion":"See:\n```c\nint x;\n"}
{"id":"inner","prompt":"q","completion":"````md\n```\n````"}
{"id":"other","prompt":"q","completion":"```\nx\n~~~"}
{"id":"oneline","prompt":"q","completion":"```not a fence``` is code in a line"}
{"id":"prompt_only","prompt":"why does ```\nthis fail","completion":"because of it"}
{"id":"indented","prompt":"q","completion":"    ```\nfour blanks are a code block"}
ROWS
kept fences "closed indented inner oneline prompt_only " --fences
[ "$(why)" = 'cut unbalanced_fence ```c|other unbalanced_fence ```|' ] || no "fences: $(why)"
cat >rows.jsonl <<'ROWS'
{"id":"echo","prompt":"Explain in one sentence why the sky looks blue at noon","completion":"Explain in one sentence why the sky looks blue at noon, please"}
{"id":"half","prompt":"Explain in one sentence why the sky looks blue at noon","completion":"Explain in one sentence why short waves scatter more than long ones do"}
{"id":"own","prompt":"Explain in one sentence why the sky looks blue at noon","completion":"Air scatters short waves more than long ones, so blue light comes from everywhere"}
{"id":"brief","prompt":"Is it Rome or Paris?","completion":"Rome or Paris"}
ROWS
kept copied "brief half own " --copied-prompt 0.6
[ "$(why)" = 'echo copied_prompt Explain in one sentence why|' ] || no "copied: $(why)"
[ "$(jq .curate.score <r | cut -c1-6)" = 0.875 ] || no "copied: 7 of 8 runs of five words, found $(jq .curate.score <r)"
kept "copied, lower" "brief own " --copied-prompt 0.1
P='"passages":[{"id":"p","text":"The dam at Norvik was finished in 1954 and holds 30 million cubic metres of water."}]'
cat >rows.jsonl <<ROWS
{"id":"good","prompt":"When was the dam finished?","completion":"The Norvik dam was finished in 1954.",$P}
{"id":"year","prompt":"When was the dam finished?","completion":"In 1961.",$P}
{"id":"made","prompt":"When was the dam finished?","completion":"Engineers under Hansen completed Lake Tornes around 1954.",$P}
{"id":"none","prompt":"When was the dam finished?","completion":"Engineers under Hansen completed it."}
ROWS
kept unsupported "good none " --min-support 0.6
[ "$(why)" = 'made unsupported Engineers|year unsupported 1961|' ] || no "unsupported: $(why)"

# ---- rules of users ----
cat >rules.yaml <<'YAML'
rules:
  - { name: ours, match: '^keep me', do: keep, on: text }
  - { name: rights, match: 'all rights reserved', ignore_case: true, do: drop }
  - { name: shouting, match: '\b[A-Z]{4,}\b', at_least: 3, do: drop, on: [text, assistant] }
  - { name: must-cite, match: '\[\d+\]', absent: true, do: tag, tag: "no citation" }
  - { name: dates, match: '(\d{4})-(\d\d)-(\d\d)', do: rewrite, with: '$3.$2.$1' }
YAML
cat >rows.jsonl <<'ROWS'
{"id":"k","text":"keep me. All Rights Reserved. 2024-01-02"}
{"id":"r","text":"x. All Rights Reserved."}
{"id":"s","text":"THIS is NOISE and MORE [1]"}
{"id":"u","prompt":"THIS is NOISE and MORE [1]","completion":"on 2024-01-02 and 2023-12-31"}
{"id":"t","text":"plain","tags":["old"],"big":12345678901234567890}
ROWS
kept rules "k t u " --rules rules.yaml
[ "$(why)" = 'r rule_rights All Rights Reserved|s rule_shouting THIS|' ] || no "rules: $(why)"
cat >want <<'ROWS'
{"id":"k","text":"keep me. All Rights Reserved. 2024-01-02"}
{"id":"u","prompt":"THIS is NOISE and MORE [1]","completion":"on 02.01.2024 and 31.12.2023"}
{"id":"t","text":"plain","tags":["old","no citation"],"big":12345678901234567890}
ROWS
cmp -s out want || no "rules: $(diff out want)"
"$RETORT" curate --no-progress "${plain[@]}" --rules rules.yaml <rows.jsonl 2>&1 >out | grep 'changed (rule_dates 2, rule_must-cite 1)' >/dev/null || no "rules: counts"
refuse() { # TEXT-OF-RULES MESSAGE
  printf '%s\n' "$1" >bad.yaml
  "$RETORT" curate -q --rules bad.yaml <rows.jsonl >out 2>err
  [ $? = 2 ] && grep -- "$2" err >/dev/null || no "bad rules '$1': $(cat err)"
}
refuse 'rules: []' 'expected a list of rules'
refuse 'rules: [{name: a, match: "(", do: drop}]' "rule 'a': pattern '('"
refuse 'rules: [{name: a, match: x, do: drp}]' "found 'drp', expected drop, keep, tag or rewrite"
refuse 'rules: [{name: a, match: x, do: drop, wiht: y}]' "unknown key 'wiht'; did you mean 'with'"
refuse 'rules: [{name: a, match: x, do: rewrite}]' 'with: expected what takes the place'
refuse 'rules: [{name: a, match: n, do: rewrite, with: "${1"}]' "rule 'a': with:"
refuse 'rules: [{name: a, match: x, do: drop}, {name: a, match: y, do: drop}]' 'twice'

# ---- languages ----
cat >rows.jsonl <<'ROWS'
{"id":"en","text":"The contract ends at the end of the year and nobody has to say so."}
{"id":"fr","text":"Le contrat prend fin \u00e0 la fin de l'ann\u00e9e."}
{"id":"ru","text":"\u0414\u043e\u0433\u043e\u0432\u043e\u0440 \u0437\u0430\u043a\u0430\u043d\u0447\u0438\u0432\u0430\u0435\u0442\u0441\u044f"}
{"id":"ja","text":"\u5951\u7d04\u306f\u5e74\u672b\u306b\u7d42\u308f\u308b"}
{"id":"none","text":"12345 ..."}
ROWS
kept "scripts" "en fr none " --lang en
kept "scripts" "ja none ru " --lang ja,ru
[ "$(jq -r .curate.reason <r | sort -u)" = other_script ] || no "scripts: $(why)"
"$RETORT" curate -q --lang English <rows.jsonl >out 2>err; [ $? = 2 ] || no "--lang English: $(cat err)"
"$RETORT" curate -q --lang en --lang-model rows.jsonl <rows.jsonl >out 2>err
[ $? = 1 ] && grep 'no fastText model' err >/dev/null || no "a model that is none: $(cat err)"
if [ -f "${RETORT_CACHE:-}/lid.176.ftz" ]; then
  kept "fastText" "en " --lang en --lang-model "$RETORT_CACHE/lid.176.ftz" --lang-min 0.5
  [ "$(jq -r 'select(.id != "none") | .id + .curate.evidence' <r | tr '\n' ' ')" = 'frfr ruru jaja ' ] || no "fastText: $(why)"
fi

# ---- C4 changes text before words are cut: what is left decides over duplicates ----
S='One line of a text that says a thing. Two of it. Three of it. Four of it. Five of it.'
printf '{"id":"a","text":"%s"}\n{"id":"b","text":"Home | About\\n%s\\nContact"}\n' "$S" "$S" >rows.jsonl
"$RETORT" curate --no-progress --no-repetition --c4 --rejects r <rows.jsonl >out 2>err
[ "$(ids out)" = "a " ] && [ "$(jq -r .curate.reason <r)" = exact_duplicate ] || no "c4: kept $(ids out), $(cat err)"
grep 'changed (c4_lines 2)' err >/dev/null || no "c4: $(cat err)"

# ---- everything at once: order, threads, memory ----
cat >rules.yaml <<'YAML'
rules:
  - { name: lower, match: 'The ', do: rewrite, with: 'the ' }
  - { name: long, match: '\w{14,}', do: tag }
YAML
all=(--near 0.7 --against "$G/eval.jsonl" --gopher-quality --fineweb --c4 --min-num-sentences 2 --no-filter-no-terminal-punct --pii placeholder --fences --gibberish 0.4 --mojibake 0.1 --rules rules.yaml)
"$RETORT" curate -q "${all[@]}" --threads 2 --rejects r0 <"$G/corpus.jsonl" >o0 || no "all filters"
[ "$(wc -l <o0)" -gt 100 ] && [ "$(jq -r .curate.reason <r0 | sort -u | wc -l)" -gt 9 ] || no "all filters: $(wc -l <o0) kept, reasons $(jq -r .curate.reason <r0 | sort | uniq -c)"
for how in "--threads 1" "--threads 3 --memory 8M"; do
  awk -v s="${#how}" 'BEGIN { srand(s) } { print rand() "\t" $0 }' "$G/corpus.jsonl" | sort | cut -f2- | "$RETORT" curate -q "${all[@]}" $how --rejects r1 >o1 || no "all filters, $how"
  sort o0 >a; sort o1 >b; cmp -s a b || no "rows depend on order or $how"
  sort r0 >a; sort r1 >b; cmp -s a b || no "rejects depend on order or $how"
done
exit $bad
