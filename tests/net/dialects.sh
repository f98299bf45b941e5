#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every HTTP dialect against mock_api.py, which refuses what the real API would: exact requests, what answers hold, faults, stop
# reasons, tool calls, log-probabilities, replay.
. "$RETORT_SOURCE/tests/net/mock.bash"
ask() { "$RETORT" ask --teacher-terms mit --concurrency 8 "$@"; }
log_is() { # EXPECTED-PYTHON: checks the last request, r
  mock_get /log | python3 -c "
import json, sys
log = json.load(sys.stdin); r = log[-1]; b = r['body']
$1" || no "request: $2"
}
check() { python3 -c "
import json, sys
rows = [json.loads(l) for l in open('$1')]
r = rows[0] if rows else None
$2" || no "$3: $(head -c 600 "$1") $(tail -2 err)"; }
start_mock mock_api.py
A="http://127.0.0.1:$port/v1#m1"
row() { python3 -c 'import json, sys; print(json.dumps({"id": "r", "messages": json.loads(sys.argv[1])}))' "$1"; }

# ---- openai ----
row '[{"role":"system","content":"be brief"},{"role":"user","content":"hi ((m1:two words))"}]' >q
ask -t "$A" --book b1 --logprobs 3 --stop '###' --top-p 0.9 --temperature 0.5 --max-tokens 77 --request '{"reasoning_effort":"low"}' <q >out 2>err || no "openai: $(cat err)"
log_is 'assert r["path"] == "/v1/chat/completions"; s = b.pop("seed"); assert 0 <= s < 2**31
assert b == {"model": "m1", "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi ((m1:two words))"}], "temperature": 0.5, "max_tokens": 77, "top_p": 0.9, "stop": ["###"], "logprobs": True, "top_logprobs": 3, "reasoning_effort": "low"}, b' openai
check out 'assert r["content"] == "two words" and r["finish"] == "stop" and r["usage"] == {"in": r["usage"]["in"], "cached": 0, "out": 10}
l = r["logprobs"]; assert [t["token"] for t in l] == ["two", " ", "words"] and [t["logprob"] for t in l] == [-0.5, -1, -1.5]
assert [x["logprob"] for x in l[1]["top"]] == [-1, -2, -3] and l[1]["top"][1]["token"] == "alt1"' "openai answer"
"$RETORT" ask -t replay:b1 --logprobs 3 --stop '###' --top-p 0.9 --temperature 0.5 --max-tokens 77 --request '{"reasoning_effort":"low"}' <q 2>err | cmp - out || no "openai replay: $(cat err)"
TOOLS='[{"type":"function","function":{"name":"weather","description":"w","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]'
python3 -c 'import json, sys; print(json.dumps({"id": "t", "tools": json.loads(sys.argv[1]), "messages": [{"role": "user", "content": "how is it ((tool))"}]}))' "$TOOLS" >qt
ask -t "$A" --book b1 <qt >out 2>err; check out 'assert r["content"] == "" and r["finish"] == "tool_calls" and r["tool_calls"] == [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}}], r' "tool call with null content"
"$RETORT" label -t "$A" --teacher-terms mit --book b1 <qt 2>err >out; check out 'm = r["messages"][1]; assert m["content"] == "" and m["tool_calls"][0]["function"]["name"] == "weather", m' "label of a tool call"
for kind in refuse:refusal filter:content_filter long:length empty:stop; do
  row "[{\"role\":\"user\",\"content\":\"x ((${kind%:*}))\"}]" >q; ask -t "$A" --book b1 <q >out 2>err; check out "assert r['finish'] == '${kind#*:}', r" "finish of $kind"
done
(row '[{"role":"user","content":"x ((refuse))"}]'; row '[{"role":"user","content":"x"}]') | "$RETORT" label -t "$A" --teacher-terms mit --book b1 >out 2>err; [ "$(wc -l <out)" = 1 ] && grep -q "refusal 1" err || no "label kept a refusal"
row '[{"role":"user","content":"x ((think))((m1:so it is))"}]' >q; ask -t "$A" --book b1 <q >out 2>err; check out 'assert r["reasoning"] == "first I think: so it is" and r["content"] == "so it is"' reasoning_content
row '[{"role":"user","content":"x ((m1:  <think>\nhm, well\n</think>\n\nyes))"}]' >q; ask -t "$A" --book b1 <q >out 2>err; check out 'assert r["reasoning"] == "hm, well" and r["content"] == "yes", r' "<think> in the text"
row '[{"role":"user","content":"x ((m1:<think> never ends))"}]' >q; ask -t "$A" --book b1 <q >out 2>err; check out 'assert r["content"] == "" and r["reasoning"] == "never ends", r' "<think> without an end"
ask -t "$A" --book b1 --score <q >out 2>err; [ $? = 2 ] && grep -q 'completions:http' err || no "chat asked for log-probabilities of a text: $(cat err)"
ask -t "$A" --book b1 --request '{"temperature":1}' <q >out 2>err; [ $? = 2 ] && grep -q "'temperature'" err || no "--request that hides an option: $(cat err)"
ask -t "$A" --book b1 --request '[1]' <q >out 2>err; [ $? = 2 ] || no "--request that is no object: $(cat err)"
ask -t "$A" --book b1 --top-k 5 <q >out 2>err; check out 'assert r["failed"] == "http 400"' "an unknown argument is refused by the server"; grep -q "Unrecognized request argument supplied: top_k" err || no "the server's reason is not shown: $(cat err)"

# ---- completions, vllm ----
C="completions:http://127.0.0.1:$port/v1#m1"
echo '{"id":"a","text":"the law of\tthe place \u65e5\u672c"}' >txt
ask -t "$C" --book b2 --score --logprobs 2 <txt >out 2>err || no "echo: $(cat err)"
log_is 'assert r["path"] == "/v1/completions" and b == {"model": "m1", "prompt": "the law of\tthe place \u65e5\u672c", "temperature": 0, "max_tokens": 1, "echo": True, "logprobs": 2}, b' echo
check out 'l = r["logprobs"]; assert "".join(t["token"] for t in l) == "the law of\tthe place \u65e5\u672c", l
assert l[0]["logprob"] is None and [t["logprob"] for t in l[1:]] == [-0.25 * (i + 1) for i in range(1, len(l))] and l[3]["top"][1] == {"token": "alt1", "logprob": l[3]["logprob"] - 1}' "echoed log-probabilities"
ask -t "$C" --book b2 --max-tokens 9 <txt >out 2>err; log_is 's = b.pop("seed"); assert b == {"model": "m1", "prompt": "the law of\tthe place \u65e5\u672c", "temperature": 0, "max_tokens": 9}, b' "continuation"
check out 'assert len(r["content"]) > 5 and "logprobs" not in r' continuation
row '[{"role":"user","content":"hi"}]' >q
ask -t "$C" --book b2 <q >out 2>err; [ $? = 2 ] && grep -q -- '--chat-template' err || no "completions of messages without a template: $(cat err)"
ask -t "$C" --book b2 --chat-template chatml <q >out 2>err || no "chatml: $(cat err)"
log_is 'assert b["prompt"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", b' "messages through a template"
"$RETORT" ask -t replay:b2 --chat-template chatml <q 2>err | cmp - out || no "completions replay: $(cat err)"
stop_mock
start_mock mock_api.py --vllm
V="vllm:http://127.0.0.1:$port/v1#m1"
ask -t "$V" --book b3 --score --logprobs 2 <txt >out 2>err || no "vllm: $(cat err)"
log_is 'assert b == {"model": "m1", "prompt": "the law of\tthe place \u65e5\u672c", "temperature": 0, "max_tokens": 1, "prompt_logprobs": 2}, b' vllm
check out 'l = r["logprobs"]; assert l[0]["logprob"] is None and l[1] == {"token": " ", "id": 100, "logprob": -0.5, "top": [{"token": " ", "id": 100, "logprob": -0.5}, {"token": "top", "id": 7, "logprob": -0.01}]}, l[:2]' "vLLM prompt_logprobs"
row '[{"role":"user","content":"hi"}]' | ask -t "http://127.0.0.1:$port/v1#m1" --book b3 --top-k 5 --min-p 0.1 --repetition-penalty 1.2 >out 2>err
log_is 'assert (b["top_k"], b["min_p"], b["repetition_penalty"]) == (5, 0.1, 1.2), b' "sampling that only some servers know"

# ---- embeddings ----
E="embeddings:http://127.0.0.1:$port/v1#e5"
ask -t "$E" --book b4 --request '{"dimensions":4}' <txt >out 2>err || no "embeddings: $(cat err)"
log_is 'assert r["path"] == "/v1/embeddings" and b == {"model": "e5", "input": "the law of\tthe place \u65e5\u672c", "encoding_format": "float", "dimensions": 4}, b' embeddings
python3 - <<'E2' || bad=1
import hashlib, json, struct
r = json.loads(open('out').read())
want = [b / 128 - 1 for b in hashlib.sha256('the law of\tthe place 日本'.encode()).digest()[:4]]
assert r['vector'] == want and r['content'] == '' and r['usage']['out'] == 0, r
E2

# ---- anthropic ----
N="anthropic:http://127.0.0.1:$port/v1#claude"
row '[{"role":"system","content":"be brief"},{"role":"user","content":"hi ((claude:a fairly long answer))"}]' >q
ask -t "$N" --book b5 --stop END --top-k 7 --max-tokens 55 <q >out 2>err || no "anthropic: $(cat err)"
log_is 'assert r["path"] == "/v1/messages" and r["headers"]["anthropic-version"] == "2023-06-01"
assert b == {"model": "claude", "max_tokens": 55, "temperature": 0, "top_k": 7, "stop_sequences": ["END"], "system": "be brief", "messages": [{"role": "user", "content": "hi ((claude:a fairly long answer))"}]}, b' anthropic
check out 'assert r["content"] == "a fairly long answer" and r["finish"] == "stop" and r["usage"]["cached"] == 4 and r["usage"]["in"] > 4, r' "anthropic answer"
"$RETORT" ask -t replay:b5 --stop END --top-k 7 --max-tokens 55 <q 2>err | cmp - out || no "anthropic replay: $(cat err)"
ask -t "$N" --book b5 <qt >out 2>err
log_is 'assert b["tools"] == [{"name": "weather", "description": "w", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}], b' "anthropic tools"
check out 'assert r["finish"] == "tool_calls" and r["content"] == "Let me look." and r["tool_calls"] == [{"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}}], r' "anthropic tool_use"
row '[{"role":"user","content":"q"},{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":"one"},{"role":"tool","tool_call_id":"c2","content":"two"},{"role":"assistant","content":"so"},{"role":"user","content":[{"type":"text","text":"and "},{"type":"text","text":"now?"}]}]' >q
ask -t "$N" --book b5 <q >out 2>err; check out 'assert r["failed"] == "bad messages"' "arguments that are no JSON"
sed -i 's/"arguments": ""/"arguments": "{}"/' q; ask -t "$N" --book b5 <q >out 2>err || no "tool results: $(cat err)"
log_is 'assert b["messages"] == [{"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}, {"type": "tool_use", "id": "c2", "name": "g", "input": {}}]},
 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "one"}, {"type": "tool_result", "tool_use_id": "c2", "content": "two"}]}, {"role": "assistant", "content": "so"}, {"role": "user", "content": "and now?"}], b["messages"]' "anthropic tool results"
for kind in refuse:refusal long:length empty:stop; do
  row "[{\"role\":\"user\",\"content\":\"x ((${kind%:*}))\"}]" >q; ask -t "$N" --book b5 <q >out 2>err; check out "assert r['finish'] == '${kind#*:}', r" "anthropic stop reason $kind"
done
row '[{"role":"user","content":"x ((think))((claude:so it is))"}]' >q; ask -t "$N" --book b5 <q >out 2>err; check out 'assert r["reasoning"] == "first I think: so it is" and r["content"] == "so it is"' "thinking blocks"
for o in "--temperature 1.5" "--min-p 0.1" "--repetition-penalty 1.1" "--logprobs 3" --score; do ask -t "$N" --book b5 $o <q >out 2>err; [ $? = 2 ] && grep -q "Anthropic's API" err || no "anthropic with $o: $(cat err)"; done
stop_mock

# ---- every fault before the answer, in every dialect (three servers, so that back-off does not add up) ----
row '[{"role":"user","content":"hello"}]' >q
SECONDS=0
ports=()
for faults in 429ms,529,429,500,reset truncate,html,empty,garbage,wrongtype nul,deep,429date,nochoice; do
  start_mock mock_api.py --sequence $faults
  ports+=($port)
  for d in openai completions: embeddings: anthropic:; do
    case $d in completions: | embeddings:) in=txt ;; *) in=q ;; esac
    ask -t "${d#openai}http://127.0.0.1:$port/v1#m1" --book "f$d$port" --retries 20 <$in >out$d$port 2>err$d$port &
  done
done
wait $(jobs -p | grep -vxF "$(printf '%s\n' "${mocks[@]}")")
for port in "${ports[@]}"; do
  for d in openai completions: embeddings: anthropic:; do check out$d$port 'assert "failed" not in r, r' "faults of $d"; done
  [ "$(mock_stat answered)" = 4 ] && [ "$(mock_stat refused)" = 0 ] || no "faults: $(mock_get /stats)"
  mock_get /stats | python3 -c 'import json, sys; f = json.load(sys.stdin)["faults"]; assert all(n == 4 for n in f.values()), f' || no "not every fault was met by every dialect"
done
[ $SECONDS -lt 120 ] || no "faults took $SECONDS s"

# ---- several answers a request: 5 samples by 3 are two requests; a server that gives fewer; replay ----
start_mock mock_api.py
A="http://127.0.0.1:$port/v1#m1"
python3 -c 'import json; [print(json.dumps({"id": f"d{i}", "messages": [{"role": "user", "content": f"q{i}"}]})) for i in range(3)]' >q
ask -t "$A" --book n1 --choices 4 <q >out 2>err || no "--choices where one answer is wanted: $(cat err)"
log_is 'assert all("n" not in x["body"] for x in log), log' "n without samples"
"$RETORT" label -t "$A" --teacher-terms mit --book n2 --kind prefer --samples 5 --choices 3 <q >out 2>err
log_is 'n = [x["body"].get("n") for x in log[3:] if "n" in x["body"]]; assert sorted(n) == [2, 2, 2, 3, 3, 3], n
assert len({x["body"]["seed"] for x in log[3:] if "n" in x["body"]}) == 6' "n of 5 samples by 3"
python3 -c 'import json; print(json.dumps({"id": "v", "messages": [{"role": "user", "content": "q ((m1:yes))"}]}))' >q
"$RETORT" label -t "$A" --teacher-terms mit --book n3 --kind vote --samples 5 --choices 3 <q >out 2>err; check out 'assert r["scores"]["agreement"] == 1 and r["messages"][1]["content"] == "yes"' "vote with --choices"
"$RETORT" label -t replay:n3 --kind vote --samples 5 --choices 3 <q 2>err | cmp - out || no "replay of --choices: $(cat err)"
stop_mock

# ---- keys of each dialect: header, and nowhere else ----
start_mock mock_api.py --key sk-planted-77
row '[{"role":"user","content":"hello"}]' >q
env ANTHROPIC_API_KEY=sk-planted-77 "$RETORT" ask --teacher-terms mit -t "anthropic:http://127.0.0.1:$port/v1#m" --book k1 -v <q >out 2>err || no "anthropic key: $(cat err)"
env OPENAI_API_KEY=sk-planted-77 "$RETORT" ask --teacher-terms mit -t "embeddings:http://127.0.0.1:$port/v1#m" --book k1 -v <q >out2 2>err2 || no "embeddings key: $(cat err2)"
env OPENAI_API_KEY=sk-planted-77 "$RETORT" ask --teacher-terms mit -t "anthropic:http://127.0.0.1:$port/v1#m" --book k2 <q >out3 2>err3; [ $? = 4 ] || no "anthropic took the key of another API"
grep -rqa 'sk-planted' out out2 out3 err err2 err3 k1 k2 run 2>/dev/null && no "the key was seen"
done_testing "dialects"
