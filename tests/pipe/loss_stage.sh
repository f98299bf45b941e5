#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `retort loss` on the vectors of the algorithm sheets (A1, A2, A11), computed elsewhere, and on bad input.
set -u
R=${RETORT:-./retort}; bad=0
Y='"teacher":[2.0,1.0,0.0,-1.0,0.5]'; Z='"student":[0.3,-0.2,1.1,0.0,-0.7]'
near() { # NAME OBJECT VALUE [GRAD...]
  local name=$1 object=$2 want=$3; shift 3
  if ! printf '%s' "$object" | "$R" loss "$name" | tr -d '{}[]"a-z:' | tr ',' '\n' | awk -v want="$want $*" '
    BEGIN { n = split(want, w, " ") } { if (NR <= n && ($1 - w[NR] > 1.2e-6 || w[NR] - $1 > 1.2e-6)) { print "value " NR ": " $1 ", expected " w[NR]; bad = 1 } }
    END { if (NR < n) { print NR " values, expected " n; bad = 1 } exit bad }'; then echo "FAILED: loss $name $object"; bad=1; fi
}
refuse() { # NAME OBJECT STATUS TEXT
  local out; out=$(printf '%s' "$2" | "$R" loss "$1" 2>&1 >/dev/null); local rc=$?
  if [ $rc != "$3" ] || ! grep -q -- "$4" <<<"$out"; then echo "FAILED: loss $1 '$2' gave $rc: $out"; bad=1; fi
}
near ce "{$Z,\"labels\":[0]}" 1.597521 -0.797602 0.122760 0.450444 0.149940 0.074458
near fkl "{$Y,$Z}" 0.567672858 -0.360623599 -0.084363566 0.374247578 0.121908678 -0.051169090
near fkl "{$Y,$Z,\"temperature\":2,\"t2\":true}" 0.667176454 -0.326958671 -0.125589874 0.354170924 0.196187112 -0.097809492
near topk "{$Y,$Z,\"k\":2,\"tail\":\"raw\"}" 0.684360536
near topk "{$Y,$Z,\"k\":2,\"tail\":\"renorm\"}" 1.149788640
near topk "{$Y,$Z,\"k\":2,\"tail\":\"both\"}" 0.026344586 -0.108599247 0.108599247 0 0 0
near topk "{$Y,$Z,\"k\":2}" 0.436799839 -0.360623599 -0.084363566 0.297020481 0.098869529 0.049097155
near topk_ghost "{$Z,\"top_ids\":[0,1],\"top_logprobs\":[-0.574437952,-1.574437952],\"rest\":[-1.470360]}" 0.436799839
# ids drawn 2, 1 and 1 times of 4: -(ln q0 + ln q1 / 2 + ln q3 / 2) / 2 and q - counts / 4 with the q of sheet A1
near sample "{$Z,\"top_ids\":[0,1,3],\"top_logprobs\":[-0.693147181,-1.386294361,-1.386294361]}" 1.797521 -0.297602367 -0.127239630 0.450444215 -0.100060146 0.074457928
refuse sample "{$Y,$Z,\"k\":2}" 1 "needs 'top_ids'"
# a masked row counts nowhere, all masked is 0 and not NaN
near fkl '{"teacher":[[2,1],[9,1]],"student":[[0,1],[1,0]],"mask":[1,0]}' 0.462117157 -0.462117157 0.462117157 0 0
near fkl '{"teacher":[[2,1],[9,1]],"student":[[0,1],[1,0]],"mask":[0,0]}' 0 0 0 0 0
near ce '{"student":[[0,1],[1,0]],"labels":[-100,0]}' 0.313261688 0 0 -0.268941421 0.268941421
refuse nosuch '{}' 2 'known: ce, fkl'
refuse fkl '{"student":[1,2]}' 1 "needs 'teacher'"
refuse fkl '{"student":[1,2],"teacher":[1]}' 1 'expected 2'
refuse ce '{"student":[1,2],"labels":[2]}' 1 'expected an integer in -100..1'
refuse topk '{"student":[1,2],"teacher":[1,2],"k":3}' 1 'expected 1..2'
refuse fkl '{"student":[1,"x"],"teacher":[1,2]}' 1 'not a number'
refuse fkl '{"student":[1,2],"teacher":[1,2],"temperature":0}' 1 'above 0'
refuse fkl 'nonsense' 1 'stdin'
refuse fkl '[1]' 1 'expected {"student"'
# what would be the answer to another question
A='"student":[1,2],"teacher":[1,2]'
refuse fkl "{$A,\"temprature\":2}" 1 "'temprature' is no member of the input; known: student, teacher"
refuse fkl "{$A,\"temperature\":\"x\"}" 1 "'temperature' is \"x\", expected a number"
refuse fkl "{$A,\"t2\":2}" 1 "expected true or false"
refuse fkl "{$A,\"temperature\":2,\"temperature\":1}" 1 "'temperature' stands twice"
refuse topk "{$A,\"k\":1.5}" 1 "'k' is 1.5, expected a whole number"
refuse topk '{"student":[1,2,3],"top_ids":[1,1],"top_logprobs":[-1,-2],"rest":[-1]}' 1 'token 1 stands at 0 and at 1'
refuse topk '{"student":[1,2,3],"top_ids":[0,1],"top_logprobs":[-0.1,-0.2],"rest":[-1]}' 1 'a mass of 2.0[0-9]*, expected at most 1'
refuse sample '{"student":[1,2,3],"top_ids":[0,1],"top_logprobs":[-0.1,-0.2]}' 1 'a mass of 1.7[0-9]*, expected at most 1'
# numbers that float32 does not hold, or whose difference it does not
refuse fkl '{"student":[1e39,0],"teacher":[0,1]}' 1 "'student' row 0: value 0 is 1e+39, beyond"
refuse fkl '{"student":[3.4e38,-3.4e38],"teacher":[-3.4e38,3.4e38]}' 1 'too far apart'
exit $bad
