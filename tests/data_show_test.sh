#!/bin/sh
# gradus data show, and training on documents kept apart: what is learned, what is refused, what is said.
. "$GRADUS_SOURCE/tests/shell/harness.sh"
tokenizer=$GRADUS_SOURCE/tests/data/tokenizers/gpt2.json

# refused WORDS...: exit code 3, behind a remark on what the file was taken for.
refused() {
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = 3 ] || fail "gradus $*: exit code $got, expected 3: $(cat err)"
    [ "$(grep -vc '^device ' err)" = 3 ] || fail "gradus $*: a remark and two lines of error, found: $(cat err)"
}
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
an epoch       1 row of 32 tokens
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
grep -q '^left out  *[0-9]* tokens at the beginning of 1 prompt$' out || fail "cut prompts: $(cat out)"

# ---- a stream ----
printf 'to be or not to be' >text.txt
run 0 data show alone text.txt --context 4 --documents joined --rows 1 --order sequential
says 'given   "t"' out
run 3 data show alone chats.jsonl --context 4 --documents joined
says 'chats.jsonl: line 1: has a prompt and a completion' err
for flag in '--loss last' '--on-ambiguous last' '--chat-template chatml' '--template-arg a=1' '--too-long error'; do
    for verb in 'data show alone' 'train --layers 1 --steps 1 --out none'; do
        # shellcheck disable=SC2086
        run 2 $verb text.txt --context 4 $flag
        says "${flag% *}: is of " err
    done
done
run 0 data show alone text.txt --context 4 --documents apart --too-long cut --rows 0

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
says 'messages.jsonl: line 1: is a conversation, and the model has no chat template' err

# ---- conversations ----
printf '{%% for m in messages %%}<{{ m.role }}>{{ m.content }};{%% endfor %%}{%% if add_generation_prompt %%}<assistant>{%% endif %%}' >turn.jinja
cat >talk.jsonl <<'END'
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b <|end|>"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}], "id": 7}
{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
{"prompt": "e", "completion": "f"}
END
cat >expected <<'END'
step 1, row 0, epoch 1
  talk.jsonl: line 1
    given   "<user>a;<assistant>"
    learned "b <|end|>;"
    given   "<user>c;<assistant>"
    learned "d;"
  talk.jsonl: line 2
    given   "<user>a;<assistant>"
    learned "b;"
  talk.jsonl: line 3
    given   <s> "e"
    learned "f" <|end|>
END
run 0 data show alone talk.jsonl --context 100 --order sequential --rows 1 --chat-template turn.jinja
sed '/padding/,$d' out >found
is found
says '"id"' err
run 0 data show alone talk.jsonl --context 100 --order sequential --rows 1 --chat-template turn.jinja --loss last
says 'given   "<user>a;<assistant>b <|end|>;<user>c;<assistant>"' out
run 0 data show alone talk.jsonl --context 100 --order sequential --rows 1 --chat-template turn.jinja --loss all
says 'learned "user>a;' out
run 0 data show alone talk.jsonl --context 22 --rows 0 --chat-template turn.jinja
grep -q '^left out  *[0-9]* tokens at the end of 1 conversation, longer than a row' out || fail "a long conversation: $(cat out)"
run 0 data show alone talk.jsonl --context 22 --rows 0 --chat-template turn.jinja --too-long drop --json
says '"dropped": 1' out
sed 's/, "id": 7//' talk.jsonl >known.jsonl
printf '{%% for m in messages %%}{%% if m.content == "d" %%}{{ raise_exception("no d") }}{%% endif %%}<{{ m.role }}>{{ m.content }};{%% endfor %%}{%% if add_generation_prompt %%}<assistant>{%% endif %%}' >picky.jinja
run 0 data show alone known.jsonl chats.jsonl --context 22 --rows 0 --chat-template picky.jinja
says 'known.jsonl: line 1: refused, as 1 of 5 documents; they are left out: picky.jinja: line 1' err
says 'known.jsonl: 2 documents, ' out
says ', 1 refused (line 1: picky.jinja: line 1' out
grep -q '^chats.jsonl: 2 documents, 25 tokens, 19 learned$' out || fail "by file: $(cat out)"
run 0 data show alone known.jsonl chats.jsonl --context 22 --rows 0 --chat-template picky.jinja --json
says '"refused": 1, "refused_line": 1, "why": "picky.jinja: line 1' out
run 3 data show alone known.jsonl --context 22 --rows 0 --chat-template turn.jinja --too-long error
says 'known.jsonl: line 1: has ' err
run 1 data show alone known.jsonl --chat-template chatml
says 'needs the added token <|im_start|>' err
says '--add-tokens' err
sed 's/assistant/assitant/' known.jsonl >misspelled.jsonl
run 0 data show alone misspelled.jsonl --context 100 --rows 0 --chat-template chatml --add-tokens
says 'misspelled.jsonl: line 1: refused, as 1 of 3 documents' err
says 'the role "assitant" is none of system, user, assistant, tool' err
sed '1s/"content": "b <|end|>"/&, "weight": 0/; 1s/"content": "d"/&, "weight": 1/' known.jsonl >weights.jsonl
run 0 data show alone weights.jsonl --context 100 --order sequential --rows 1 --chat-template turn.jinja
says 'given   "<user>a;<assistant>b <|end|>;<user>c;<assistant>"' out
says 'learned "d;"' out
sed 's/"weight": 0/"weight": 0.5/' weights.jsonl >half.jsonl
run 3 data show alone half.jsonl --context 100 --chat-template turn.jinja
says 'half.jsonl: line 1: the record: key "messages[1].weight": expected 1, or 0' err
run 3 data show alone messages.jsonl --chat-template turn.jinja
says 'messages.jsonl: line 1: no message of the role assistant is there' err
run 2 data show alone known.jsonl --chat-template chatlm
says 'the names are chatml, llama3, mistral and gemma' err
# Training: the template goes along, and another is remarked on.
run 0 train talk.jsonl --tokenizer byte --documents apart --chat-template turn.jinja --layers 1 --embed 8 --heads 2 --context 64 --steps 4 --save-every 2 --out talked
rm -r talked/checkpoints/step-4
cmp turn.jinja talked/checkpoints/step-2/chat_template.jinja || fail 'the template is not in the checkpoint'
run 0 generate talked --chat -p a -n 1
sed 's/</[/' turn.jinja >other.jinja
run 0 generate talked --chat -p a -n 1 --chat-template other.jinja
says 'the chat template other.jinja (' err
says 'is not the one that talked/checkpoints/step-2 was trained with, turn.jinja (' err
grep -A3 '"chat_template": {' talked/checkpoints/step-2/training.json >said
says '"name": "turn.jinja"' said
run 0 generate talked --chat -p a -n 1
grep -q 'is not the one' err && fail 'a template is warned of that is the right one'
cp -r talked/checkpoints/step-2 changed && cp other.jinja changed/chat_template.jinja
run 0 generate changed --chat -p a -n 1
says 'is not the one that changed was trained with, turn.jinja (' err
# What is too long is said before anything is trained.
run 0 train talk.jsonl --tokenizer byte --documents apart --chat-template turn.jinja --layers 1 --embed 8 --heads 2 --context 23 --steps 2 --out cut
[ "$(grep -c '1 of 3 documents are conversations longer than a row of 23 tokens: [0-9]* tokens at their ends are left out' err)" = 1 ] ||
    fail "what was cut: $(cat err)"
run 0 train talk.jsonl --tokenizer byte --documents apart --chat-template turn.jinja --layers 1 --embed 8 --heads 2 --context 23 --steps 2 --too-long drop --out dropped
[ "$(grep -c '1 of 3 documents, longer than a row of 23 tokens, are left out' err)" = 1 ] || fail "what was dropped: $(cat err)"
run 2 train chats.jsonl --tokenizer byte --documents apart --layers 1 --embed 8 --heads 2 --context 64 --steps 2 --loss last --out none
says '--loss: is of conversations, and DATA has none' err
run 2 data show alone chats.jsonl --chat-template turn.jinja
says '--chat-template: is of conversations, and DATA has none' err
cp turn.jinja was.jinja && echo '{{ 1 / 0 }}' >turn.jinja # a run goes on with what it began with
run 0 train --resume --out talked
mv was.jinja turn.jinja
run 3 train known.jsonl --tokenizer char --chat-template turn.jinja --documents apart --out none
says 'known.jsonl: line 1: top level: is a conversation, and a tokenizer is learned from texts alone' err
says '--tokenizer byte' err
run 3 tokenizer train known.jsonl --vocab 300 --out none
says 'a tokenizer is learned from texts alone' err

# ---- tokens that a template needs ----
run 0 data show alone known.jsonl --context 100 --order sequential --rows 1 --chat-template chatml --add-tokens
says 'learned "b <|end|>" <|im_end|>' out
says 'tokens added: <|im_start|>, <|im_end|>' err
run 2 data show alone known.jsonl --chat-template turn.jinja --add-tokens
says 'is for --chat-template chatml' err
small='--layers 1 --embed 8 --heads 2 --context 64'
# shellcheck disable=SC2086
run 0 train known.jsonl --tokenizer byte --documents apart --chat-template chatml --add-tokens $small --steps 2 --out fresh
says '"vocab_size": 259' fresh/latest/config.json
run 0 tokenize fresh '<|im_start|>' --json
run 0 generate fresh --chat -p a -n 2
# Of a model that is there: rows that nobody uses, the mean of the others; else an error.
printf 'abc' >abc.txt
for tied in true false; do
    rm -rf "base-$tied" "added-$tied" "whole-$tied"
    sed 's/"vocab_size": 259/"vocab_size": 270/; s/"tie_word_embeddings": true/"tie_word_embeddings": '$tied'/' fresh/latest/config.json >config.json
    run 0 train abc.txt --config config.json --context 2 --tokenizer byte --steps 1 --out base-$tied
done
run 0 data show fresh known.jsonl --chat-template gemma --add-tokens --context 64
run 0 finetune base-true known.jsonl --chat-template chatml --add-tokens --context 64 --steps 1 --lr 0 --min-lr 0 --out added-true
says 'trainable_token_indices' added-true/latest/adapter_config.json
grep -q '<|im_end|>' added-true/latest/tokenizer.json || fail 'the tokenizer of the adapter has no new tokens'
run 0 generate added-true --chat -p a -n 2
run 0 finetune --resume --out added-true
# Trained further, the adapter keeps its tokenizer and its template.
run 0 finetune base-true known.jsonl --adapter added-true --context 64 --steps 1 --out further
for file in tokenizer.json chat_template.jinja; do
    cmp added-true/latest/$file further/latest/$file || fail "trained further, an adapter has another $file"
done
run 0 generate further --chat -p a -n 2
run 0 finetune base-false known.jsonl --chat-template chatml --add-tokens --context 64 --steps 1 --out rows-false
says '"lm_head"' rows-false/latest/adapter_config.json
run 0 finetune base-false known.jsonl --chat-template chatml --add-tokens --context 64 --steps 1 --modules-to-save lm_head --out added-false
run 0 finetune base-false known.jsonl --full --chat-template chatml --add-tokens --context 64 --steps 1 --lr 0 --min-lr 0 --out whole-false
run 0 generate whole-false --chat -p a -n 2
# Without such rows the tables grow, in whatever is made of them.
for tied in true false; do
    rm -rf "narrow-$tied" "grown-$tied" "grown-$tied-whole" "grown-$tied-merged"
    sed 's/"vocab_size": 259/"vocab_size": 257/; s/"tie_word_embeddings": true/"tie_word_embeddings": '$tied'/' fresh/latest/config.json >config.json
    run 0 train abc.txt --config config.json --context 2 --tokenizer byte --steps 1 --out narrow-$tied
    run 0 finetune narrow-$tied known.jsonl --chat-template chatml --add-tokens --context 64 --steps 2 --save-every 1 --out grown-$tied
    says "the model's 257 rows of tokens become 259" err
    run 0 generate grown-$tied --chat -p a -n 2
    rm -r "grown-$tied/checkpoints/step-2"
    run 0 finetune --resume --out grown-$tied
    run 0 merge grown-$tied --out grown-$tied-merged
    says '"vocab_size": 259' grown-$tied-merged/config.json
    cmp grown-$tied/latest/tokenizer.json grown-$tied-merged/tokenizer.json || fail 'a merged model has another tokenizer'
    cmp grown-$tied/latest/chat_template.jinja grown-$tied-merged/chat_template.jinja || fail 'a merged model has no template'
    run 0 generate grown-$tied-merged --chat -p a -n 2
    run 0 finetune narrow-$tied known.jsonl --full --chat-template chatml --add-tokens --context 64 --steps 1 --out grown-$tied-whole
    says '"vocab_size": 259' grown-$tied-whole/latest/config.json
    run 0 generate grown-$tied-whole --chat -p a -n 2
done

# ---- records under other names, and what is no text ----
run 0 data show alone chats.jsonl --context 32 --order sequential --rows 1
sed 's/chats.jsonl: line/X: Y/' out >expected
(echo '['; sed '$!s/$/,/' chats.jsonl; echo ']') >array.json
cp chats.jsonl chats.JSONL && cp chats.jsonl chats.jsonl.txt && cp chats.jsonl noname
for name in chats.JSONL chats.jsonl.txt noname; do
    run 0 data show alone $name --context 32 --order sequential --rows 1
    sed "s/$name: line/X: Y/" out >found
    is found
done
says 'noname begins as a .jsonl file does, and is read as one' err
run 0 data show alone array.json --context 32 --order sequential --rows 1
sed 's/array.json: record/X: Y/' out >found
is found
says 'array.json is an array of records' err
tr '\n' ' ' <array.json >one-line.txt
"$g" data show alone - --context 32 --order sequential --rows 1 <one-line.txt 2>err | sed 's/standard input: record/X: Y/' >found
is found
printf '[{"prompt": "a"}, {"prompt": "b", "completion": "c"}]' >bad.json
refused data show alone bad.json
says 'bad.json: record 1: ' err
printf '[{"text": "a"}, {"text": "b"}, {"text": 7}]' >bad.json
refused data show alone bad.json
says 'bad.json: record 3: key "text"' err
printf '[{"text": "a"}, {"text"' >bad.json
refused data show alone bad.json
printf '{"question": "a", "answer": "b"}\n{"question": "c", "answer": "d"}\n' >qa.json
run 0 data show alone qa.json --context 8
says 'qa.json: byte 0 begins JSON, which is read as text' err
printf 'prompt,completion\nWhat is 1?,A number.\nWhat is 2?,A number.\n' >table.csv
tr , '\t' <table.csv >table.TSV
for name in table.csv table.TSV; do
    run 0 data show alone $name --context 8
    says "$name: byte 0 begins a table, which is read as text" err
done
cp table.csv csv.txt
run 0 data show alone csv.txt --context 8
grep -q 'begins a table' err && fail 'a text without the name of a table is remarked on'
printf 'caf\351 cr\350me\n' >latin.txt
run 0 data show alone latin.txt --context 4
says 'latin.txt: byte 3 is not UTF-8' err
cp latin.txt latin2.txt
run 0 data show alone latin.txt latin2.txt --context 4
[ "$(grep -c UTF-8 err)" = 1 ] && says 'so it is in 1 more file' err
printf 'a\000b and more of it\n' >nul.txt
run 0 data show alone nul.txt --context 4
says 'nul.txt: byte 1 is NUL' err
printf '\357\273\277marked text\n' >mark.txt
run 0 data show alone mark.txt --context 4
says 'mark.txt: byte 0 is a byte order mark' err
printf 'to be or not to be, to be sure\n' >plain.txt
run 0 data show alone plain.txt --context 4
[ ! -s err ] || fail "said of plain text: $(cat err)"
printf '\377\376t\000o\000 \000b\000e\000\n\000' >wide.txt
printf 't\000o\000 \000b\000e\000 \000o\000r\000 \000n\000o\000t\000' >wide2.txt
gzip -c plain.txt >packed.txt && cp packed.txt packed.jsonl
printf 'PK\003\004\024\000' >zip.txt
cp "$GRADUS_SOURCE/tests/data/models/gpt2/model.safetensors" weights.txt
mkdir some && cp plain.txt some/a.txt && cp packed.txt some/b.txt
for bad in wide.txt wide2.txt packed.txt packed.jsonl zip.txt weights.txt some; do
    run 3 data show alone $bad --context 4
    says 'is no text, but ' err
    run 3 tokenizer train $bad --vocab 260 --out t.json
    says 'is no text, but ' err
    run 3 tokenize alone --data $bad --count
done
"$g" tokenize alone <packed.txt >out 2>err && fail 'tokenize took a gzip file from stdin'
says 'stdin: is no text, but compressed by gzip' err
"$g" tokenizer train - --vocab 260 --out t.json <wide.txt >out 2>err && fail 'tokenizer train took UTF-16 from stdin'
[ ! -e t.json ] || fail 'a refused tokenizer train left a file'
run 0 tokenizer train nul.txt --vocab 260 --out t0.json
says 'nul.txt: byte 1 is NUL' err
run 0 tokenizer train array.json --vocab 260 --out t1.json
run 0 tokenizer train chats.jsonl --vocab 260 --out t2.json
cmp -s t1.json t2.json || fail 'tokenizer train: an array is not its lines'
run 0 tokenizer train latin.txt latin2.txt --vocab 260 --out t3.json
[ "$(grep -c 'latin.txt: byte 3 is not UTF-8' err)" = 1 ] && [ "$(grep -c UTF-8 err)" = 1 ] || fail "tokenizer train of Latin-1: $(cat err)"

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
