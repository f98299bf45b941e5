#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Constrained decoding with a real model: 50 prompts under a schema are valid JSON of that schema (judged by Python), also when
# max-tokens cuts them short; regular expressions and choices hold; batch size and threads change no byte.
set -euo pipefail
model=${RETORT_CACHE:-}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || { echo "skipped: RETORT_CACHE has no SmolLM2"; exit 0; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export RETORT_RUN=$tmp/run
python3 - "$tmp" <<'PY'
import json, sys
things = ["Paris", "a hammer", "Ada Lovelace", "the MIT licence", "photosynthesis", "a contract", "the heart", "inflation", "a comet", "\u00c5ngstr\u00f6m's unit"]
asks = ["Describe {} as JSON.", "What is {}?", "Write a record about {}.", "Say \"{}\" and what you know of it.", "List facts on {}:\n"]
with open(sys.argv[1] + "/in.jsonl", "w") as f:
    for a in asks:
        for t in things:
            f.write(json.dumps({"prompt": a.format(t)}) + "\n")
json.dump({"type": "object", "required": ["name", "kind", "year", "tags", "score"], "additionalProperties": False, "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 30}, "kind": {"enum": ["person", "place", "thing"]}, "year": {"type": "integer", "minimum": -500, "maximum": 2100},
    "tags": {"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 12}, "minItems": 1, "maxItems": 3}, "score": {"type": "number", "minimum": 0, "maximum": 1},
    "more": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pair"}]}}, "$defs": {"pair": {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pair"}]}}, "required": ["a"]}}},
    open(sys.argv[1] + "/schema.json", "w"))
PY
gen() { "$RETORT" generate "$model" -q "$@"; }

gen --schema "$tmp/schema.json" --max-tokens 48 --temperature 0.9 <"$tmp/in.jsonl" >"$tmp/sampled.jsonl"
gen --schema "$tmp/schema.json" --max-tokens 80 < <(head -8 "$tmp/in.jsonl") >"$tmp/greedy.jsonl"
python3 - "$tmp" <<'PY'
import json, sys
def pair(v):
    assert isinstance(v, dict) and isinstance(v["a"], bool) and set(v) <= {"a", "b"}
    if v.get("b") is not None:
        pair(v["b"])
def check(path, want):
    n = 0
    for line in open(path):
        text = json.loads(line)["messages"][-1]["content"]
        v = json.loads(text)
        assert list(v) == [k for k in ["name", "kind", "year", "tags", "score", "more"] if k in v] and set(v) >= {"name", "kind", "year", "tags", "score"}, text
        assert isinstance(v["name"], str) and 1 <= len(v["name"]) <= 30, text
        assert v["kind"] in ("person", "place", "thing"), text
        assert type(v["year"]) is int and -500 <= v["year"] <= 2100, text
        assert 1 <= len(v["tags"]) <= 3 and all(isinstance(t, str) and 2 <= len(t) <= 12 for t in v["tags"]), text
        assert type(v["score"]) in (int, float) and 0 <= v["score"] <= 1, text
        if v.get("more") is not None:
            pair(v["more"])
        assert text == json.dumps(v, ensure_ascii=False) or "." in text or "\\" in text, text  # the white space that constrain.h states
        n += 1
    assert n == want, (path, n, want)
check(sys.argv[1] + "/sampled.jsonl", 50)
check(sys.argv[1] + "/greedy.jsonl", 8)
PY

# the same bytes whatever stands beside a row and whoever computes it
head -6 "$tmp/in.jsonl" >"$tmp/few.jsonl"
head -6 "$tmp/sampled.jsonl" >"$tmp/few.want"
gen --schema "$tmp/schema.json" --max-tokens 48 --temperature 0.9 --batch 1 --threads 1 <"$tmp/few.jsonl" >"$tmp/few.one"
gen --schema "$tmp/schema.json" --max-tokens 48 --temperature 0.9 --batch 5 --threads 3 <"$tmp/few.jsonl" >"$tmp/few.five"
cmp "$tmp/few.want" "$tmp/few.one"
cmp "$tmp/few.want" "$tmp/few.five"

# a regular expression (by Python's re) and choices
head -16 "$tmp/in.jsonl" >"$tmp/sixteen.jsonl"
gen --regex '(yes|no), (because|although) [a-zé ]{5,40}[.!]' --temperature 1.1 --max-tokens 24 <"$tmp/sixteen.jsonl" >"$tmp/regex.jsonl"
gen --one-of 'a person' --one-of 'a place' --one-of 'a thing' --one-of 'none of them' <"$tmp/sixteen.jsonl" >"$tmp/choice.jsonl"
python3 - "$tmp" <<'PY'
import json, re, sys
answers = lambda name: [json.loads(l)["messages"][-1]["content"] for l in open(sys.argv[1] + name)]
r = answers("/regex.jsonl")
assert len(r) == 16 and all(re.fullmatch("(yes|no), (because|although) [a-z\u00e9 ]{5,40}[.!]", a) for a in r), r
c = answers("/choice.jsonl")
assert len(c) == 16 and set(c) <= {"a person", "a place", "a thing", "none of them"}, c
PY

# what cannot be is said, with exit 2
fails() { local want=$1; shift; set +e; "$RETORT" generate "$model" -q --prompt x "$@" >"$tmp/out" 2>"$tmp/err"; local rc=$?; set -e; [ "$rc" = 2 ] && grep -q -- "$want" "$tmp/err" || { echo "rc $rc, expected 2 and '$want':"; cat "$tmp/err"; exit 1; }; }
fails 'give one of them' --regex a --one-of b
fails 'looking around' --regex 'a(?=b)'
fails '--stop' --regex 'a+' --stop a
echo '{"type":"objekt"}' >"$tmp/bad.json"
set +e; "$RETORT" generate "$model" -q --prompt x --schema "$tmp/bad.json" 2>"$tmp/err"; rc=$?; set -e
[ "$rc" != 0 ] && grep -q "bad.json.*#/type.*objekt" "$tmp/err"
