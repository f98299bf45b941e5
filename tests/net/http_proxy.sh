#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A proxy named by the environment is used (and left aside for hosts of no_proxy), and connections are kept: what the proxy saw is
# what counts.
. "$RETORT_SOURCE/tests/net/mock.bash"
cat >proxy.py <<'P'
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def setup(self):
        super().setup(); open('connections', 'a').write('c\n')
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length'])); open('seen', 'a').write(self.path + '\n')
        out = json.dumps({'choices': [{'index': 0, 'message': {'role': 'assistant', 'content': 'by the proxy'}, 'finish_reason': 'stop'}], 'usage': {'prompt_tokens': 1, 'completion_tokens': 1}}).encode()
        self.send_response(200); self.send_header('Content-Type', 'application/json'); self.send_header('Content-Length', str(len(out))); self.end_headers(); self.wfile.write(out)
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)
open('port', 'w').write(str(s.server_port)); print('ready', flush=True); s.serve_forever()
P
: >seen; : >connections
python3 proxy.py >proxy.out 2>&1 & mock=$!
for _ in $(seq 300); do grep -q '^ready' proxy.out && break; sleep 0.1; done
P=$(cat port)
python3 -c 'import json; [print(json.dumps({"id": str(i), "messages": [{"role": "user", "content": f"question {i}"}]})) for i in range(30)]' >q
http_proxy=http://127.0.0.1:$P "$RETORT" label -t "http://teacher.invalid/v1#m" --teacher-terms mit --book b1 --concurrency 1 <q >out 2>err || no "through the proxy: $(tail -2 err)"
[ "$(grep -c 'by the proxy' out)" = 30 ] || no "$(grep -c 'by the proxy' out) of 30 answers came through the proxy"
[ "$(sort -u seen)" = "http://teacher.invalid/v1/chat/completions" ] || no "the proxy was asked for $(sort -u seen)"
[ "$(wc -l <connections)" = 1 ] || no "30 requests one after the other took $(wc -l <connections) connections"
: >seen
http_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1 "$RETORT" label -t "http://127.0.0.1:$P/v1#m" --teacher-terms mit --book b2 <q >out 2>err || no "no_proxy: $(tail -2 err)"
[ "$(sort -u seen)" = "/v1/chat/completions" ] || no "no_proxy: asked for $(sort -u seen)"
done_testing "proxy and kept connections"
