#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that nobody here wrote as a teacher: llama.cpp's (llama-cpp-python[server]) answers chat completions and scores texts
through `retort ask`; its log-probabilities are compared with `retort score`.

usage: teacher_server.py RETORT SMOLLM2.Q4_1.gguf SMOLLM2.F32.gguf

Allowed differences: with float32 weights llama.cpp computes what we compute (0.02 nat); with Q4_1 weights it rounds the
activations to 8 bits as well, which retort does not (design, decision 7: up to 1.57 nat seen), so only the mean is bounded.
"""
import json, math, os, random, subprocess, sys, tempfile, time, urllib.request

RETORT, Q4, F32 = sys.argv[1:4]
QUESTIONS = ['Name three colours.', 'What is a licence?', 'Write one line about the sea.']
TEXTS = ['<|im_start|>user\nThe licensee may copy, modify and distribute the work, provided that this notice is kept.<|im_end|>\n',
         '<|im_start|>def area(r):\n    return 3.14159 * r * r  # radius in m\n', '<|im_start|>Über 1,234 people — 東京 — said: "don\'t!" ok']
BAD = []


def run(args, rows):
    r = subprocess.run([RETORT, *args], input=''.join(json.dumps(x) + '\n' for x in rows), capture_output=True, text=True)
    if r.returncode:
        sys.exit(f'{" ".join(args)}: exit {r.returncode}\n{r.stderr}')
    return [json.loads(line) for line in r.stdout.splitlines()]


def ids_of(text):
    return run(['tokenize', Q4, '--quiet'], [{'id': 'x', 'text': text}])[0]['ids']


def report(what, differences, worst_allowed, mean_allowed):
    worst, mean = max(differences), sum(differences) / len(differences)
    ok = worst <= worst_allowed and mean <= mean_allowed
    print(f'{"ok  " if ok else "BAD "} {what:52} {len(differences):4} tokens  max {worst:8.2e}  mean {mean:8.2e}  allowed {worst_allowed:g}, {mean_allowed:g}', flush=True)
    if not ok:
        BAD.append(what)


def compare(kind, model, server, address, book, worst, mean):
    common = ['--quiet', '--no-progress', '--teacher-terms', 'apache-2.0', '--book', book, '--concurrency', '1', '--logprobs', '5']
    # texts: echoed log-probabilities against ours; the first token of the text (BOS here) has none
    rows = [{'id': str(i), 'text': t} for i, t in enumerate(TEXTS)]
    got = run(['ask', '-t', f'completions:{address}#smollm2', '--score', *common], rows)
    ids = [ids_of(t) for t in TEXTS]
    ours = run(['score', model, '--quiet', '--no-progress', '--top', '5'], [{'id': str(i), 'ids': x} for i, x in enumerate(ids)])
    d, tops = [], 0
    for g, o, x in zip(got, ours, ids):
        l = g['logprobs']
        if len(l) != len(x) - 1:  # llama-cpp-python leaves the BOS out
            BAD.append(f'{kind}: {len(l)} log-probabilities for {len(x)} tokens')
            continue
        for k in range(1, len(l)):  # and tells nothing of the first that is left
            d.append(abs(l[k]['logprob'] - o['logprobs'][k]))
            best = max(l[k]['top'], key=lambda t: t['logprob'])
            tops += math.isclose(best['logprob'], o['top'][k][0][1], abs_tol=worst)
    report(f'{kind}: echoed texts (completions)', d, worst, mean)
    print(f'     {kind}: likeliest alternative within {worst:g} nat at {tops} of {len(d)} places')
    # chat: answers with their log-probabilities
    rows = [{'id': str(i), 'messages': [{'role': 'user', 'content': q}]} for i, q in enumerate(QUESTIONS)]
    got = run(['ask', '-t', f'{address}#smollm2', '--max-tokens', '24', *common], rows)
    d = []
    for r, g in zip(rows, got):
        said = ''.join(t['token'] for t in g['logprobs'])
        if said != g['content'] or not said or g['finish'] not in ('stop', 'length') or g['usage']['out'] < 1:
            BAD.append(f'{kind}: answer {g}')
        prompt = run(['tokenize', Q4, '--messages', '--generation-prompt', '--quiet'], [{'id': 'x', 'messages': r['messages']}])[0]['ids']
        answer = ids_of(said)
        if len(answer) != len(g['logprobs']):
            print(f'     {kind}: an answer was cut into {len(g["logprobs"])} tokens, its text into {len(answer)}: left out')
            continue
        lp = run(['score', model, '--quiet', '--no-progress'], [{'id': 'x', 'ids': prompt + answer}])[0]['logprobs']
        d += [abs(t['logprob'] - lp[len(prompt) - 1 + k]) for k, t in enumerate(g['logprobs'])]
    report(f'{kind}: answers of chat completions', d, worst, mean)
    # the same command again is answered by the book, without the server
    server.kill()
    server.wait()
    if run(['ask', '-t', f'{address}#smollm2', '--max-tokens', '24', *common], rows) != got:
        BAD.append(f'{kind}: the book gives another answer')


def serve(model):
    for _ in range(20):
        port = random.randint(20000, 32000)
        log = tempfile.TemporaryFile('w+')
        p = subprocess.Popen([sys.executable, '-m', 'llama_cpp.server', '--model', model, '--host', '127.0.0.1', '--port', str(port), '--logits_all', 'true',
                              '--n_ctx', '512', '--n_threads', '2', '--type_k', '0', '--type_v', '0', '--verbose', 'false'], stdout=log, stderr=log)
        for _ in range(600):
            try:
                urllib.request.urlopen(f'http://127.0.0.1:{port}/v1/models', timeout=2)
                return p, f'http://127.0.0.1:{port}/v1'
            except OSError:
                if p.poll() is not None:
                    break
                time.sleep(0.2)
        p.kill()
        log.seek(0)
        print(log.read()[-2000:], file=sys.stderr)
    sys.exit('no server')


for kind, model, worst, mean in (('F32', F32, 0.02, 0.002), ('Q4_1', Q4, 2.5, 0.15)):
    server, address = serve(model)
    try:
        with tempfile.TemporaryDirectory() as folder:
            compare(kind, model, server, address, os.path.join(folder, 'book'), worst, mean)
    finally:
        server.kill()
        server.wait()
if BAD:
    sys.exit('BAD: ' + '; '.join(BAD))
