#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make demo-seeds: is the distilled student better than the supervised one beyond the seeds' spread, and the pruned start
better than a random one? Three arms on the demo's shards at equal tokens, three seeds; the learning rate of each arm is the
best of three around where it is best, by KL to the teacher on the validation split (seed 1). Every finished run is kept, so the script goes on where
it was stopped. Writes DEMO/seeds-TOKENS/results.json and the table of docs/results.md to stdout (and --write replaces it).
usage: demo_seeds.py [--tokens 16K] [--write]; DEMO: folder that tools/demo.sh filled (build/demo-seeds)"""
import argparse, json, os, statistics, subprocess, sys
ap = argparse.ArgumentParser()
ap.add_argument('--tokens', default=os.environ.get('TOKENS') or '16K')
ap.add_argument('--write', action='store_true')
A = ap.parse_args()
demo, retort = os.environ.get('DEMO') or 'build/demo-seeds', os.environ.get('RETORT') or 'build/gcc/retort'
cache = os.environ.get('RETORT_CACHE', 'build/cache')
teacher = f'{cache}/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
out = f'{demo}/seeds-{A.tokens}'
os.makedirs(out, exist_ok=True)
SEEDS = [1, 2, 3]
RATES = {'distilled': ['2e-4', '5e-4', '1e-3'], 'supervised': ['1e-4', '2e-4', '5e-4'], 'random start': ['5e-4', '1e-3', '2e-3']}
ARMS = {'distilled': ('pruned', 'topk'), 'supervised': ('pruned', 'ce'), 'random start': ('random', 'topk')}

def run(*args, **kw):
    print('+ retort', *args, file=sys.stderr, flush=True)
    return subprocess.run([retort, *args], check=True, **kw)

def start_of(kind):
    if kind == 'pruned':
        return f'{demo}/pruned'
    folder = f'{out}/random'
    if not os.path.isdir(folder):
        run('prune', teacher, '--layers', '20', '--ffn', '1024', '--random', '-o', folder)
    return folder

def train(arm, rate, seed):
    start, loss = ARMS[arm]
    folder = f"{out}/{arm.replace(' ', '-')}-{rate}-{seed}"
    if not os.path.isdir(folder):
        run('train', '-q', '--student', start_of(start), '--shards', f'{demo}/shards/train', '--loss', loss, '--tokens', A.tokens, '--lr', rate,
            '--seed', str(seed), '-o', folder)
    return folder

def measure(folders, data, *more):
    r = run('eval', '-q', *folders, '--teacher', teacher, '--data', f'{demo}/shards/{data}', '--json', *more, stdout=subprocess.PIPE)
    return [json.loads(l) for l in r.stdout.splitlines()]

best, trials = {}, {}
for arm in ARMS:
    runs = [train(arm, r, 1) for r in RATES[arm]]
    kl = [row['kl'] for row in measure(runs, 'valid-answers')]
    best[arm] = RATES[arm][kl.index(min(kl))]
    trials[arm] = dict(zip(RATES[arm], kl))
rows = {}
for arm in ARMS:
    rows[arm] = measure([train(arm, best[arm], s) for s in SEEDS], 'test-answers', '--text', f'{demo}/shards/test-text')
start = measure([f'{demo}/pruned', start_of('random')], 'test-answers', '--text', f'{demo}/shards/test-text')
result = {'tokens': A.tokens, 'rates': trials, 'best_rate': best, 'rows': rows, 'start': {'pruned': start[0], 'random start': start[1]}}
json.dump(result, open(f'{out}/results.json', 'w'), indent=1)

def cell(arm, key):
    v = [r[key] for r in rows[arm]]
    return f'{statistics.mean(v):.4f} ({min(v):.4f}–{max(v):.4f})'

def beyond(key, better):  # every seed of the one better than every seed of the other
    d, s = [r[key] for r in rows['distilled']], [r[key] for r in rows['supervised']]
    return min(d) > max(s) if better == 'more' else max(d) < min(s)

text = [f'Student of 20 layers, FFN 1024 (81 M), {A.tokens} training tokens, three seeds: mean (lowest–highest) on held-out licence families,',
        f"{rows['distilled'][0]['tokens']} answer tokens of {rows['distilled'][0]['documents']} answers, {rows['distilled'][0]['text_tokens']} tokens of licence text.", '',
        '| arm | learning rate | loss on answers | KL to the teacher | top-1 agreement | loss on licence text |', '|---|---|---|---|---|---|']
for name, r in result['start'].items():
    text.append(f"| {name}, untrained | – | {r['loss']:.4f} | {r['kl']:.4f} | {r['agreement']:.4f} | {r['text_loss']:.4f} |")
for arm in ARMS:
    text.append(f"| {arm} | {best[arm]} | {cell(arm, 'loss')} | {cell(arm, 'kl')} | {cell(arm, 'agreement')} | {cell(arm, 'text_loss')} |")
win = lambda b: 'yes' if b else 'no'
text += ['', f"- distilled better than supervised in every seed pair: KL {win(beyond('kl', 'less'))}, agreement {win(beyond('agreement', 'more'))}, "
         f"loss on answers {win(beyond('loss', 'less'))}, loss on licence text {win(beyond('text_loss', 'less'))}",
         f"- pruned start better than random start: KL {win(max(r['kl'] for r in rows['distilled']) < min(r['kl'] for r in rows['random start']))}",
         '- learning rates tried: ' + '; '.join(f"{a}: " + ', '.join(f'{k} → {v:.4f}' for k, v in t.items()) for a, t in trials.items()) + ' (KL on the validation split, seed 1)']
text = '\n'.join(text) + '\n'
print(text)
if A.write:
    head = '# Results\n\nMeasured figures and the command that makes each.\n\n## Distilled against supervised (`make demo-seeds`)\n\n'
    open('docs/results.md', 'w').write(head + text)
