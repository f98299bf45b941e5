#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Models whose files read well and whose numbers are no numbers, or are not the model their configuration says: every stage
# refuses them with exit 1 and the name of what is wrong, and leaves nothing behind.
. "$RETORT_SOURCE/tests/pipe/lib.bash"
golden=$RETORT_SOURCE/tests/golden/data/model/llama_tied
cat >damage.py <<'PY'
"""damage.py OUT [TENSOR=VALUE|TENSOR:DTYPE|config:KEY=JSON]...: llama_tied with changes."""
import json, os, struct, sys
golden, out, changes = sys.argv[1], sys.argv[2], sys.argv[3:]
raw = open(golden + '/model.safetensors', 'rb').read()
n, = struct.unpack('<Q', raw[:8])
head, data = json.loads(raw[8:8 + n]), bytearray(raw[8 + n:])
config = json.load(open(golden + '/config.json'))
for c in changes:
    if c.startswith('config:'):
        key, value = c[7:].split('=', 1)
        config[key] = json.loads(value)
    elif '=' in c:
        name, value = c.split('=')
        struct.pack_into('<f', data, head[name]['data_offsets'][0], float(value))
    else:
        name, kind = c.split(':')
        head[name]['dtype'] = kind
os.makedirs(out)
text = json.dumps(head).encode()
text += b' ' * (-len(text) % 8)
open(out + '/model.safetensors', 'wb').write(struct.pack('<Q', len(text)) + text + data)
json.dump(config, open(out + '/config.json', 'w'))
plain = [*range(33, 127), *range(161, 173), *range(174, 256)] # GPT-2's bytes that stand for themselves
chars = [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]
json.dump({'model': {'type': 'BPE', 'vocab': {c: i for i, c in enumerate(chars)}, 'merges': []}, 'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': False},
           'decoder': {'type': 'ByteLevel'}, 'added_tokens': [{'id': 319, 'content': '<|endoftext|>', 'special': True}]}, open(out + '/tokenizer.json', 'w'))
PY
damage() { python3 damage.py "$golden" "$@" || no "damage.py $*"; }
refuse() { # TEXT command...: exit 1, TEXT on stderr
  local text=$1 rc
  shift
  "$RETORT" "$@" <rows.jsonl >out 2>err
  rc=$?
  [ $rc = 1 ] || no "$* gave $rc: $(tail -3 err)"
  grep -qF -- "$text" err || no "$*: no '$text' in: $(tail -3 err)"
}
gate=model.layers.0.mlp.gate_proj.weight
for i in 1 2 3 4; do printf '{"id":"r%d","ids":[%d,7,9,200,31,%d,5,6,77,80]}\n' $i $((i * 11)) $((300 - i)); done >rows.jsonl
terms=(--teacher-terms mit)

damage nan $gate=nan
damage big $gate=3e38
why="tensor '$gate' holds nan at row 0, column 0"
refuse "'stdin' row 1: the logits after token 0 are not finite: 'nan': $why" score nan
[ ! -s out ] || no "score wrote $(head -1 out)"
grep -q 'row 4: ' err || no "score: row 4 is not named: $(cat err)"
refuse "$why" prune nan --ffn 64 --calibrate rows.jsonl "${terms[@]}" -o p
refuse "$why" prune nan --layers 1 --depth-by ppl --calibrate rows.jsonl "${terms[@]}" -o p
refuse "tensor '$gate' holds nan" export nan -o p --type f32 "${terms[@]}"
refuse "tensor '$gate' holds 3e+38 at row 0, column 0: too large for F16; --type f32 or bf16 holds it" export big -o p --type f16 "${terms[@]}"
refuse "too large for F16" export big -o p.gguf --type f16 "${terms[@]}"
refuse "not finite" score big
[ -z "$(ls | grep '^p')" ] || no "left behind: $(ls)"
"$RETORT" export big -o b --type bf16 "${terms[@]}" 2>err || no "3e38 fits BF16: $(cat err)"

# targets of a teacher, losses, answers
damage sound
for i in 1 2 3 4; do printf '{"id":"r%d","text":"row number %d of words"}\n' $i $i; done >rows.jsonl
for kind in sample:4 topk:4 hidden; do
  refuse "sample 0: row 'r" shard --context 64 --tokenizer sound/tokenizer.json --targets $kind --teacher nan "${terms[@]}" -o s
  grep -qF "the teacher's logits are not finite: 'nan': $why" err || no "shard $kind: $(cat err)"
  [ ! -e s ] || no "shard $kind left a folder"
done
"$RETORT" shard --context 64 --tokenizer sound/tokenizer.json -o held <rows.jsonl 2>err || no "shard: $(cat err)"
refuse "'nan': the loss of data, document 0, is not finite: 'nan': $why" eval nan --data held
refuse "the KL of data, document 0, is not finite: 'nan': $why" eval sound --data held --teacher nan
refuse "the loss of text is not finite" eval nan --text rows.jsonl
refuse "the logits of token 0 of an answer are not finite: 'nan': $why" generate nan --raw --prompt word
"$RETORT" eval sound --data held >out 2>err || no "eval of the sound model: $(cat err)"

# a configuration of another model than the weights, weights that are no weights
damage fewer config:num_hidden_layers=2
refuse "'fewer': the weights hold layer 2 ('model.layers.2.self_attn.q_proj.weight'), the configuration says 2 layers" score fewer
damage ints $gate:I32
refuse "tensor '$gate' has type I32, expected weights as F32, F16 or BF16" score ints
refuse "tensor '$gate' has type I32" export ints -o p --type f32 "${terms[@]}"
damage ids config:eos_token_id=5000 'config:bos_token_id="x"'
"$RETORT" score ids <rows.jsonl >out 2>err || no "ids outside the vocabulary: $(cat err)"
grep -q "'ids/config.json': eos_token_id 5000 is ignored, expected 0 to 319" err && grep -q 'bos_token_id is ignored' err || no "ids are ignored without a word: $(cat err)"
"$RETORT" export sound -o sound.gguf --type f32 "${terms[@]}" 2>err || no "export: $(cat err)"
python3 - <<'PY' || no "a GGUF with changes"
import struct
d = bytearray(open('sound.gguf', 'rb').read())
at = d.find(b'blk.0.ffn_gate.weight') + len('blk.0.ffn_gate.weight')
code = at + 4 + 8 * struct.unpack_from('<I', d, at)[0]
assert struct.unpack_from('<I', d, code)[0] == 0
struct.pack_into('<I', d, code, 1)  # F32 called F16
open('half.gguf', 'wb').write(d)
struct.pack_into('<I', d, code, 0)
key = b'llama.block_count'
struct.pack_into('<I', d, d.find(key) + len(key) + 4, 2)
open('fewer.gguf', 'wb').write(d)
PY
refuse "tensor '$gate' needs 9216 bytes as F16, but 18432 stand before" score half.gguf
refuse "'fewer.gguf': the weights hold layer 2" score fewer.gguf

# what is no file, or not of a size or name that a model's files have: refused at once, nothing waits for a writer
mkfifo fifo
refuse "'fifo' is a FIFO, expected a file" inspect fifo
refuse "'/dev/null' is a device, expected a file" inspect /dev/null
mkdir index && cp sound/config.json index
mkfifo index/f
echo '{"weight_map":{"a":"f"}}' >index/model.safetensors.index.json
refuse "'index/f' is a FIFO, expected a file" inspect index
printf '{"weight_map":{"a":"%s"}}' "$(head -c 100000 /dev/zero | tr '\0' n)" >index/model.safetensors.index.json
refuse "points to a name of 100000 bytes, 'nnn" inspect index
[ "$(wc -c <err)" -lt 600 ] || no "the name is not shortened: $(wc -c <err) bytes"
truncate -s 5M index/config.json
refuse "'index/config.json' is larger than 4194304 bytes" inspect index
python3 -c "import json; t = json.load(open('sound/tokenizer.json')); t['model']['vocab'] = {}; json.dump(t, open('empty.json', 'w'))"
refuse '"vocab" is empty' tokenize empty.json
exit $bad
