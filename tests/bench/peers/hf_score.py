# SPDX-License-Identifier: Apache-2.0
"""transformers as a local teacher, float32: scores rows of ids with top-K log-probabilities, 4 rows a batch (its best here).
usage: hf_score.py MODEL_DIR ROWS.jsonl K   (one JSON line: tokens/s of the scoring alone, peak RSS)"""
import json, resource, sys, time
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
rows = [json.loads(line)['ids'] for line in open(sys.argv[2])]
k, n, start = int(sys.argv[3]), 0, time.perf_counter()
with torch.no_grad():
    for i in range(0, len(rows), 4):
        x = torch.tensor(rows[i:i + 4])
        p, ids = torch.log_softmax(model(input_ids=x, use_cache=False).logits.float(), -1).topk(k, -1)
        n += x.numel()
print(json.dumps({'tool': 'transformers', 'what': 'score', 'tok_s': n / (time.perf_counter() - start), 'rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                  'sum_top1': float(p[:, :, 0].sum())}))
