#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# prune and export from the command line: terms gate, left alone, refused, --force, nothing half-written, GGUF and folder
# hold the same numbers, terms travel.
set -u
fail() { echo "FAIL: $1"; exit 1; }
model=$RETORT_SOURCE/tests/golden/data/model/llama_tied
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
for i in 1 2 3 4; do printf '{"id":"r%d","ids":[%d,7,9,200,31,%d,5,6,77,80]}\n' $i $((i * 11)) $((300 - i)); done >cal.jsonl
run() { "$RETORT" "$@" 2>err; }

run prune "$model" --ffn 64 --calibrate cal.jsonl -o p; [ $? = 10 ] || fail "unknown terms must exit 10: $(cat err)"
[ ! -e p ] || fail "nothing is written before the terms are clear"
run prune "$model" --ffn 64 --calibrate cal.jsonl --teacher-terms apache-2.0 -o p || fail "prune: $(cat err)"
run inspect p --json >sheet || fail "inspect the pruned model"
# 75600 - 3 layers * 3 matrices * 32 neurons * 48
for want in '"parameters":61776' '"ffn":64' '"terms":"apache-2.0"' '"made_by":"prune"'; do grep -qF "$want" sheet || fail "no $want in $(cat sheet)"; done
grep -q '"kept"' p/retort.json || fail "kept units are recorded"
before=$(stat -c %Y.%i p/model.safetensors)
run prune "$model" --ffn 64 --calibrate cal.jsonl --teacher-terms apache-2.0 -o p || fail "the same again"
grep -q 'left alone' err || fail "the same again is left alone and says so"
[ "$before" = "$(stat -c %Y.%i p/model.safetensors)" ] || fail "left alone means untouched"
run prune "$model" --ffn 32 --calibrate cal.jsonl --teacher-terms apache-2.0 -o p; [ $? = 2 ] || fail "other options over an output exit 2"
run prune "$model" --ffn 32 --calibrate cal.jsonl --teacher-terms apache-2.0 -o p --force || fail "--force"
run inspect p --json | grep >/dev/null -F '"ffn":32' || fail "--force replaces"
run prune "$model" --heads 5 --calibrate cal.jsonl --teacher-terms mit -o q; [ $? = 2 ] || fail "5 heads in 2 groups"
grep -q 'multiple of 2' err || fail "says what is possible: $(cat err)"
run prune "$model" --ffn 32 --teacher-terms mit -o q; [ $? = 2 ] || fail "no calibration data"
run prune "$model" --ffn 32 --calibrate /dev/null --teacher-terms mit -o q; [ $? = 1 ] || fail "empty calibration data"
printf '{"ids":[1,999]}\n' | run prune "$model" --ffn 32 --calibrate - --teacher-terms mit -o q; [ $? = 1 ] || fail "ids outside the vocabulary"
grep -q 'line 1' err || fail "names the line: $(cat err)"
run prune "$model" --hidden 37 --calibrate cal.jsonl --teacher-terms mit -o q || fail "odd hidden size: $(cat err)"
grep -q 'transformers refuses' err || fail "warns that transformers refuses it"
run prune "$model" --layers 2 --random --seed 4 --teacher-terms mit -o r || fail "random start needs no data: $(cat err)"
run prune "$model" --layers 1 --depth-by ppl --calibrate cal.jsonl --importance-out scores.safetensors --teacher-terms mit -o d || fail "depth by loss: $(cat err)"
run inspect scores.safetensors --tensors | grep >/dev/null loss_without_layer || fail "scores are written"

run export p -o s.gguf --type f32 || fail "export GGUF: $(cat err)"
run inspect s.gguf --json >sheet || fail "inspect the GGUF"
for want in '"parameters":47952' '"terms":"apache-2.0"' '"made_by":"export"' '"format":"GGUF"'; do grep -qF "$want" sheet || fail "no $want in $(cat sheet)"; done
run export s.gguf -o back --type f32 || fail "GGUF to folder: $(cat err)"
cmp -s <(tail -c 190000 p/model.safetensors) <(tail -c 190000 back/model.safetensors) || fail "folder -> GGUF -> folder keeps every bit"
run export p -o s.gguf --type f32; grep -q 'left alone' err || fail "export again is left alone"
run export p -o s.gguf --type bf16; [ $? = 2 ] || fail "another type over an output exits 2"
run export p -o s.gguf --type q8_0 --force || fail "--force"
grep -q 'F16 instead of Q8_0' err || fail "says that rows of 48 do not fit Q8_0: $(cat err)"
run export p -o h --type q8_0; [ $? = 2 ] || fail "a folder takes no block types"
run export p -o split --shard-bytes 50000 || fail "sharded folder: $(cat err)"
[ -e split/model.safetensors.index.json ] || fail "an index beside several files"
run inspect split --json | grep >/dev/null -F '"parameters":47952' || fail "sharded folder reads again"
run export "$model" -o x.gguf; [ $? = 10 ] || fail "export is behind the terms gate"
ls | grep >/dev/null part && fail "left-over: $(ls)"
echo ok
