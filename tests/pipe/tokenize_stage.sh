#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort tokenize` as a pipe: the golden ids come out of it, decoding leads back, bad rows and bad files are named.
set -u
R=${RETORT:-./retort}; D=${RETORT_SOURCE:-.}/tests/golden/data/tokenizer; bad=0
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
fail() { echo "FAILED: $1"; bad=1; }
for name in gpt2_style qwen2_small; do
  for special in true false; do
    grep "\"special\":$special" "$D/cases.jsonl" >"$T/in"
    [ $special = true ] && flag= || flag=--no-special
    "$R" tokenize "$D/$name.tokenizer.json" $flag <"$T/in" >"$T/out" 2>"$T/err" || { fail "$name: $(cat "$T/err")"; continue; }
    "$R" tokenize "$D/$name.tokenizer.json" --decode <"$T/out" >"$T/back" 2>/dev/null || fail "$name --decode"
    python3 - "$name" "$T/in" "$T/out" "$T/back" <<'PY' || fail "$name special=$special"
import json, sys
rows = [[json.loads(l) for l in open(p, encoding='utf-8').read().split('\n') if l] for p in sys.argv[2:]]
name = sys.argv[1]
assert len(rows[0]) == len(rows[1]) == len(rows[2]) > 0
for want, ids, back in zip(*rows):
    assert ids == {'id': want['id'], 'ids': want[name]}, (want, ids)
    text = want.get('nfc', want['text']) if name.startswith('qwen') else want['text']
    assert back == {'id': want['id'], 'text': text}, (want, back)
PY
  done
done
# a conversation: ids of the template's text, and a mask of the same length that ends on the end-of-turn token
echo '{"id":1,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}' | "$R" tokenize "$D/qwen2_small.tokenizer.json" --messages --chat-template chatml 2>/dev/null >"$T/chat"
printf '{"id":1,"text":"<|im_start|>user\\na<|im_end|>\\n<|im_start|>assistant\\nb<|im_end|>\\n"}\n' | "$R" tokenize "$D/qwen2_small.tokenizer.json" 2>/dev/null >"$T/plain"
grep -q '"id":1,.*"mask":\[0,0*[0,]*1,1,0\]' "$T/chat" || fail "mask: $(cat "$T/chat")"
[ "$(sed 's/,"mask.*//' "$T/chat")" = "$(sed 's/}$//' "$T/plain")" ] || fail "messages: $(cat "$T/chat") against $(cat "$T/plain")"

refuse() { # INPUT STATUS TEXT ARGS...
  local in=$1 want=$2 text=$3 out rc; shift 3
  out=$(printf '%s\n' "$in" | "$R" tokenize "$@" 2>&1 >/dev/null); rc=$?
  if [ $rc != "$want" ] || ! grep -q -- "$text" <<<"$out"; then fail "tokenize $* on '$in' gave $rc: $out"; fi
}
J=$D/gpt2_style.tokenizer.json
refuse '{"id":7}' 1 'row 1 (id 7): no "text"' "$J"
refuse '{"ids":[1,99999]}' 1 'ids\[1\] is no token id' "$J" --decode
refuse '{"ids":[-1]}' 1 'is no token id' "$J" --decode
refuse '{}' 1 'no chat template; choose one with --chat-template' "$J" --messages
refuse '{}' 2 'unknown chat template; known: smollm2' "$J" --messages --chat-template alpaca
refuse '{}' 2 'expected one' "$J" "$J"
printf '{"model":{"type":"Unigram","vocab":[]}}' >"$T/tokenizer.json"
refuse '{}' 1 'Unigram' "$T/tokenizer.json"
head -c 4000 "$J" >"$T/cut.json"
refuse '{}' 1 'cut.json' "$T/cut.json"
sed 's/"pre_tokenizer":{"type":"ByteLevel"/"pre_tokenizer":{"type":"Whitespace"/' "$J" >"$T/white.json"
refuse '{}' 1 'Whitespace' "$T/white.json"
mkdir "$T/empty"
refuse '{}' 1 'no tokenizer.json' "$T/empty"
refuse '{}' 3 'nowhere.gguf' "$T/nowhere.gguf"
[ -z "$(: | "$R" tokenize "$J" 2>/dev/null)" ] || fail "empty input"
exit $bad
