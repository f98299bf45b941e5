#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: on_device.sh PROGRAM. Runs a test on a real device: with the plugin RETORT_GPU_PLUGIN names, else build/cuda/retort-cuda.so
# (tests/cuda/compile.sh makes it), else the one beside the test. Exit 77, with the reason, where there is no device or no plugin.
set -uo pipefail
test=$1
for p in "${RETORT_GPU_PLUGIN:-}" "${RETORT_SOURCE:-.}/build/cuda/retort-cuda.so" "${RETORT_SOURCE:-.}/build/gcc/retort-cuda.so" "$(dirname "$test")/retort-cuda.so"; do
  [ -n "$p" ] && [ -r "$p" ] && { plugin=$p; break; }
done
ls /dev/nvidia[0-9]* >/dev/null 2>&1 || { echo "skipped: no /dev/nvidia0, this machine has no NVIDIA device"; exit 77; }
[ -n "${plugin:-}" ] || { echo "skipped: no retort-cuda.so (tests/cuda/compile.sh builds it)"; exit 77; }
RETORT_CUDA=$plugin exec "$test"
