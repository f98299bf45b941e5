#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A loopback chat-completions server that misbehaves as the question asks: a user message "EDGE kind ..." gets that kind of answer,
mostly on its first attempt only. usage: edge_server.py PORT LOG [--tls CERT KEY]. The log has one line a request: time, kind, attempt, path.
"""
import collections, gzip, http.server, json, ssl, sys, threading, time
from email.utils import formatdate
port, log = int(sys.argv[1]), open(sys.argv[2], 'a', buffering=1)
seen, lock = collections.Counter(), threading.Lock()

def chat(content='a good answer of some length', finish='stop', **more):
    return json.dumps({'choices': [{'index': 0, 'message': dict({'role': 'assistant', 'content': content}, **more), 'finish_reason': finish}],
                       'usage': {'prompt_tokens': 10, 'completion_tokens': 7}}).encode()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def send(self, status, body=b'', headers=()):
        self.send_response(status)
        for k, v in headers: self.send_header(k, v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        log.write(f'{time.time():.3f} get 1 {self.path}\n')
        self.send(200, b'{}')
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        text = json.loads(body)['messages'][-1]['content']
        kind = text.split()[1] if text.startswith('EDGE ') else 'plain'
        with lock:
            seen[body] += 1
            n = seen[body]
        log.write(f'{time.time():.3f} {kind} {n} {self.path}\n')
        first = n == 1
        if kind == 'after_s' and first: self.send(429, b'{}', [('Retry-After', '1')])
        elif kind == 'after_ms' and first: self.send(503, b'{}', [('retry-after-ms', '700'), ('Retry-After', '600')])
        elif kind == 'after_date' and first: # a server whose clock is a year off: its own Date counts
            self.send_response_only(503)
            self.send_header('Date', formatdate(time.time() - 31536000, usegmt=True))
            self.send_header('Retry-After', formatdate(time.time() - 31536000 + 2, usegmt=True))
            self.send_header('Content-Length', '0'); self.end_headers()
        elif kind == 'gzip': self.send(200, gzip.compress(chat()), [('Content-Encoding', 'gzip')])
        elif kind == 'bomb': self.send(200, gzip.compress(b' ' * (64 << 20)), [('Content-Encoding', 'gzip')])
        elif kind == 'bighead' and first: self.send(200, chat(), [(f'X-{i}', 'y' * 8000) for i in range(60)])
        elif kind == 'typed' and n < 3: self.send(200, chat(content=[5]))
        elif kind == 'nochoice' and n < 3: self.send(200, b'{"choices":[]}')
        elif kind == 'empty' and n < 3: self.send(200, b'')
        elif kind == 'cut' and n < 3: self.send(200, chat()[:40])
        elif kind == 'error200' and n < 3: self.send(200, b'{"error":{"message":"upstream went away"}}')
        elif kind == 'silent' and first: self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'); self.wfile.flush(); time.sleep(8)
        elif kind == 'filter400': self.send(400, b'{"error":{"code":"content_filter","message":"the filter said no"}}')
        elif kind == 'filter': self.send(200, chat(content=None, finish='content_filter'))
        elif kind == 'refusal': self.send(200, chat(content=None, refusal='I will not'))
        elif kind == 'length': self.send(200, chat(finish='length'))
        elif kind == 'bad400': self.send(400, b'{"error":{"message":"bad parameter"}}')
        elif kind == 'redirect': self.send(307, b'', [('Location', f'http://127.0.0.1:{port}/elsewhere')])
        elif kind == 'quota' : self.send(429, b'{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}')
        elif kind == 'key': self.send(401, b'{"error":{"message":"Incorrect API key provided: ' + (self.headers.get('Authorization') or '').encode() + b'"}}')
        elif kind == 'left' and first: self.send(200, chat(), [('x-ratelimit-remaining-requests', '0'), ('x-ratelimit-reset-requests', '1s')])
        else: self.send(200, chat())

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
s = Server(('127.0.0.1', port), Handler)
if len(sys.argv) > 3:
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(sys.argv[4], sys.argv[5])
    s.socket = c.wrap_socket(s.socket, server_side=True)
print('ready', flush=True)
s.serve_forever()
