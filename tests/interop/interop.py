#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `retort score` with transformers and llama.cpp on files that retort wrote; prints a table, exits 1 when one is off.

  interop.py rows README.md docs      calibration rows on stdout
  interop.py compare RETORT MODELS    in the folder that interop.sh filled
"""
import glob, json, os, subprocess, sys

import numpy as np

TEXTS = ['The licensee may copy, modify and distribute the work, provided that this notice is kept.',
         'def area(r):\n    return 3.14159 * r * r  # radius in m\n', 'Über 1,234 people — 東京 — said: "don\'t!"  \t\n\n ok']
BAD = []


def rows(paths):
    n = 0
    for p in paths:
        for f in [p] if os.path.isfile(p) else sorted(glob.glob(p + '/*.md')):
            with open(f, encoding='utf-8') as h:
                t = h.read()
            for i in range(0, len(t) - 400, 800):
                print(json.dumps({'id': str(n), 'text': t[i:i + 800]}))
                n += 1


def score(retort, model, ids):
    text = ''.join(json.dumps({'id': str(i), 'ids': x}) + '\n' for i, x in enumerate(ids))
    out = subprocess.run([retort, 'score', model, '--quiet', '--no-progress'], input=text, capture_output=True, text=True, check=True).stdout
    return [np.array(json.loads(line)['logprobs']) for line in out.splitlines()]


def picked(logits, ids):
    z = np.asarray(logits, dtype=np.float64)
    lse = np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1)) + z.max(-1)
    return np.array([z[i, ids[i + 1]] - lse[i] for i in range(len(ids) - 1)])


def transformers_scores(folder, ids):
    import torch
    from transformers import AutoModelForCausalLM
    m = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager')
    with torch.no_grad():
        return [picked(m(torch.tensor([x])).logits[0].numpy(), x) for x in ids]


def llama_scores(path, ids):
    import llama_cpp
    m = llama_cpp.Llama(path, n_ctx=256, n_batch=256, n_ubatch=256, logits_all=True, verbose=False, flash_attn=False, type_k=0, type_v=0, n_threads=2)
    out = []
    for x in ids:
        m.reset()
        m.eval(x)
        out.append(picked(m.scores[:len(x)], x))
    return out


def report(what, a, b, bound):
    worst = max(float(np.abs(x - y).max()) for x, y in zip(a, b))
    mean = float(np.mean(np.abs(np.concatenate(a) - np.concatenate(b))))
    ok = worst <= bound and mean == mean and worst < 1e9
    print(f'{"ok  " if ok else "BAD "} {what:44} max {worst:9.2e}  mean {mean:9.2e}  allowed {bound:g}', flush=True)
    if not ok:
        BAD.append(what)


def tokens_agree(retort, model, folder, path):
    """Ids of the tokenizer that retort wrote, in `tokenizers` and in llama.cpp, against retort's own."""
    import llama_cpp
    from transformers import AutoTokenizer
    text = ''.join(json.dumps({'id': str(i), 'text': t}) + '\n' for i, t in enumerate(TEXTS))
    out = subprocess.run([retort, 'tokenize', model, '--quiet'], input=text, capture_output=True, text=True, check=True).stdout
    want = [json.loads(line)['ids'] for line in out.splitlines()]
    hf = AutoTokenizer.from_pretrained(folder)
    ll = llama_cpp.Llama(path, vocab_only=True, verbose=False)
    for t, w in zip(TEXTS, want):
        for who, got in (('tokenizers', hf(t)['input_ids']), ('llama.cpp', ll.tokenize(t.encode(), add_bos=False, special=True))):
            if got != w:
                BAD.append(f'{who} {t!r}')
                print('BAD ', who, repr(t), got, w)
    chat = [{'role': 'user', 'content': 'Hi'}]
    text = json.dumps({'id': '0', 'messages': chat}) + '\n'
    out = subprocess.run([retort, 'tokenize', model, '--messages', '--generation-prompt', '--quiet'], input=text, capture_output=True, text=True, check=True).stdout
    got = hf.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)['input_ids']
    if got != json.loads(out)['ids']:
        BAD.append('chat template')
        print('BAD  chat template', got, out)
    print('ok   token ids and chat template' if not BAD else 'tokens differ', flush=True)
    return want


def same_numbers(quantised, plain):
    """retort's own dequantised copy against gguf-py's dequantisation, bit for bit."""
    import gguf
    a, b = gguf.GGUFReader(quantised), gguf.GGUFReader(plain)
    other = {t.name: t for t in b.tensors}
    bad = [t.name for t in a.tensors
           if not np.array_equal(gguf.dequantize(t.data, t.tensor_type).reshape(-1), np.asarray(other[t.name].data, dtype=np.float32).reshape(-1))]
    kinds = sorted({t.tensor_type.name for t in a.tensors})
    print(f'{"BAD " if bad else "ok  "} {quantised}: {len(a.tensors)} tensors {kinds} as gguf-py reads them {bad[:2]}', flush=True)
    if bad:
        BAD.append(quantised)


def compare(retort, models):
    ids = tokens_agree(retort, 'student', 'student', 'f32.gguf')
    ours = score(retort, 'student', ids)
    report('student folder: retort, transformers', ours, transformers_scores('student', ids), 5e-4)
    report('student f32.gguf: retort folder, retort GGUF', ours, score(retort, 'f32.gguf', ids), 0)
    report('student f32.gguf: retort, llama.cpp', ours, llama_scores('f32.gguf', ids), 5e-4)
    # On F16 weights llama.cpp rounds activations to F16, on Q8_0 and Q4_1 to 8 bits a block: there its own result is information
    # only, and the file is checked by its numbers: as gguf-py dequantises it, and as llama.cpp computes with these in float32.
    report('student f16.gguf: retort, llama.cpp', score(retort, 'f16.gguf', ids), llama_scores('f16.gguf', ids), 0.1)
    for kind in ('q8_0', 'q4_1'):
        ours = score(retort, f'{kind}.gguf', ids)
        same_numbers(f'{kind}.gguf', f'{kind}_as_f32.gguf')
        report(f'student {kind} as f32: retort, llama.cpp', ours, llama_scores(f'{kind}_as_f32.gguf', ids), 5e-4)
        report(f'student {kind}.gguf: llama.cpp, 8-bit activations', ours, llama_scores(f'{kind}.gguf', ids), float('inf'))
    ours = score(retort, 'teacher', ids)
    report('SmolLM2 folder made from GGUF: retort, transformers', ours, transformers_scores('teacher', ids), 5e-4)
    report('SmolLM2 f32.gguf: retort, llama.cpp', ours, llama_scores('teacher_f32.gguf', ids), 5e-4)
    small = [[5 + (7 * i * i + 3 * i) % 300 for i in range(40)], list(range(40, 70))]
    for m in sorted(os.listdir(models)):
        if not os.path.isdir(os.path.join(models, m)):
            continue
        ours = score(retort, f'hf_{m}', small)
        report(f'{m}: retort, transformers', ours, transformers_scores(f'hf_{m}', small), 1e-4)
        report(f'{m}: transformers on the source', ours, transformers_scores(os.path.join(models, m), small), 1e-4)
        if m != 'mistral_window':  # llama.cpp ignores the window of llama files
            report(f'{m}: retort, llama.cpp', score(retort, f'gg_{m}.gguf', small), llama_without_tokenizer(f'gg_{m}.gguf', small), 1e-4)
    print('interop:', 'all agree' if not BAD else f'{len(BAD)} disagree: {BAD}')
    return 1 if BAD else 0


def llama_without_tokenizer(path, ids):
    """llama.cpp refuses a model without a vocabulary: a dummy one is added to a copy with gguf's own reader and writer."""
    import gguf
    r = gguf.GGUFReader(path)
    arch = r.fields['general.architecture'].contents()
    w = gguf.GGUFWriter(path + '.tok', arch)
    for f in r.fields.values():
        if f.name.startswith('GGUF.') or f.name == 'general.architecture':
            continue
        w.add_key_value(f.name, f.contents(), f.types[0], f.types[-1] if len(f.types) > 1 else None)
    n = next(t for t in r.tensors if t.name == 'token_embd.weight').shape[1]
    w.add_tokenizer_model('gpt2')
    w.add_tokenizer_pre('smollm')
    w.add_token_list([f'<{i}>' for i in range(int(n))])
    w.add_token_types([3] * int(n))
    w.add_token_merges(['< 1'])
    for t in r.tensors:
        w.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return llama_scores(path + '.tok', ids)


if __name__ == '__main__':
    if sys.argv[1] == 'rows':
        rows(sys.argv[2:])
    else:
        sys.exit(compare(sys.argv[2], sys.argv[3]))
