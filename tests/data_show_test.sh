#!/bin/sh
# gradus data show, and training on documents kept apart: what is learned, what is refused, what is said.
set -u
g=$GRADUS_BIN
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tokenizer=$GRADUS_SOURCE/tests/data/tokenizers/gpt2.json
cd "$work" || exit 1

fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
run() {
    code=$1
    shift
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$code" ] || fail "gradus $*: exit code $got, expected $code: $(cat err)"
}
says() { grep -qF -e "$1" "$2" || fail "no '$1' in: $(cat "$2")"; }
is() { cmp -s expected "$1" || fail "expected: $(cat expected) found: $(cat "$1")"; }

cat >chats.jsonl <<'END'
{"prompt": "2+2=", "completion": "4\n"}
{"text": "n\u00e4 \u0001 <|end|>\t\\n"}
END

# ---- rows as text ----
cat >expected <<'END'
step 1, row 0, epoch 1
  chats.jsonl: line 1
    given   <s> "2+2="
    learned "4\n" <|end|>
  chats.jsonl: line 2
    given   <s>
    learned "nä \u0001 <|end|>\t\\n" <|end|>
  padding, 9 tokens
an epoch       1 rows of 32 tokens
tokens         25
learned        19
documents      2
padding        28.1%
END
run 0 data show "$tokenizer" chats.jsonl --context 32 --order sequential --rows 1
is out
mkdir alone && cp "$tokenizer" alone/tokenizer.json
run 0 data show alone chats.jsonl --context 32 --order sequential --rows 1
is out
run 0 data show alone chats.jsonl --context 32 --rows 1 --borders
says 'given   <s> "2" "+" "2" "="' out
run 0 data show alone chats.jsonl --context 32 --epochs 1 --rows 2
says 'padding, 32 tokens' out
"$g" data show alone - --context 8 --rows 0 <chats.jsonl >out 2>err
says 'documents      2' out
says 'is read as one' err
printf 'some { text' | "$g" data show alone - --context 8 --rows 0 >out 2>err
says 'documents      1' out
printf '{"text": "broken' | "$g" data show alone - --context 8 >out 2>err && fail 'a broken line on stdin passed for text'
says 'standard input: line 1' err

mkdir folder && cp chats.jsonl folder && echo x >folder/notes.md
run 0 data show alone folder --context 8 --rows 0
says 'folder: 1 entries are no .txt or .jsonl files' err

# ---- as JSON: one object a row, and what the trainer reads ----
run 0 data show alone chats.jsonl --context 32 --order sequential --rows 1 --json
[ "$(wc -l <out)" = 1 ] || fail 'a row is a line'
says '{"step": 1, "row": 0, "epoch": 1, "ids": [' out
says '"segments": [0, 0, 0, 0, 0, 0, 0, 1, ' out
says '"text": ["<s>", "2", "+", "2", "=", "4", "\u000A", "<s>", ' out
says '"documents": [{"file": "chats.jsonl", "line": 1}, {"file": "chats.jsonl", "line": 2}]}' out
[ "$(sed 's/.*"targets": \[\([^]]*\)\].*/\1/' out | tr ',' '\n' | grep -vc -e -100)" = 19 ] ||
    fail "19 tokens are learned: $(cat out)"
run 0 data show alone chats.jsonl --context 32 --rows 0 --json
says '"documents": 2, "trained": 19, "padding": 0.28125' out
run 0 data show alone chats.jsonl --context 5 --rows 0 --json
says '"cut_documents": 1' out
printf '{"prompt": "a long prompt of many tokens", "completion": "x"}\n' >long.jsonl
run 0 data show alone long.jsonl --context 5 --rows 0
grep -q '^left out  *[0-9]* tokens at the beginning of 1 prompts' out || fail "cut prompts: $(cat out)"

# ---- a stream ----
printf 'to be or not to be' >text.txt
run 0 data show alone text.txt --context 4 --documents joined --rows 1 --order sequential
says 'given   "t"' out
run 3 data show alone chats.jsonl --context 4 --documents joined
says 'chats.jsonl: line 1: has a prompt and a completion' err

# ---- what is refused ----
run 2 data show alone
says 'needs DATA' err
run 3 data show alone nothing.jsonl
run 3 data show nothing chats.jsonl
run 2 data
says 'Did you mean gradus data show?' err
printf '{"prompt": "a"}\n' >half.jsonl
run 3 data show alone chats.jsonl half.jsonl
says 'half.jsonl: line 1: top level: has a "prompt" without a "completion"' err
printf '{"messages": [{"role": "user", "content": "hi"}]}\n' >messages.jsonl
run 3 data show alone messages.jsonl
says 'messages.jsonl: line 1: key "messages": chat templates are not applied here' err

# ---- training on them ----
i=0
while [ $i -lt 20 ]; do printf '{"prompt": "%d is ", "completion": "%s"}\n' $i $((i % 3)); i=$((i + 1)); done >sums.jsonl
flags='--layers 1 --embed 16 --heads 2 --context 32 --batch 2 --documents apart --quiet'
# shellcheck disable=SC2086
run 0 train sums.jsonl --epochs 2 $flags --eval-fraction 0.2 --out run
rows=$("$g" data show run sums.jsonl --context 32 --eval-fraction 0.2 --rows 0 --json 2>err |
    sed 's/.*"rows": \([0-9]*\).*/\1/')
steps=$(grep -c '"loss"' run/metrics.jsonl)
[ "$steps" = $(((2 * rows + 1) / 2)) ] || fail "2 epochs of $rows rows are $steps steps of 2 rows"
grep -q '"eval_loss"' run/metrics.jsonl || fail 'no evaluation'
# shellcheck disable=SC2086
run 3 train sums.jsonl --layers 1 --embed 16 --heads 2 --out joined
says 'sums.jsonl: line 1' err
# shellcheck disable=SC2086
run 0 train sums.jsonl --tokenizer char --steps 1 $flags --out chars
grep -q endoftext chars/latest/tokenizer.json || fail 'documents kept apart need a token that ends them'

[ $failures = 0 ] || exit 1
