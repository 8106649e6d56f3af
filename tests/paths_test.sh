#!/bin/sh
# Paths that are no UTF-8: a name is bytes. Every verb takes them, JSON has them as Python's os.fsdecode gives them.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

b=$(printf 'b\377')
if ! mkdir "$b" 2>/dev/null; then
    echo "skipped: this file system takes UTF-8 only"
    exit 77
fi
i=0
while [ $i -lt 200 ]; do echo "line $i of a text that nobody has read"; i=$((i + 1)); done >"$b/text$b.txt"
small='--context 16 --batch 2 --threads 1 --quiet'

run 0 tokenizer train "$b/text$b.txt" --vocab 300 --out "$b/tok$b.json" --json --quiet
says '"out": "b\udcff/tokb\udcff.json"' out
# shellcheck disable=SC2086
run 0 train "$b/text$b.txt" --tokenizer "$b/tok$b.json" --layers 1 --heads 2 --embed 16 $small --steps 4 --save-every 2 \
    --eval-fraction 0.1 --out "$b/run$b"
says '"b\udcff/textb\udcff.txt"' "$b/run$b/run.json"
says '"tokenizer": "b\udcff/tokb\udcff.json"' "$b/run$b/run.json"
rm -r "$b/run$b/checkpoints/step-4" "$b/run$b/latest"
run 0 train --resume --out "$b/run$b" --quiet
[ -e "$b/run$b/checkpoints/step-4" ] || fail "not resumed"
run 0 info "$b/run$b" --json
says 'b\udcff/runb\udcff' out
run 0 verify "$b/run$b"
run 0 convert "$b/run$b" --to hf --out "$b/model$b" --json --quiet
says '"path": "b\udcff/modelb\udcff"' out
# shellcheck disable=SC2086
run 0 finetune "$b/model$b" "$b/text$b.txt" $small --steps 2 --out "$b/adapter$b"
run 0 finetune --resume --out "$b/adapter$b" --quiet
run 0 info "$b/adapter$b"
run 0 generate "$b/adapter$b" -p a -n 3
: >"$b/model$b/$(printf 'x\376')"
run 0 info "$b/model$b" --json
says '"x?": 0' out
run 0 merge "$b/model$b" "$b/adapter$b" --out "$b/merged$b" --quiet
run 0 dump "$b/merged$b" --ids 1,2,3 --out "$b/dump$b.safetensors"
run 0 eval "$b/merged$b" --data "$b/text$b.txt" --quiet
printf '{"base_model_name_or_path": "a\\ud800"}' >"$b/adapter$b/adapter_config.json"
"$g" info "$b/adapter$b/adapter_config.json" >out 2>err && fail "half a surrogate pair that stands for no byte"

# A path of 900 characters is named whole, and what to do next is said behind it.
part=$(printf '%0150d' 7)
long=$part/$part/$part/$part/$part/$part
mkdir -p "$long"
run 3 train "$long/none.txt" --out "$long/run" --quiet
says "$long/none.txt" err
[ "$(wc -l <err)" = 2 ] || fail "an error is two lines"
run 3 train --resume --out "$long/run" --quiet
says "there is no run of the name $long/run" err
says 'Check the name; a new run needs DATA.' err
run 3 convert "$long" --to hf --out "$long/out"
says "$long/config.json: No such file or directory" err
says 'give a directory with a config.json' err

[ $failures = 0 ] && echo "paths: all pass"
exit $((failures > 0))
