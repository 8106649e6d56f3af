#!/bin/sh
# Models of fewer bits: what is written, what is refused, and what is told of them.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

i=0
while [ $i -lt 120 ]; do echo "line $i of a book about $((i * 7 % 13)) cats and $((i * 5 % 11)) mats"; i=$((i + 1)); done >book.txt
run 0 train book.txt --arch llama --heads 4 --embed 64 --ffn 256 --batch 4 --quiet --layers 2 --context 32 --steps 60 \
    --lr 3e-3 --tokenizer bpe:300 --out base
run 0 train book.txt --arch llama --heads 4 --embed 64 --ffn 256 --batch 4 --quiet --layers 2 --context 32 --steps 1 \
    --tokenizer byte --out bytes

# number KEY FILE: the first number behind "KEY": in a line of JSON.
number() { sed "s/.*\"$1\": *\(-\{0,1\}[0-9.eE+-]*\).*/\1/" "$2"; }
# below A B
below() { awk "BEGIN { exit !($1 < $2) }" || fail "$1 is not below $2"; }

# ---- eval --against ----
run 0 eval base --against base --data book.txt --json
below "$(number kl_mean out)" 1e-6
says '"same_first": 1.0' out
run 0 eval base --data book.txt --json --quiet
loss=$(number loss out)
run 0 eval base --against base --data book.txt --json --quiet
[ "$(number loss out)" = "$loss" ] || fail "another loss with --against: $(cat out), $loss"
run 0 eval base --against base --data book.txt
grep -q '^perplexity .* +- ' out || fail "no standard error: $(cat out)"
grep -q '^KL .* mean, .* 99 %' out || fail "no divergence: $(cat out)"
run 2 eval base --against bytes --data book.txt
says "--against: its tokenizer" err
run 3 eval base --against nothing --data book.txt
says '--against' err

# The same number of tokens, and others for a text.
sed 's/cats and/mice or/; s/line/page/' book.txt >mice.txt
run 0 train mice.txt --arch llama --heads 2 --embed 16 --quiet --layers 1 --context 32 --steps 1 --tokenizer bpe:300 --out mice
run 2 eval base --against mice --data book.txt
says '--against: its tokenizer' err

# ---- quantize ----
# refused FLAG WORDS...: exit code 2, the flag is named, nothing is left.
refused() {
    flag=$1
    shift
    run 2 quantize "$@"
    says "$flag" err
    for left in x.gguf x2.gguf x2 x.gguf.json x2.gguf.json x2.json x2.gguf.quantizing; do
        [ ! -e $left ] || fail "gradus quantize $*: $left is left"
    done
}
refused '--to' base --to q4 --out x.gguf
says 'Did you mean q4_' err
refused 'Did you mean q4_k_m?' nothing --to Q4_K_M --out x.gguf # before MODEL is looked at
refused 'There are q8_0' base --to zzzzzzz --out x.gguf
refused 'TYPE: q8_0' base --out x.gguf
refused '--out' base --to q4_0 --out x.bin
refused '--tensor' base --to q4_0 --tensor ffn_down --out x.gguf
refused '"blk.7.*"' base --to q4_0 --tensor 'blk.7.*=q6_k' --out x.gguf
refused '--max-loss' base --to q4_0 --max-loss 1 --out x.gguf
run 1 quantize base --to q8_0 --eval book.txt --max-loss 1e-9 --out x.gguf
says '--max-loss' err
[ ! -e x.gguf ] && [ ! -e x.gguf.json ] && [ ! -e x.gguf.quantizing ] || fail '--max-loss: something is left'

run 0 quantize base --to q8_0 --eval book.txt --max-loss 0.1 --json --out q8.gguf
says '"to": "q8_0"' out
says '"measured": true' out
below "$(number kl_mean out)" 0.01
kl=$(number kl_mean out)
# In parts, which are read as one.
run 0 convert q8.gguf --to gguf --split-size 20k --out parts.gguf --json
[ "$(number weight_files out)" -ge 2 ] && [ ! -e parts.gguf ] || fail "convert --split-size: $(cat out)"
run 0 generate "$(echo parts-00001-of-*.gguf)" -p 'line 7 of' -n 4 --temperature 0
cp out by_parts
run 0 generate q8.gguf -p 'line 7 of' -n 4 --temperature 0
cmp -s out by_parts || fail 'a file in parts generates something else'
run 2 convert base --to hf --split-size 20k --out x
run 0 eval q8.gguf --against base --data book.txt --activations f32 --json
[ "$(number kl_mean out)" = "$kl" ] || fail "eval --against says $(number kl_mean out), quantize said $kl"
says '"kl_mean"' q8.gguf.json
run 0 dump q8.gguf --ids 1,2,3 --what logits --out f32.safetensors
run 0 dump q8.gguf --ids 1,2,3 --what logits --activations int8 --out int8.safetensors
! cmp -s f32.safetensors int8.safetensors || fail 'dump: activations of int8 change nothing'
run 2 dump q8.gguf --ids 1,2,3 --what grads --activations int8 --out x.safetensors
run 0 quantize base --to q4_k_m --tensor '*q_proj=q8_0' --out q4.gguf
says 'not measured' out
says 'q5_0' out # rows of 64 are no blocks of 256
says 'q8_0' out
run 0 generate q4.gguf -p 'line 7 of' -n 4 --temperature 0
refused '--requantize' q8.gguf --to q4_0 --out x.gguf
run 0 quantize q8.gguf --to q4_0 --requantize --json --out again.gguf
says '"model_was_quantized": true' out

# ---- calibration ----
refused '--method' base --to q4_0 --method gptq --out x2.gguf
refused '--imatrix' base --to q4_0 --imatrix i.gguf --calibrate book.txt --out x2.gguf
refused '--resume' base --to q4_0 --resume --out x2.gguf
refused '--save-imatrix' base --to q4_0 --save-imatrix i.gguf --out x2.gguf
run 0 quantize base --to q4_0 --out plain.gguf --eval book.txt --json
plain=$(number kl_mean out)
run 0 quantize base --to q4_0 --calibrate book.txt --save-imatrix i.gguf --out rounded.gguf --json
says '"measured": true' out # by the tenth that is held back
run 0 quantize base --to q4_0 --imatrix i.gguf --out read.gguf
cmp -s rounded.gguf read.gguf || fail 'an imatrix that was written and read gives another file'
cp i.gguf kept.gguf
refused '--save-imatrix' base --to q4_0 --calibrate book.txt --save-imatrix i.gguf --out x.gguf
cmp -s i.gguf kept.gguf || fail '--save-imatrix has written over a file'
refused '--save-imatrix' base --to q4_0 --calibrate book.txt --save-imatrix x.gguf --out x.gguf
refused '--save-imatrix' base --to q4_0 --calibrate book.txt --save-imatrix x.gguf.json --out x.gguf
run 3 quantize base --to q4_0 --calibrate book.txt --save-imatrix nowhere/i.gguf --out x.gguf
says 'nowhere/i.gguf' err
[ ! -e x.gguf ] || fail '--save-imatrix into no directory: a model is written'
printf 'line 1' >short.txt
refused '--max-loss' base --to q4_0 --calibrate short.txt --max-loss 1e-7 --out x.gguf
says '--eval' err
run 0 quantize base --to q4_0 --calibrate short.txt --out short.gguf
says 'not measured: the text of --calibrate is too short' out
says 'tokens show little' err
run 0 quantize base --to q4_0 --method gptq --calibrate book.txt --calibration-tokens 2048 --eval book.txt --out gptq.gguf --json
says '"method": "gptq"' out
below "$(number kl_mean out)" "$plain"

# Two at once to one name: one of them writes, the other is told who does, and nothing is mixed.
for pause in 0 0.01 0.03; do
    "$g" quantize base --to q4_0 --method gptq --calibrate book.txt --calibration-tokens 2048 --quiet --out two.gguf \
        >first.out 2>first.err &
    first=$!
    sleep $pause
    second_rc=0
    "$g" quantize base --to q4_0 --method gptq --calibrate book.txt --calibration-tokens 2048 --quiet --out two.gguf \
        >second.out 2>second.err || second_rc=$?
    first_rc=0
    wait $first || first_rc=$?
    [ $((first_rc + second_rc)) = 2 ] || fail "two at once exit with $first_rc and $second_rc, not 0 and 2"
    cat first.err second.err | grep -q 'another process writes it: process\|another process writes it: one\|there already' ||
        fail "two at once: $(cat first.err second.err)"
    cmp -s two.gguf gptq.gguf || fail 'two at once: another model is written'
    [ ! -e two.gguf.quantizing ] && [ ! -e two.gguf.quantizing.lock ] || fail 'two at once: something is left'
    rm -f two.gguf two.gguf.json
done

# ---- int4 and int8: directories ----
refused '--out' base --to int4 --out x.gguf
refused 'smaller group' base --to int4 --out x2 # rows of 64
refused '--group' base --to int8 --group 64 --out x2
refused '--group' base --to int4 --group 48 --out x2
refused '--zero-points' base --to q4_0 --zero-points --out x.gguf
refused '--format' base --to int8 --format gptq --out x2
run 0 quantize base --to int4 --group 64 --eval book.txt --json --out hub
says '"type": "int4_64"' out
says '"format": "pack-quantized"' hub/config.json
kl=$(number kl_mean out)
run 0 eval hub --against base --data book.txt --activations f32 --json
[ "$(number kl_mean out)" = "$kl" ] || fail "eval --against says $(number kl_mean out), quantize said $kl"
run 0 quantize base --to int4 --group 64 --zero-points --eval book.txt --json --out hubz
says '"symmetric": false' hubz/config.json
below "$(number kl_mean out)" "$kl"
run 0 quantize base --to int4 --group row --zero-points --method gptq --calibrate book.txt --json --out hubr
says '"strategy": "channel"' hubr/config.json
run 0 quantize base --to int4 --group 64 --format gptq --eval book.txt --json --out hubg
says '"quant_method": "gptq"' hubg/config.json
[ "$(number kl_mean out)" = "$kl" ] || fail "another layout, another loss: $(number kl_mean out), $kl"
run 0 generate hubg -p 'line 7 of' -n 4 --temperature 0
run 0 quantize base --to int8 --out hub8
says '"format": "int-quantized"' hub8/config.json
run 0 generate hub8 -p 'line 7 of' -n 4 --temperature 0
run 0 convert hub --to hf --dtype bf16 --out plain_hub
grep -q quantization_config plain_hub/config.json && fail 'bf16 weights are said to be quantized'
refused '--requantize' hub --to q8_0 --out x.gguf
run 0 finetune hub book.txt --steps 3 --context 32 --batch 2 --quiet --out tuned
run 0 eval tuned --data book.txt

# ---- an adapter on MODEL is folded in ----
run 0 finetune base book.txt --steps 20 --lr 1e-2 --context 32 --batch 2 --quiet --out tuned_base
run 0 eval tuned_base --data book.txt --json
tuned=$(number loss out)
run 0 eval base --data book.txt --json
below 1e-4 "sqrt(($tuned - $(number loss out)) ^ 2)"
run 0 quantize base --adapter tuned_base --to q8_0 --eval book.txt --out folded.gguf
run 0 eval folded.gguf --data book.txt --json --activations f32
below "sqrt(($(number loss out) - $tuned) ^ 2)" 0.001

# ---- an adapter on weights in blocks goes back into them ----
run 0 finetune q8.gguf book.txt --steps 20 --lr 1e-2 --context 32 --batch 2 --quiet --out tuned8
run 0 merge tuned8 --out merged8.gguf
run 0 eval merged8.gguf --against q8.gguf --data book.txt --json --activations f32
moved=$(number kl_mean out)
run 0 eval tuned8 --data book.txt --json --activations f32
tuned=$(number loss out)
run 0 eval merged8.gguf --data book.txt --json --activations f32
below "$(number loss out) - $tuned" 0.02
below "$tuned - $(number loss out)" 0.02
below 1e-4 "$moved"
run 2 merge tuned8 --out merged8.gguf
run 1 merge tuned8 --out merged8
says '--dtype f32' err
says '--out FILE.gguf' err
run 0 merge tuned8 --dtype f32 --out merged8

# Rounded anew by GPTQ they are nearer to base and adapter than each value by itself; all three models are told.
kl_of() { sed 's/.*"model": "merged", //; s/.*"kl_mean": \([^,]*\),.*/\1/' out; }
run 0 finetune plain.gguf book.txt --steps 10 --lr 3e-3 --context 32 --batch 2 --lora-targets all-linear --quiet --out tuned4
run 0 merge tuned4 --out merged4.gguf
run 0 merge tuned4 --eval book.txt --out round4.gguf --json
says '"model": "base and adapter"' out
says '"model": "merged, f32"' out
cmp -s merged4.gguf round4.gguf || fail 'merge --eval writes something else than merge'
by_round=$(kl_of)
run 0 merge tuned4 --method gptq --calibrate book.txt --eval book.txt --out gptq4.gguf --json
below "$(kl_of)" "$by_round"
run 0 merge tuned4 --calibrate book.txt --eval book.txt --out calibrated4.gguf
says 'merged, f32 ' out
# Stopped in the middle it goes on, to the same bytes.
"$g" merge tuned4 --method gptq --calibrate book.txt --quiet --out went.gguf >/dev/null 2>&1 &
merging=$!
while kill -0 $merging 2>/dev/null && ! ls went.gguf.quantizing/part-* >/dev/null 2>&1; do sleep 0.01; done
kill -INT $merging 2>/dev/null
wait $merging
stopped=$?
[ $stopped = 130 ] && ls went.gguf.quantizing/part-* >/dev/null || [ $stopped = 0 ] || fail "a stopped merge: exit $stopped"
[ $stopped = 0 ] && rm -f went.gguf
run 0 merge tuned4 --method gptq --calibrate book.txt --resume --out went.gguf
cmp -s went.gguf gptq4.gguf || fail 'a merge that goes on writes another model'
[ ! -e went.gguf.quantizing ] || fail 'a merge that went on leaves its folder'
run 2 merge tuned4 --resume --out x.gguf
run 2 merge tuned4 --method gptq --out x.gguf
run 2 merge tuned4 --method gptq --calibrate book.txt --out x
run 2 merge tuned4 --eval book.txt --dtype f16 --out x.gguf
run 2 merge tuned_base --eval book.txt --out x.gguf
says 'in blocks' err
[ ! -e x ] && [ ! -e x.gguf ] && [ ! -e x.gguf.quantizing ] || fail 'merge: something is left'

# So are int4 and int8, in the groups, layout and zero points of the base, of which all else is in the dtype that it has there.
run 0 convert base --to hf --dtype bf16 --out base16
dtypes() { head -c 20000 "$1/model.safetensors" | grep -aoE '"[a-z0-9_.]+": *\{"dtype": *"[A-Z0-9]+"' | sort; }
for flags in '--to int4 --group 64' '--to int4 --group 64 --format gptq' '--to int4 --group 32 --zero-points' '--to int4 --group row' '--to int8'; do
    rm -rf ints ints.json tuned_ints merged round gptq
    run 0 quantize base16 $flags --out ints # unquoted on purpose: words
    run 0 finetune ints book.txt --steps 10 --lr 3e-3 --context 32 --batch 2 --lora-targets all-linear --quiet --out tuned_ints
    run 0 merge tuned_ints --out merged
    run 0 merge tuned_ints --eval book.txt --out round --json
    says '"model": "merged, f32"' out
    by_round=$(kl_of)
    cmp -s merged/model.safetensors round/model.safetensors || fail "$flags: merge --eval writes something else than merge"
    run 0 merge tuned_ints --method gptq --calibrate book.txt --eval book.txt --out gptq --json
    below "$(kl_of)" "$by_round"
    for made in merged round gptq; do
        cmp -s ints/config.json $made/config.json || fail "$flags: $made says something else in config.json"
        [ -n "$(dtypes ints)" ] && [ "$(dtypes ints)" = "$(dtypes $made)" ] || fail "$flags: $made has other dtypes: $(dtypes $made)"
    done
done
run 2 merge tuned_ints --method gptq --calibrate book.txt --out x.gguf
says 'goes back to a directory' err
[ ! -e x.gguf ] && [ ! -e gptq.quantizing ] && [ ! -e gptq.quantizing.lock ] || fail 'merge of int8: something is left'

# ---- conversations are texts as the template writes them ----
cat >chats.jsonl <<END
{"messages": [{"role": "user", "content": "line 7"}, {"role": "assistant", "content": "of the book"}]}
{"messages": [{"role": "user", "content": "line 8"}, {"role": "assistant", "content": "of it"}]}
END
run 3 eval base --data chats.jsonl
says '--chat-template' err
printf '%s' '{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}' >plain.jinja
printf '%s' 'user: line 7;assistant: of the book;' >chat1.txt
run 0 eval base --data chat1.txt --json
one=$(number tokens out)
printf '%s' 'user: line 8;assistant: of it;' >chat2.txt
run 0 eval base --data chat2.txt --json
two=$(number tokens out)
run 0 eval base --data chats.jsonl --chat-template plain.jinja --json
# A text has its end behind it; of what is read the first token is not predicted.
[ "$(number tokens out)" = $((one + two - 1)) ] ||
    fail "eval of conversations: $(cat out), and their texts have $one and $two"
cp out by_name
"$g" eval base --data - --chat-template plain.jinja --json <chats.jsonl >out 2>err || fail "eval of stdin: $(cat err)"
[ "$(number tokens out)" = "$(number tokens by_name)" ] || fail 'eval: conversations from stdin are others'
run 0 quantize base --to q4_0 --calibrate chats.jsonl --chat-template plain.jinja --out chats.gguf
says '2 of them' err

# ---- what rows meet quantized weights as is said ----
run 0 quantize base --to q8_0 --out said.gguf --json
run 0 info said.gguf --json
says '"activations": "int8"' out
run 0 bench said.gguf --what decode --prompt 4 --tokens 2 --seconds 0.01 --json
says '"activations": "int8"' out
run 0 bench base --what decode --prompt 4 --tokens 2 --seconds 0.01 --json
says '"activations": "f32"' out

# ---- several files ----
run 0 quantize base --to q4_k --split-size 60k --out split.gguf
[ ! -e split.gguf ] && [ -e split.gguf.json ] || fail 'quantize --split-size: one file'
set -- split-00001-of-*.gguf
run 0 eval "$1" --data book.txt --json
run 2 quantize base --to int4 --group 32 --split-size 60k --out x2
says '--split-size' err
rm split.gguf.json
run 2 quantize base --to q8_0 --split-size 30k --out split.gguf
says 'is there already' err

# ---- plan ----
run 0 train book.txt --arch llama --heads 4 --embed 512 --ffn 1536 --batch 1 --quiet --layers 3 --context 64 --steps 1 \
    --tokenizer bpe:300 --eval-fraction 0.1 --eval-tokens 50 --out trained
run 0 convert trained --to hf --out wide # of a run all that training needs is read once, to check it
# planned FLAG...: what is told beforehand against what the process then had, and the size of the file.
planned() {
    rm -rf x.gguf x.gguf.json wide-made wide-made.json
    run 0 plan quantize wide --json "$@"
    mv out plan.json
    told=$(number peak_bytes plan.json)
    case $2 in int*) out=wide-made ;; *) out=x.gguf ;; esac
    [ ! -e $out ] || fail "plan quantize $*: it was done"
    if [ "$GRADUS_KIND" != plain ] || ! /usr/bin/time -f %M true 2>kib; then
        echo 'skipped: the resident set (needs GNU time and a plain build)'
        return
    fi
    /usr/bin/time -f %M -o kib "$g" quantize wide --out $out --quiet "$@" >out 2>err || fail "quantize $*: $(cat err)"
    real=$(($(tail -1 kib) * 1024)) size=$(number file_bytes plan.json)
    file=$(wc -c <$out) 2>err || file=$(wc -c <$out/model.safetensors)
    echo "plan quantize $*: $told bytes, resident: $real; file: $size, written: $file"
    [ $((told - real)) -lt $((real * 4 / 100)) ] && [ $((real - told)) -lt $((real * 4 / 100)) ] ||
        fail "quantize $*: planned $told bytes, and $real were resident: more than 4 % apart"
    [ "$size" = "$file" ] || [ $((file - size)) -lt 16384 ] || fail "quantize $*: planned $size bytes in a file of $file"
}
planned --to q8_0
planned --to q4_0 --method gptq --calibrate book.txt --calibration-tokens 512 --eval book.txt
planned --to q4_k_m --calibrate book.txt --calibration-tokens 512
planned --to int4 --group 64 --method gptq --calibrate book.txt --calibration-tokens 512
run 0 plan quantize wide --to q8_0
says 'file ' out
says 'scratch ' out
run 2 plan quantize wide --to q9_0
says 'Did you mean q8_0' err

[ $failures = 0 ] || exit 1
