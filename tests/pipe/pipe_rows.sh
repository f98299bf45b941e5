#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rows at the edge: 100 MB lines, invalid UTF-8, missing final newline, CRLF, lines that are not objects.
. "$RETORT_SOURCE/tests/pipe/lib.bash"

# 1. a 100 MB line goes through unchanged
{ rows 1; printf '{"id":"long","text":"'; head -c 100000000 /dev/zero | tr '\0' x; printf '"}\n'; rows 1 | sed s/r0/r9/; } >long.jsonl
"$RETORT" curate "${plain[@]}" <long.jsonl >out 2>err || no "100 MB line: exit $?: $(cat err)"
cmp -s long.jsonl out || no "100 MB line: bytes changed"
rm -f long.jsonl out

# 2. invalid UTF-8: row and byte
{ rows 2; printf '{"id":"x","text":"caf\xe9"}\n'; } | "$RETORT" curate "${plain[@]}" >out 2>err
[ ${PIPESTATUS[1]} = 0 ] || no "UTF-8: exit ${PIPESTATUS[1]}"
grep -q "row 3: byte 22: found byte 0xe9, expected valid UTF-8" err || no "UTF-8: message: $(cat err)"
[ "$(wc -l <out)" = 2 ] || no "UTF-8: the rows before it are lost"
grep -q '3 in, 2 kept, 1 failed (bad row 1)' err || no "UTF-8: not counted: $(cat err)"
{ rows 2; printf '{"id":"x","text":"caf\xe9"}\n'; rows 1 | sed s/r0/r9/; } | "$RETORT" curate --strict "${plain[@]}" >out 2>err
[ ${PIPESTATUS[1]} = 1 ] || no "--strict: exit ${PIPESTATUS[1]}"
grep -q '1 of 4 rows failed (--strict)' err || no "--strict: message: $(cat err)"
[ "$(wc -l <out)" = 3 ] || no "--strict: rows behind the bad one are lost"

# 3. no newline at the end; CRLF; white space and foreign fields
printf '{"id":"a","text":"one two three"}\r\n\r\n {"z": 1e400 ,"text":"four five six" , "id":"b"} ' | "$RETORT" curate "${plain[@]}" >out 2>err || no "no newline: exit $?: $(cat err)"
printf '{"id":"a","text":"one two three"}\n {"z": 1e400 ,"text":"four five six" , "id":"b"} \n' | cmp -s - out || no "no newline: $(cat out)"

# 4. what is not an object, or not JSON, is named with its row
for line in '[1]' '"x"' '{"a":1}{' '{"a":}' '{a:1}' "{'a':1}" '{"a":NaN}' '{"a":1,}'; do
  printf '{"id":"a","text":"t"}\n\n%s\n' "$line" | "$RETORT" curate "${plain[@]}" >out 2>err
  [ ${PIPESTATUS[1]} = 0 ] || no "'$line': exit ${PIPESTATUS[1]}"
  [ "$(wc -l <out)" = 1 ] || no "'$line': the good row is lost"
  grep -q "row 3: byte" err || no "'$line': message: $(cat err)"
done
printf '\xef\xbb\xbf{"text":"t"}\n' | "$RETORT" curate >out 2>err
grep -q 'byte order mark' err || no "BOM: $(cat err)"
awk 'BEGIN { printf "{\"text\":"; for (i = 0; i < 100000; i++) printf "["; print "" }' | "$RETORT" curate >out 2>err
[ ${PIPESTATUS[1]} = 1 ] || no "deep nesting: exit ${PIPESTATUS[1]}"
printf '{"text":"a\x00b"}\n' | "$RETORT" curate >out 2>err
grep -q 'row 1: byte 11: found byte 0x00' err || no "NUL: $(cat err)"

# 5. a terminal-less stdin that is closed is an empty input or a clear error, never a hang
timeout 20 "$RETORT" curate <&- >out 2>err
[ $? -lt 124 ] || no "closed stdin: hangs or crashes"
exit $bad
