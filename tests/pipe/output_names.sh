#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What stands under the name of an output: a pipe or a link, a folder, what another process made meanwhile; and inputs that are no files.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
model=$RETORT_SOURCE/tests/golden/data/model/llama_tied
jq -c '.model.merges |= .[:63] | .model.vocab |= with_entries(select(.value < 319)) | .added_tokens[0].id = 319' \
  "$RETORT_SOURCE/tests/golden/data/tokenizer/gpt2_style.tokenizer.json" >tok.json || exit 1
for i in 1 2 3 4; do printf '{"id":"r%d","ids":[%d,7,9,200,31,%d,5,6,77,80]}\n' $i $((i * 11)) $((300 - i)); done |
  "$RETORT" shard -q --tokenizer tok.json --context 16 -o sh || no "shard"

# a pipe is written to, a link is followed, a folder is refused before anything is computed
mkfifo pipe
cat pipe >through & reader=$!
"$RETORT" train --student "$model" --shards sh --loss ce -q --dump-grads pipe 2>err || no "to a pipe: $(cat err)"
wait $reader
[ -p pipe ] && [ -s through ] || no "the pipe was replaced, or nothing came"
echo old >kept
ln -s kept link
"$RETORT" train --student "$model" --shards sh --loss ce -q --dump-grads link 2>err || no "to a link: $(cat err)"
[ -L link ] && cmp -s kept through || no "the link was replaced"
mkdir folder
"$RETORT" train --student "$model" --shards sh --loss ce -q --dump-grads folder 2>err; [ $? = 3 ] && grep -q "is a folder" err || no "to a folder: $(cat err)"

# two at once under one name: one is told, the other's output is whole
for i in 1 2 3 4; do
  rm -rf two.gguf two
  "$RETORT" export "$model" -q --teacher-terms mit --type f32 -o two.gguf 2>err1 & a=$!
  "$RETORT" export "$model" -q --teacher-terms mit --type f16 -o two.gguf 2>err2; b=$?
  wait $a; a=$?
  [ $((a == 0)) != $((b == 0)) ] || no "export twice: exit $a and $b: $(cat err1 err2)"
  "$RETORT" check -q two.gguf || no "export twice: not whole"
  "$RETORT" prune "$model" --ffn 32 --calibrate sh -q --teacher-terms mit -o two 2>err1 & a=$!
  "$RETORT" prune "$model" --ffn 64 --calibrate sh -q --teacher-terms mit -o two 2>err2; b=$?
  wait $a; a=$?
  [ $((a == 0)) != $((b == 0)) ] || no "prune twice: exit $a and $b: $(cat err1 err2)"
  [ -z "$(find . -name '*.part-*')" ] || no "left over: $(find . -name '*.part-*')"
done

# inputs
mkfifo nobody
timeout 5 "$RETORT" inspect nobody 2>err; rc=$?; [ $rc != 0 ] && [ $rc != 124 ] && grep -q "is a FIFO" err || no "inspect of a pipe: $(cat err)"
printf '\xff\xfe' >u16.html
printf '<html><head><title>T</title></head><body><p>grüße</p></body></html>' | iconv -f utf-8 -t utf-16le >>u16.html
"$RETORT" fetch -q u16.html | jq -e '.text == "grüße" and .meta.title == "T"' >/dev/null || no "UTF-16 HTML: $("$RETORT" fetch -q u16.html)"
python3 - <<'P'
import zipfile
z = zipfile.ZipFile('names.zip', 'w')
z.writestr('日本 旅行.txt', 'some text'); z.writestr('Überb.txt', 'etwas Text')
P
"$RETORT" fetch -q names.zip | jq -r .meta.source | sort >names
printf 'names.zip!/Überb.txt\nnames.zip!/日本 旅行.txt\n' | sort | diff - <(sed 's,.*/names,names,' names) || no "names in a zip"
"$RETORT" fetch -q /nowhere/a.txt >out 2>err && no "fetch of nothing that is there ends well"
printf 'x' | gzip | head -c 12 >cut.gz
"$RETORT" fetch -q cut.gz >out 2>err; [ $? = 1 ] && grep -q "none of 1 documents" err || no "all documents failed: $(cat err)"
exit $bad
