# SPDX-License-Identifier: Apache-2.0
# For tests/net/*.sh: an empty work folder (the current one), the mock server, and how to say that something is wrong.
work=$(mktemp -d)
mock=0
trap '[ $mock != 0 ] && kill $mock 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
unset OPENAI_API_KEY RETORT_BOOK
bad=0
no() { echo "FAIL: $1"; bad=1; }
port=
start_mock() { # OPTIONS...
  for port in $(python3 -c 'import random; print(*random.sample(range(20000, 32000), 8))'); do
    python3 "$RETORT_SOURCE/tests/net/mock_teacher.py" "$port" "$@" >mock.out 2>&1 &
    mock=$!
    for _ in $(seq 300); do grep -q '^ready' mock.out && return 0; kill -0 $mock 2>/dev/null || break; sleep 0.1; done
  done
  echo "FAIL: no mock server: $(cat mock.out)"; exit 1
}
stop_mock() { kill $mock 2>/dev/null; wait $mock 2>/dev/null; mock=0; }
stat() { python3 -c "import json, sys, urllib.request; print(json.load(urllib.request.urlopen('http://127.0.0.1:$port/stats'))['$1'])"; }
T() { echo "http://127.0.0.1:$port/v1#mock"; }
