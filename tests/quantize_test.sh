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

[ $failures = 0 ] || exit 1
