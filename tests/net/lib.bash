# SPDX-License-Identifier: Apache-2.0
# For the tests of tests/net that know one server, mock_teacher.py: mock.bash with its names made short.
. "$RETORT_SOURCE/tests/net/mock.bash"
start_mock() { start_server mock_teacher.py "$@"; } # OPTIONS...
stat() { mock_stat "$1"; }
T() { echo "http://127.0.0.1:$port/v1#mock"; }
