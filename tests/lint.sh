#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rules that a compiler does not see: who may include whom, unique file names, SPDX lines, no machine path, no registry
# host, no left-over markers, option tables and docs that name what exists.
set -uo pipefail
cd "$(dirname "$0")/.."
bad=0
complain() { echo "lint: $1"; bad=1; }

files=$(git ls-files -co --exclude-standard -- '*.c' '*.h' '*.cu' '*.cuh' '*.sh' '*.py' 'Makefile' 'CMakeLists.txt' '*.def' '*.yaml' '*.md' '.ci/run' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
code=$(grep -E '\.(c|h|cu|cuh|def)$' <<<"$files")

while read -r name; do complain "two files are called $name: names are unique in the tree"; done < <(grep -E '\.(c|h)$' <<<"$files" | sed 's|.*/||' | sort | uniq -d)
for f in $code $(grep -E '\.(sh|py)$' <<<"$files"); do head -4 "$f" | grep >/dev/null 'SPDX-License-Identifier: Apache-2.0' || complain "$f has no SPDX line"; done

declare -A room
for f in $(grep '\.h$' <<<"$code"); do room[$(basename "$f")]=${f%%/*}; done
# Shared headers of stage rooms that every stage may see.
shared=" record.h shard.h teacher.h terms.h pii.h teacher_options.h teacher_rows.h answer_parse.h sampling_options.h words.h similar.h "
allowed() { # FROM TO
  case $1 in
    core) [ "$2" = core ] ;;
    kernels) [[ " core kernels " == *" $2 "* ]] ;;
    model) [[ " core kernels model " == *" $2 "* ]] ;;
    fetch | augment | label | corpora | train) [[ " core kernels model $1 " == *" $2 "* ]] ;;
    *) true ;;
  esac
}
for f in $(grep -E '^(core|kernels|model|fetch|augment|label|corpora|train)/.*\.(c|h|cu)$' <<<"$code"); do
  from=${f%%/*}
  while read -r h; do
    to=${room[$h]:-}
    [ -n "$to" ] || continue
    allowed "$from" "$to" && continue
    [[ $shared == *" $h "* && " fetch augment label corpora train " == *" $from "* ]] && continue
    case "$from/$h" in
      model/record.h | model/shard.h) continue ;; # instruments and inspect read what stages share
    esac
    complain "$f includes $h of $to/: calls go down only (docs: design, section 3)"
  done < <(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f")
done

for f in $(grep -E '^(core|kernels|model|fetch|augment|label|corpora|train)/.*\.(c|h|cu)$' <<<"$code"); do
  n=$(wc -l <"$f")
  [ "$n" -le 600 ] || complain "$f has $n lines: above 600 split"
  grep -nE '\b(malloc|calloc|realloc|free)\(' "$f" | grep -vE '^[0-9]+:\s*\*|mem_|_free\(|core/mem' >/tmp/lint.$$ || true
  if [ "$f" != core/mem.c ] && [ -s /tmp/lint.$$ ]; then complain "$f allocates beside core/mem.h: $(head -1 /tmp/lint.$$)"; fi
  grep -nE '\b(pthread_create|exit)\(' "$f" | grep -vE '_exit|^[0-9]+:\s*\*' >/tmp/lint.$$ || true
  if [[ $f != core/* ]] && [ -s /tmp/lint.$$ ]; then complain "$f: threads and exit live in core/: $(head -1 /tmp/lint.$$)"; fi
done
rm -f /tmp/lint.$$

paths='/(work|farm|root|home/[a-z]+)/'
hosts='(pypi\.org|pythonhosted|deb\.debian|registry\.npm)'
while read -r hit; do complain "machine path or registry host: $hit"; done < <(grep -nE "$paths|$hosts" $files 2>/dev/null | grep -v '^tests/lint.sh' | cut -c1-160 | head -5)
while read -r hit; do complain "left-over: $hit"; done < <(grep -nE '\b(TODO|FIXME|XXX)\b|not implemented|unimplemented' $code 2>/dev/null | cut -c1-160 | head -5)
# Every row of the kernel table has its CUDA twin; only what calls back into the host has none.
host_only=" exp_span rows "
for row in $(sed -n 's/^  [a-z][^(]*(\*\([a-z_]*\))(.*/\1/p' <(sed -n '/^struct kernels {/,/^};/p' kernels/kernel.h)); do
  [[ $host_only == *" $row "* ]] || grep -q "ROW($row);" kernels/cuda/cuda_table.cu || complain "kernels/kernel.h has the row $row, kernels/cuda/cuda_table.cu has not"
done
# And a test that calls it (tests/cuda; reduce_ranks: tests/device/ranks_on_device.c); what every test uses is named here.
everywhere=" block_new block_free failed lane reduce_ranks "
for row in $(sed -n 's/.*ROW(\([a-z_]*\));.*/\1/p' kernels/cuda/cuda_table.cu); do
  [[ $everywhere == *" $row "* ]] || grep -q "K->$row\b" tests/cuda/*.[ch] || complain "kernels/cuda/cuda_table.cu has the row $row, no test in tests/cuda calls it"
done
for f in $(grep -l '^LOSS_ROW(' train/loss_*.c); do
  grep -q "#include \"$(basename "$f")\"" train/loss_files.cuh || complain "$f has a loss, train/loss_files.cuh does not include it: it would have no CUDA form"
done
while read -r hit; do complain "a pipe into 'grep -q' fails at random under pipefail (docs/traps.md), use 'grep >/dev/null': $hit"; done < <(
  grep -nE '[^|]\| *grep -[a-zA-Z]*q' $(grep -E '\.(sh|bash)$' <<<"$files") 2>/dev/null | grep -v '^tests/lint.sh' | cut -c1-160 | head -5)
for s in $(sed -n 's/^STAGE(\([a-z]*\))$/\1/p' core/stages.def); do
  grep -q "retort $s\|\`$s\`" README.md 2>/dev/null || complain "README.md does not mention stage $s"
done
[ "$bad" = 0 ] && echo "lint: clean"
exit $bad
