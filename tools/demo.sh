#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole pipe on real input: licence texts in, a distilled student out, with a table at the end. Called by `make demo`,
# which builds and fetches first. Everything lands in build/demo. A second run redoes only what changed: each step keeps a
# stamp over its command, its inputs and the program; answers of the teacher come from the book.
# TOKENS=2M trains longer; PASSAGES=4 asks about more passages of each document; DEMO=folder puts it elsewhere;
# UNTIL=pruned stops before training (tests/bench/demo_seeds.py goes on from there).
set -euo pipefail
cd "$(dirname "$0")/.."
retort=$PWD/build/gcc/retort
cache=${RETORT_CACHE:-$PWD/build/cache}
teacher=$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
demo=${DEMO:-build/demo}
tokens=${TOKENS:-32K}
passages=${PASSAGES:-1}
seed=${SEED:-1}
mkdir -p "$demo/stamps"
export RETORT_BOOK=$demo/book RETORT_RUN=$PWD/build/run
program=$(sha256sum <"$retort" | cut -c1-16)
started=$SECONDS

say() { printf '\n\033[1m%s\033[0m (%d s)\n' "$*" $((SECONDS - started)) >&2; }

# step NAME INPUT... -- OUTPUT: true when OUTPUT must be (re)made; `stamp` records it as made.
key="" name=""
step() {
  name=$1
  shift
  local inputs=() output
  while [ "$1" != -- ]; do inputs+=("$1"); shift; done
  output=$2
  key=$(
    {
      echo "$program $tokens $passages $seed"
      declare -f "do_$name"
      for i in "${inputs[@]}"; do
        if [ -d "$i" ]; then find "$i" -type f -print0 | sort -z | xargs -0 sha256sum; else sha256sum <"$i"; fi
      done
    } | sha256sum
  )
  if [ -e "$output" ] && [ "$(cat "$demo/stamps/$name" 2>/dev/null)" = "$key" ]; then
    say "$name: unchanged"
    return 1
  fi
  say "$name"
  rm -f "$demo/stamps/$name"
}
stamp() { echo "$key" >"$demo/stamps/$name"; }
make_step() { # NAME INPUT... -- OUTPUT
  if step "$@"; then
    "do_$1"
    stamp
  fi
}

do_documents() {
  rm -rf "$demo/docs"
  grep -v '^#' corpora/legal/licences.tsv | while IFS=$'\t' read -r family file; do
    mkdir -p "$demo/docs/$family"
    cp "$cache/scancode/licenses/$file" "$demo/docs/$family/"
  done
  # The split is made first, by licence family and near-duplicate group, so that nothing made later can cross it.
  "$retort" fetch "$demo/docs" --front-matter --licence CC-BY-4.0 |
    "$retort" curate --near 0.8 --split meta.folder,near --split-fraction 0.27 --valid-fraction 0.1 --no-repetition >"$demo/documents.jsonl"
  "$retort" fetch -q "$demo/documents.jsonl" --split chars:900 --min-chars 250 --passages "$passages" >"$demo/passages.jsonl"
}

do_answers() {
  "$retort" fetch "$demo/documents.jsonl" --split chars:600 --min-chars 250 --passages "$passages" |
    "$retort" augment --recipe qa --per-row 2 --vertical law --teacher "$teacher" |
    "$retort" label --teacher "$teacher" --max-tokens 80 |
    "$retort" curate --min-chars 20 --near 0.9 >"$demo/answers.jsonl"
}

do_shards() {
  # Training: the teacher's answers (loss on the answers) and a passage of each training document (loss everywhere).
  cat "$demo/answers.jsonl" "$demo/passages.jsonl" |
    "$retort" shard --split train --tokenizer "$teacher" --teacher "$teacher" --targets topk:64 --context 512 --too-long split --force -o "$demo/shards/train"
  for split in valid test; do
    "$retort" shard --split $split --tokenizer "$teacher" --context 512 --force -o "$demo/shards/$split-answers" <"$demo/answers.jsonl"
  done
  "$retort" shard --split test --tokenizer "$teacher" --context 512 --too-long split --force -o "$demo/shards/test-text" <"$demo/documents.jsonl"
}

do_pruned() {
  "$retort" prune "$teacher" --layers 20 --ffn 1024 --calibrate "$demo/shards/train" --samples 16 --force -o "$demo/pruned"
}

do_distilled() {
  "$retort" train --student "$demo/pruned" --shards "$demo/shards/train" --loss topk --tokens "$tokens" --lr 5e-4 --seed "$seed" \
    --eval-shards "$demo/shards/valid-answers" --force -o "$demo/distilled"
}

do_supervised() {
  "$retort" train --student "$demo/pruned" --shards "$demo/shards/train" --loss ce --tokens "$tokens" --lr 5e-4 --seed "$seed" \
    --eval-shards "$demo/shards/valid-answers" --force -o "$demo/supervised"
}

do_students() { # as a user ships them: 16-bit GGUF files
  "$retort" export "$demo/pruned" --type f16 --force -o "$demo/pruned.gguf"
  "$retort" export "$demo/supervised" --type f16 --force -o "$demo/supervised.gguf"
  "$retort" export "$demo/distilled" --type f16 --force -o "$demo/student.gguf"
}

do_summary() {
  "$retort" eval teacher="$teacher" pruned="$demo/pruned.gguf" distilled="$demo/student.gguf" supervised="$demo/supervised.gguf" \
    --teacher "$teacher" --data "$demo/shards/test-answers" --text "$demo/shards/test-text" --speed --speed-tokens 128 --summary "$demo/summary.json" >"$demo/table.txt"
}

do_samples() { # two held-out questions, answered by both
  grep '"split":"test"' "$demo/answers.jsonl" | awk 'NR == 1 || NR == 8' |
    "$retort" generate -q "$teacher" --into teacher --max-tokens 80 |
    "$retort" generate -q "$demo/student.gguf" --into student --max-tokens 80 >"$demo/samples.jsonl"
}

do_report() {
  "$retort" report "$demo/distilled" "$demo/supervised" --book "$demo/book" --summary "$demo/summary.json" --samples "$demo/samples.jsonl" \
    --title "Open-source licences: SmolLM2-135M to a smaller student" --force -o "$demo/report.html"
}

make_step documents corpora/legal/licences.tsv -- "$demo/passages.jsonl"
make_step answers "$demo/documents.jsonl" augment/recipes/qa.yaml -- "$demo/answers.jsonl"
make_step shards "$demo/answers.jsonl" "$demo/passages.jsonl" "$demo/documents.jsonl" -- "$demo/shards/test-text/manifest.json"
make_step pruned "$demo/shards/train" -- "$demo/pruned/config.json"
[ "${UNTIL:-}" = pruned ] && exit 0
make_step distilled "$demo/pruned" "$demo/shards/train" "$demo/shards/valid-answers" -- "$demo/distilled/manifest.json"
make_step supervised "$demo/pruned" "$demo/shards/train" "$demo/shards/valid-answers" -- "$demo/supervised/manifest.json"
make_step students "$demo/pruned" "$demo/distilled/student" "$demo/supervised/student" -- "$demo/student.gguf"
make_step summary "$demo/pruned.gguf" "$demo/student.gguf" "$demo/supervised.gguf" "$demo/shards/test-answers" "$demo/shards/test-text" -- "$demo/summary.json"
make_step samples "$demo/student.gguf" "$demo/answers.jsonl" -- "$demo/samples.jsonl"
make_step report "$demo/summary.json" "$demo/samples.jsonl" "$demo/distilled/metrics.jsonl" -- "$demo/report.html"

echo
cat "$demo/table.txt"
"$retort" report --text --samples "$demo/samples.jsonl"
echo
echo "student: $demo/student.gguf    report: $demo/report.html    table: $demo/summary.json    ($((SECONDS - started)) s)"
