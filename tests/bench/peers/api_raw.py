# SPDX-License-Identifier: Apache-2.0
"""Floor: bare asyncio sockets, keep-alive, no retry, no JSON parsing of the answer. usage: api_raw.py BASE_URL N C OUT"""
import asyncio, sys, json, time
from urllib.parse import urlparse
try:
    import uvloop; uvloop.install()
except Exception: pass
u = urlparse(sys.argv[1]); N, C = int(sys.argv[2]), int(sys.argv[3]); it = iter(range(N)); f = open(sys.argv[4], 'wb')
async def w():
    r, s = await asyncio.open_connection(u.hostname, u.port)
    for i in it:
        b = json.dumps({'messages': [{'role': 'user', 'content': f'question {i} about contract law'}], 'model': 'mock'}).encode()
        s.write(b'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % len(b)+b)
        h = await r.readuntil(b'\r\n\r\n'); n = int(h.split(b'Content-Length: ')[1].split(b'\r')[0]); f.write(await r.readexactly(n)+b'\n')
    s.close()
async def main():
    t = time.time(); await asyncio.gather(*[w() for _ in range(C)]); print(json.dumps(dict(tool='raw', n=N, req_s=round(N/(time.time()-t), 1))))
asyncio.run(main())
