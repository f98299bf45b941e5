# SPDX-License-Identifier: Apache-2.0
# Shared by tests that need a teacher whose words are known: `script_start SCRIPT.json` starts tests/net/scripted_teacher.py and
# sets T; a scratch folder, `no` to fail.
set -uo pipefail
work=$(mktemp -d)
server=0
trap '[ $server != 0 ] && kill $server 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
export RETORT_RUN="$work/run"
unset OPENAI_API_KEY RETORT_BOOK
bad=0
no() { echo "FAIL: $1"; bad=1; }
script_start() {
  script_stop
  for port in $(python3 -c 'import random; print(*random.sample(range(20000, 32000), 8))'); do
    python3 "$RETORT_SOURCE/tests/net/scripted_teacher.py" "$port" "$1" asked.log >server.out 2>&1 & server=$!
    for _ in $(seq 300); do grep -q '^ready' server.out && break 2; kill -0 $server 2>/dev/null || break; sleep 0.1; done
  done
  grep -q '^ready' server.out || { echo "FAIL: no server: $(cat server.out)"; exit 1; }
  T="http://127.0.0.1:$port/v1#scripted"
}
script_stop() { [ $server = 0 ] || { kill $server; wait $server 2>/dev/null; server=0; }; }
finish() { script_stop; [ $bad = 0 ] && echo "$1: all good"; exit $bad; }
