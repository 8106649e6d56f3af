#!/bin/sh
# The command's frame, for every verb there is: help, wrong command lines, exit codes, colours, manual, completions.
. "$GRADUS_SOURCE/tests/shell/harness.sh"
checks=0

# As in the harness, counted, and of failures the first line's form too.
run() {
    code=$1
    shift
    checks=$((checks + 1))
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$code" ] || fail "gradus $*: exit code $got, expected $code: $(cat err)"
    [ "$code" = 0 ] && return
    [ "$(wc -l <err)" = 2 ] || fail "gradus $*: an error is two lines, found: $(cat err)"
    head -1 err | grep -q '^gradus: .*: ' || fail "gradus $*: first line is not 'gradus: what: why': $(cat err)"
    [ ! -s out ] || fail "gradus $*: failed, and yet wrote to stdout: $(head -3 out)"
}
# Every verb, one a line: the first column of --help, which is wide enough for two words.
verbs() { "$g" --help | awk '/^Verbs/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print substr($0, 3, 18) }' | sed 's/ *$//'; }

# ---- the command ----
run 0 --help
says 'Verbs' out
cp out help
run 0 help && cmp -s out help || fail 'help and --help differ'
run 0 -h && cmp -s out help || fail '-h and --help differ'
run 0 --version
says "gradus $(sed -n 's/^#define GR_VERSION_[A-Z]* \([0-9]*\)$/\1/p' "$GRADUS_SOURCE/include/gradus.h" | paste -sd . -)" out
says 'build: ' out
says 'loops: generic' out
says 'libraries: ' out
says 'device ref: ' out
says 'device cpu: ' out
"$g" >out 2>err
[ $? = 2 ] && cmp -s err help && [ ! -s out ] || fail 'gradus alone: help on stderr, exit code 2'
run 2 infos && says 'Did you mean gradus info?' err
run 2 ifno && says 'Did you mean gradus info?' err
run 2 xyzzyxyzzy && says 'gradus --help' err
run 2 help xyzzyxyzzy
run 2 --no-such-flag
run 2 __completion csh

# ---- every verb ----
count=0
verbs >list
while read -r verb; do
    count=$((count + 1))
    # Names of two words are two arguments.
    # shellcheck disable=SC2086
    set -- $verb
    run 0 "$@" --help
    cp out help
    run 0 help "$@" && cmp -s out help || fail "help $verb and $verb --help differ"
    run 0 "$@" --no-such-flag -h && cmp -s out help || fail "$verb -h does not win over what else is there"
    says "  gradus $verb" help
    [ "$(grep -c '^  # ' help)" = 2 ] || fail "$verb: two examples, each with a line about it"
    grep -A1 '^  # ' help | grep '^  gradus' | grep -vq "^  gradus $verb" && fail "$verb: an example of another verb"
    ! grep -q "$(printf '\033')" help || fail "$verb: colours in a file"
    # Every flag has its default or says that it has none.
    awk '/^Examples/ { flag = 0 } /^  (-., )?--/ { if (flag && text !~ /\((default: |no default|in )/) print text; flag = 1; text = "" }
         flag { text = text $0 " "; gsub(/ +/, " ", text) } ' help >odd
    [ ! -s odd ] || fail "$verb: flags without default: $(cat odd)"

    run 2 "$@" --no-such-flag-at-all
    says 'no such flag' err
    # A slip in each flag that is long enough is put right (as this flag or one just as near).
    for flag in $(grep -oE '^  (-., )?--[a-z0-9-]+' help | sed 's/.*--//'); do
        [ ${#flag} -ge 4 ] || continue
        run 2 "$@" "--${flag}x"
        says 'Did you mean --' err
    done
    run 2 "$@" --quiet=1 && says 'takes no value' err
done <list
[ $count -ge 1 ] || fail 'no verbs found in --help'

# ---- numbers, choices, files: where a verb has --threads ----
threads=$(while read -r verb; do "$g" $verb --help | grep -q -e '--threads N' && echo "$verb" && break; done <list)
if [ -n "$threads" ]; then
    for wrong in 'x' '-1' '1.5' '10K' '4Kib' '1e400' '99999999999999999999' '' 'nan' '0x10' '2000'; do
        # shellcheck disable=SC2086
        "$g" $threads --threads "$wrong" MODEL >out 2>err
        [ $? = 2 ] || fail "--threads '$wrong' of $threads is not refused: $(cat err)"
        says '--threads' err
    done
    "$g" $threads --threads 10K MODEL 2>err
    says 'the nearest is k' err
    "$g" $threads --threads --quiet MODEL 2>err
    says 'needs a value' err
fi

# ---- info: this machine, the grid of ops, a model ----
run 0 info --ops
[ "$(wc -l <out)" -gt 60 ] || fail "info --ops lists $(wc -l <out) lines"
! grep -q ' none ' out || fail "an op that some device cannot run: $(grep ' none ' out)"
grep -q '^layer_norm .*yes$' out || fail 'layer_norm and its gradient are not in info --ops'
run 0 info --ops --json
[ "$(wc -l <out)" = 1 ] || fail 'info --json is one object on one line'
says '"op": "layer_norm"' out
run 0 info "$GRADUS_SOURCE/tests/data/models/gpt2"
says 'arch         gpt2' out
says 'parameters   12,856' out
run 0 info "$GRADUS_SOURCE/tests/data/models/gpt2" --json
says '"parameters": 12856' out
run 3 info nowhere
while read -r kind expected; do
    mkdir kinds
    cp "$GRADUS_SOURCE/tests/data/tokenizer_dirs/$kind"/* kinds
    for file in config.json model.safetensors; do
        cp "$GRADUS_SOURCE/tests/data/models/llama/$file" kinds
    done
    if "$g" info kinds >out 2>err; then
        says "tokenizer    $expected" out
        "$g" info kinds --json >out 2>err
        says "\"kind\": \"${expected##* }\"" out
    else
        says 'this build has no' err # PCRE2 or utf8proc
    fi
    rm -r kinds
done <<'EOF'
bert 89 tokens, WordPiece
tiktoken 283 tokens, BPE
tekken-v7 340 tokens, BPE
rules-llama 447 tokens, BPE
rules-unigram 425 tokens, Unigram
EOF

# ---- verify: what is there, what is broken, what is missing ----
cp -r "$GRADUS_SOURCE/tests/data/models/gpt2" model
run 0 verify model
says 'unchecked' out
run 0 verify model --json
[ "$(grep -c '^{.*}$' out)" = "$(wc -l <out)" ] || fail 'verify --json: not an object a line'
run 3 verify nowhere
run 3 verify /dev/null && says 'neither a file nor a directory' err
echo junk >junk.bin
"$g" verify junk.bin >out 2>err
[ $? = 3 ] && says 'bad       junk.bin: no file of torch.save' out && says 'gradus: junk.bin: no file of torch' err ||
    fail "verify of a file names it once: $(cat out err)"

# ---- what is not there, and what is too much ----
OCL_ICD_VENDORS=/nonexistent "$g" --version | grep -q '^device opencl: not available: OpenCL: ' ||
    fail 'no driver for OpenCL: not said what is missing'
"$g" info >first && "$g" info >second
cmp -s first second || fail "info: what it says of this machine moves: $(diff first second)"
yes | tr -d '\n' | head -c 20000000 >one-word
run 3 tokenizer train one-word --vocab 300 --out one-word.json && says 'its tokens are too long to be written' err
rm one-word
run 2 verify
says 'verify: needs PATH' err
run 2 verify a b
"$g" verify model --json 2>/dev/null | head -c 20 >/dev/null # a reader that leaves is no crash
head -c 1000 "$GRADUS_SOURCE/tests/data/models/gpt2/model.safetensors" >model/model.safetensors
"$g" verify model >out 2>err
[ $? = 3 ] || fail "verify of a short file: exit code $?"
says 'bad ' out

# ---- tokenize, with a vocabulary of bytes: a as 0, b as 1, ab as 2, <s> as control token 3 ----
cat >tokenizer.json <<'END'
{"version": "1.0", "truncation": null, "padding": null,
 "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
 "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
 "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
 "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
           "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
END
for path in tokenizer.json .; do
    run 0 tokenize $path abba
    [ "$(cat out)" = 2,1,0 ] || fail "tokenize $path abba says $(cat out)"
done
run 0 tokenize . --decode '2,1;0,0' && [ "$(tr '\n' ' ' <out)" = 'abb aa ' ] || fail "tokenize --decode says $(cat out)"
run 0 tokenize . ab --json && [ "$(cat out)" = '{"ids": [2], "tokens": ["ab"]}' ] || fail "tokenize --json says $(cat out)"
run 0 tokenize . '<s>a' --allow-special && [ "$(cat out)" = 3,0 ] || fail "tokenize --allow-special says $(cat out)"
printf 'ab\n\nb' | "$g" tokenize . >out 2>err && [ "$(tr '\n' ' ' <out)" = '2  1 ' ] || fail "lines of stdin: $(cat out err)"
printf '{"text": "ab\\n"}\n{"text": "a"}\n' | "$g" tokenize . --jsonl >out 2>err && [ "$(tr '\n' ' ' <out)" = '{"ids": [2]} {"ids": [0]} ' ] ||
    fail "tokenize --jsonl: $(cat out err)"
printf '{"text": 1}\n' | "$g" tokenize . --jsonl >out 2>err
[ $? = 3 ] && grep -q 'line 1' err || fail "tokenize --jsonl of a number: $(cat err)"
# A conversation: the template's <s> is a control token, the user's is text (the ids that the bytes have are in no word here).
cat >chat.json <<'END'
{"messages": [{"role": "user", "content": "ab"}, {"role": "user", "content": "ba"}]}
END
printf '{%% for m in messages %%}<s>{{ m.content }}{%% endfor %%}{{ more }}' >chat.jinja
run 0 tokenize . --chat chat.json --chat-template chat.jinja --template-arg 'more="b"' --json &&
    [ "$(cat out)" = '{"text": "<s>ab<s>bab", "ids": [3, 2, 3, 1, 2], "tokens": ["<s>", "ab", "<s>", "b", "ab"], "untrusted": [[3, 5], [8, 10]]}' ] ||
    fail "tokenize --chat --json says $(cat out err)"
"$g" tokenize . --chat - --chat-template chat.jinja <chat.json >out 2>err && says 'ids        3,2,3,1,0' out &&
    says 'untrusted  3-5,8-10' out || fail "tokenize --chat -: $(cat out err)"
run 1 tokenize . --chat chat.json && says 'no chat template here' err && says 'chat-template FILE' err
run 1 tokenize tokenizer.json --chat chat.json && says 'a tokenizer alone has no chat template' err
cp chat.jinja chat_template.jinja
run 0 tokenize . --chat chat.json && says 'ids        3,2,3,1,0' out
rm chat_template.jinja
printf '\n{{ messages.x.y }}' >chat.jinja
run 1 tokenize . --chat chat.json --chat-template chat.jinja && says "chat.jinja: line 2, column 14: 'x' is undefined" err
printf '{%% nothing %%}' >chat.jinja
run 1 tokenize . --chat chat.json --chat-template chat.jinja && says "chat.jinja: line 1, column 4: the statement 'nothing'" err
run 2 tokenize . --chat chat.json --template-arg x && says 'KEY=JSON' err
run 2 tokenize . --chat chat.json --template-arg x=y && says 'template-arg' err
run 2 tokenize . --chat-template chat.jinja text && says 'needs --chat' err
run 2 tokenize . --chat chat.json text && says 'takes no TEXT' err
run 2 tokenize . --chat chat.json --special && says 'the template says it' err
run 3 tokenize . --chat missing.json
run 2 tokenize . --decode 4 && says 'no token 4' err
run 2 tokenize . --decode 1 --jsonl && says 'excludes' err
run 2 tokenize . text --jsonl
run 3 tokenize nowhere text

# ids to text and back on many lines, whatever the threads; a line that fails is named, those before it are answered
i=0
while [ $i -lt 3000 ]; do echo '{"text": "abba ab"}'; i=$((i + 1)); done | sed 's/ ab"/ab"/' >texts.jsonl
"$g" tokenize . --jsonl --threads 1 <texts.jsonl >ids1 2>err || fail "tokenize --jsonl: $(cat err)"
"$g" tokenize . --jsonl --threads 4 <texts.jsonl >ids4 2>err || fail "tokenize --jsonl --threads 4: $(cat err)"
[ "$(wc -l <ids1 | tr -d ' ')" = 3000 ] && cmp -s ids1 ids4 || fail 'tokenize --jsonl: threads change the answers'
"$g" tokenize . --jsonl <ids1 | cmp -s - texts.jsonl || fail 'tokenize --jsonl: ids do not come back as their text'
[ "$(printf '{"ids": [3, 0]}\n' | "$g" tokenize . --jsonl --skip-special)" = '{"text": "a"}' ] || fail 'tokenize --skip-special'
printf '{"ids": [9]}\n' | "$g" tokenize . --jsonl >out 2>err
[ $? = 1 ] && says 'stdin, line 1: decode: the tokenizer has no token 9' err || fail "an id that is none: $(cat err)"
mkdir docs && printf 'abba' >docs/a.txt && printf '{"text": "b"}\n{"text": "ab"}\n' >docs/b.jsonl
run 0 tokenize . --data docs && [ "$(tr '\n' ' ' <out)" = '2,1,0 1 2 ' ] || fail "tokenize --data: $(cat out)"
run 0 tokenize . --data docs --count --json && [ "$(cat out)" = '{"documents": 3, "bytes": 7, "tokens": 5}' ] || fail "--count: $(cat out)"
run 2 tokenize . --count
run 2 tokenize . --data docs text
run 3 tokenize . --data nowhere

# ---- tokenizer train ----
i=0
while [ $i -lt 50 ]; do echo "the cat $i sat on the mat"; i=$((i + 1)); done >words.txt
mkdir texts && cp words.txt texts/a.txt && printf '{"text": "the cat"}\n' >texts/b.jsonl
run 0 tokenizer train words.txt --vocab 270 --out t.json --json
grep -q '"tokens": 270' out || fail "tokenizer train --json says $(cat out)"
run 0 tokenize t.json ' the cat' && [ "$(tr -cd , <out | wc -c | tr -d ' ')" -lt 4 ] || fail "a trained tokenizer says $(cat out)"
"$g" tokenizer train - --vocab 270 --out stdin.json --threads 1 <words.txt 2>err && cmp -s t.json stdin.json ||
    fail "tokenizer train -: $(cat err)"
printf '{"text": "the cat"}\n' | "$g" tokenizer train - --vocab 260 --out a.json 2>err || fail "tokenizer train -: $(cat err)"
"$g" tokenizer train texts/b.jsonl --vocab 260 --out b.json 2>err && cmp -s a.json b.json || fail 'lines of .jsonl on stdin'
run 0 tokenizer train texts --vocab 270 --lines --special '<|im_end|>' --out lines.json
run 0 tokenize lines.json '<|im_end|>' --allow-special && [ "$(cat out)" = 1 ] || fail "--special: $(cat out)"
for bad in '--vocab 256 --out x' '--vocab x --out x' '--vocab 300' '--out x' '--vocab 300 --out .' '--vocab 300 --out x --special a'; do
    # shellcheck disable=SC2086
    run 2 tokenizer train words.txt $bad
done
run 2 tokenizer train --vocab 300 --out x
run 2 tokenizer trian words.txt --vocab 300 --out x && says 'Did you mean gradus tokenizer train?' err
run 3 tokenizer train nowhere --vocab 300 --out x
: >empty.txt
run 3 tokenizer train empty.txt --vocab 300 --out x && says 'no text' err
printf '{"text": 1}\n' >bad.jsonl
run 3 tokenizer train bad.jsonl --vocab 300 --out x && says 'line 1' err
[ ! -e x ] || fail 'a failed tokenizer train left a file'

# ---- output that cannot be written is a failure ----
if [ -e /dev/full ]; then
    "$g" --version >/dev/full 2>err
    [ $? = 3 ] || fail 'a full disk behind stdout is not noticed'
fi

# ---- colours: on a terminal only, and not with NO_COLOR or --quiet ----
# (A bare chroot has no pseudo-terminals: /dev/pts is not mounted.)
on_terminal() { TERM=xterm script -qec "$1" /dev/null 2>/dev/null </dev/null; }
if on_terminal 'test -t 1 && echo terminal' | grep -q '^terminal'; then
    escape=$(printf '\033')
    on_terminal "'$g' --help" | grep -q "$escape" || fail 'no colours on a terminal'
    ! on_terminal "NO_COLOR=1 '$g' --help" | grep -q "$escape" || fail 'NO_COLOR is not honoured'
    ! on_terminal "TERM=dumb '$g' --help" | grep -q "$escape" || fail 'colours on a dumb terminal'
    yes 'the quick brown fox' | head -200 >long.txt
    short='--tokenizer byte --layers 1 --embed 8 --heads 2 --context 32 --steps 1 --eval-fraction 0.5'
    on_terminal "'$g' train long.txt $short --out shown" | grep -q 'evaluating, [1-9][0-9]* %' ||
        fail 'a terminal does not see how far an evaluation is'
    ! on_terminal "'$g' train long.txt $short --out unseen --quiet" | grep -q evaluating || fail '--quiet shows evaluations'
else
    echo 'no util-linux script, or no terminals: colours are not checked'
fi

# ---- manual and completions say the same as the help ----
"$g" __man >gradus.1 || fail '__man'
grep -q '0: one per core that it may use' gradus.1 || fail 'what --threads 0 means is not in the manual'
while read -r verb; do
    # shellcheck disable=SC2086
    "$g" help $verb | grep -oE '^  (-., )?--[a-z0-9-]+' | sed 's/.*--//' >flags
    while read -r flag; do
        roff=$(printf '%s' "$flag" | sed 's/-/\\-/g')
        grep -qF -e "\\-\\-$roff" gradus.1 || fail "--$flag of $verb is not in the manual"
        for shell in bash zsh fish; do
            "$g" __completion $shell | grep -q -e "-$flag\b\|-l $flag\b" || fail "--$flag of $verb is not completed in $shell"
        done
    done <flags
done <list
if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww gradus.1 >/dev/null 2>err || fail 'groff'
    [ ! -s err ] || fail "groff warns: $(head -3 err)"
fi
for shell in bash zsh fish; do
    command -v $shell >/dev/null || continue
    "$g" __completion $shell >completion && $shell -n completion || fail "completion of $shell does not parse"
done
if command -v bash >/dev/null; then
    "$g" __completion bash >completion
    complete() { bash -c '. ./completion; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gradus; echo "${COMPREPLY[*]}"' _ "$@"; }
    [ "$(complete gradus inf)" = info ] || fail "bash completes inf to '$(complete gradus inf)'"
    [ "$(complete gradus info --qui)" = --quiet ] || fail "bash completes --qui to '$(complete gradus info --qui)'"
fi

echo "$count verbs, $checks command lines, $failures failures"
[ $failures = 0 ]
