#!/bin/sh
# Keys and values in fewer bits: what they take, what they cost, what is refused.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

i=0
while [ $i -lt 120 ]; do echo "line $i of a book about $((i * 7 % 13)) cats and $((i * 5 % 11)) mats"; i=$((i + 1)); done >book.txt
run 0 train book.txt --arch llama --heads 2 --kv-heads 1 --embed 64 --ffn 128 --batch 4 --quiet --layers 2 --context 64 \
    --steps 60 --lr 3e-3 --tokenizer byte --out wide # heads of 32
run 0 train book.txt --arch llama --heads 4 --embed 64 --quiet --layers 1 --context 32 --steps 1 --tokenizer byte --out narrow

# number KEY: the first number behind "KEY": in out.
number() { sed "s/.*\"$1\": *\(-\{0,1\}[0-9.eE+-]*\).*/\1/" out; }
# below A B
below() { awk "BEGIN { exit !($1 < $2) }" || fail "$1 is not below $2"; }

# ---- bytes: two arrays a layer, of one head of 32 in each of 64 rows, beside the rows' positions ----
bytes_of() {
    run 0 plan generate wide --json "$@"
    number cache
}
values=$((2 * 2 * 64 * 32)) positions=$((64 * 8))
[ "$(bytes_of)" = $((values * 4 + positions)) ] || fail "f32: $(number cache)"
[ "$(bytes_of --cache-type f16)" = $((values * 2 + positions)) ] || fail "f16: $(number cache)"
[ "$(bytes_of --cache-type q8_0)" = $((values / 32 * 34 + positions)) ] || fail "q8_0: $(number cache)"
[ "$(bytes_of --cache-type q4_0)" = $((values / 32 * 18 + positions)) ] || fail "q4_0: $(number cache)"
[ "$(bytes_of --cache-type-k q8_0 --cache-type-v q4_0)" = $((values / 64 * (34 + 18) + positions)) ] ||
    fail "q8_0 and q4_0: $(number cache)"
[ "$(bytes_of --cache-type q8_0 --cache-type-v f32)" = $((values / 64 * 34 + values * 2 + positions)) ] ||
    fail "q8_0 and f32: $(number cache)"

# ---- what is lost, from nothing to most ----
last=-1
for type in f32 f16 q8_0 q4_0; do
    run 0 eval wide --against wide --data book.txt --cache-type $type --json
    below "$last" "$(number kl_mean)"
    last=$(number kl_mean)
    [ $type != f32 ] || below "$last" 1e-7
    [ $type != q8_0 ] || below "$last" 2e-3
done

# ---- what is made ----
run 0 generate wide -p 'line 7 of' -n 20 --temperature 0
cp out exact
run 0 generate wide -p 'line 7 of' -n 20 --temperature 0 --cache-type f32
cmp -s out exact || fail "f32 is not the default: $(cat out)"
run 0 generate wide -p 'line 7 of' -n 20 --temperature 0 --cache-type q8_0 --samples 2
[ "$(sed -n 2p out)" = "$(sed -n 1p exact)" ] || fail "a q8_0 cache says $(cat out)"

# ---- what is refused ----
run 1 generate narrow -p line -n 2 --cache-type q8_0
says 'heads are 16 wide' err
run 1 plan generate narrow --cache-type-v q4_0
says 'blocks have 32 values' err
run 2 generate wide -p line --cache-type q8
says 'q8_0' err

[ $failures = 0 ] || exit 1
