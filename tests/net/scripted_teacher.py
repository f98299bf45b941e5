#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A chat-completions server that answers by a script: python3 scripted_teacher.py PORT SCRIPT.json [LOG].

SCRIPT is a list of [needles, answers]: the first entry all of whose needles occur in the conversation (messages joined with
newlines, "role: content") answers; the nth time the same conversation is asked it gives the nth answer (the last one again when
they run out). No entry: "?". LOG gets one JSON line of messages a request."""
import http.server, json, sys
script = json.load(open(sys.argv[2]))
log = open(sys.argv[3], 'a', buffering=1) if len(sys.argv) > 3 else None
count = {}
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def do_POST(self):
        req = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        text = '\n'.join(f"{m['role']}: {m['content']}" for m in req['messages'])
        if log: log.write(json.dumps(req['messages']) + '\n')
        n = count[text] = count.get(text, -1) + 1
        say = next((a for needles, a in script if all(x in text for x in needles)), ['?'])
        say = say[min(n, len(say) - 1)]
        m = {'role': 'assistant', 'content': say} if isinstance(say, str) else dict({'role': 'assistant'}, **say)
        out = json.dumps({'choices': [{'index': 0, 'message': m, 'finish_reason': 'stop'}], 'usage': {'prompt_tokens': 1, 'completion_tokens': 1}}).encode()
        self.send_response(200); self.send_header('Content-Type', 'application/json'); self.send_header('Content-Length', str(len(out))); self.end_headers(); self.wfile.write(out)
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H)
print('ready', flush=True)
server.serve_forever()
