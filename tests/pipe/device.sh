#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --device: what is there and what is not. The plugin is the shim's (build/cudasim-fast), put beside a copy of the binary.
set -uo pipefail
bin=$(dirname "$RETORT")
model=$RETORT_SOURCE/tests/golden/data/model/qwen3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fail() { echo "FAIL: $1"; sed 's/^/  /' "$tmp/err" 2>/dev/null | head -5; exit 1; }
expect() { # EXIT PATTERN command...
  local code=$1 pattern=$2
  shift 2
  echo '{"ids":[1,7,30,2,9]}' | "$@" >"$tmp/out" 2>"$tmp/err"
  local got=$?
  [ "$got" = "$code" ] || fail "exit $got, expected $code: $*"
  grep -q -- "$pattern" "$tmp/err" || fail "stderr does not say '$pattern': $*"
}
mkdir "$tmp/bin"
cp "$RETORT" "$tmp/bin/retort"
r=$tmp/bin/retort
unset RETORT_CUDA
expect 7 "plugin '.*/bin/retort-cuda.so' cannot be read" "$r" score "$model" --device cuda
expect 0 "device cpu, because the plugin" "$r" score "$model" --device auto
expect 2 "device 'gpu' is not known, expected cpu, cuda, cuda:N or auto" "$r" score "$model" --device gpu
expect 2 "device 'cuda:x' is not known" "$r" score "$model" --device cuda:x
echo junk >"$tmp/bin/retort-cuda.so"
expect 7 "cannot be loaded" "$r" score "$model" --device cuda
rm "$tmp/bin/retort-cuda.so"
echo '{"ids":[1,7,30,2,9]}' | "$r" score "$model" --top 3 >"$tmp/cpu" 2>"$tmp/err" || fail "score on the CPU"
if nm -D "$RETORT" | grep __asan_init >/dev/null; then # the shim's stacks do not go with AddressSanitizer
  echo "device: the rest needs a binary without sanitizer"
  exit 0
fi
cp "$bin/cudasim-fast/retort-cuda.so" "$tmp/bin/" || fail "no plugin of the shim"
export RETORT_CUDA_WORK=300000 RETORT_CUDASIM_ORDER=1
expect 0 "device cuda:0, cudasim 0" "$r" score "$model" --top 3 --device cuda
python3 - "$tmp/cpu" "$tmp/out" <<'PY' || fail "score on the device is not the CPU's"
import json, sys
a, b = (json.loads(open(p).readline()) for p in sys.argv[1:])
flat = lambda x: [v for i in x for v in (flat(i) if isinstance(i, list) else [i])]
u, v = flat([a["logprobs"], a["top"], a["rest"]]), flat([b["logprobs"], b["top"], b["rest"]])
assert len(u) == len(v) and all(abs(x - y) < 2e-5 for x, y in zip(u, v)), (u, v)
PY
expect 7 "device 'cuda:3' is not there, this machine has 1" "$r" score "$model" --device cuda:3
RETORT_CUDASIM_DEVICES=0 expect 7 "use --device cpu" "$r" score "$model" --device cuda
RETORT_CUDASIM_DEVICES=0 expect 0 "device cpu, because device 'auto'" "$r" score "$model" --device auto
RETORT_CUDASIM_DEVICES=0 expect 0 "" "$r" score "$model" # a plugin beside the binary and no device: nobody asked for it
RETORT_CUDASIM_MEM=700000 expect 7 "memory is full\|are free" "$r" score "$model" --device cuda
expect 0 "device cuda:0" "$r" score "$model" --top 3 --device cuda
cp "$tmp/out" "$tmp/good"
told=0
for n in 1 2 3 5 8 12 16 20 25 30 40 50 65 80 100 120; do # this call of the runtime fails: exit 7 with file, line and call, or nothing changes
  echo '{"ids":[1,7,30,2,9]}' | RETORT_CUDASIM_FAIL=$n "$r" score "$model" --top 3 --device cuda >"$tmp/out" 2>"$tmp/err"
  case $? in
    0) cmp -s "$tmp/out" "$tmp/good" || fail "call $n of the runtime failed and the answer changed without an error" ;;
    7) grep -q "\.cu:[0-9]*: cuda\|device" "$tmp/err" || fail "call $n: the message names no call"; told=$((told + 1)) ;;
    *) fail "call $n of the runtime failed: exit $?, expected 7" ;;
  esac
done
[ "$told" -ge 8 ] || fail "only $told of 16 failed calls were told"
echo "device: ok"
