#!/bin/sh
# 96 layers, 8 wide: more tensors than anything has room for that counts them beforehand. Trained, resumed, saved, loaded,
# fine-tuned on every linear layer, merged, generated from.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

lines=0
while [ $lines -lt 40 ]; do
    echo "the quick brown fox $lines jumps over the lazy dog"
    lines=$((lines + 1))
done >text.txt
size='--layers 96 --embed 8 --heads 2 --context 16 --batch 2 --tokenizer char --warmup 1 --quiet'
losses() { sed -n 's/.*"step":\([0-9]*\),.*"loss":\([^,]*\),.*/\1 \2/p' "$1/metrics.jsonl"; }
greedy() { "$g" generate "$@" -p 'the ' -n 6 --temperature 0 2>err || fail "generate $*: $(cat err)"; }

for arch in gpt2 llama; do
    # shellcheck disable=SC2086
    run 0 plan train text.txt --arch $arch $size
    # shellcheck disable=SC2086
    run 0 train text.txt --out $arch --arch $arch --steps 4 --save-every 2 --keep 9 $size
    run 0 verify $arch
    cp -r $arch half
    rm -r half/checkpoints/step-4
    run 0 train --resume --out half --quiet
    losses half | sort -u >resumed
    losses $arch | cmp -s - resumed || fail "$arch: resumed, it takes other steps"
    cmp -s half/latest/model.safetensors $arch/latest/model.safetensors || fail "$arch: resumed, it learns something else"
    greedy $arch >whole
    [ "$(wc -c <whole)" -gt 6 ] || fail "$arch: generates nothing"
    rm -r half
done

# 96 layers of 7 linear ones, A and B of each: 1344 tensors.
lora='--lora-rank 2 --lora-targets all-linear --batch 2 --context 16 --quiet'
# shellcheck disable=SC2086
run 0 plan finetune llama text.txt $lora
# shellcheck disable=SC2086
run 0 finetune llama text.txt --out adapter --steps 4 --lr 3e-2 --save-every 2 --keep 9 $lora
[ "$(tr ',' '\n' <adapter/latest/adapter_model.safetensors | grep -ac 'lora_[AB]')" = 1344 ] || fail 'LoRA: not all layers'
cp -r adapter half
rm -r half/checkpoints/step-4
run 0 finetune --resume --out half --quiet
cmp -s half/latest/adapter_model.safetensors adapter/latest/adapter_model.safetensors ||
    fail 'LoRA: resumed, it learns something else'
run 0 merge adapter --out merged
greedy adapter >by_adapter
greedy merged >by_merged
cmp -s by_adapter by_merged || fail "merged: $(cat by_merged), not $(cat by_adapter)"
[ $failures = 0 ] || exit 1
