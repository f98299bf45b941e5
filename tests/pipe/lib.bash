# SPDX-License-Identifier: Apache-2.0
# Shared by the pipe tests: a scratch folder, a run folder of its own, `no` to fail, rows to send.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export RETORT_RUN="$work/run"
unset RETORT_BOOK
bad=0
no() { echo "FAIL: $1"; bad=1; }
plain=(--no-exact --no-repetition --no-refusals)
rows() { # N rows with distinct texts
  awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "{\"id\":\"r%d\",\"text\":\"text number %d with some words in it\",\"big\":123456789012345678901234567890}\n", i, i }'
}
wait_for() { # SECONDS command...: until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.05; done
}
