#!/bin/sh
# finetune, its runs and adapters in other verbs, merge, plan finetune. What LoRA computes: lora_test; in peft:
# tools/oracle/check_adapters.py.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

field() { sed -n "s/.*\"$1\": \"\{0,1\}\([^],\"}]*\).*/\1/p" out | head -1; }
text_of() { "$g" generate "$@" -n 12 --temperature 0 2>err; }
# step_loss RUN N: the loss of step N.
step_loss() { sed -n "s/.*\"step\":$2,.*\"loss\":\([^,]*\),.*/\1/p" "$1/metrics.jsonl" | head -1; }
near() { awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { exit !(a - b <= t && b - a <= t) }' || fail "$4: $1 and $2"; }

# ---- a model, and something new to teach it ----
i=0
while [ $i -lt 40 ]; do echo 'the quick brown fox jumps over the lazy dog; asks: who? me, you, us!'; i=$((i + 1)); done >text.txt
"$g" train text.txt --tokenizer char --arch llama --steps 60 --layers 2 --embed 32 --heads 2 --context 64 --batch 4 \
    --lr 1e-2 --warmup 5 --out base --quiet 2>err || fail "train: $(cat err)"
i=0
while [ $i -lt 12 ]; do echo '{"prompt": "who? ", "completion": "the lazy fox"}'; i=$((i + 1)); done >data.jsonl
lora='--lora-rank 4 --lora-targets all-linear --batch 2 --context 32 --lr 1e-2 --quiet'

# ---- a run ----
# shellcheck disable=SC2086
run 0 finetune base data.jsonl --out run --steps 60 --eval-data data.jsonl --eval-every 20 --save-every 20 --keep 9 $lora
says 'LoRA: 5.12k of' err
for file in adapter_config.json adapter_model.safetensors tokenizer.json generation_config.json training.json; do
    [ -s run/latest/$file ] || fail "a checkpoint has no $file"
done
[ ! -e run/latest/config.json ] && [ ! -e run/latest/model.safetensors ] || fail 'a LoRA checkpoint holds the base'
says '"verb": "finetune"' run/run.json
says '"model": "base"' run/run.json
says "\"base_model_name_or_path\": \"$(realpath base)/checkpoints/step-60\"" run/latest/adapter_config.json
[ "$(text_of run -p 'who? ')" = 'the lazy fox' ] || fail "the adapter has not learned: $(text_of run -p 'who? ')"
[ "$(text_of base -p 'who? ')" != 'the lazy fox' ] || fail 'the base knew it already'
run 0 verify run
# shellcheck disable=SC2086
run 0 finetune base data.jsonl --out few $lora
says 'steps teach little: --epochs 20 or --batch 1 takes more of them' err
# shellcheck disable=SC2086
run 0 finetune base data.jsonl --out few2 $lora --epochs 3
! grep -q 'teach little' err || fail "epochs that were given are remarked on: $(cat err)"
run 2 finetune base data.jsonl --out run --steps 60
says 'already holds a run' err
# A run, its checkpoint, its adapter on the base: all the same.
for m in run run/latest run/checkpoints/step-60 'base --adapter run' 'base/latest --adapter run/latest'; do
    # shellcheck disable=SC2086
    [ "$(text_of $m -p 'who? ')" = 'the lazy fox' ] || fail "generate $m"
done
run 0 eval run --data text.txt --json
cp out by_run
run 0 eval base --adapter run --data text.txt --json
[ "$(sed 's/"seconds.*//' out)" = "$(sed 's/"seconds.*//' by_run)" ] || fail 'eval RUN and eval BASE --adapter RUN differ'
run 2 generate run --adapter run -p x
run 0 dump run --ids 1,2,3,4 --what grads --out grads.safetensors
grep -q 'grad.base_model.model.model.layers.1.mlp.down_proj.lora_B.weight' grads.safetensors || fail 'dump: no gradient of B'
run 0 plan generate run --json
with=$(field weights)
run 0 plan generate base --json
[ $((with - $(field weights))) = $((5120 * 4)) ] || fail "plan generate: the adapter is $((with - $(field weights))) bytes"

# As a GGUF file, which is taken wherever an adapter is.
run 0 convert run --to gguf --out lora.gguf --json
says '"tensors": 28' out
run 0 eval base --adapter lora.gguf --data text.txt --json
[ "$(sed 's/"seconds.*//' out)" = "$(sed 's/"seconds.*//' by_run)" ] || fail 'eval BASE --adapter FILE.gguf differs'
[ "$(text_of base --adapter lora.gguf -p 'who? ')" = 'the lazy fox' ] || fail 'generate --adapter FILE.gguf'
run 0 convert base --adapter run --to gguf --out lora2.gguf
cmp -s lora.gguf lora2.gguf || fail 'convert BASE --adapter RUN --to gguf'
run 0 merge base lora.gguf --out by_gguf
run 0 merge run --out by_peft
cmp -s by_gguf/model.safetensors by_peft/model.safetensors || fail 'merge BASE FILE.gguf'
run 0 finetune base data.jsonl --adapter lora.gguf --out by_file --steps 2 --batch 2 --context 32
near "$(step_loss by_file 1)" "$(step_loss run 60)" 0.1 'finetune --adapter FILE.gguf'
rm -r by_file/checkpoints/* by_file/latest
run 0 finetune --resume --out by_file
run 2 convert run --to gguf --out lora.gguf
says 'there already' err
for flag in '--dtype f16' '--pre gpt-2' '--split-size 1M' '--shard-size 1M'; do
    # shellcheck disable=SC2086
    run 2 convert run --to gguf --out x.gguf $flag
    says "${flag% *}" err
done
# And back: peft's files.
run 0 info lora.gguf --json
[ "$(field rank)" = 4 ] || fail "info lora.gguf: $(cat out)"
says '"arch": "llama"' out
run 0 convert base --adapter lora.gguf --to hf --out peft --json
says '"tensors": 28' out
run 0 convert base --adapter peft --to gguf --out lora3.gguf
cmp -s lora.gguf lora3.gguf || fail 'convert BASE --adapter FILE.gguf --to hf, and back'
run 2 convert base --adapter lora.gguf --to hf --out peft
run 1 convert run --to hf --out x
says '--to gguf' err
run 3 generate lora.gguf -p x
says 'with --adapter' err
run 3 generate base --adapter by_peft/model.safetensors -p x
[ ! -e x ] && [ ! -e x.gguf ] && [ ! -e x.gguf.new.gguf ] || fail 'convert: something is left'
rm -r by_gguf by_peft by_file

# A model with as many rows, and other tokens in them, is not the one that it was trained on.
sed 's/!/~/' text.txt >other.txt
"$g" train other.txt --tokenizer char --arch llama --steps 1 --layers 2 --embed 32 --heads 2 --context 64 --batch 4 --out other \
    --quiet 2>err || fail "train: $(cat err)"
for verb in 'generate other -p x --adapter run' 'eval other --data text.txt --adapter run' 'chat other --adapter run' \
    'merge other run --out nothing' 'finetune other data.jsonl --adapter run --out nothing'; do
    # shellcheck disable=SC2086
    run 3 $verb
    says 'run/checkpoints/step-60/tokenizer.json: the token , has id 3, and 2 in other/checkpoints/step-1/tokenizer.json, and ' err
    says 'Give the model that it was trained on' err
done
[ ! -e nothing ] || fail 'something is left of an adapter on another model'
rm -r other

# An adapter beside the weights goes on them; --adapter none leaves it out, and another one goes before it.
cp -r base/latest/ both
cp run/latest/adapter_* both
run 0 generate both -p 'who? ' -n 12 --temperature 0
says '--adapter none' err
[ "$(text_of both -p 'who? ')" = 'the lazy fox' ] || fail 'an adapter beside the weights'
[ "$(text_of both --adapter none -p 'who? ')" = "$(text_of base -p 'who? ')" ] || fail '--adapter none'
[ "$(text_of run --adapter none -p 'who? ')" = "$(text_of base -p 'who? ')" ] || fail '--adapter none of an adapter'
[ "$(text_of both --adapter run -p 'who? ')" = 'the lazy fox' ] || fail 'another adapter than the one beside'
run 0 plan generate both --json
[ "$(field weights)" = "$with" ] || fail 'plan: an adapter beside the weights'
run 0 plan generate both --adapter none --json
[ "$(field weights)" != "$with" ] || fail 'plan --adapter none'
run 0 info both
says 'rank         4' out
says 'layers       2' out
run 0 verify both
run 1 convert both --to hf --out converted
says 'gradus merge folds it in' err
run 0 convert both --to hf --adapter none --out converted
cmp -s converted/model.safetensors base/latest/model.safetensors || fail 'convert --adapter none'
run 0 merge both --out folded
run 0 merge base run --out folded2
cmp -s folded/model.safetensors folded2/model.safetensors || fail 'merge of an adapter beside the weights'
"$g" finetune both data.jsonl --full --out whole --steps 1 2>err && fail 'finetune --full of a model with an adapter'
says 'gradus merge, or leave it out: --adapter none' err
run 2 train text.txt --init both --out whole --steps 1
says 'gradus convert --adapter none' err
# A pointer of Git LFS in place of any of its files.
for file in config.json model.safetensors tokenizer.json generation_config.json adapter_config.json adapter_model.safetensors; do
    [ -s both/$file ] || fail "no $file to put a pointer in place of"
    cp both/$file kept
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 7654321\n' 1 >both/$file
    "$g" generate both -p x 2>err && fail "generate with a pointer as $file"
    says "both/$file: a Git LFS pointer in place of the file, which has 7654321 bytes" err
    says 'git lfs pull' err
    mv kept both/$file
done
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 7654321\n' 1 >pointer.txt
run 3 eval base --data pointer.txt
says 'Git LFS' err
run 3 tokenizer train pointer.txt --vocab 300 --out tokenizer.json
says 'Git LFS' err
# An adapter alone may have its base's config.json beside it.
cp -r run/latest/ alone
cp base/latest/config.json alone
[ "$(text_of alone -p 'who? ')" = 'the lazy fox' ] || fail 'an adapter with the config.json of its base'
rm -r both converted folded folded2 alone

# ---- going on ----
cp -r run again
rm -r again/checkpoints/step-40 again/checkpoints/step-60 again/latest again/best
run 0 finetune --resume --out again
cmp -s run/latest/adapter_model.safetensors again/latest/adapter_model.safetensors || fail 'a resumed run ends elsewhere'
cmp -s run/latest/training.safetensors again/latest/training.safetensors || fail 'a resumed run has other moments'
[ "$(sed 's/,"tokens_per_s.*//' run/metrics.jsonl)" = "$(sed 's/,"tokens_per_s.*//' again/metrics.jsonl)" ] ||
    fail 'a resumed run has other metrics'
run 2 finetune --resume --out again --lora-rank 5
run 0 finetune base/latest --resume --out again # the same base, by another name
# The model that the adapter is for is known by its bytes, when it has been read.
refused() {
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = 3 ] || fail "gradus $*: exit code $got, expected 3: $(cat err)"
}
mkdir same
cp base/latest/* same
run 0 finetune same --resume --out again
cp same/model.safetensors bytes
printf '\377' | dd of=same/model.safetensors bs=1 seek=5000 conv=notrunc 2>/dev/null
refused finetune same --resume --out again
says 'not the model that the run was begun with' err
run 0 finetune same --resume --data-changed --out again
says '"input": "model"' again/run.json
cp bytes same/model.safetensors
refused finetune --resume --out again # now it is the other one that is known
cp -r base/latest/. same
run 0 finetune same --resume --data-changed --out again
run 0 finetune base --resume --out again
# So is the data.
cp data.jsonl copy.jsonl
run 0 finetune base "$PWD/copy.jsonl" --resume --out again
sed 's/lazy/eager/' data.jsonl >copy.jsonl
refused finetune --resume --out again
says 'copy.jsonl' err
run 0 finetune base data.jsonl --resume --out again
run 2 train --resume --out again
says 'gradus finetune' err
# The base goes away.
mv base moved
run 3 generate run -p x
says '--adapter' err
[ "$(text_of moved --adapter run -p 'who? ')" = 'the lazy fox' ] || fail 'moved base and --adapter'
run 3 finetune --resume --out again
mv moved base
# An adapter trained further: as MODEL, or on one.
run 0 finetune run data.jsonl --out further --steps 3 --batch 2 --context 32
run 0 finetune base data.jsonl --adapter run --out further2 --steps 3 --batch 2 --context 32
cmp -s further/latest/adapter_model.safetensors further2/latest/adapter_model.safetensors || fail 'finetune --adapter'
near "$(step_loss further 1)" "$(step_loss run 60)" 0.1 'an adapter trained further begins where it was'
rm -r further2/checkpoints/* further2/latest
run 0 finetune --resume --out further2
cmp -s further/latest/adapter_model.safetensors further2/latest/adapter_model.safetensors || fail 'finetune --adapter, resumed'

# ---- all that peft trains ----
# rich NAME FLAGS...: trains, resumes to the same bits, merges to a model that says the same.
rich() {
    name=$1
    shift
    run 0 finetune base data.jsonl --out "$name" --steps 16 --save-every 8 --keep 9 --lora-rank 4 --batch 2 --context 32 --lr 2e-2 \
        --quiet "$@"
    first=$(step_loss "$name" 1)
    awk -v a="$first" -v b="$(step_loss "$name" 16)" 'BEGIN { exit !(b < a - 0.2) }' || fail "$name has not learned"
    cp -r "$name" again_rich
    rm -r again_rich/checkpoints/step-16 again_rich/latest
    run 0 finetune --resume --out again_rich
    for file in adapter_model training; do
        cmp -s "$name/latest/$file.safetensors" again_rich/latest/$file.safetensors || fail "$name: a resumed run ends elsewhere"
    done
    run 0 eval "$name" --data text.txt --json
    cp out by_adapter
    run 0 merge "$name" --out merged_rich
    run 0 eval merged_rich --data text.txt --json
    merged=$(field loss)
    cp by_adapter out
    near "$merged" "$(field loss)" 1e-4 "$name: the loss of the merged model"
    rm -r again_rich merged_rich
}
rich dora --dora --lora-targets all-linear --lora-dropout 0.1
says '"use_dora": true' dora/latest/adapter_config.json
grep -q 'down_proj.lora_magnitude_vector' dora/latest/adapter_model.safetensors || fail 'no magnitudes'
rich embedding --lora-targets embed_tokens,q_proj --rslora
grep -q 'embed_tokens.lora_embedding_A' embedding/latest/adapter_model.safetensors || fail 'no LoRA of the embedding'
rich saved --modules-to-save embed_tokens,lm_head,norm --lora-bias all
says '"bias": "all"' saved/latest/adapter_config.json
rich tokens --train-tokens 'q,5,?'
run 0 info saved
says 'saved        embed_tokens, lm_head, norm' out
id=$("$g" tokenize base 'q' 2>err | tr -dc '0-9')
tr -d '\n ' <tokens/latest/adapter_config.json >flat
says "\"trainable_token_indices\":[$id,5," flat
# The embedding and the head are one in base; trained apart they become two.
run 0 merge saved --out two
says '"tie_word_embeddings": false' two/config.json
run 0 merge tokens --out one
says '"tie_word_embeddings": true' one/config.json
run 0 finetune base data.jsonl --out b_bias --steps 2 --lora-b-bias --quiet
[ "$(grep -c 'not merged into it' err)" = 1 ] || fail "one remark on what cannot be merged: $(cat err)"
run 1 merge b_bias --out nothing
says 'lora_bias' err
run 2 finetune base data.jsonl --out x --lora-b-bias --dora
run 2 finetune base data.jsonl --out x --train-tokens 'q,nobody'
says 'no token "nobody"' err
run 2 finetune base data.jsonl --out x --train-tokens 5,5
says 'token 5 is there twice' err
run 2 finetune base data.jsonl --out x --train-tokens 500000
run 2 finetune base data.jsonl --out x --train-tokens 5 --modules-to-save embed_tokens
run 2 finetune base data.jsonl --out x --lora-bias some
run 2 finetune base data.jsonl --out x --full --dora
run 2 finetune dora data.jsonl --out x --modules-to-save norm

# ---- merge ----
run 0 merge run --out merged
[ "$(text_of merged -p 'who? ')" = 'the lazy fox' ] || fail 'merged'
run 0 eval merged --data text.txt --json
merged=$(field loss)
cp by_run out
near "$merged" "$(field loss)" 1e-5 'the loss of a merged model'
run 0 merge base run/latest --dtype bf16 --out half --json
says '"dtype": "bf16"' out
[ "$(text_of half -p 'who? ')" = 'the lazy fox' ] || fail 'merged as bf16'
mkdir nan
cp run/latest/adapter_* nan
size=$(wc -c <nan/adapter_model.safetensors)
printf '\377\377\377\377' | dd of=nan/adapter_model.safetensors bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
run 1 merge base nan --out nothing
says "merging: the adapter's \"base_model.model.model.layers.1." err
says 'has values that are no finite numbers' err
run 2 merge base --out nothing
run 3 merge no_such --out nothing
says 'No such file' err
run 2 merge run --out merged
run 3 merge base base --out nothing
run 1 convert run --to hf --out nothing
says 'gradus merge' err
[ ! -e nothing ] || fail 'a failed merge left something'

# ---- 16-bit bases ----
run 0 convert base --to hf --dtype bf16 --out base16
# shellcheck disable=SC2086
run 0 finetune base16 data.jsonl --out run16 --steps 20 $lora
near "$(step_loss run 20)" "$(step_loss run16 20)" 0.05 'LoRA on a bf16 base'
[ "$(text_of run16 -p 'who? ')" != '' ] || fail 'generate with a bf16 base and an adapter'
run 0 merge run16 --out merged16 --json
says '"dtype": "keep"' out
run 0 info merged16 --json
says '"bf16"' out
run 0 finetune base16 data.jsonl --full --out full16 --steps 20 --batch 2 --context 32 --lr 1e-2 --warmup 5
says 'the weights are bf16; they are trained, and saved, as f32' err
says '"dtype": "float32"' full16/latest/config.json
run 0 info full16 --json
says '"f32"' out
grep -q '"bf16"' out && fail 'a full run of a bf16 model is saved as bf16'
[ "$(text_of full16 -p 'who? ')" = 'the lazy fox' ] || fail 'finetune --full has not learned'
run 0 finetune base data.jsonl --full --out lr --steps 2 --batch 2 --context 32
says '"lr": "2e-05"' lr/run.json
run 0 finetune --resume --out lr

# ---- what is refused ----
run 2 finetune base --out x
run 2 finetune --out x
run 2 finetune base data.jsonl
run 2 finetune base data.jsonl --full --lora-rank 3 --out x
run 2 finetune run data.jsonl --full --out x
run 2 finetune run data.jsonl --lora-rank 3 --out x
run 2 finetune base data.jsonl --lora-targets c_attn --out x
says '--lora-targets: LoRA: the model has no linear layer and no embedding "c_attn"' err
says 'q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj' err
run 2 finetune base data.jsonl --modules-to-save norm,score --out x
says '--modules-to-save: LoRA: the model has no layer "score" to be saved' err
[ ! -e x ] || fail 'a run that did not start was left behind'
run 2 finetune base data.jsonl --lora-targets q_proj,,v_proj --out x
run 2 finetune base data.jsonl --lora-rank 0 --out x
run 3 finetune nowhere data.jsonl --out x
run 3 finetune "$GRADUS_SOURCE/tests/data/models/gpt2" data.jsonl --out x
says 'tokenizer.json' err
[ ! -e x ] || fail 'a refused run left something'

run 2 train text.txt --init run --out x
says 'finetune' err
run 0 info run --json
[ "$(field rank)" = 4 ] || fail "info: rank $(field rank)"
says '"f32": {"tensors": 28, "bytes": 20480}' out
run 0 info run
says 'targets      q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj' out

# ---- plan ----
run 0 plan finetune base --lora-rank 4 --json
[ "$(field optimizer)" = $((2 * 4 * 2 * (64 + 64) * 4)) ] || fail "plan: moments of q_proj and v_proj: $(field optimizer)"
small=$(field gradients)
run 0 plan finetune base --lora-rank 4 --accumulate 2 --json
[ $(($(field gradients) - small)) -le $((4 * 2 * (64 + 64) * 4)) ] || fail 'plan: accumulated gradients of frozen weights'
run 0 plan finetune base --full --json
[ "$(field optimizer)" = $((2 * $(field weights))) ] || fail 'plan: --full keeps moments of all weights'
run 0 plan finetune base16 --json
[ "$(field weights)" -lt 70000 ] || fail "plan: a bf16 base in $(field weights) bytes"
run 0 plan finetune base16 --full --json
[ "$(field optimizer)" = $((2 * $(field weights))) ] || fail 'plan: --full of a bf16 model is in f32'
# The planned peak against the resident set of the run, for a model whose moments would show.
if [ "$GRADUS_KIND" = plain ] && /usr/bin/time -f %M true 2>kib && [ -s kib ]; then
    "$g" train text.txt --tokenizer char --arch llama --steps 1 --layers 6 --embed 512 --heads 8 --context 64 --batch 1 \
        --out run_large --quiet 2>err || fail "train: $(cat err)"
    run 0 convert run_large --to hf --out large # a run's own state would be read, to see that it is whole
    for flags in '--lora-targets all-linear' '--lora-rank 16 --accumulate 2' '--full' '--dora --lora-targets all-linear' \
        '--modules-to-save embed_tokens,lm_head,mlp' '--lora-targets embed_tokens,lm_head' \
        '--train-tokens 3,4,5 --lora-bias all'; do
        flags="$flags --batch 2 --context 64 --steps 3"
        rm -rf big
        # shellcheck disable=SC2086
        run 0 plan finetune large text.txt $flags --json
        planned=$(field peak_bytes)
        # shellcheck disable=SC2086
        /usr/bin/time -f %M -o kib "$g" finetune large text.txt $flags --save-every 0 --out big --quiet 2>err || fail "$(cat err)"
        real=$(($(tail -1 kib) * 1024))
        echo "plan finetune $flags: $planned bytes, resident: $real"
        [ $((planned - real)) -lt $((real * 5 / 100)) ] && [ $((real - planned)) -lt $((real * 5 / 100)) ] ||
            fail "planned $planned bytes, and $real were resident: more than 5 % apart"
    done
fi

# ---- train: flags without a default are the run's, too ----
set -- --tokenizer char --layers 1 --embed 16 --steps 12 --warmup 3 --min-lr 0 --save-every 4 --keep 9 --quiet
"$g" train text.txt "$@" --out whole 2>err || fail "$(cat err)"
cp -r whole part
rm -r part/checkpoints/step-8 part/checkpoints/step-12 part/latest
run 0 train --resume --out part
cmp -s whole/latest/model.safetensors part/latest/model.safetensors || fail '--resume forgets --warmup and --min-lr'

[ $failures = 0 ] || { echo "$failures failures" >&2; exit 1; }
