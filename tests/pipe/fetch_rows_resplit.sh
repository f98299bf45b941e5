#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rows that are split into passages keep the fields fetch does not own byte for byte; documents know their folder.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
mkdir -p 'do cs/mit'
printf 'One sentence is here. Another sentence follows it. A third one ends the text.' >'do cs/mit/a.txt'
"$RETORT" fetch -q 'do cs' | jq -e '.meta.folder == "mit"' >/dev/null || { echo "meta.folder"; exit 1; }
printf '{"id":"x","split":"test","n":12345678901234567890123, "text":"One sentence is here. Another sentence follows it. A third one ends the text."}\n' |
  "$RETORT" fetch -q --split chars:30 - >out || exit 1
[ "$(wc -l <out)" = 3 ] || { echo "expected 3 passages: $(cat out)"; exit 1; }
[ "$(grep -c '"split":"test","n":12345678901234567890123' out)" = 3 ] || { echo "fields are lost: $(cat out)"; exit 1; }
[ "$(jq -r .id <out | tr '\n' ' ')" = 'x#1 x#2 x#3 ' ] || { echo "ids: $(jq -r .id <out)"; exit 1; }

# --passages N: N of them, spread evenly
seq 1 40 | sed 's/.*/Sentence number & of the text./' >long.txt
got=$("$RETORT" fetch -q --split chars:40 --passages 4 long.txt | jq -r .meta.part | tr '\n' ' ')
[ "$got" = '10 20 30 40 ' ] || { echo "--passages 4 took '$got'"; exit 1; }
[ "$("$RETORT" fetch -q --split chars:40 --passages 99 long.txt | wc -l)" = 40 ] || { echo "--passages above the count"; exit 1; }
