#!/bin/sh
# gradus chat without a terminal: a message a line, an answer a line; samplers of the model's files; reasoning.
. "$GRADUS_SOURCE/tests/shell/harness.sh"
field() { sed -n "$2s/.*\"$1\": \"\{0,1\}\([^],\"}]*\).*/\1/p" out; }
talk() { # CODE MESSAGES WORDS...
    code=$1 messages=$2
    shift 2
    printf '%b' "$messages" | "$g" chat "$@" >out 2>err
    got=$?
    [ $got = "$code" ] || fail "gradus chat $*: exit code $got, expected $code: $(cat err)"
}

i=0
while [ $i -lt 40 ]; do echo 'the quick brown fox jumps over the lazy dog; <think> née Ödön </think>[THINK]/'; i=$((i + 1)); done >text.txt
"$g" train text.txt --tokenizer char --arch llama --steps 120 --layers 1 --embed 32 --heads 2 --context 64 --batch 4 \
    --lr 1e-2 --warmup 5 --out run --quiet 2>err || fail "train: $(cat err)"
cp -rL run/latest model
printf '{%% for m in messages %%}{{ m.content }}{%% endfor %%}' >model/chat_template.jinja

# ---- lines ----
talk 0 'the quick\n the lazy\n' model --temperature 0 -n 10
[ "$(wc -l <out)" = 2 ] && [ "$(head -1 out)" = ' brown fox' ] || fail "two answers: $(cat out)"
cp out plain
talk 0 'the quick\n the lazy\n' model --temperature 0 -n 10 --json
[ "$(field content 1)" = "$(head -1 plain)" ] && says "\"content\": \"$(tail -1 plain)\"" out
talk 0 'the quick' model --temperature 0 -n 80 --context 200 # an answer of several lines is one line
[ "$(wc -l <out)" = 1 ] && grep -qF '[THINK]/\nthe quick' out || fail "an answer is a line: $(cat out)"
talk 0 '' model
[ ! -s out ] || fail "nothing was asked: $(cat out)"
talk 0 'the quick\n the lazy\n' model --temperature 0 -n 10 --json --system 'fox; '
[ "$(field role 1)$(field content 1)$(field stop 1)" = "assistant$(field content 1)length" ] || fail "--json: $(cat out)"
[ "$(field prompt_tokens 1) $(field cached_tokens 1) $(field tokens 1)" = '14 0 10' ] || fail "--json: $(cat out)"
[ "$(field prompt_tokens 2) $(field cached_tokens 2)" = '33 23' ] || fail "the second turn reads more than what is new: $(cat out)"

# ---- Ctrl-C while nothing is said ----
mkfifo waits
"$g" chat model --temperature 0 -n 10 <waits >said 2>err &
exec 3>waits
echo 'the quick' >&3
i=0
while [ ! -s said ] && [ $i -lt 200 ]; do
    sleep 0.1
    i=$((i + 1))
done
kill -INT $!
wait $!
got=$?
exec 3>&-
[ $got = 130 ] || fail "Ctrl-C: exit code $got, expected 130: $(cat err)"
says 'chat: stopped' err

# ---- no room ----
talk 1 'the quick brown fox jumps\n' model --context 20
says 'the conversation has 25 tokens with this message, and the context 20' err
says 'Say less, or --context N gives more; the model was made for 64' err
talk 1 'the quick\n the\n lazy\n' model --context 20 --temperature 0 # what fills it are the turns before
[ "$(grep -c 'The turns before it have 20 and stay: a gradus chat of its own begins a new conversation, and --context N' err)" = 2 ] ||
    fail "a full context: $(cat err)"
grep -q 'Say less' err && fail 'saying less makes no room'
talk 1 'the\nthe quick brown fox jumps\n' model --context 20 --temperature 0 # a message that no conversation has room for
says 'Say less, or --context N gives more' err
talk 4 'the quick\n' model --context 100000000000
says 'allocating memory: need ' err
talk 0 'the quick\n' model --context 20 --temperature 0
says 'the answer was cut: the context of 20 tokens is full; --context N gives more' err
talk 0 'the quick\n' model -n 3 --temperature 0
says 'the answer was cut after --tokens 3' err

# ---- a bad line ends itself alone ----
talk 1 'the quick\n\377\n the lazy\n' model --temperature 0 -n 10
cmp -s out plain || fail "the lines around a bad one: $(cat out)"
says 'gradus: standard input: line 2: the message: key "content": the text is not UTF-8' err
[ "$(tail -2 err | head -1)" = 'gradus: chat: lines without an answer: 1 of 3' ] || fail "a bad line: $(cat err)"
talk 1 'the quick\n\377\n' model --temperature 0 -n 10 --json
[ "$(wc -l <out)" = 1 ] || fail "an answer to a bad line: $(cat out)"

# ---- samplers of the model ----
printf '{"do_sample": true, "temperature": 0.001, "top_p": 0.5}' >model/generation_config.json
talk 0 'the quick\n' model -n 10
says 'from generation_config.json: repeat-penalty 1, temperature 0.001, top-k 50, top-p 0.5' err
[ "$(cat out)" = ' brown fox' ] || fail "drawn with temperature 0.001: $(cat out)"
talk 0 'the quick\n' model -n 10 --temperature 0.5 --top-k 3
says 'from generation_config.json: repeat-penalty 1, top-p 0.5' err
printf '{"do_sample": false, "repetition_penalty": 1.5}' >model/generation_config.json
talk 0 'the quick\n' model -n 1
says 'from generation_config.json: repeat-penalty 1.5, temperature 0' err
printf '{"temperature": -1}' >model/generation_config.json
talk 3 'the quick\n' model
says 'temperature -1 is out of its range' err
# It ends where generation_config.json says, too.
id=$("$g" tokenize model x --json | sed 's/.*"ids": \[\([0-9]*\).*/\1/')
printf '{"eos_token_id": [0, %s], "do_sample": false}' "$id" >model/generation_config.json
talk 0 'the quick\n' model --json
[ "$(field content 1)$(field stop 1)" = ' brown foeos' ] || fail "two tokens end an answer: $(cat out)"
rm model/generation_config.json

# ---- reasoning ----
talk 0 ' dog; \n' model --temperature 0 -n 36 --json
says '"content": "[THINK]/\nth", "reasoning_content": "née Ödön", ' out
talk 0 ' dog; \n' model --temperature 0 -n 36
[ "$(cat out)" = '[THINK]/\nth' ] || fail "reasoning is no part of the answer: $(cat out)"
talk 0 ' dog; <think>\n' model --temperature 0 -n 36 --json # the prompt ends with the mark
[ "$(field reasoning_content 1)" = 'née Ödön' ] || fail "reasoning that the template opens: $(cat out)"
talk 2 'x\n' model --no-thinking
says 'does not know enable_thinking' err
printf '{%% for m in messages %%}{{ m.content }}{%% endfor %%}{%% if enable_thinking is defined and not enable_thinking %%} the lazy{%% endif %%}' >thinks.jinja
talk 0 'fox;' model --chat-template thinks.jinja --no-thinking -n 5 --temperature 0
[ "$(cat out)" = ' dog;' ] || fail "--no-thinking: $(cat out)"

# ---- what ends a turn: the template's token, though no file calls it the end of a text ----
printf '{"text": "a"}\n{"text": "b"}\n' >two.jsonl
"$g" train two.jsonl --documents apart --tokenizer char --arch llama --steps 1 --layers 1 --embed 8 --heads 2 --context 16 --out ends --quiet 2>err ||
    fail "train: $(cat err)"
cp -rL ends/latest ends-there && printf '{"eos_token_id": 0, "do_sample": false}' >ends-there/generation_config.json
sed 's/"eos_token_id": [0-9]*/"eos_token_id": 0/' ends/latest/config.json >ends-there/config.json
printf '{%% for m in messages %%}{{ m.content }}<|endoftext|>{%% endfor %%}' >ends-there/chat_template.jinja
seed=1 ended=no # "a" ends a text, too: one of them comes first
while [ $seed -le 30 ] && [ $ended = no ]; do
    talk 0 'b\n' ends-there --json --temperature 100 --top-p 1 --seed $seed
    grep -q '"ids": \[[1, ]*2\].*"stop": "eos"' out && ended=yes
    seed=$((seed + 1))
done
[ $ended = yes ] || fail "the template's token ends no turn: $(cat out err)"
run 0 generate ends-there --chat -p b --temperature 100 --top-p 1 --json --seed $((seed - 1))
says '"stop": "stop"' out
run 0 generate ends-there --chat -p b --temperature 100 --top-p 1 --json --seed $((seed - 1)) --ignore-eos
says '"stop": "length"' out

# ---- what is refused ----
rm model/chat_template.jinja
talk 1 'x\n' model
says 'no chat template here' err
talk 3 'x\n' nowhere
talk 2 'x\n' model --system "$(printf 'a\377')" --chat-template thinks.jinja
says '--system: the text is not UTF-8' err
for key in messages tools documents; do
    talk 2 'x\n' model --chat-template thinks.jinja --template-arg "$key=[]"
    says "--template-arg: $key are the conversation's own" err
done
talk 3 'x\n' model --chat-template thinks.jinja --adapter /dev/null
says '/dev/null: is a file, not an adapter' err
mkdir empty
talk 3 'x\n' model --chat-template thinks.jinja --adapter empty
says 'empty: is a directory without adapter_config.json' err
talk 3 'x\n' model --chat-template thinks.jinja --adapter nowhere
says 'nowhere: No such file or directory' err
talk 3 'x\n' empty
says 'empty/config.json: No such file or directory' err
run 0 generate model -p 'the quick' -n 1
says ' read, ' err
grep -q '; 1 made, the first after ' err || fail "a rate of one token: $(cat err)"
talk 1 'x\ny\n' model --chat-template llama3 # told once, before a line is read
says 'needs the added token <|start_header_id|>' err
grep -q 'standard input\|gr_' err && fail "what every line lacks is told line by line: $(cat err)"
run 2 chat
talk 2 'x\n' model --stop ''
says 'a stop text is empty' err
[ $failures = 0 ] || exit 1
