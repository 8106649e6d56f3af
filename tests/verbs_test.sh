#!/bin/sh
# The verbs that use a model: generate, eval, dump, plan. What they print, what they refuse, how they stop.
. "$GRADUS_SOURCE/tests/shell/harness.sh"
tiny=$GRADUS_SOURCE/tests/data/models

# field NAME: a number or word of the JSON object in out.
field() { sed -n "s/.*\"$1\": \"\{0,1\}\([^],\"}]*\).*/\1/p" out | head -1; }

# ---- a model to work with: it has learned a text by heart ----
i=0
while [ $i -lt 40 ]; do echo 'the quick brown fox jumps over the lazy dog; née Ödön, 狐.'; i=$((i + 1)); done >text.txt
"$g" train text.txt --tokenizer char --arch llama --steps 120 --layers 1 --embed 32 --heads 2 --context 64 --batch 4 \
    --lr 1e-2 --warmup 5 --out run --quiet 2>err || fail "train: $(cat err)"
m=run/latest

# ---- where the time goes ----
run 0 generate $m -p 'the quick' -n 20 --temperature 0 --profile trace.json
[ "$(cat out)" = ' brown fox jumps ove' ] || fail "--profile changes the text: $(cat out)"
for row in matmul attention 'model.layers.*.mlp.up_proj' logits 'outside of kernels' 'ui.perfetto.dev'; do says "$row" err; done
grep -q '"traceEvents":\[' trace.json || fail 'no trace'
run 0 eval $m --data text.txt --profile trace.json # over its own
rm -rf short && run 0 train text.txt --tokenizer char --steps 3 --layers 1 --embed 32 --context 16 --out short --profile trace.json
says 'adamw' err
says 'matmul backward' err
run 0 train --resume --out short --steps 3 # --profile is no part of the run
[ "$(grep -c perfetto err)" = 0 ] || fail 'a run that goes on is profiled again'
cp text.txt precious.json
run 2 generate $m -p 'the quick' -n 2 --profile precious.json
cmp -s text.txt precious.json || fail '--profile wrote over a text'
run 3 generate $m -p 'the quick' -n 2 --profile no/such/folder.json
run 2 tokenize $m --text x --profile trace.json

# ---- how fast ----
run 0 bench $m --seconds 0.01 --prompt 8 -n 4
for row in prefill decode; do grep -q "^$row  *llama " out || fail "bench: no $row"; done
[ "$(grep -c '^train' out)" = 0 ] || fail 'bench MODEL trains without being asked'
says ' GFLOP/s in f32, reads ' err
run 0 bench $m --seconds 0.01 --what train --batch 2 --context 8 --json --device far
for key in tokens_per_s flops_per_s peak_flops_per_s read_bytes_per_s memory_bytes; do grep -q "\"$key\": [1-9]" out || fail "bench --json: no $key"; done
[ "$(field row)$(field batch)$(field context)" = train28 ] || fail "bench --json: $(cat out)"
run 0 bench $m --seconds 0.01 --what decode --prompt 8 -n 2 --device ref # which has no limits
says '  -  ' out
run 2 bench $m --what speed
run 3 bench no/such/model

# ---- generate ----
run 0 generate $m -p 'the quick' -n 20 --temperature 0
says ' brown fox jumps ove' out
[ "$(cat out)" = ' brown fox jumps ove' ] || fail "stdout is not the new text alone: $(cat out)"
# One turn of a conversation.
printf '{{ more }}{{ messages[0].content }}' >turn.jinja
run 0 generate $m --chat -p quick --chat-template turn.jinja --template-arg 'more="the "' -n 20 --temperature 0
[ "$(cat out)" = ' brown fox jumps ove' ] || fail "generate --chat says $(cat out)"
run 1 generate $m --chat -p quick && says 'no chat template here' err
cp -rL $m talks && cp turn.jinja talks/chat_template.jinja
run 0 generate talks --chat -p 'the quick' -n 20 --temperature 0 && [ "$(cat out)" = ' brown fox jumps ove' ] || fail "generate --chat: $(cat out err)"
printf '{{ raise_exception("not so") }}' >turn.jinja
run 1 generate $m --chat -p x --chat-template turn.jinja && says 'turn.jinja: line 1, column 4: the template refuses this conversation: not so' err
run 2 generate $m -p x --chat-template turn.jinja && says 'needs --chat' err
run 2 generate $m --chat --ids 1 && says 'is for text' err
run 0 generate $m -p 'the quick' -n 20 --temperature 0 --json
[ "$(wc -l <out)" = 1 ] || fail 'generate --json is one object'
says '"text": " brown fox jumps ove"' out
says '"stop": "length"' out
for key in prompt_ids ids prefill_tokens_per_s decode_tokens_per_s first_token_s; do says "\"$key\": " out; done
prompt=$(sed 's/.*"prompt_ids": \[\([^]]*\).*/\1/' out)
cp out by_text
run 0 generate $m --ids "$prompt" -n 20 --temperature 0 --json
[ "$(sed 's/"prefill.*//' out)" = "$(sed 's/"prefill.*//' by_text)" ] || fail '--ids and -p differ'
printf 'the quick' >prompt.txt
run 0 generate $m --prompt-file prompt.txt -n 20 --temperature 0
[ "$(cat out)" = ' brown fox jumps ove' ] || fail "--prompt-file: $(cat out)"
for from in '-p -' '--prompt-file -'; do
    # shellcheck disable=SC2086
    [ "$("$g" generate $m $from -n 20 --temperature 0 2>err <prompt.txt)" = ' brown fox jumps ove' ] || fail "generate $from"
done
# Stop texts: across tokens (a character each here), the first of several, none of it printed.
[ "$("$g" generate $m -p 'the quick' -n 40 --temperature 0 --stop 'fox' 2>err)" = ' brown ' ] || fail '--stop fox'
[ "$("$g" generate $m -p 'the quick' -n 40 --temperature 0 --stop 'over' --stop 'ox ju' 2>err)" = ' brown f' ] ||
    fail 'the first of two stop texts'
[ "$("$g" generate $m -p 'the quick' -n 16 --temperature 0 --stop 'jumpy' 2>err)" = ' brown fox jumps' ] ||
    fail 'what was held back for a stop text that did not come is lost'
run 0 generate $m -p 'the quick' -n 40 --temperature 0 --stop 'fox' --json
says '"stop": "stop"' out
says '"text": " brown "' out
run 2 generate $m -p 'the' --stop
run 2 generate $m -p 'the' --stop ''
says 'a stop text is empty' err
# Characters of several bytes come whole.
run 0 generate $m -p 'dog; n' -n 12 --temperature 0
says 'ée Ödön, 狐.' out
# Same seed, same text, whatever the threads; other seeds, other texts.
"$g" generate $m -p 'x' -n 40 --temperature 3 --top-p 1 --seed 7 --threads 1 >one 2>err
"$g" generate $m -p 'x' -n 40 --temperature 3 --top-p 1 --seed 7 --threads 2 >two 2>err
cmp -s one two || fail 'threads change the text'
"$g" generate $m -p 'x' -n 40 --temperature 3 --top-p 1 --seed 6 --samples 2 --json >out 2>err
[ "$(wc -l <out)" = 2 ] || fail '--samples 2 --json: two objects'
says "\"seed\": 7" out
[ "$(sed -n '1s/.*"text": \(.*\), "stop.*/\1/p' out)" != "$(sed -n '2s/.*"text": \(.*\), "stop.*/\1/p' out)" ] ||
    fail 'two samples are the same'
"$g" generate $m -p 'x' -n 40 --temperature 3 --top-p 1 --seed 7 --json 2>err | sed 's/"prefill.*//' >one
sed -n '2s/"prefill.*//p' out | cmp -s - one || fail 'the second sample is not what the next seed makes'
# Several prompts and samples: one object each, in order, each what it is alone.
"$g" generate $m -p 'x' -p 'the quick' -n 20 --temperature 3 --top-p 1 --seed 6 --samples 2 --json 2>err | sed 's/"prefill.*//' >out
for one in 'x 6' 'x 7' 'the quick 6' 'the quick 7'; do
    "$g" generate $m -p "${one% *}" -n 20 --temperature 3 --top-p 1 --seed "${one##* }" --json 2>err | sed 's/"prefill.*//'
done >many
cmp -s out many || fail 'several prompts side by side are not what each is alone'
[ "$("$g" generate $m -p 'x' -p 'the' --samples 3 -n 2 2>err | grep -c '^==> [1-6] <==$')" = 6 ] || fail 'six texts have no headings'
run 0 generate $tiny/llama --ids '1,2;3,4' -n 2 --json
[ "$(wc -l <out)" = 2 ] || fail '--ids with two rows makes two texts'
# Penalties: greedy text that repeats itself no longer does, and does so more when repeating is rewarded.
distinct() { sed -n 's/.*"ids": \[\([^]]*\)\].*/\1/p' out | tr -d ' ' | tr , '\n' | sort -u | wc -l; }
greedy="generate $tiny/llama --ids 1,2,3 -n 12 --temperature 0 --json"
run 0 $greedy
plain=$(distinct)
[ "$plain" -lt 12 ] || fail "greedy text does not repeat itself: $(cat out)"
run 0 $greedy --frequency-penalty 2 --presence-penalty 2
[ "$(distinct)" = 12 ] || fail "text repeats itself in spite of penalties: $(cat out)"
run 0 $greedy --presence-penalty -1.5
[ "$(distinct)" -lt "$plain" ] || fail "text does not repeat itself more: $(cat out)"
run 0 generate $tiny/llama --ids 1,2,3 -n 6 --typical-p 0.9 --json
for bad in '--frequency-penalty -3' '--presence-penalty 2.5' '--typical-p 2' '--top-p 1.1' '--min-p -1' '--top-k -1' '--temperature -1'; do
    run 2 generate $tiny/llama --ids 1 $bad
done
"$g" generate $m -p 'x' -n 40 --temperature 3 --top-k 1 >one 2>err
"$g" generate $m -p 'x' -n 40 --temperature 0 >two 2>err
cmp -s one two || fail '--top-k 1 is not --temperature 0'
# The context ends a text, and says so.
run 0 generate $m -p 'the quick' -n 1000 --temperature 0
says 'context of 64 tokens' err
run 0 generate $m -p 'the quick' -n 1000 --temperature 0 --json
says '"stop": "length"' out
[ "$(sed 's/.*"ids": \[\([^]]*\)\].*/\1/' out | tr , '\n' | wc -l)" = 55 ] || fail 'prompt and text are not the context'
# End-of-text: of config.json, of generation_config.json before it, as a list.
cp -rL $tiny/gpt2 model
run 0 generate model --ids 1,2,3 -n 5 --temperature 0 --json
ids=$(sed 's/.*"ids": \[\([^]]*\).*/\1/' out)
first=${ids%%,*}
says '"text": null' out
echo "{\"eos_token_id\": $first}" >model/generation_config.json
run 0 generate model --ids 1,2,3 -n 5 --temperature 0 --json
says '"stop": "eos"' out
says "\"ids\": [$first]" out
echo "{\"eos_token_id\": [90, $first]}" >model/generation_config.json
run 0 generate model --ids 1,2,3 -n 5 --temperature 0 --json
says '"stop": "eos"' out
run 0 generate model --ids 1,2,3 -n 5 --temperature 0 --json --ignore-eos
says "\"ids\": [$ids]" out
echo '{"eos_token_id": "end"}' >model/generation_config.json
run 3 generate model --ids 1,2,3
says 'generation_config.json' err
rm model/generation_config.json
# Without a prompt: from the token that begins a text, else a named error.
run 0 generate model -n 3
run 1 generate $m -n 3
says 'the prompt is empty' err
# What cannot be done.
run 3 generate model -p 'text'
says 'tokenizer.json' err
run 2 generate model --ids 1,96
says 'token id 96' err
run 0 generate model --ids '1;2' -n 1
run 2 generate model --ids 1,x
run 2 generate model --ids 1 -p x
run 2 generate
run 1 generate $m -p 'THE'
run 3 generate nowhere -p x
mkdir empty
run 3 generate empty -p x
run 3 generate text.txt -p x
says 'text.txt: a file that is no model' err
run 3 generate $m --prompt-file nowhere
[ "$(wc -c <text.txt)" -gt 64 ] && run 1 generate $m --prompt-file text.txt
says "the model's context is 64" err

# interrupts WORDS...: Ctrl-C while at it ends with 130 and the two lines.
interrupts() {
    "$g" "$@" >out 2>err &
    pid=$!
    sleep 1
    kill -INT $pid 2>kill.err || fail "gradus $*: was done before it could be interrupted"
    wait $pid
    got=$?
    [ $got = 130 ] || fail "gradus $*: exit code $got after Ctrl-C: $(cat err)"
    says ': stopped ' err
}
"$g" train text.txt --tokenizer char --steps 1 --layers 6 --embed 96 --heads 2 --context 2048 --batch 1 --out long \
    --quiet 2>err || fail "train: $(cat err)"
interrupts generate long/latest --device ref -p 'the' -n 2000
[ -s out ] || fail 'Ctrl-C: what was made by then is not printed'

# ---- dump (its numbers: dump_test) ----
run 0 dump $tiny/gpt2 --ids '1,2,3;4,5,6' --what logits --out d.safetensors
grep -q '"shape": *\[2, *3, *96\]' d.safetensors || fail 'dump: logits are [rows, T, V]'
! grep -q grad d.safetensors || fail 'dump: more than asked for'
run 0 dump $tiny/gpt2 --ids 1 --what logits,activations --out d.safetensors
says 'act.transformer.h.1.attn.c_proj' d.safetensors
says 'act.transformer.h.0"' d.safetensors
run 2 dump $tiny/gpt2 --ids 1 --what loss --out x
run 2 dump $tiny/gpt2 --ids '1,2;3' --out x
run 2 dump $tiny/gpt2 --ids 1,96 --out x
says 'token id 96' err
run 2 dump $tiny/gpt2 --ids "$(seq -s, 1 49)" --out x
says 'context is 48' err
run 2 dump $tiny/gpt2 --ids 1,2
says '--out' err
run 2 dump $tiny/gpt2 --ids 1,2 --what logit --out x
says 'Did you mean logits?' err
run 3 dump nowhere --ids 1,2 --out x
run 3 dump $tiny/gpt2 --ids 1,2 --out no/such/x
[ ! -e x ] || fail 'dump: a file is left of what failed'

# ---- eval ----
# What transformers gives for its documented recipe (context 48; stride 16, 5), tokenizer and weights as here.
cp run/latest/tokenizer.json model/
for golden in '16 4.865212857697533' '5 4.870571786034153'; do
    run 0 eval model --data text.txt --context 48 --stride ${golden% *} --json
    awk "BEGIN { d = $(field loss) - ${golden#* }; exit !(d < 2e-5 && d > -2e-5) }" ||
        fail "eval --stride ${golden% *}: loss $(field loss), expected ${golden#* }"
    [ "$(field tokens)" = 2319 ] || fail "eval: $(field tokens) tokens"
    awk "BEGIN { p = exp($(field loss)) / $(field perplexity); b = $(field bits_per_byte) * log(2) * $(wc -c <text.txt) / ($(field loss) * 2319)
         exit !(p > 0.999999 && p < 1.000001 && b > 0.999999 && b < 1.000001) }" || fail "eval: numbers that contradict each other: $(cat out)"
done
# Without overlap: what training calls the evaluation loss.
tail -c 620 text.txt >tail.txt
"$g" train text.txt --tokenizer char --steps 2 --layers 1 --embed 16 --heads 2 --context 32 --batch 2 \
    --eval-data tail.txt --out run2 --quiet 2>err || fail "train: $(cat err)"
run 0 eval run2 --data tail.txt --json
awk "BEGIN { d = $(field loss) - $(sed -n '$s/.*"eval_loss":\([0-9.]*\).*/\1/p' run2/metrics.jsonl); exit !(d < 1e-5 && d > -1e-5) }" ||
    fail "eval: $(field loss), training said $(tail -1 run2/metrics.jsonl)"
run 0 eval run --data text.txt
for name in tokens loss perplexity 'bits per byte'; do says "$name " out; done
run 3 eval run --data -
run 2 eval run
says '--data' err
run 0 eval run --data text.txt --context 65
says 'more than the 64 that the model was made for' err
run 2 eval model --data text.txt --context 49
says "the model's is 48" err
run 2 eval run --data text.txt --context 16 --stride 17
says 'left out' err
: >nothing.txt
run 3 eval run --data nothing.txt
printf 't' >one.txt
run 1 eval run --data one.txt
says 'at least 2' err
run 3 eval run --data nowhere
run 3 eval $tiny/gpt2 --data text.txt
says 'tokenizer.json' err
echo 'THE' >other.txt
run 1 eval run --data other.txt
i=0
while [ $i -lt 40 ]; do cat text.txt text.txt text.txt; i=$((i + 1)); done >long.txt
interrupts eval run --device ref --data long.txt --stride 1

# ---- plan ----
# The parts are the whole, and with --json integers.
parts() {
    sum=0
    for part in weights gradients optimizer activations cache scratch; do
        value=$(field $part)
        case $value in '' | *[!0-9]*) fail "plan: $part is '$value'" && value=0 ;; esac
        sum=$((sum + value))
    done
    [ "$sum" = "$(field peak_bytes)" ] || fail "plan: the parts are $sum, the peak is $(field peak_bytes)"
}
run 0 plan train text.txt --tokenizer char --layers 2 --json
parts
weights=$(field weights)
[ "$(field optimizer)" = $((2 * weights)) ] || fail "plan: adamw keeps two moments, $(field optimizer) for $weights"
run 0 plan train text.txt --tokenizer char --layers 2 --moments bf16 --json
[ "$(field optimizer)" = "$weights" ] || fail 'plan: moments of bf16 are half as large'
run 0 plan train text.txt --tokenizer char --layers 2 --optimizer sgd --json
[ "$(field optimizer)" = "$weights" ] || fail 'plan: sgd with momentum keeps one'
run 0 plan train text.txt --tokenizer char --layers 2 --optimizer lion --json
[ "$(field optimizer)" = "$weights" ] || fail 'plan: lion keeps one moment'
run 0 plan train text.txt --tokenizer char --layers 2 --optimizer adafactor --json
[ "$(field optimizer)" -lt $((weights / 20)) ] || fail 'plan: adafactor keeps sums of rows and columns'
run 0 plan train text.txt --tokenizer char --layers 2 --optimizer muon --json
[ "$(field optimizer)" -lt $((5 * weights / 4)) ] || fail 'plan: muon keeps one moment of matrices'
run 0 plan train text.txt --tokenizer char --layers 2 --optimizer adamw8bit --json
[ "$(field optimizer)" -lt $((11 * weights / 20)) ] || fail 'plan: adamw8bit keeps two bytes a weight'
run 0 plan train text.txt --tokenizer char --layers 6 --json
kept=$(field activations)
run 0 plan train text.txt --tokenizer char --layers 6 --json --recompute block
parts
[ "$(field activations)" -lt $((kept / 2)) ] || fail "plan: blocks keep their input, $(field activations) of $kept"
run 0 plan train text.txt --layers 1 --embed 16 --batch 64 --json
kept=$(field activations)
run 0 plan train text.txt --layers 1 --embed 16 --batch 64 --json --head-rows auto
parts
[ "$(field activations)" -lt "$kept" ] || fail "plan: the head in pieces, $(field activations) of $kept"
run 0 plan train text.txt --tokenizer char --layers 2 --json --accumulate 2
[ "$(field gradients)" -ge "$weights" ] || fail 'plan: accumulation keeps all gradients'
run 0 plan train --embed 256 --batch 8
says 'it fits' out
run 0 plan train --init run --json
parts
# A budget: what is chosen fits, and is what the flags come to when they are given.
# (Sanitizers' own memory counts as the process's.)
if [ "$GRADUS_KIND" != sanitized ]; then
    small='--layers 6 --embed 64 --context 64'
    # shellcheck disable=SC2086
    run 0 plan train $small --batch 16 --json
    peak=$(field peak_bytes)
    fixed=$((peak - $(field activations) - $(field gradients) - $(field optimizer)))
    for percent in 30 50 70 90 120; do
        size=$((fixed + (peak - fixed) * percent / 100))
        # shellcheck disable=SC2086
        run 0 plan train $small --batch 16 --json --memory $size
        parts
        [ "$(field peak_bytes)" -le $size ] || fail "plan: --memory $size, and $(field peak_bytes) are needed"
        chosen=$(sed 's/.*"chosen": "memory: *\([^"]*\): .*/\1/' out)
        flops=$(field step_flops)
        [ "$chosen" = 'as it is' ] && chosen=
        case $chosen in *--batch*) ;; *) chosen="$chosen --batch 16" ;; esac
        # shellcheck disable=SC2086
        run 0 plan train $small $chosen --json
        [ "$(field step_flops)" = "$flops" ] || fail "plan: $chosen is not what --memory $size has come to"
    done
    # shellcheck disable=SC2086
    run 4 plan train $small --batch 16 --memory 1M
    says 'training needs at least' err
    # shellcheck disable=SC2086
    run 0 train text.txt --tokenizer char --layers 4 --embed 32 --context 16 --batch 8 --steps 4 --save-every 2 --memory 20M --out budget
    says 'memory:' err
    run 0 train --resume --out budget
else
    echo 'skipped: --memory (sanitizers need more than the budgets)'
fi
# Too much: what would fit is computed, and fits.
deep='--layers 24 --embed 256 --context 256'
# shellcheck disable=SC2086
run 0 plan train $deep --batch 8 --json
# shellcheck disable=SC2086
run 0 plan train $deep --batch $((12 * $(field available_bytes) / $(field activations))) --json
says '"advice": "With --recompute block' out
run 0 plan train --layers 12 --embed 1024 --context 1024 --batch 1M --json
says '"fits": false' out
says '"advice": "With --batch ' out
advice=$(sed 's/.*"With \(.*\) it needs.*/\1/' out)
# shellcheck disable=SC2086
run 0 plan train --layers 12 --embed 1024 --context 1024 $advice --json
says '"fits": true' out
# Nobody waits for weights that will not fit.
run 4 train text.txt --layers 96 --embed 65536 --heads 64 --out vast
says 'the weights' err
says 'need' err
[ ! -e vast ] || fail 'a run that could not begin is there'
run 0 plan train --layers 80 --embed 65536 --heads 64
says 'does not fit' out
says 'a smaller model' out
run 2 plan train --tokenizer char
says 'DATA' err
run 2 plan train --epochs 2
run 2 plan train --layer 2
says 'Did you mean --layers?' err
run 3 plan train nothing.txt
run 3 plan train --config nowhere
run 3 plan train --init nowhere
run 2 plan
run 2 plan trian
[ ! -e plan ] || fail 'plan wrote something'
run 0 plan generate $m --json
parts
whole=$(field cache)
run 0 plan generate $m -p 'the quick' -n 7 --json
[ "$(field cache)" = $((whole / 4)) ] || fail "plan generate: a cache of $(field cache) for 16 of 64 tokens, $whole for all"
run 0 plan generate $tiny/llama-bf16 --json
[ "$(field weights)" = 19824 ] || fail "plan generate: weights of 16 bits take $(field weights) bytes"
run 0 plan generate $m
says 'cache' out
run 2 plan generate
run 3 plan generate nowhere
run 3 plan generate $tiny/gpt2 -p x
# The planned peak against the resident set of the run itself.
if [ "$GRADUS_KIND" = plain ] && /usr/bin/time -f %M true 2>kib; then
    flags='--layers 8 --embed 256 --heads 4 --context 128 --batch 8'
    # shellcheck disable=SC2086
    run 0 plan train text.txt $flags --json
    # shellcheck disable=SC2086
    /usr/bin/time -f %M -o kib "$g" train text.txt $flags --steps 2 --eval-fraction 0.2 --out mid --quiet 2>err ||
        fail "train: $(cat err)"
    real=$(($(tail -1 kib) * 1024)) planned=$(field peak_bytes)
    echo "plan: $planned bytes, resident: $real"
    [ $((planned - real)) -lt $((real * 3 / 100)) ] && [ $((real - planned)) -lt $((real * 3 / 100)) ] ||
        fail "planned $planned bytes, and $real were resident: more than 3 % apart"
else
    echo 'skipped: the resident set (needs GNU time and a plain build)'
fi

# ---- a tokenizer of its own, whose end of text is called otherwise; as a GGUF file it is one of pieces ----
run 0 train text.txt --tokenizer "$GRADUS_SOURCE/tests/data/tokenizer_dirs/rules-bpe/tokenizer.model" --arch llama --layers 1 \
    --embed 32 --heads 2 --context 16 --batch 1 --steps 1 --out pieces
grep -q endoftext pieces/latest/tokenizer_config.json && fail 'train: tokenizer_config.json names a token that the tokenizer lacks'
run 0 convert pieces --to gguf --out pieces.gguf
says 'equal' out
run 0 tokenize pieces 'the  quick' --special
cp out by_run
run 0 tokenize pieces.gguf 'the  quick' --special
cmp -s out by_run || fail "tokenize: the GGUF file says $(cat out)"

# ---- convert (what is compared: save_test; with transformers: tools/oracle/check_saved.py) ----
run 0 convert run --to hf --dtype bf16 --out half --json
says '"path": "half"' out
says '"dtype": "bf16"' out
[ "$(field texts)" -ge 1 ] && [ "$(field token_ids)" -ge 10 ] || fail "convert: $(cat out)"
says '"dtype": "bfloat16"' half/config.json
for name in tokenizer.json tokenizer_config.json generation_config.json; do
    cmp $m/$name half/$name || fail "convert: $name is another"
done
[ ! -e half/training.json ] && [ ! -e half/training.safetensors ] || fail 'convert: the state of training came along'
run 0 verify half
run 0 generate half -p 'the quick' -n 20 --temperature 0
[ "$(cat out)" = ' brown fox jumps ove' ] || fail "convert: the copy generates $(cat out)"
run 0 convert half --to hf --out again --shard-size 8k
says 'tensors      all equal' out
says ' 0 apart at most' out
[ -e again/model.safetensors.index.json ] && [ ! -e again/model.safetensors ] || fail 'convert: --shard-size writes shards'
run 0 generate again -p 'the quick' -n 20 --temperature 0
run 0 convert again --to hf --out whole --shard-size 0
cmp whole/model.safetensors half/model.safetensors || fail 'convert: there and back is not the same'
run 2 convert half --to hf --out whole
says 'holds something already' err
run 2 convert half --to hf --out text.txt
run 2 convert half --to gguf --out x
run 2 convert half --out x
run 2 convert half --to hf
run 2 convert half --to hf --out x --dtype f8
run 3 convert nowhere --to hf --out x
run 3 convert half --to hf --out text.txt/x
[ ! -e x ] || fail 'convert: something is left of what failed'
if [ "$(id -u)" != 0 ]; then
    mkdir closed && chmod 555 closed
    run 3 convert half --to hf --out closed/x
    says 'Permission denied' err
else
    echo 'skipped: convert without permission (root may do anything)'
fi
"$g" convert long/latest --to hf --out stopped >out 2>err &
pid=$!
while kill -0 $pid 2>kill.err && [ -z "$(find . -maxdepth 1 -name '.stopped.tmp-*')" ]; do :; done
kill -INT $pid 2>kill.err
wait $pid
case $? in
130) [ ! -e stopped ] && says 'stopped, and nothing is left of it' err ;;
0) echo 'skipped: Ctrl-C (convert was done before)' ;;
*) fail "convert: Ctrl-C: $(cat err)" ;;
esac
[ -z "$(find . -maxdepth 1 -name '.*.tmp-*')" ] || fail 'convert: something is left of what was interrupted'

# ---- info ----
run 0 info run
for line in 'arch         llama' 'context      64' 'file         model.safetensors' 'file         tokenizer.json'; do says "$line" out; done
grep -q '^tokenizer    [0-9]* tokens' out || fail "info: $(cat out)"
run 0 info run --json
says "\"model.safetensors\": $(wc -c <$m/model.safetensors | tr -d ' ')" out
says '"tokenizer": {"tokens": ' out
run 0 info $tiny/llama
says 'tokenizer    none' out
cp -r $tiny/llama broken
echo '{' >broken/tokenizer.json
run 3 info broken
says 'gradus: broken/tokenizer.json: not valid JSON' err
run 0 info $tiny/llama --json
for key in embedding_parameters rope activation weight_files sliding_layers; do
    case $key in sliding_layers) ! grep -q "\"$key\"" out || fail "info: $(cat out)" ;; *) says "\"$key\": " out ;; esac
done
run 0 info $tiny/gpt2
says 'positions    learned' out
says 'activation   gelu_new' out
run 0 info again --json
[ "$(field weight_files)" -gt 1 ] || fail "info: shards are counted: $(cat out)"
mkdir adapter
echo '{"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"], "base_model_name_or_path": "nowhere"}' >adapter/adapter_config.json
cp $tiny/llama/model.safetensors adapter/adapter_model.safetensors
run 0 info adapter
says 'rank         4' out
says 'tokenizer    none' out
run 0 info adapter --json
says '"adapter": "LORA", "rank": 4' out
echo '{' >adapter/adapter_config.json
run 3 info adapter
says 'adapter_config.json' err

# ---- one of a thing is one ----
run 0 generate $tiny/llama --ids 1 -n 1 --threads 1
grep -q '^device cpu: .*, 1 thread\(,.*\)*$' err || fail "one thread: $(cat err)"
says '1 token read, ' err

# ---- what stands in the place of another thing ----
run 3 merge $tiny/llama $tiny/llama --out merged
says "$tiny/llama: is a model, not an adapter" err
says 'what gradus finetune (without --full) and peft write' err
run 3 merge $tiny/llama text.txt --out merged
says 'text.txt: is a file, not an adapter' err
run 3 generate /dev/null -p a
says '/dev/null: a file that is no model' err

# ---- train --tokenizer bpe:N: what tokenizer train learns, saved with the run ----
run 0 train text.txt --tokenizer bpe:280 --steps 1 --layers 1 --embed 16 --heads 2 --context 16 --batch 2 --out bpe
run 0 tokenizer train text.txt --vocab 280 --out bpe.json
cmp -s bpe.json bpe/latest/tokenizer.json || fail 'train --tokenizer bpe:280 is not tokenizer train --vocab 280'
for bad in bpe: bpe:256 bpe:x bpe:300x; do run 2 train text.txt --tokenizer $bad --out bad; done
run 2 plan train --tokenizer bpe:300 && says 'DATA' err

# ---- train: what goes on needs no DATA, what contradicts the run is refused ----
run 2 train --out nothing
says 'DATA is missing' err
run 2 train text.txt --out run
says 'already holds a run' err
cp run/latest/model.safetensors before.safetensors
cp run/metrics.jsonl before.jsonl
run 0 train --resume --out run
cmp -s before.safetensors run/latest/model.safetensors || fail 'a finished run changed when it was gone on with'
cmp -s before.jsonl run/metrics.jsonl || fail 'metrics of a finished run changed'
run 2 train --resume --out run --lr 5
says 'contradicts the run' err
run 3 verify nowhere

[ $failures = 0 ] || exit 1
