#!/usr/bin/env python3
"""The peer of tests/bench/train.sh: a plain torch distillation step on the CPU. SPDX-License-Identifier: Apache-2.0

usage: torch_kd.py setup TEACHER_DIR STUDENT_DIR ROWS.jsonl TEXT.jsonl B T STEPS   (writes the common student and rows)
       torch_kd.py kd|kdchunk TEACHER_DIR STUDENT_DIR ROWS.jsonl B T STEPS         (prints one JSON line)

kd: forward KL over the full vocabulary, both log-softmax materialised; kdchunk: output projection and KL in chunks of 128
rows. Float32, AdamW, every position in the loss. The time of a step is the median after one warm-up step."""
import json, resource, shutil, sys, time, os
import torch, torch.nn.functional as F
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM


def setup(teacher, student, rows, text, B, T, steps):
    torch.manual_seed(0)
    cfg = LlamaConfig.from_pretrained(teacher)
    cfg.num_hidden_layers, cfg.intermediate_size = 12, 1024
    LlamaForCausalLM(cfg).float().save_pretrained(student)
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        shutil.copy(os.path.join(teacher, name), student)
    tok, ids = AutoTokenizer.from_pretrained(teacher), []
    for line in open(text):
        ids += tok(json.loads(line)['text']).input_ids + [2]
        if len(ids) >= B * T * steps:
            break
    assert len(ids) >= B * T * steps, 'text too short'
    with open(rows, 'w') as f:
        for i in range(B * steps):
            f.write(json.dumps({'id': f'r{i}', 'ids': ids[i * T:(i + 1) * T], 'mask': [1] * T}) + '\n')


def kd(mode, teacher, student, rows, B, T, steps):
    s = LlamaForCausalLM.from_pretrained(student, dtype=torch.float32).train()
    t = LlamaForCausalLM.from_pretrained(teacher, dtype=torch.float32).eval()
    opt = torch.optim.AdamW(s.parameters(), lr=1e-4)
    data = [json.loads(l)['ids'] for l in open(rows)]
    V, d, times, losses = s.config.vocab_size, s.config.hidden_size, [], []
    for k in range(steps):
        x = torch.tensor(data[k * B:(k + 1) * B])
        begin = time.perf_counter()
        if mode == 'kd':
            with torch.no_grad():
                tl = t(input_ids=x, use_cache=False).logits
            sl = s(input_ids=x, use_cache=False).logits
            loss = F.kl_div(F.log_softmax(sl, -1).view(-1, V), F.log_softmax(tl, -1).view(-1, V), log_target=True, reduction='batchmean')
            loss.backward()
        else:
            with torch.no_grad():
                th = t.model(input_ids=x, use_cache=False).last_hidden_state.reshape(-1, d)
            sh = s.model(input_ids=x, use_cache=False).last_hidden_state
            h, n, loss = sh.detach().reshape(-1, d).requires_grad_(), B * T, 0
            for i in range(0, n, 128):
                with torch.no_grad():
                    lt = F.log_softmax(F.linear(th[i:i + 128], t.lm_head.weight), -1)
                part = F.kl_div(F.log_softmax(F.linear(h[i:i + 128], s.lm_head.weight), -1), lt, log_target=True, reduction='sum') / n
                part.backward()
                loss += part.detach()
            sh.backward(h.grad.view_as(sh))
        opt.step()
        opt.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - begin)
        losses.append(float(loss.detach()))
    med = sorted(times[1:])[(len(times) - 1) // 2]
    print(json.dumps({'tool': 'torch ' + mode, 'tok_s': B * T / med, 'rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                      'step_s': med, 'loss_first': losses[0], 'torch': torch.__version__}))


a = sys.argv
if a[1] == 'setup':
    setup(a[2], a[3], a[4], a[5], *map(int, a[6:9]))
else:
    kd(a[1], a[2], a[3], a[4], *map(int, a[5:8]))
