#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a 135 M teacher makes of each recipe: 20 passages of licence texts (or 20 questions and answers of its own about them), one run a
# recipe, a table for docs/recipes.md. usage: recipes_yield.sh RETORT [RECIPE...]; RETORT_CACHE holds SmolLM2 and the licences
# (tools/data.sh teacher documents). Run it under `flock /tmp/heavy.lock nice`.
set -uo pipefail
retort=${1:?path of the binary}
shift
cache=${RETORT_CACHE:-build/cache}
model=$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_RUN="$work/run"
"$retort" fetch "$cache"/scancode/licenses/*.LICENSE --split chars:900 2>/dev/null | python3 -c '
import sys, json
n = 0
for line in sys.stdin:
    r = json.loads(line)
    if 500 <= len(r["text"]) <= 900 and r["id"].endswith("#1"):
        print(line, end=""); n += 1
        if n == 20: break' >"$work/docs"
"$retort" augment -r qa --per-row 4 -t "$model" <"$work/docs" 2>/dev/null | head -20 >"$work/questions"
"$retort" label -t "$model" --max-tokens 96 <"$work/questions" >"$work/answers" 2>/dev/null
echo "passages $(wc -l <"$work/docs"), questions $(wc -l <"$work/questions"), answers $(wc -l <"$work/answers"); load $(cut -d' ' -f1 /proc/loadavg); $(date -u +%F)"
echo "| recipe | rows in | rows kept | rows made | outputs | seconds | most frequent rejections |"
echo "|---|---|---|---|---|---|---|"
[ $# -gt 0 ] || set -- $("$retort" taxonomy --recipes | awk 'NR > 1 { print $1 }')
for r in "$@"; do
  recipe=$(dirname "$0")/../../augment/recipes/$r.yaml
  case $(sed -n 's/^input: //p' "$recipe") in user) in=$work/questions ;; pair) in=$work/answers ;; nothing) in=/dev/null ;; *) in=$work/docs ;; esac
  SECONDS=0
  timeout 900 "$retort" augment -r "$r" -t "$model" --count 20 <"$in" >"$work/out" 2>"$work/err"
  line=$(grep 'outputs (' "$work/err" | tail -1)
  kept=$(grep -o '[0-9]* kept' "$work/err" | tail -1 | cut -d' ' -f1)
  echo "| \`$r\` | $(wc -l <"$in") | ${kept:-0} | $(wc -l <"$work/out") | $(grep -o '[0-9]* outputs' <<<"$line" | cut -d' ' -f1) | $SECONDS | $(sed -n 's/; asked again.*//; s/.*rejected: //p' <<<"$line" | tr ',' '\n' | awk '{ n = $NF; sub(/ [0-9]+$/, ""); sub(/^ +/, ""); print n "\t" $0 }' | sort -rn | head -3 | awk -F'\t' '{ printf("%s%s %s", (NR > 1) ? ", " : "", $2, $1) }') |"
done
