#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fails allocation 1, 2, 3, ... of a stage until none is hit any more. Allowed outcomes: exit 5 with a message (out of
# memory), or 0 with the whole right output (the failed one was not needed). Never a crash, a hang or a partial success.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RETORT_RUN="$work/run"
bad=0

torture() { # NAME MOST INPUT command...
  local name=$1 most=$2 input=$3 n rc hits=0
  shift 3
  "$@" <"$input" >"$work/want" 2>"$work/err" || { echo "$name: fails without faults: $(cat "$work/err")"; bad=1; return; }
  for ((n = 1; n <= most; n++)); do
    RETORT_FAIL_ALLOC=$n timeout 20 "$@" <"$input" >"$work/got" 2>"$work/err"
    rc=$?
    case $rc in
      0) cmp -s "$work/want" "$work/got" || { echo "$name: allocation $n failed, exit 0, but the output differs"; bad=1; break; } ;;
      5) hits=$((hits + 1)); grep -q 'out of memory' "$work/err" || { echo "$name: allocation $n: exit 5 without a message: $(cat "$work/err")"; bad=1; break; } ;;
      *) echo "$name: allocation $n: exit $rc: $(tail -3 "$work/err")"; bad=1; break ;;
    esac
  done
  [ "$hits" -gt 5 ] || { echo "$name: only $hits faults were hit: the test proves nothing"; bad=1; }
  echo "$name: $((n - 1)) faults, $hits noticed"
}

cat >"$work/rows.jsonl" <<'J'
{"id":"a","text":"The licensee may copy the work and give it to others without charge, as long as this notice stays."}
{"id":"b","text":"The licensee may copy the work and give it to others without charge, as long as this notice stays."}
{"id":"c","text":"A warranty is not given, neither express nor implied, and the author is not liable for any damage at all."}
J
torture curate 400 "$work/rows.jsonl" "$RETORT" curate -q --near 0.8
cat >"$work/mixed.jsonl" <<'J'
{"id":"a","text":"The licensee Mr. John Smith (a.b@example.org) may copy the work and give it to others without charge, as long as this notice stays."}
{"id":"p","prompt":"Explain why the sky is blue since 2024-01-02","completion":"```c\nint x;\n```\nExplain why the sky is blue at noon.","passages":[{"id":"q","text":"The sky is blue because of scattering."}]}
{"id":"c","text":"A warranty is not given, neither express nor implied, and the author is not liable for any damage at all.\nHome | About"}
J
cat >"$work/rules.yaml" <<'J'
rules: [{name: d, match: '(\d+)-(\d+)', do: rewrite, with: '$2.$1'}, {name: w, match: warranty, do: tag}, {name: z, match: zzz, do: drop}]
J
head -1 "$work/mixed.jsonl" | sed 's/"id":"a"/"id":"item"/; s/The licensee.*may/That you may/' >"$work/items.jsonl"
torture filters 300 "$work/mixed.jsonl" "$RETORT" curate -q --no-exact --c4 --min-num-sentences 1 --no-filter-no-terminal-punct --fineweb --gopher-quality --min-doc-words 1 --min-stop-words 0 \
  --pii placeholder --rules "$work/rules.yaml" --fences --copied-prompt 0.95 --min-support 0.1 --gibberish 0.9 --mojibake 0.9 --repetition-min-words 1 \
  --lang l0,l1,l2,l3,l4 --lang-model "$RETORT_SOURCE/tests/golden/data/lid/quantised_out.bin" --lang-min 0 --against "$work/items.jsonl" --against-chars 70
printf '%s' '{"teacher":[[1,2,3]],"student":[[3,2,1]],"mask":[1],"temperature":1}' >"$work/loss.json"
torture loss 200 "$work/loss.json" "$RETORT" loss -q fkl
exit $bad
