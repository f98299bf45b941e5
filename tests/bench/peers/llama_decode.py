# SPDX-License-Identifier: Apache-2.0
"""llama.cpp (llama-cpp-python) decoding P streams greedily in one context. usage: llama_decode.py GGUF P STEPS"""
import ctypes, json, resource, sys, time
import llama_cpp as L
import numpy as np
quiet = L.llama_log_callback(lambda *a: None)
L.llama_log_set(quiet, ctypes.c_void_p(0))
gguf, P, N = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
L.llama_backend_init()
model = L.llama_model_load_from_file(gguf.encode(), L.llama_model_default_params())
V = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
p = L.llama_context_default_params()
p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max, p.n_threads, p.n_threads_batch, p.kv_unified = P * (N + 32), max(512, P * 16), 512, P, 2, 2, False
c = L.llama_init_from_model(model, p)
b = L.llama_batch_init(max(512, P * 16), 0, 1)
def fill(toks, poss, seqs, want):
    b.n_tokens = len(toks)
    for i, (t, q, s, w) in enumerate(zip(toks, poss, seqs, want)):
        b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = t, q, 1, w
        b.seq_id[i][0] = s
rng = np.random.default_rng(0)
for s in range(P):
    fill(rng.integers(100, 40000, 16).tolist(), range(16), [s] * 16, [0] * 15 + [1])
    assert L.llama_decode(c, b) == 0
cur, start = [int(x) for x in rng.integers(100, 40000, P)], time.perf_counter()
for i in range(N):
    fill(cur, [16 + i] * P, range(P), [1] * P)
    assert L.llama_decode(c, b) == 0
    cur = np.ctypeslib.as_array(L.llama_get_logits(c), (P, V)).argmax(1).tolist()
print(json.dumps({'tool': 'llama.cpp', 'what': f'decode {P}', 'tok_s': P * N / (time.perf_counter() - start), 'rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
