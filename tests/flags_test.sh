#!/bin/sh
# A flag that is given is heeded or refused; a wrong value is named by its flag, with exit code 2, wherever it is noticed.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

# refused FLAG WORDS...: exit code 2, two lines, the first names the flag; nothing is left.
refused() {
    flag=$1
    shift
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = 2 ] || fail "gradus $*: exit code $got, expected 2: $(cat err)"
    tail -n 2 err | head -n 1 | grep -q -e "^gradus: $flag[ :]" || fail "gradus $*: does not name $flag: $(cat err)"
    [ ! -e x ] || { fail "gradus $*: something is left" && rm -r x; }
}

i=0
while [ $i -lt 60 ]; do echo "line $i of a book about cats and mats"; i=$((i + 1)); done >book.txt
tiny='--heads 2 --embed 16 --batch 2 --quiet'
# shellcheck disable=SC2086
run 0 train book.txt $tiny --layers 2 --context 16 --steps 2 --tokenizer byte --out base
config=base/latest/config.json

# ---- numbers out of range, whoever notices ----
for wrong in '--epochs 0' '--epochs 0.0' '--epochs 1e300' '--steps 0' '--steps 1e30' '--steps 9000000000000000000' '--batch 0' '--batch 4Gi' \
    '--accumulate 1e9' '--context 0' '--context 1e12' '--keep 0' '--keep 4294967296' '--ffn 0' '--kv-heads 0' '--layers 0' \
    '--beta1 1' '--beta1 0.99999999999' '--beta2 1' '--beta2 2' '--eps 0' '--eps 1e-60' '--eps 1e39' '--lr 1e39' '--lr -1' '--min-lr 1' \
    '--weight-decay 1e300' '--clip 1e99' '--dropout 1' '--eval-fraction 1' '--eval-tokens 1e18' '--tokenizer bpe:1e30' '--tokenizer bpe:5'; do
    # shellcheck disable=SC2086
    refused "${wrong% *}" train book.txt --layers 1 --heads 2 --embed 16 $wrong --out x
done
refused --batch train book.txt --batch 1e6 --accumulate 1e6 --context 16 --out x
for wrong in '--lora-alpha 0' '--lora-rank 0' '--lora-dropout 1' '--epochs 0' '--context 17' '--context 1000'; do
    # shellcheck disable=SC2086
    refused "${wrong% *}" finetune base book.txt $wrong --out x
done
refused --context train book.txt --init base --context 17 --out x
refused --context plan finetune base --context 99
refused --context data show base book.txt --context 99
refused --epochs data show base book.txt --epochs 0
refused --tokens generate base -p x -n 9223372036854775807
refused --samples generate base -p x --samples 1e12
refused --stride eval base --data book.txt --stride 1e15

# ---- sizes that do not go together ----
refused --kv-heads train book.txt --arch llama --heads 4 --kv-heads 3 --out x
refused --kv-heads train book.txt --arch qwen2 --heads 4 --kv-heads 8 --out x
refused --kv-heads train book.txt --arch gpt2 --heads 4 --kv-heads 2 --out x
refused --heads train book.txt --heads 3 --embed 16 --out x
refused --embed train book.txt --arch llama --heads 4 --embed 20 --out x
refused --arch train book.txt --arch gtp2 --out x

# ---- what the model says already ----
for wrong in '--layers 3' '--heads 4' '--kv-heads 1' '--embed 32' '--ffn 17' '--arch llama'; do
    # shellcheck disable=SC2086
    refused "${wrong% *}" train book.txt --init base $wrong --out x
    # shellcheck disable=SC2086
    refused "${wrong% *}" train book.txt --config $config --context 16 $wrong --out x
    # shellcheck disable=SC2086
    refused "${wrong% *}" plan train --init base $wrong
done
refused --config train book.txt --init base --config $config --out x
for other in char bpe:257 bpe:300 other.json; do
    [ $other = other.json ] && "$g" tokenizer train book.txt --vocab 257 --out other.json 2>err
    refused --tokenizer train book.txt --init base --tokenizer $other --out x
done
refused --tokenizer train book.txt --config $config --tokenizer bpe:300 --out x
# The same said twice is no contradiction; a context that was not given is the model's.
run 0 train book.txt --init base --layers 2 --heads 2 --embed 16 --arch gpt2 --tokenizer byte --steps 1 --batch 2 --out same
run 0 train book.txt --init base --tokenizer base/latest/tokenizer.json --steps 1 --batch 2 --out same2
says '1 x 2 x 16 tokens' err

# ---- flags without effect ----
refused --eps train book.txt --optimizer sgd --eps 1e-6 --out x
refused --beta2 train book.txt --optimizer sgd --beta2 0.9 --out x
refused --eps train book.txt --optimizer lion --eps 1e-6 --out x
for flag in --beta1 --beta2 --eps; do
    refused $flag train book.txt --optimizer adafactor $flag 0.9 --out x
done
refused --moments train book.txt --optimizer sgd --moments bf16 --out x
for other in '--optimizer lion' '--precision fp16'; do
    # shellcheck disable=SC2086
    refused --weights train book.txt --weights bf16 $other --out x
done
refused --clip-last train book.txt --clip-last --clip 0 --out x
# shellcheck disable=SC2086
run 2 train book.txt $tiny --layers 1 --context 16 --steps 2 --passes nosuch --out x
says 'there is no pass "nosuch"' err
refused --allow train book.txt --allow adamw8bit --out x
refused --recompute-blocks train book.txt --recompute-blocks 1 --out x
refused --recompute-blocks train book.txt --recompute auto --recompute-blocks 1 --out x
refused --memory train book.txt --memory 0 --out x
refused --memory train book.txt --memory lots --out x
# shellcheck disable=SC2086
run 4 train book.txt $tiny --layers 1 --context 16 --steps 2 --memory 100k --out little
says '--memory: training needs at least' err
[ ! -e little ] || fail 'a run that does not fit leaves a directory behind'
for rows in 0 -3 some 1.5; do
    refused --head-rows train book.txt --head-rows $rows --out x
done
for flag in '--muon-lr 0.1' '--muon-momentum 0.9' '--muon-adjust original'; do
    refused "${flag% *}" train book.txt $flag --out x
done
refused --min-lr train book.txt --schedule constant --min-lr 0 --out x
refused --eval-tokens train book.txt --eval-tokens 10 --out x
refused --special tokenize base --decode 1,2 --special
refused --allow-special tokenize base --decode 1,2 --allow-special
refused --skip-special tokenize base text --skip-special
# shellcheck disable=SC2086
run 0 train book.txt $tiny --layers 1 --context 16 --steps 2 --eval-every 1 --out every
says 'warning: --eval-every: ' err

# ---- a warmup that does not end ----
# shellcheck disable=SC2086
run 0 train book.txt $tiny --layers 1 --context 16 --steps 3 --warmup 300 --out warm
says 'warning: --warmup: 300 steps are more than the run has, 3' err
[ "$(grep -c warmup err)" = 1 ] || fail "said more than once: $(cat err)"
# shellcheck disable=SC2086
run 0 train book.txt $tiny --layers 1 --context 16 --steps 3 --warmup 3 --out warm3
grep -q warmup err && fail 'a warmup as long as the run is remarked on'
run 0 finetune base book.txt --epochs 0.1 --warmup 1000 --out warm4
says 'warning: --warmup: 1000' err

# ---- a name that is empty, of a variable that is not set ----
(
    cd base/latest || exit 1
    for verb in generate info convert 'plan generate'; do
        # shellcheck disable=SC2086
        "$g" $verb '' >"$work/out" 2>"$work/err" && fail "$verb takes the folder it is run in"
    done
    [ $failures = 0 ]
) || fail 'an empty MODEL is the folder that the command is run in'
refused MODEL info ''
refused MODEL merge '' base --out x
refused ADAPTER merge base '' --out x
refused DATA train '' --out x
refused DATA train book.txt '' --out x
refused DATA finetune base '' --out x
for flag in --init --config --tokenizer --eval-data; do refused $flag train book.txt $flag '' --out x; done
for flag in --adapter --lora-targets; do refused $flag finetune base book.txt $flag= --out x; done
refused --out train book.txt --out ''
refused --prompt-file generate base --prompt-file ''
run 0 generate base -p '' -n 1
run 0 tokenize base ''

# ---- a value that sampling cannot take ----
for wrong in '--temperature 1e300' '--temperature 1e31' '--repeat-penalty 1e300' '--repeat-penalty 0'; do
    # shellcheck disable=SC2086
    refused "${wrong%% *}" generate base -p a $wrong
done
run 0 generate base -p a -n 1 --temperature 1e30
refused --train-tokens finetune base book.txt --train-tokens 3,3 --out x
says 'name it once' err

# ---- 0 is a value ----
# shellcheck disable=SC2086
run 0 train book.txt $tiny --layers 1 --context 16 --steps 2 --warmup 0 --seed 0 --clip 0 --min-lr 0 --dropout 0 --weight-decay 0 \
    --eval-every 0 --save-every 0 --beta1 0 --out zero
for flag in warmup seed clip min-lr weight-decay eval-every save-every beta1; do says "\"$flag\": \"0\"" zero/run.json; done
grep -q '"lr":0.001' zero/metrics.jsonl || fail "--warmup 0 warms up: $(cat zero/metrics.jsonl)"
run 0 train --resume --out zero
# A run of before, whose run.json has a 0 for what was not given.
sed 's/"seed": "0"/"seed": "0", "kv-heads": "0", "ffn": "0"/' zero/run.json >before.json && cp before.json zero/run.json
run 0 train --resume --out zero

# ---- a text that does not fill a row ----
printf 'hello world' >short.txt
refused --context train short.txt --context 64 --out x
refused --context train short.txt --context 11 --out x
refused --context train short.txt --out x
refused --context finetune base short.txt --context 16 --out x
refused --context data show base short.txt --documents joined --context 12
# shellcheck disable=SC2086
run 0 train short.txt $tiny --layers 1 --context 10 --steps 1 --out short
run 0 finetune base short.txt --steps 1 --out short2
says 'the data has 11 tokens, so that rows are of 10' err
run 0 finetune base short.txt --documents apart --context 16 --steps 1 --out short3

[ $failures = 0 ] || exit 1
