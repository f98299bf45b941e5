#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: fail_each_call.sh PROGRAM. Runs a row test with the 1st, 2nd, 3rd ... call of the runtime, cuBLAS or NCCL failing (the shim's
# RETORT_CUDASIM_FAIL) until none is hit any more. Each time the test has to fail with a message that names a file, a line and the
# call, within a time limit; a crash, a broken rule of CUDA (exit 86) and wrong values are failures of the back end.
set -uo pipefail
test=$1 hit=0 bad=0 said=$(mktemp)
trap 'rm -f "$said"' EXIT
for ((n = 1; n < 100000; n += n < 60 ? 1 : n / 10)); do
  RETORT_CUDASIM_FAIL=$n timeout 120 "$test" >"$said" 2>&1
  status=$?
  [ $status = 0 ] && break
  hit=$((hit + 1))
  if [ $status = 86 ] || [ $status -ge 124 ] || ! grep -qE "\.cuh?:[0-9]+|device 'cuda': [a-z]|of its [0-9.]+ GB are free" "$said"; then
    echo "call $n failed, then: exit $status"
    tail -5 "$said"
    bad=$((bad + 1))
  fi
done
echo "fail_each_call: $hit failing calls, $bad of them not reported"
[ $hit -gt 10 ] && [ $bad = 0 ]
