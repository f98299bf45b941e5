#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `augment | label` with two local teachers in one pipe against the sum of the stages run alone (goal: at most 1.1 times).
# No book, so that every answer is computed each time. usage: tests/bench/augment_label.sh [REPEATS=3] [PASSAGES=24]
set -euo pipefail
cd "$(dirname "$0")/../.."
retort=${RETORT:-$PWD/build/gcc/retort}
teacher=${RETORT_CACHE:-$PWD/build/cache}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
repeats=${1:-3} passages=${2:-24}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_RUN=$work/run
unset RETORT_BOOK
awk -F'\t' '!/^#/ { print $2 }' corpora/legal/licences.tsv | head -"$passages" >"$work/list"
"$retort" fetch -q --from-file "$work/list" --root "${RETORT_CACHE:-$PWD/build/cache}/scancode/licenses" --front-matter --split chars:600 --min-chars 250 --passages 1 >"$work/passages.jsonl"
calc() { awk "BEGIN { print $1 }"; }
seconds() { local t0 t1; t0=$(date +%s.%N); "$@" || exit 1; t1=$(date +%s.%N); calc "$t1 - $t0"; }
augment() { "$retort" augment -q --no-progress --recipe qa --per-row 1 --teacher "$teacher" <"$work/passages.jsonl" >"$work/questions.jsonl"; }
label() { "$retort" label -q --no-progress --teacher "$teacher" --max-tokens 60 <"$work/questions.jsonl" >"$work/alone.jsonl"; }
both() {
  "$retort" augment -q --no-progress --recipe qa --per-row 1 --teacher "$teacher" <"$work/passages.jsonl" |
    "$retort" label -q --no-progress --teacher "$teacher" --max-tokens 60 >"$work/piped.jsonl"
}
for ((i = 1; i <= repeats; i++)); do
  a=$(seconds augment) l=$(seconds label) p=$(seconds both)
  cmp -s "$work/alone.jsonl" "$work/piped.jsonl" || { echo "the pipe gave other rows than the stages alone"; exit 1; }
  ratio=$(calc "$p / ($a + $l)")
  printf 'augment %.1f s, label %.1f s, sum %.1f s, pipe %.1f s: ratio %.2f (%s rows)\n' "$a" "$l" "$(calc "$a + $l")" "$p" "$ratio" "$(wc -l <"$work/piped.jsonl")"
  echo "$ratio" >>"$work/ratios"
done
sort -n "$work/ratios" | awk '{ r[NR] = $1 } END { printf "median ratio %.2f (goal: at most 1.10)\n", r[int((NR + 1) / 2)] }'
