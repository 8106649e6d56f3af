#!/bin/sh
# labels: slow
# gradus pull, and names as MODEL and DATA, against a hub on loopback (tests/shell/hub.py) that has every fault a hub has had.
command -v python3 >/dev/null 2>&1 || { echo "skipped: no python3, which plays the hub"; exit 77; }
. "$GRADUS_SOURCE/tests/shell/harness.sh"
unset HF_TOKEN HF_TOKEN_PATH HUGGING_FACE_HUB_TOKEN HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE \
    HF_HUB_DISABLE_SYMLINKS HF_HUB_DISABLE_IMPLICIT_TOKEN HF_HUB_ETAG_TIMEOUT http_proxy https_proxy all_proxy ALL_PROXY
export HF_HOME=$work/home HF_HUB_DOWNLOAD_TIMEOUT=2 no_proxy=127.0.0.1
models=$GRADUS_SOURCE/tests/data/models

# ---- the hub ----
hub=$work/hub
mkdir -p "$hub/models/acme" "$hub/datasets/acme/chats"
serve() { # [certificate]: starts the hub and sets port, other and HF_ENDPOINT
    rm -f "$hub/port"
    python3 "$GRADUS_SOURCE/tests/shell/hub.py" "$hub" "$@" 2>hub.err &
    server=$!
    trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
    for _ in $(seq 100); do [ -e "$hub/port" ] && break || sleep 0.1; done
    read -r port other <"$hub/port" || { fail "the hub does not start: $(cat hub.err)"; exit 1; }
    export HF_ENDPOINT=http://127.0.0.1:$port
}
forget() { sleep 0.2; : >"$hub/log"; } # the hub notes a request when it is over
order() { printf '%s\n' "$@" >"$hub/orders"; forget; } # FAULT ARG TIMES GLOB..
peace() { rm -f "$hub/orders"; forget; }
fresh() { rm -rf "$HF_HOME"; }
asked() { grep -c "$1" "$hub/log"; }
# same FOLDER PATH: what was fetched is what the hub has.
same() { diff -r "$hub/$1" "$2" >diff.out 2>&1 || fail "$2 is not $1: $(head -3 diff.out)"; }

# A model with a file of 3 MB, so that there is something to be cut.
make_model() {
    cp -r "$models/llama" "$hub/models/acme/$1"
    rm -f "$hub/models/acme/$1"/expected.*
    head -c 3000000 /dev/urandom >"$hub/models/acme/$1/model-extra.safetensors"
    echo '# a model' >"$hub/models/acme/$1/README.md"
    echo 'may be used' >"$hub/models/acme/$1/LICENSE"
}
make_model tiny
cp -r "$models/llama" "$hub/models/acme/good" && rm -f "$hub/models/acme/good"/expected.*
serve
# pulls CODE WORDS...: as run, but files are listed before what fails.
pulls() {
    code=$1
    shift
    "$g" pull "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$code" ] || fail "gradus pull $*: exit code $got, expected $code: $(cat err)"
    [ "$code" = 0 ] || [ ! -s out ] || fail "gradus pull $*: failed, and yet wrote to stdout: $(cat out)"
    [ "$code" = 0 ] || [ "$(tail -2 err | head -1 | cut -c1-8)" = 'gradus: ' ] || fail "gradus pull $*: no error of two lines: $(cat err)"
}
# with VARIABLE=VALUE COMMAND...: for that command, which is no other `with`.
with() {
    name=${1%%=*} value=${1#*=}
    eval "before=\${$name-} was=\${$name+set}"
    export "$name=$value"
    shift
    "$@"
    if [ "$was" ]; then export "$name=$before"; else unset "$name"; fi
}
snapshot() { echo "$HF_HOME/hub/models--acme--$1/snapshots/$(cat "$HF_HOME/hub/models--acme--$1/refs/${2:-main}")"; }
nothing_shown() { [ ! -e "$HF_HOME/hub/models--acme--tiny/snapshots" ] || [ -z "$(ls "$HF_HOME/hub/models--acme--tiny/snapshots")" ] || fail "$1: a snapshot is shown"; }

# ---- the good path ----
pulls 0 acme/tiny
[ "$(cat out)" = "$(snapshot tiny)" ] || fail "stdout is not the path: $(cat out)"
says '5 files of 3.06 MB, 3.06 MB to fetch' err
says '3.00 MB   model-extra.safetensors' err
says 'every hash is right' err
same models/acme/tiny "$(snapshot tiny)"
[ "$(readlink "$(snapshot tiny)/LICENSE")" = ../../blobs/"$(printf 'blob 12\0may be used\n' | sha1sum | cut -d' ' -f1)" ] || fail 'the blob is not named by its hash'
[ "$(cat "$HF_HOME/hub/CACHEDIR.TAG" | head -c 9)" = Signature ] || fail 'no CACHEDIR.TAG'
[ -z "$(find "$HF_HOME" -name '*.part*')" ] || fail 'parts are left'
peace
pulls 0 acme/tiny --json
says '"path": "' out
[ "$(asked resolve)" = 0 ] || fail "what is here was asked for: $(cat "$hub/log")"

# ---- faults that patience mends: the file is whole, and little was fetched twice ----
large='*model-extra*' signed='/signed/*'
# mended NAME BYTES ORDER...: a pull that succeeds, with at most so many bytes sent of what has three millions.
mended() {
    name=$1 most=$2
    shift 2
    order "$@"
    fresh
    pulls 0 acme/tiny
    cp err err.mended
    same models/acme/tiny "$(snapshot tiny)"
    sent=$(awk '$3 ~ /signed/ { n += $5 } END { print n + 0 }' "$hub/log")
    [ "$sent" -le "$most" ] || fail "$name: $sent bytes of 3.06 MB were sent"
    echo "  $name: $sent bytes sent"
}
mended cut 3400000 "cut 1000000 2 $signed"
mended reset 4200000 "reset 1000000 2 $signed"
mended stall 3400000 "stall 700000 1 $signed"
says 'again in' err.mended
mended short 6200000 "cut 1000000 1 $signed" "short 0 1 $signed"
mended norange 4400000 "cut 1000000 1 $signed" "norange 0 1 $signed"
mended badrange 6200000 "cut 1000000 1 $signed" "badrange 0 1 $signed"
mended flip 6200000 "flip 1234567 1 $signed"
says 'are fetched once more' err.mended
mended long 6200000 "long 0 1 $signed"
mended 416 4400000 "cut 1000000 1 $signed" "416 0 1 $signed"
mended 500 3100000 'status 500 2 /api/*' "status 503 2 $large"
mended 429 3100000 "429 1 1 /api/*" "429rate 1 1 $large"
says 'is asked too often (429); again in 1.' err.mended
mended '429 without a time' 3100000 "429bare - 1 $large"
mended expired 3400000 "cut 1000000 1 $signed" "expired 0 1 $signed"
grep -q ' 403 ' "$hub/log" || fail 'no address has expired'
mended gzip 3400000 'gzip - 99 /api/*' 'gzip - 9 *config.json'
mended 'gzip that nobody asked for' 3100000 "gzip - 1 $signed"
mended 'an encoding that is none' 3100000 'encoding identity 9 /api/*' 'encoding identity 9 *config.json'
mended chunks 3100000 "chunked - 9 $signed" 'chunked - 9 *config.json'
mended 'chunks that are cut' 3400000 "chunked - 9 $signed" "cut 1000000 1 $signed"
mended 'a bomb once' 3200000 "bomb 20000000 1 $signed"
mended 'weak etag' 3100000 'weaketag - 99 *resolve*'
mended 'no etag' 3100000 'noetag - 99 *resolve*'
mended pages 3100000 'pages 2 99 /api/*tree*'
[ "$(asked 'cursor=4')" = 1 ] || fail 'the third page was not asked for'
mended '10,000 files' 3100000 'many 10000 9 /api/*tree*' 'pages 1000 99 /api/*tree*'
mended 'a relative redirect' 3100000 "relative - 99 $large"

# ---- faults that it does not mend: told, nothing is shown, nothing is left but the part ----
# broken CODE TEXT ORDER...
broken() {
    code=$1 text=$2
    shift 2
    order "$@"
    fresh
    pulls "$code" acme/tiny --retries 1
    says "$text" err
    nothing_shown "$1"
}
broken 3 'had not the hash that the hub lists' "flip 7 9 $signed"
[ -z "$(find "$HF_HOME" -name '*.part*')" ] || fail 'wrong bytes were kept'
broken 3 'were asked for' "cut 1000 1 $signed" "badrange 0 99 $signed"
broken 3 "the answer's hash is 111111111111" "wrongetag - 9 $large"
broken 3 'the answer is of commit 22222222' 'othercommit - 9 *config.json'
broken 1 'cannot answer now (503)' 'status 503 99 /api/*'
broken 1 'redirects lead in a circle' "loop - 99 $large"
broken 1 'redirects lead in a circle' 'loop - 99 /api/*'
broken 1 'wants to be asked again in 100000 s' '429 100000 9 /api/*'
broken 1 'no longer knows the address that it was given (403)' "expired - 99 $signed"
broken 1 'is gated: its owner wants to be asked first: Access to this model is restricted.' 'gated - 9 /api/*'
broken 1 'the list of files has no end' 'endless - 9 /api/*tree*'
broken 3 'an answer of more than 64 MB' 'huge 68000000 9 /api/*'
broken 1 "a web page came from $HF_ENDPOINT/api/models/acme/tiny/tree/" 'page - 9 /api/*tree*'
broken 1 "a web page came from $HF_ENDPOINT/api/models/acme/tiny/revision/main, where the hub would answer with JSON" 'page - 9 /api/*'
broken 3 'has no such model' 'talk 3000000 9 /api/*'
broken 3 'an answer of more than 64 MB' 'bomb 70000000 9 /api/*tree*' # 300 kB of gzip
broken 3 'more bytes came than are listed' "bomb 20000000 9 $signed"
broken 1 'ncoding' "encoding rot13 9 $signed"
broken 1 'ncoding' 'encoding rot13 9 /api/*'
broken 1 '' "chunked - 99 $signed" "cut 1000 99 $signed"
broken 1 'the list of files goes on at another host' 'elsewhere - 9 /api/*tree*'
for name in ../x %2Fetc%2Fx a/../../x a//b a%5Cb CON nul.txt .git/config 'x%00y' 'x%0Ay' a/. 'x.'; do
    broken 3 'cannot be written here' "name $name 9 /api/*tree*"
done
broken 3 'cannot lie side by side' 'name CONFIG.json 9 /api/*tree*'
broken 3 'MB free' 'size 900000000000000000 9 /api/*tree*'
peace
fresh
pulls 3 acme/none && says 'has no such model, or it is private' err
pulls 3 acme/tiny@nope && says 'has no such branch, tag or commit' err
pulls 3 acme/tiny --file x.gguf && says 'has no file x.gguf' err
pulls 2 tiny && says 'is no name of a repository' err
pulls 2 acme/tiny@../x
pulls 2 && says 'needs REPO' err
with HF_ENDPOINT=http://127.0.0.1:1 pulls 1 acme/tiny --retries 0
with HF_ENDPOINT=ftp://x pulls 2 acme/tiny && says 'is no address of a hub' err
with HF_TOKEN='a b' pulls 0 acme/good # a token ends at a space, as in files with a line end

# ---- a token goes to the hub, and to nobody else ----
order "cut 1000000 1 $signed"
fresh
with HF_TOKEN=secret pulls 0 acme/tiny
[ "$(grep -c "^$port .* token$" "$hub/log")" -ge 5 ] || fail 'the hub got no token'
[ "$(grep -c "^$other .* token$" "$hub/log")" = 0 ] || fail 'the token leaked to another host'
order "relative - 99 $large"
fresh
echo secret >token
with HF_TOKEN_PATH=$work/token pulls 0 acme/tiny
grep -q 'signed/.* token' "$hub/log" || fail 'no token on a relative redirect'
peace
fresh
export HF_HUB_DISABLE_IMPLICIT_TOKEN=1
with HF_TOKEN=secret pulls 0 acme/tiny
unset HF_HUB_DISABLE_IMPLICIT_TOKEN
[ "$(grep -c ' token$' "$hub/log")" = 0 ] || fail 'HF_HUB_DISABLE_IMPLICIT_TOKEN: a token was sent'

# ---- a commit that moves between two requests; revisions ----
make_model tiny@next
order 'move - 1 /api/*/revision/main'
fresh
pulls 0 acme/tiny
same models/acme/tiny "$(snapshot tiny)"
peace
pulls 0 acme/tiny # main is the next one now
same models/acme/tiny@next "$(snapshot tiny)"
pulls 0 acme/tiny@next
[ -e "$HF_HOME/hub/models--acme--tiny/refs/next" ] || fail 'no ref of a revision'

# ---- killed, and gone on with ----
order "stall 1500000 1 $signed" "stall 700000 1 $signed"
fresh
for _ in 1 2; do
    HF_HUB_DOWNLOAD_TIMEOUT=30 "$g" pull acme/tiny@next >out 2>err &
    victim=$!
    for _ in $(seq 50); do
        [ "$(find "$HF_HOME" -name '*.part' -size +600k 2>/dev/null)" ] && break || sleep 0.1
    done
    kill -9 $victim
    wait $victim 2>/dev/null
    nothing_shown 'a kill'
done
pulls 0 acme/tiny@next
same models/acme/tiny@next "$(snapshot tiny next)"
sent=$(awk '$3 ~ /signed/ { n += $5 } END { print n }' "$hub/log")
[ "$sent" -le 6200000 ] || fail "after two kills $sent bytes were sent"

# Ten kills of twenty megabytes that take two seconds: little is fetched twice, and nothing is shown before the end.
mkdir -p "$hub/models/acme/large" && echo '{}' >"$hub/models/acme/large/config.json"
head -c 20000000 /dev/urandom >"$hub/models/acme/large/model.safetensors"
order "slow 10000000 99 $signed"
fresh
for pause in 0.1 0.2 0.15 0.3 0.12 0.25 0.18 0.22 0.14 0.16; do
    "$g" pull acme/large >out 2>err &
    victim=$!
    sleep $pause
    kill -9 $victim
    wait $victim 2>/dev/null
    [ ! -e "$HF_HOME/hub/models--acme--large/snapshots" ] || fail 'ten kills: a snapshot is shown'
done
pulls 0 acme/large
same models/acme/large "$(snapshot large)"
sleep 0.5
sent=$(awk '$3 ~ /signed/ { n += $5 } END { print n }' "$hub/log")
[ "$sent" -le $((20400000 + 10 * 1048576)) ] || fail "ten kills of 20 MB: $sent bytes were sent"
echo "  ten kills of 20 MB: $sent bytes sent"

# ---- Ctrl-C keeps the part ----
order "stall 1500000 1 $signed"
fresh
HF_HUB_DOWNLOAD_TIMEOUT=30 "$g" pull acme/tiny@next >out 2>err &
victim=$!
for _ in $(seq 50); do
    [ "$(find "$HF_HOME" -name '*.part' -size +1200k 2>/dev/null)" ] && break || sleep 0.1
done
kill -INT $victim
wait $victim
[ $? = 130 ] || fail "Ctrl-C: exit code, expected 130: $(cat err)"
says 'The same command goes on where this one was.' err
forget
pulls 0 acme/tiny@next
grep -q 'signed/.* bytes=1[0-9]*- ' "$hub/log" || fail "the part was not gone on with: $(cat "$hub/log")"

# ---- a part whose bytes have changed is believed as far as they have not ----
order "cut 2000000 9 $signed"
fresh
pulls 1 acme/tiny@next --retries 0
part=$(find "$HF_HOME" -name '*.part' -size +1000k)
printf 'xx' | dd of="$part" bs=1 seek=700000 conv=notrunc 2>/dev/null
peace
pulls 0 acme/tiny@next
grep -q 'bytes=524288- ' "$hub/log" || fail "not gone on with from the last good piece: $(cat "$hub/log")"
same models/acme/tiny@next "$(snapshot tiny next)"

# ---- two at once fetch once ----
order "stall 1500000 1 $signed"
fresh
"$g" pull acme/tiny@next >out1 2>err1 &
first=$!
for _ in $(seq 50); do
    [ "$(find "$HF_HOME" -name '*.part' -size +1000k 2>/dev/null)" ] && break || sleep 0.1
done
pulls 0 acme/tiny@next
says 'is being fetched by process' err
wait $first || fail "two at once: $(cat err1)"
cmp -s out out1 || fail 'two at once: two paths'
sent=$(awk '$3 ~ /signed/ { n += $5 } END { print n }' "$hub/log")
[ "$sent" -le 3700000 ] || fail "two at once: $sent bytes were sent"

# ---- a hub that is not there: asked again, and then that is the error ----
for nobody in http://nowhere.invalid http://127.0.0.1:1; do
    HF_ENDPOINT=$nobody "$g" pull acme/absent --retries 2 >out 2>err </dev/null
    got=$?
    [ $got = 1 ] || fail "$nobody: exit code $got: $(cat err)"
    [ "$(grep -c 'again in' err)" = 2 ] || fail "$nobody is not asked again: $(cat err)"
    says 'Check the network' err
done

# What the cache has is taken then, and that it is there is said before anybody waits long.
peace
fresh
pulls 0 acme/good
cp out kept
for nobody in http://nowhere.invalid http://127.0.0.1:1; do
    with HF_ENDPOINT=$nobody pulls 0 acme/good
    cmp -s out kept || fail "$nobody: another path than that of the cache: $(cat out)"
    [ "$(grep -c 'again in' err)" = 2 ] || fail "$nobody: the cache has it, and it is asked for $(grep -c 'again in' err) times more"
    [ "$(grep -c 'acme/good: is in the cache; HF_HUB_OFFLINE=1 takes it from there' err)" = 1 ] || fail "$nobody: $(cat err)"
    says 'what the cache has is taken, as it was when it was pulled' err
done
order '429 60 99 *'
pulls 0 acme/good && says 'is asked too often (429): what the cache has is taken' err
order 'gated - 9 /api/*' # who refuses is heard
pulls 1 acme/good && says 'is gated' err
peace
for more in '@v2' ' --to elsewhere' ' --include config.json'; do
    # shellcheck disable=SC2086
    with HF_ENDPOINT=http://127.0.0.1:1 pulls 1 acme/good$more --retries 0
done
rm "$(snapshot good)/model.safetensors" && touch "$(snapshot good)/model-00001-of-00002.safetensors"
with HF_ENDPOINT=http://127.0.0.1:1 pulls 1 acme/good --retries 0 # a part is not enough

# ---- names as MODEL: no network at all ----
peace
fresh
run 3 info acme/good
says 'acme/good: is not in the cache' err
says 'gradus pull acme/good fetches it.' err
run 0 info acme/good --pull
says 'every hash is right' err
says 'llama' out
forget
run 0 info acme/good && run 0 info acme/good@main && run 0 info "acme/good@$(cat "$HF_HOME/hub/models--acme--good/refs/main")" --json
run 0 info acme/good --pull
run 0 dump acme/good --ids 1,2,3 --what logits --out logits.safetensors
[ ! -s "$hub/log" ] || fail "a cached model was asked for: $(cat "$hub/log")"
if command -v strace >/dev/null 2>&1; then
    strace -f -e trace=connect,socket -o trace "$g" info acme/good >/dev/null 2>&1
    ! grep -q 'connect(\|socket(' trace || fail "a cached model: $(grep 'connect(\|socket(' trace)"
else
    echo 'skipped: no strace, which would see a connection'
fi
head -c 5000 /dev/zero >token # a file that is no token matters to who fetches
with HF_TOKEN_PATH=$work/token run 0 info acme/good
with HF_TOKEN_PATH=$work/token pulls 3 acme/good
mkdir -p acme/good && run 3 info acme/good # what is there counts first
rm -r acme
run 3 info acme/goood && says 'is not in the cache' err
run 3 info no/such/model
mkdir -p adapter && printf '{"base_model_name_or_path": "acme/good", "peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"]}' >adapter/adapter_config.json
run 3 generate adapter -p x
! grep -q 'is not here' err || fail "the base of an adapter is looked up by its name: $(cat err)"

# ---- GGUF by its kind ----
mkdir -p "$hub/models/acme/kinds/BF16"
run 0 convert acme/good --to gguf --out "$hub/models/acme/kinds/m-Q8_0.gguf"
cp "$hub/models/acme/kinds/m-Q8_0.gguf" "$hub/models/acme/kinds/m-Q4_K_M.gguf"
cp "$hub/models/acme/kinds/m-Q8_0.gguf" "$hub/models/acme/kinds/BF16/m-00001-of-00002.gguf"
cp "$hub/models/acme/kinds/m-Q8_0.gguf" "$hub/models/acme/kinds/BF16/m-00002-of-00002.gguf"
pulls 2 acme/kinds && says 'm-Q4_K_M.gguf (' err && says 'acme/kinds:Q4_K_M' err
pulls 3 acme/kinds:Q2_K && says 'has no GGUF file of that kind, but: ' err
says 'm-Q4_K_M.gguf (' err
pulls 3 acme/good:Q4_K_M && says 'acme/good: has no GGUF files, so none of kind Q4_K_M; its weights: model.safetensors' err
says 'Leave the kind out' err
pulls 0 acme/kinds:q8_0
[ "$(cat out)" = "$(snapshot kinds)/m-Q8_0.gguf" ] || fail "a kind: $(cat out)"
run 0 info acme/kinds:Q8_0 && run 0 info acme/kinds
run 3 info acme/kinds:Q4_K_M && says 'gradus pull acme/kinds:Q4_K_M fetches it' err
pulls 0 acme/kinds:BF16
[ "$(cat out)" = "$(snapshot kinds)/BF16/m-00001-of-00002.gguf" ] || fail "a kind in parts: $(cat out)"
pulls 0 acme/kinds --file m-Q4_K_M.gguf
run 2 info acme/kinds && says 'several GGUF files' err

# ---- weights of one kind ----
mkdir -p "$hub/models/acme/both"
cp -r "$models/llama/"* "$hub/models/acme/both"
for name in pytorch_model.bin consolidated.safetensors tf_model.h5 setup.py onnx.onnx; do echo x >"$hub/models/acme/both/$name"; done
pulls 0 acme/both
[ "$(cd "$(snapshot both)" && echo *)" = 'config.json expected.json model.safetensors' ] || fail "fetched: $(ls "$(snapshot both)")"
pulls 0 acme/both --include '*.py' --include '*.bin' --exclude 'py*'
[ -e "$(snapshot both)/setup.py" ] && [ ! -e "$(snapshot both)/pytorch_model.bin" ] || fail '--include, --exclude'

# ---- data ----
printf '{"text": "a b c d e f g h"}\n{"text": "i j k l m n o p"}\n' >"$hub/datasets/acme/chats/train.jsonl"
echo x >"$hub/datasets/acme/chats/x.parquet"
run 3 tokenizer train acme/chats --vocab 260 --out t.json && says 'gradus pull --dataset acme/chats fetches it' err
pulls 0 --dataset acme/chats
[ "$(ls "$(cat out)")" = train.jsonl ] || fail "of a dataset: $(ls "$(cat out)")"
run 0 tokenizer train acme/chats --vocab 260 --out t.json

# ---- to a directory ----
forget
pulls 0 acme/tiny@next --to there
same models/acme/tiny@next there
[ "$(cat out)" = there ] && [ ! -L there/config.json ] || fail '--to'
pulls 0 acme/tiny@next --to there && says '0 B to fetch' err
echo mine >there/README.md
pulls 2 acme/tiny@next --to there && says 'is not what would be fetched' err
forget
pulls 0 acme/good --to good
[ "$(grep -c resolve "$hub/log")" = 0 ] || fail '--to asks for what the cache has'
same models/acme/good good

# ---- without links ----
fresh
with HF_HUB_DISABLE_SYMLINKS=1 pulls 0 acme/good
same models/acme/good "$(snapshot good)"
[ -z "$(find "$HF_HOME" -type l)" ] || fail 'HF_HUB_DISABLE_SYMLINKS: links'
run 0 info acme/good

# ---- without HOME: the user's entry in passwd, and never a directory called ~ ----
where=$(env -u HF_HOME -u HOME -u XDG_CACHE_HOME "$g" pull --list acme/nothing 2>&1)
case $where in *'(/'*.cache/huggingface/hub\)*) ;; *) fail "without HOME: $where" ;; esac
[ "$(HOME='' env -u HF_HOME -u XDG_CACHE_HOME "$g" pull --list acme/nothing 2>&1)" = "$where" ] || fail 'an empty HOME'
if unshare -U --map-user=54321 true 2>/dev/null; then
    env -u HF_HOME -u HOME -u XDG_CACHE_HOME unshare -U --map-user=54321 "$g" pull acme/good >out 2>err
    [ $? = 3 ] || fail "without any home: $(cat err)"
    says 'Set HF_HOME' err
else
    echo 'skipped: no user namespaces, in which a user has no entry'
fi
[ ! -e '~' ] || fail 'a directory called ~ was made'

# ---- offline, read-only ----
fresh
with HF_HUB_OFFLINE=1 pulls 1 acme/good && says 'HF_HUB_OFFLINE forbids' err
pulls 0 acme/good
forget
with HF_HUB_OFFLINE=1 pulls 0 acme/good
[ ! -s "$hub/log" ] || fail 'HF_HUB_OFFLINE: the hub was asked'
chmod -R a-w "$HF_HOME"
pulls 0 acme/good
run 0 info acme/good
chmod -R u+w "$HF_HOME"

# ---- a blob that is a link, as a store of several caches has it ----
blob=$(readlink -f "$(snapshot good)/model.safetensors")
mv "$blob" store && ln -s "$work/store" "$blob"
pulls 0 acme/good && says '0 B to fetch' err
run 0 info acme/good
pulls 0 --verify acme/good

# ---- the cache: list, verify, remove ----
pulls 0 acme/tiny@next
with HF_HUB_DOWNLOAD_TIMEOUT=abc pulls 0 acme/good
says 'HF_HUB_DOWNLOAD_TIMEOUT=abc: is no number of seconds' err
with HF_HUB_ETAG_TIMEOUT=5x pulls 0 acme/good && says 'HF_HUB_ETAG_TIMEOUT=5x' err
pulls 0 --dataset acme/chats
pulls 0 --list --dataset
says 'acme/chats@main (dataset)' out
! grep -q 'acme/good' out || fail "--list --dataset lists models: $(cat out)"
pulls 0 --list
says 'acme/chats@main (dataset)' out
says 'acme/good@main' out
says 'acme/tiny@next' out
pulls 0 --list --json && says '"repo": "acme/tiny@next"' out
pulls 0 --verify && says 'every hash is right' err
chmod u+w "$(snapshot tiny next)/LICENSE"
echo 'may not be used' >"$(readlink -f "$(snapshot tiny next)/LICENSE")"
"$g" pull --verify >out 2>err
[ $? = 3 ] || fail '--verify finds nothing'
says 'bad       ' out
blob=$(readlink -f "$(snapshot tiny next)/LICENSE")
head -c "$(wc -c <"$hub/models/acme/tiny@next/LICENSE")" /dev/zero >"$blob" # of the right size: pull believes it, --verify does not
pulls 0 acme/tiny@next && says '0 B to fetch' err
"$g" pull --verify >out 2>err
[ $? = 3 ] || fail "--verify: damage of the right size: $(cat err)"
remove=$(sed -n 's/^Remove \(.*\) alone; gradus pull acme\/tiny@next fetches it again.$/\1/p' err)
[ "$(readlink -f "$remove")" = "$blob" ] || fail "--verify names no file to remove: $(cat err)"
rm "$remove"
pulls 0 acme/tiny@next
same models/acme/tiny@next "$(snapshot tiny next)"
pulls 0 --verify
rm "$(readlink -f "$(snapshot tiny next)/model.safetensors")"
run 3 info acme/tiny@next && says 'is in the cache in part: model.safetensors not there' err
pulls 0 acme/tiny@next
run 0 info acme/good
make_model tiny@third
pulls 0 acme/tiny@third
pulls 0 --remove acme/tiny@next
[ -e "$(snapshot tiny third)/model.safetensors" ] || fail '--remove took what another revision has'
pulls 0 --verify acme/tiny
pulls 0 --remove acme/tiny
[ ! -e "$HF_HOME/hub/models--acme--tiny" ] || fail '--remove left something'
pulls 3 --remove acme/tiny
pulls 2 --remove
pulls 2 --list --to x

# ---- https that leads to http ----
kill $server
if command -v openssl >/dev/null 2>&1 && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 \
    -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem >/dev/null 2>&1; then
    cat key.pem cert.pem >both.pem
    serve "$work/both.pem"
    export HF_ENDPOINT=https://127.0.0.1:$port
    fresh
    pulls 1 acme/good && says 'certificate' err
    export SSL_CERT_FILE=$work/cert.pem
    order 'http - 9 /api/*'
    pulls 1 acme/good && says 'leads from https to http' err
    kill $server
else
    echo 'skipped: no openssl, which makes a certificate'
fi

[ $failures = 0 ] || exit 1
