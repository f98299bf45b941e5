#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Strict loopback stand-ins for the teachers' dialects: what the real API would refuse is refused with its error shape.

usage: mock_api.py PORT [--sequence a,b,..] [--key K] [--vllm]

POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/messages, /v1/files, /v1/batches; GET /v1/batches[/ID],
/v1/files/ID/content. Every body first meets the faults of --sequence, in order, then succeeds: 429 (Retry-After), 429ms
(retry-after-ms), 429date, 500, 529 (overloaded_error), reset, truncate, html, empty, garbage, wrongtype, nochoice, nul, deep.
GET /log: every accepted request as {"path","body","headers"}; GET /stats: counts; POST /control {"batches": MODE} decides
what the next poll of a batch finds: progress, complete, expire (every second request is left over), cancel, fail, hostile (lines of nonsense).
Answers: the last message's ((MODEL:text)) gives `text`, else the answer is made of the body's hash. Marks in it: ((tool))
((refuse)) ((filter)) ((long)) ((think)) ((empty)); for batches ((400)) ((500once)) ((malformedonce)) ((dropanswer)).
"""
import argparse, email.parser, email.policy, email.utils, hashlib, json, random, re, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ap = argparse.ArgumentParser()
ap.add_argument('port', type=int); ap.add_argument('--sequence', default=''); ap.add_argument('--key'); ap.add_argument('--vllm', action='store_true')
A = ap.parse_args()
SEQUENCE = [s for s in A.sequence.split(',') if s]
LOCK = threading.Lock()
LOG, SEEN, FILES, BATCHES, ONCE = [], {}, {}, {}, set()
S = {'requests': 0, 'answered': 0, 'faults': {}, 'refused': 0, 'batch_requests': 0, 'asked_twice': 0}
CONTROL = {'batches': 'progress', 'create': 'ok'}
WORDS = 'the court held that a contract requires offer acceptance and consideration under the law of the place'.split()


class Refused(Exception):
    """A request that the real API answers with an error of this status."""
    def __init__(self, status, message, kind='invalid_request_error', code=None):
        super().__init__(message)
        self.status, self.message, self.kind, self.code = status, message, kind, code


def need(cond, message, status=400):
    if not cond:
        raise Refused(status, message)


def text_of(content):
    if content is None:
        return ''
    return content if isinstance(content, str) else ''.join(p.get('text', '') if isinstance(p, dict) else str(p) for p in content)


def words_for(body, prompt, model, seed=0):
    m = re.search(r'\(\(' + re.escape(model) + r':(.*?)\)\)', prompt, re.S)
    if m:
        return m.group(1)
    r = random.Random(hashlib.sha256(json.dumps([json.loads(body), seed], sort_keys=True).encode()).digest())
    return ' '.join(r.choice(WORDS) for _ in range(r.randint(5, 20)))


def check_number(req, key, lo, hi):
    if key in req:
        v = req[key]
        need(isinstance(v, (int, float)) and not isinstance(v, bool) and lo <= v <= hi, f"Invalid '{key}'")


OPENAI = {'model', 'messages', 'temperature', 'max_tokens', 'max_completion_tokens', 'seed', 'top_p', 'stop', 'n', 'logprobs', 'top_logprobs', 'tools',
          'tool_choice', 'response_format', 'reasoning_effort', 'user', 'frequency_penalty'}
VLLM = {'top_k', 'min_p', 'repetition_penalty', 'prompt_logprobs', 'guided_json', 'chat_template_kwargs'}


def check_common(req, known):
    for k in req:
        need(k in known or (A.vllm and k in VLLM), f'Unrecognized request argument supplied: {k}')
    need(isinstance(req.get('model'), str) and req['model'], 'you must provide a model parameter')
    check_number(req, 'temperature', 0, 2); check_number(req, 'top_p', 0, 1); check_number(req, 'max_tokens', 0 if 'prompt' in req else 1, 1 << 20)
    if 'seed' in req:
        need(isinstance(req['seed'], int), "Invalid type for 'seed'")
    if 'stop' in req:
        need(isinstance(req['stop'], list) and 1 <= len(req['stop']) <= 4 and all(isinstance(s, str) for s in req['stop']), "Invalid 'stop'")
    need(isinstance(req.get('n', 1), int) and 1 <= req.get('n', 1) <= 128, "Invalid 'n'")


def chat(body, req, headers):
    check_common(req, OPENAI)
    msgs = req.get('messages')
    need(isinstance(msgs, list) and msgs, "Invalid 'messages': empty array")
    calls = set()
    for i, m in enumerate(msgs):
        need(isinstance(m, dict) and m.get('role') in ('system', 'developer', 'user', 'assistant', 'tool'), f"Invalid 'messages[{i}].role'")
        if m['role'] == 'assistant':
            calls |= {c['id'] for c in m.get('tool_calls', [])}
        elif m['role'] == 'tool':
            need(m.get('tool_call_id') in calls, f"messages with role 'tool' must be a response to a preceeding message with 'tool_calls'")
        else:
            need(isinstance(m.get('content'), (str, list)), f"Invalid type for 'messages[{i}].content'")
    if 'top_logprobs' in req:
        need(req.get('logprobs') is True and 0 <= req['top_logprobs'] <= 20, "'top_logprobs' needs 'logprobs' and is at most 20")
    if 'response_format' in req:
        f = req['response_format']
        need(f.get('type') in ('text', 'json_object', 'json_schema'), "Invalid 'response_format.type'")
        if f['type'] == 'json_schema':
            need(re.fullmatch(r'[A-Za-z0-9_-]{1,64}', f['json_schema'].get('name', '')) is not None, "Missing 'response_format.json_schema.name'")
            need(isinstance(f['json_schema'].get('schema'), dict), "Missing 'response_format.json_schema.schema'")
    for t in req.get('tools', []):
        need(t.get('type') == 'function' and isinstance(t.get('function', {}).get('name'), str), "Invalid 'tools'")
    prompt = text_of(msgs[-1].get('content'))
    choices = []
    for i in range(req.get('n', 1)):
        said = words_for(body, prompt, req['model'], i)
        m, finish = {'role': 'assistant', 'content': said, 'refusal': None}, 'stop'
        if '((tool))' in prompt and req.get('tools'):
            m, finish = {'role': 'assistant', 'content': None, 'tool_calls': [{'id': 'call_1', 'type': 'function', 'function': {
                'name': req['tools'][0]['function']['name'], 'arguments': '{"city": "Bern"}'}}]}, 'tool_calls'
        elif '((refuse))' in prompt:
            m = {'role': 'assistant', 'content': None, 'refusal': "I cannot help with that."}
        elif '((filter))' in prompt:
            m, finish = {'role': 'assistant', 'content': None}, 'content_filter'
        elif '((long))' in prompt:
            finish = 'length'
        elif '((empty))' in prompt:
            m['content'] = ''
        if '((think))' in prompt:
            m['reasoning_content'] = 'first I think: ' + said
        if 'response_format' in req and req['response_format']['type'] == 'json_schema':
            m['content'] = json.dumps({'answer': said})
        c = {'index': i, 'message': m, 'finish_reason': finish}
        if req.get('logprobs'):
            k, toks = req.get('top_logprobs', 0), re.findall(r'\S+|\s+', m['content'] or '')
            c['logprobs'] = {'content': [{'token': t, 'logprob': -0.5 * (j + 1), 'bytes': list(t.encode()),
                'top_logprobs': [{'token': t if x == 0 else f'alt{x}', 'logprob': -0.5 * (j + 1) - x, 'bytes': None} for x in range(k)]} for j, t in enumerate(toks)]}
        choices.append(c)
    return {'id': 'chatcmpl-1', 'object': 'chat.completion', 'created': 1, 'model': req['model'], 'choices': choices,
            'usage': {'prompt_tokens': len(prompt), 'completion_tokens': 10, 'total_tokens': len(prompt) + 10}}


def completions(body, req, headers):
    check_common(req, (OPENAI - {'messages', 'tools', 'top_logprobs', 'response_format'}) | {'prompt', 'echo', 'best_of', 'suffix'})
    prompt = req.get('prompt')
    need(isinstance(prompt, str) and prompt, "Invalid 'prompt'")
    k = req.get('logprobs')
    need(k is None or (isinstance(k, int) and not isinstance(k, bool) and 0 <= k <= 20), "Invalid 'logprobs'")
    said = words_for(body, prompt, req['model'])[:None if req.get('max_tokens', 16) > 1 else 1]
    choice = {'index': 0, 'text': (prompt if req.get('echo') else '') + said, 'finish_reason': 'length' if req.get('max_tokens', 16) <= 1 else 'stop', 'logprobs': None}
    if k is not None:
        toks = [t for s in ([prompt] if req.get('echo') else []) + [said] for t in re.findall(r'\S+|\s+', s)]
        at, off = 0, []
        for t in toks:
            off.append(at); at += len(t)
        lp = [None if req.get('echo') and i == 0 else -0.25 * (i + 1) for i in range(len(toks))]
        choice['logprobs'] = {'tokens': toks, 'token_logprobs': lp, 'text_offset': off,
                              'top_logprobs': [None if v is None else {t: v, **{f'alt{x}': v - x for x in range(1, k)}} for t, v in zip(toks, lp)]}
    if req.get('prompt_logprobs') is not None:
        toks = re.findall(r'\S+|\s+', prompt)
        choice['prompt_logprobs'] = [None] + [{str(100 + i): {'logprob': -0.25 * (i + 2), 'rank': 3, 'decoded_token': t},
                                               '7': {'logprob': -0.01, 'rank': 1, 'decoded_token': 'top'}} for i, t in enumerate(toks[1:])]
    return {'id': 'cmpl-1', 'object': 'text_completion', 'created': 1, 'model': req['model'], 'choices': [choice],
            'usage': {'prompt_tokens': len(re.findall(r'\S+|\s+', prompt)), 'completion_tokens': 1, 'total_tokens': 9}}


def embeddings(body, req, headers):
    for k in req:
        need(k in ('model', 'input', 'encoding_format', 'dimensions', 'user'), f'Unrecognized request argument supplied: {k}')
    need(isinstance(req.get('input'), str) and req['input'], "'$.input' is invalid")
    need(req.get('encoding_format', 'float') == 'float', 'only float here')
    h = hashlib.sha256(req['input'].encode()).digest()
    return {'object': 'list', 'model': req['model'], 'data': [{'object': 'embedding', 'index': 0, 'embedding': [b / 128 - 1 for b in h[:req.get('dimensions', 8)]]}],
            'usage': {'prompt_tokens': 3, 'total_tokens': 3}}


def messages(body, req, headers):
    need(headers.get('anthropic-version') == '2023-06-01', 'anthropic-version: header is required')
    known = {'model', 'max_tokens', 'messages', 'system', 'temperature', 'top_p', 'top_k', 'stop_sequences', 'tools', 'tool_choice', 'thinking', 'metadata', 'output_config'}
    for k in req:
        need(k in known, f'{k}: Extra inputs are not permitted')
    need(isinstance(req.get('model'), str), 'model: Field required')
    need(isinstance(req.get('max_tokens'), int) and req['max_tokens'] >= 1, 'max_tokens: Field required')
    check_number(req, 'temperature', 0, 1)
    need(isinstance(req.get('system', ''), (str, list)), 'system: Input should be a valid string')
    msgs, pending = req.get('messages'), None
    need(isinstance(msgs, list) and msgs, 'messages: at least one message is required')
    for i, m in enumerate(msgs):
        need(set(m) == {'role', 'content'}, f'messages.{i}: Extra inputs are not permitted')
        need(m['role'] in ('user', 'assistant'), f'messages: Unexpected role "{m["role"]}". The Messages API accepts a top-level `system` parameter')
        blocks = [{'type': 'text', 'text': m['content']}] if isinstance(m['content'], str) else m['content']
        need(isinstance(blocks, list) and blocks, f'messages.{i}: all messages must have non-empty content')
        results = {b['tool_use_id'] for b in blocks if b.get('type') == 'tool_result'}
        if pending:
            need(pending == results, f'messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: {sorted(pending)}')
        else:
            need(not results, f'messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks')
        for b in blocks:
            need(b.get('type') in ('text', 'tool_use', 'tool_result'), f'messages.{i}.content: unknown block')
            if b['type'] == 'text':
                need(b.get('text'), 'messages: text content blocks must be non-empty')
            if b['type'] == 'tool_use':
                need(isinstance(b.get('input'), dict), f'messages.{i}.content: tool_use.input: Input should be a valid dictionary')
        pending = {b['id'] for b in blocks if b.get('type') == 'tool_use'} or None
    need(msgs[0]['role'] == 'user', 'messages: first message must use the "user" role')
    for t in req.get('tools', []):
        need(set(t) <= {'name', 'description', 'input_schema'} and isinstance(t.get('input_schema'), dict), 'tools: Field required: input_schema')
    last = msgs[-1]['content']
    prompt = last if isinstance(last, str) else ''.join(text_of(b.get('text') or b.get('content')) for b in last)
    said, content, stop = words_for(body, prompt, req['model']), [], 'end_turn'
    if '((think))' in prompt:
        content += [{'type': 'thinking', 'thinking': 'first I think: ' + said, 'signature': 'c2ln'}, {'type': 'redacted_thinking', 'data': 'x'}]
    if '((tool))' in prompt and req.get('tools'):
        content += [{'type': 'text', 'text': 'Let me look.'}, {'type': 'tool_use', 'id': 'toolu_1', 'name': req['tools'][0]['name'], 'input': {'city': 'Bern'}}]
        stop = 'tool_use'
    elif '((refuse))' in prompt:
        stop = 'refusal'
    elif '((empty))' not in prompt:
        half = len(said) // 2
        content += [{'type': 'text', 'text': said[:half]}, {'type': 'text', 'text': said[half:]}] if len(said) > 8 else [{'type': 'text', 'text': said}]
    if '((long))' in prompt:
        stop = 'max_tokens'
    if 'output_config' in req:
        need(req['output_config']['format']['type'] == 'json_schema' and isinstance(req['output_config']['format']['schema'], dict), 'output_config: invalid')
        content = [{'type': 'text', 'text': json.dumps({'answer': said})}]
    return {'id': 'msg_1', 'type': 'message', 'role': 'assistant', 'model': req['model'], 'content': content, 'stop_reason': stop, 'stop_sequence': None,
            'usage': {'input_tokens': len(body) // 4, 'output_tokens': 10, 'cache_creation_input_tokens': 0, 'cache_read_input_tokens': 4}}


DIALECTS = {'/v1/chat/completions': chat, '/v1/completions': completions, '/v1/embeddings': embeddings, '/v1/messages': messages}


def error_body(path, r):
    if path == '/v1/messages':
        return {'type': 'error', 'error': {'type': r.kind, 'message': r.message}, 'request_id': 'req_1'}
    return {'error': {'message': r.message, 'type': r.kind, 'param': None, 'code': r.code}}


# ---- batches ----

def upload(body, headers):
    m = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b'Content-Type: ' + headers['content-type'].encode() + b'\r\n\r\n' + body)
    need(m.is_multipart(), 'expected multipart/form-data')
    part = {p.get_param('name', header='content-disposition'): p for p in m.iter_parts()}
    need(set(part) == {'purpose', 'file'} and part['purpose'].get_content().strip() == 'batch', "'purpose' must be batch")
    need((part['file'].get_filename() or '').endswith('.jsonl'), 'the file name must end with .jsonl')
    data = part['file'].get_payload(decode=True)
    fid = f'file-{len(FILES)}'
    FILES[fid] = data
    return {'id': fid, 'object': 'file', 'bytes': len(data), 'created_at': 1, 'filename': 'x.jsonl', 'purpose': 'batch'}


def create(req):
    need(set(req) <= {'input_file_id', 'endpoint', 'completion_window', 'metadata'}, 'Unknown parameter')
    need(req.get('completion_window') == '24h', "Invalid 'completion_window'")
    need(req.get('endpoint') in DIALECTS and req['endpoint'] != '/v1/messages', "Invalid 'endpoint'")
    need(req.get('input_file_id') in FILES, 'No such File object', 404)
    bid = f'batch_{len(BATCHES)}'
    b = BATCHES[bid] = {'id': bid, 'object': 'batch', 'endpoint': req['endpoint'], 'errors': None, 'input_file_id': req['input_file_id'],
                        'completion_window': '24h', 'status': 'validating', 'output_file_id': None, 'error_file_id': None, 'created_at': int(time.time()),
                        'metadata': req.get('metadata'), 'request_counts': {'total': 0, 'completed': 0, 'failed': 0}}
    ids = set()
    for line in FILES[req['input_file_id']].decode().splitlines():
        r = json.loads(line)
        need(set(r) == {'custom_id', 'method', 'url', 'body'} and r['method'] == 'POST' and r['url'] == req['endpoint'], 'bad line in the batch file')
        need(r['custom_id'] not in ids, 'duplicate custom_id'); ids.add(r['custom_id'])
        b['request_counts']['total'] += 1
        S['batch_requests'] += 1
    return b


def poll(b):
    mode = CONTROL['batches']
    if b['status'] in ('completed', 'expired', 'failed', 'cancelled'):
        return b
    if mode == 'progress':
        b['status'] = 'in_progress'
        return b
    if mode == 'fail':
        b['status'] = 'failed'
        b['errors'] = {'object': 'list', 'data': [{'code': 'token_limit_exceeded', 'message': 'Enqueued token limit reached for m in organization o.', 'param': None, 'line': None}]}
        return b
    if mode == 'hostile':  # every line is something else that a server must not send
        ids = [json.loads(line)['custom_id'].encode() for line in FILES[b['input_file_id']].decode().splitlines()]
        lines = [b'{"custom_id":"%s","response":{"status_code":200,"body":' + b'[' * 5000, b'\x00\x01\xff\xfe', b'', b'{"custom_id":"%s","response":null,"error":null}',
                 b'{"custom_id":"%s","response":{"status_code":99999999999999999999999,"body":{}},"error":null}', b'{"custom_id":"%s","response":{"status_code":"200","body":7}}',
                 b'{"custom_id":"%s","response":{"status_code":200},"response":{"status_code":200,"body":null}}', b'{"custom_id":7,"response":[]}', b'[]', b'{"custom_id":"%s"',
                 b'{"custom_id":"%s","response":{"status_code":200,"body":{"choices":[{"message":{"content":"a\xffb"}}]}}}', b'{"custom_id":"' + b'f' * 100000 + b'"}',
                 b'{"custom_id":"%s","error":{"code":7},"response":null}', b'{"custom_id":"%s","response":{"status_code":200,"body":{"choices":[{"message":{"content":null}}]}}}']
        b['output_file_id'] = f'file-{len(FILES)}'
        FILES[b['output_file_id']] = b'\n'.join(x.replace(b'%s', ids[i % len(ids)]) for i, x in enumerate(lines))
        b['status'] = 'completed'
        return b
    out, err = [], []
    for i, line in enumerate(FILES[b['input_file_id']].decode().splitlines()):
        r = json.loads(line)
        raw = json.dumps(r['body']).encode()
        prompt = json.dumps(r['body'])
        rec = {'id': f'batch_req_{i}', 'custom_id': r['custom_id'], 'response': None, 'error': None}
        once = r['custom_id'] not in ONCE
        if mode in ('expire', 'cancel') and i % 2:
            rec['error'] = {'code': 'batch_expired' if mode == 'expire' else 'batch_cancelled', 'message': 'This request could not be executed before the completion window expired.'}
            err.append(rec); continue
        if '((dropanswer))' in prompt and once:
            ONCE.add(r['custom_id']); continue
        if '((500once))' in prompt and once:
            ONCE.add(r['custom_id'])
            rec['response'] = {'status_code': 500, 'request_id': 'r', 'body': {'error': {'message': 'server', 'type': 'server_error'}}}
            err.append(rec); continue
        if '((malformedonce))' in prompt and once:
            ONCE.add(r['custom_id'])
            rec['response'] = {'status_code': 200, 'request_id': 'r', 'body': {'choices': 'none'}}
            out.append(rec); continue
        try:
            if '((400))' in prompt:
                raise Refused(400, 'this model does not like this question')
            rec['response'] = {'status_code': 200, 'request_id': 'r', 'body': DIALECTS[r['url']](raw, r['body'], {})}
            key = json.dumps(r['body'], sort_keys=True) + r['custom_id']
            S['asked_twice'] += key in SEEN
            SEEN[key] = 1
            out.append(rec)
        except Refused as x:
            rec['response'] = {'status_code': x.status, 'request_id': 'r', 'body': error_body(r['url'], x)}
            err.append(rec)
    random.Random(5).shuffle(out)
    if out:
        out.append(dict(out[0])); out.append({'id': 'x', 'custom_id': 'of-somebody-else', 'response': {'status_code': 200, 'request_id': 'r', 'body': {}}, 'error': None})
    for key, rows in (('output_file_id', out), ('error_file_id', err)):
        if rows:
            b[key] = f'file-{len(FILES)}'
            FILES[b[key]] = '\n'.join(json.dumps(r) for r in rows).encode() + (b'\n' if key == 'output_file_id' else b'')
    b['request_counts'].update(completed=len(out), failed=len(err))
    b['status'] = {'complete': 'completed', 'expire': 'expired', 'cancel': 'cancelled'}[mode]
    return b


def find_batch(bid):
    need(bid in BATCHES, f"No batch found with id '{bid}'.", 404)
    return poll(BATCHES[bid])


def list_batches(query):
    after = re.search(r'after=([^&]*)', query)
    ids = sorted(BATCHES, key=lambda b: -int(b[6:]))
    if after:
        ids = ids[ids.index(after.group(1)) + 1:]
    limit = int(re.search(r'limit=(\d+)', query).group(1)) if 'limit=' in query else 20
    page = ids[:limit]
    return {'object': 'list', 'data': [BATCHES[i] for i in page], 'first_id': page[0] if page else None, 'last_id': page[-1] if page else None, 'has_more': len(ids) > limit}


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def log_message(self, *a):
        pass

    def send(self, status, body, ctype='application/json', extra=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for k, v in (('Content-Type', ctype), ('Content-Length', str(len(data))), *extra):
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def check_key(self, path):
        if A.key:
            given = self.headers.get('x-api-key') if path == '/v1/messages' else (self.headers.get('authorization') or '')[7:]
            if given != A.key:
                raise Refused(401, f'Incorrect API key provided: {given}', 'authentication_error')

    def do_GET(self):
        path, _, query = self.path.partition('?')
        try:
            with LOCK:
                if path == '/log':
                    return self.send(200, LOG)
                if path == '/stats':
                    return self.send(200, S)
                self.check_key(path)
                if path == '/v1/batches':
                    return self.send(200, list_batches(query))
                if path.startswith('/v1/batches/'):
                    return self.send(200, find_batch(path[12:]))
                m = re.fullmatch(r'/v1/files/([^/]*)/content', path)
                need(m and m.group(1) in FILES, 'No such File object', 404)
                return self.send(200, FILES[m.group(1)], 'application/octet-stream')
        except Refused as r:
            self.send(r.status, error_body(path, r))

    def do_POST(self):
        path = self.path
        body = self.rfile.read(int(self.headers.get('content-length', 0)))
        try:
            with LOCK:
                if path == '/control':
                    CONTROL.update(json.loads(body))
                    return self.send(200, CONTROL)
                S['requests'] += 1
                self.check_key(path)
                if path == '/v1/files':
                    return self.send(200, upload(body, self.headers))
                need(self.headers.get('content-type') == 'application/json', 'Content-Type must be application/json', 415)
                req = json.loads(body)
                need(isinstance(req, dict), 'not an object')
                if path == '/v1/batches':
                    out = create(req)
                need(path in DIALECTS or path == '/v1/batches', f'Invalid URL (POST {path})', 404)
                h = hashlib.sha256(path.encode() + body).hexdigest()
                turn = SEEN.get(h, 0)
                SEEN[h] = turn + 1
                out = out if path == '/v1/batches' else DIALECTS[path](body, req, self.headers)
            if path == '/v1/batches':
                if CONTROL['create'] == 'hang':
                    time.sleep(30)
                if CONTROL['create'] != 'ok':  # made, but the answer never arrives
                    self.close_connection = True
                    return self.connection.shutdown(2)
                return self.send(200, out)
            fault = SEQUENCE[turn] if turn < len(SEQUENCE) else None
            if fault:
                S['faults'][fault] = S['faults'].get(fault, 0) + 1
                return self.fault(fault, path, out)
            with LOCK:
                S['answered'] += 1
                S['asked_twice'] += turn > len(SEQUENCE)
                LOG.append({'path': path, 'body': req, 'headers': {k.lower(): v for k, v in self.headers.items() if k.lower() not in ('authorization', 'x-api-key')}})
            self.send(200, out)
        except json.JSONDecodeError:
            self.send(400, error_body(path, Refused(400, 'We could not parse the JSON body of your request.')))
        except Refused as r:
            S['refused'] += 1
            self.send(r.status, error_body(path, r))

    def fault(self, kind, path, out):
        data = json.dumps(out).encode()
        if kind in ('429', '429ms', '429date'):
            extra = {'429': ('Retry-After', '1'), '429ms': ('retry-after-ms', '150'), '429date': ('Retry-After', email.utils.formatdate(time.time() + 1, usegmt=True))}[kind]
            return self.send(429, error_body(path, Refused(429, 'slow down', 'rate_limit_error')), extra=[extra])
        if kind == '500':
            return self.send(500, error_body(path, Refused(500, 'server', 'api_error')))
        if kind == '529':
            return self.send(529, error_body(path, Refused(529, 'Overloaded', 'overloaded_error')))
        if kind == 'html':
            return self.send(502, b'<html>bad gateway</html>', 'text/html')
        if kind == 'empty':
            return self.send(200, b'')
        if kind == 'garbage':
            return self.send(200, b'{"choices":[{"mess\xff\xfe')
        if kind == 'nul':
            return self.send(200, data.replace(b'}', b'}\0', 1))
        if kind == 'deep':
            return self.send(200, b'{"choices":' + b'[' * 100000)
        if kind == 'wrongtype':
            return self.send(200, re.sub(rb'"(content|text|embedding|choices|data)": ', rb'"\1": 7, "was_\1": ', data))
        if kind == 'nochoice':
            if path == '/v1/messages':  # (an empty list of content would be a whole answer there)
                return self.send(200, {k: v for k, v in out.items() if k != 'content'})
            return self.send(200, {k: [] if isinstance(v, list) else v for k, v in out.items()})
        if kind in ('truncate', 'reset'):
            if kind == 'truncate':
                self.send_response(200)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                self.wfile.write(data[:len(data) // 2])
                self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return None
        raise ValueError(kind)


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


s = Server(('127.0.0.1', A.port), Handler)
print('ready', A.port, flush=True)
s.serve_forever()
