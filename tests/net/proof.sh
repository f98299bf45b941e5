#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proof of every row: `why` walks from a row of a shard back to its document, its teacher, request, price and runs, and from a
# dropped row to its verdict; `forget` takes a document out of rows, shards and book, keeps every other byte, and names the students.
set -uo pipefail
. "$RETORT_SOURCE/tests/net/lib.bash"
Q=$RETORT_SOURCE/tests/golden/data/tokenizer/qwen2_small.tokenizer.json
start_mock --latency 1
export RETORT_BOOK=$PWD/book
python3 - <<'E' >questions
import json
for d in range(4):
    for n in range(3):
        print(json.dumps({"id": f"doc{d}#{n}", "messages": [{"role": "user", "content": f"what does part {n} of document {d} say?"}],
                          "meta": {"source": f"/texts/{d}.txt", "licence": "CC0-1.0"}, "task": {"recipe": "qa"}}))
E
printf '%s\n' '{"id":"doc0#9","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"As an AI language model, I cannot help with that request."}],"meta":{}}' >refusal
"$RETORT" label -q -t "$(T)" --teacher-terms mit <questions >answered 2>err || no "label: $(cat err)"
cat answered refusal >both; "$RETORT" curate -q --rejects rejects <both >kept 2>err || no "curate: $(cat err)"
"$RETORT" shard -q --tokenizer "$Q" --chat-template chatml --context 64 --frame-bytes 1K -o shards <kept 2>err || no "shard: $(cat err)"
"$RETORT" check -q shards >out || no "check: $(cat out)"

# ---- why ----
"$RETORT" why 'doc2#1' --shards shards >out 2>err || no "why: $(cat err)"
for want in 'shard.place: shards/data-00000.rtz: frame' 'row.meta.source: "/texts/2.txt"' 'row.meta.licence: "CC0-1.0"' 'row.teacher.terms: "mit"' \
  'answer.request: .*what does part 1 of document 2 say?' 'answer.meta: .*' 'shard.manifest_sha256: "[0-9a-f]*"' 'curate.rows: in 13, kept 12' 'curate.dropped: 1 refusal' \
  'shard.rows: in 12'; do
  grep -q -- "$want" out || no "why lacks '$want': $(cut -c1-300 out)"
done
answer=$(python3 -c 'import json; print([json.loads(l)["messages"][1]["content"] for l in open("answered") if json.loads(l)["id"] == "doc2#1"][0])')
grep -F 'answer.answer' out | grep >/dev/null -F "${answer:0:30}" || no "why shows another answer than the row has"
grep -q 'document 3' out && no "why shows another row's request"
"$RETORT" why 'doc2#1' --shards shards --json 2>/dev/null | python3 -c '
import json, sys
rows = [json.loads(l) for l in sys.stdin]
assert all(set(r) == {"section", "key", "value"} for r in rows)
assert [r for r in rows if r["key"] == "request"][0]["value"]["messages"][-1]["content"] == "what does part 1 of document 2 say?"' || no "why --json"
"$RETORT" why 'doc0#9' --shards shards --rows rejects >out 2>err || no "why of a dropped row: $(cat err)"
grep -q 'row.curate.reason: "refusal' out || no "no verdict: $(cat out)"
"$RETORT" why nobody --shards shards >out 2>err; [ $? = 1 ] && grep -q "'nobody': no such row" err || no "an unknown row: $(cat err)"

# ---- forget ----
mkdir -p runs/a runs/b
sha=$(python3 -c 'import json; print(json.load(open("shards/manifest.json"))["manifest_sha256"])')
echo "{\"kind\":\"run\",\"inputs\":{\"shards\":{\"manifest_sha256\":\"$sha\"}}}" >runs/a/manifest.json
echo '{"kind":"run","inputs":{"shards":{"manifest_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}}' >runs/b/manifest.json
cp -r shards before; cp kept kept.before
"$RETORT" forget doc2 --rows kept --shards shards --runs runs --dry-run >out 2>err || no "dry run: $(cat err)"
cmp -s kept kept.before && cmp -s shards/manifest.json before/manifest.json || no "a dry run changed something"
"$RETORT" forget doc2 --rows kept --rows rejects --shards shards --runs runs --reason "letter 17" >out 2>err || no "forget: $(cat err)"
grep -q 'rows: kept lost 3' out && grep -q 'shards: shards lost 3 documents' out && grep -q 'lost 3 answers' out || no "forget says: $(cat out)"
grep -q 'student: runs/a was trained' out || no "the student is not named: $(cat out)"; grep -q 'runs/b' out && no "a foreign student is named"
grep -v '"id": *"doc2#' kept.before | cmp -s - kept || no "other rows changed"
"$RETORT" check -q shards >out || no "check after forget: $(cat out)"
"$RETORT" why 'doc2#1' --shards shards >out 2>err && no "still in the shards"
"$RETORT" why 'doc3#1' --shards shards >out 2>err || no "another row is gone: $(cat err)"
grep -q 'answer.request: .*document 3' out || no "another row's answer is gone"
grep -rq 'of document 2 say' book && no "the book still holds the question"
grep -q '"forgotten":\[{"documents":3,"replaces":"'"$sha"'"}\]' shards/manifest.json || no "the manifest does not say it: $(grep forgotten shards/manifest.json)"
"$RETORT" book verify >out 2>err || no "book verify: $(cat out err)"
"$RETORT" ledger "$RETORT_BOOK" >out 2>err || no "ledger: $(tail -1 err)"
grep -q 'forgotten: doc2, .*: 3 rows, 3 in shards, 3 answers; reason: letter 17' out || no "ledger lacks the trail: $(tail -5 out)"
grep -q '^  total .*adds up$' out || no "ledger lacks totals: $(cat out)"
stop_mock
[ $bad = 0 ] && echo "proof: ok"
exit $bad
