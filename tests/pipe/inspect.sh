#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort inspect`: numbers of a golden model and of SmolLM2, refusals with a message and exit 1.
set -u
fail() { echo "FAIL: $1"; exit 1; }
data=$RETORT_SOURCE/tests/golden/data/model
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
out=$("$RETORT" inspect "$data/llama_tied" --json) || fail "inspect llama_tied"
# 320*48 + 3*(2*48*48 + 2*16*48 + 3*96*48 + 2*48) + 48
for want in '"parameters":75600' '"arch":"llama"' '"heads":6' '"kv_heads":2' '"ffn":96' '"terms":"unknown"' '"F32":{"tensors":29,"bytes":302400}'; do
  [[ $out == *"$want"* ]] || fail "llama_tied: no $want in $out"
done
"$RETORT" inspect "$data/llama_tied" "$data/qwen3" | grep -c '^kind' | grep >/dev/null -x 2 || fail "two arguments give two sheets"
"$RETORT" inspect "$data/qwen3" --tensors | grep >/dev/null 'self_attn.q_norm.weight' || fail "--tensors"
if [ -n "${RETORT_CACHE:-}" ]; then
  out=$("$RETORT" inspect "$RETORT_CACHE/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" --json) || fail "inspect SmolLM2"
  for want in '"parameters":134515008' '"tokens":49152' '"template":"smollm2"' '"terms":"apache-2.0"' '"tokenizer":"smollm"'; do
    [[ $out == *"$want"* ]] || fail "SmolLM2: no $want in $out"
  done
fi
"$RETORT" inspect "$tmp" 2>"$tmp/err"; [ $? = 1 ] || fail "an empty folder must exit 1"
grep -q 'config.json' "$tmp/err" || fail "message names what is missing: $(cat "$tmp/err")"
printf 'GGUF\3\0\0\0' >"$tmp/cut.gguf"
"$RETORT" inspect "$tmp/cut.gguf" 2>"$tmp/err"; [ $? = 1 ] || fail "a cut file must exit 1"
grep -q 'cut.gguf' "$tmp/err" || fail "message names the file: $(cat "$tmp/err")"
"$RETORT" inspect 2>/dev/null; [ $? = 2 ] || fail "no argument is a usage error"
echo ok
