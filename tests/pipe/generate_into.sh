#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# generate --into FIELD: the answer goes into the field, the rest of the row stays byte for byte, and an answer that is
# there already is not shown to the model.
set -uo pipefail
model=${RETORT_CACHE:-}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$model" ] || { echo "skipped: RETORT_CACHE has no SmolLM2"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_RUN="$work/run"
ask='{"role":"user","content":"Name a colour."}'
one=$(printf '{"id":"q", "messages":[%s],"n":1e400}\n' "$ask" | "$RETORT" generate -q "$model" --into said --max-tokens 8) || exit 1
two=$(printf '{"id":"q", "messages":[%s,{"role":"assistant","content":"none"}]}\n' "$ask" | "$RETORT" generate -q "$model" --into said --max-tokens 8) || exit 1
case $one in '{"id":"q", "messages":['"$ask"'],"n":1e400,"said":"'*) ;; *) echo "row changed: $one"; exit 1 ;; esac
[ "$(jq -r .said <<<"$two")" = "$(jq -r .said <<<"$one")" ] || { echo "the old answer was shown: $one $two"; exit 1; }
[ -n "$(jq -r .said <<<"$two")" ] || { echo "empty answer"; exit 1; }
