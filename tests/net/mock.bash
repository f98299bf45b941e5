# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts of tests/net: a scratch folder, mock servers on free ports, counting failures.
set -uo pipefail
work=$(mktemp -d)
mocks=()
trap 'for p in "${mocks[@]}" $mock; do [ $p = 0 ] || kill $p 2>/dev/null; done; rm -rf "$work"' EXIT
cd "$work"
export RETORT_RUN="$work/run"
unset OPENAI_API_KEY ANTHROPIC_API_KEY RETORT_BOOK http_proxy https_proxy all_proxy
bad=0
no() { echo "FAIL: $1"; bad=1; }
port= mock=0 # 0: none
start_server() { # SCRIPT OPTIONS... -> $port, $mock
  local script=$1; shift
  for port in $(python3 -c 'import random; print(*random.sample(range(20000, 32000), 8))'); do
    python3 "$RETORT_SOURCE/tests/net/$script" "$port" "$@" >mock.$port 2>&1 &
    mock=$!
    mocks+=($mock)
    for _ in $(seq 300); do grep -q '^ready' mock.$port && return 0; kill -0 $mock 2>/dev/null || break; sleep 0.1; done
  done
  echo "FAIL: no mock server: $(cat mock.$port)"; exit 1
}
start_mock() { start_server "$@"; }
stop_mock() { [ $mock = 0 ] || { kill $mock 2>/dev/null; wait $mock 2>/dev/null; mock=0; }; } # (kill 0 is everybody in this process group)
mock_get() { python3 -c "import sys, urllib.request; print(urllib.request.urlopen('http://127.0.0.1:$port$1').read().decode())"; }
mock_stat() { mock_get /stats | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
mock_set() { python3 -c "import sys, urllib.request; urllib.request.urlopen('http://127.0.0.1:$port/control', sys.argv[1].encode())" "$1"; }
done_testing() { [ $bad = 0 ] && echo "$1: all good"; exit $bad; }
