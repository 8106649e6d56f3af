#!/bin/sh
# What a verb writes destroys nothing: no input, no file of somebody else, no pipe, no link.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

# kept FILE...: each is what its copy in was/ is.
kept() { for f; do cmp -s "$f" "was/$(basename "$f")" || fail "$f is not what it was"; done; }

mkdir was data
i=0
while [ $i -lt 60 ]; do echo "line $i of a book about cats and mats"; i=$((i + 1)); done >book.txt
cp book.txt data/a.txt
printf '{"text": "one line of records"}\n' >data/b.jsonl
cp book.txt data/a.txt data/b.jsonl was
tiny='--tokenizer byte --layers 1 --heads 2 --embed 16 --context 16 --batch 2 --steps 2 --quiet'
# shellcheck disable=SC2086
run 0 train book.txt $tiny --out base
run 0 convert base --to hf --out model
cp model/* was

# ---- an input, by whatever name ----
ln book.txt hard.txt
ln -s book.txt soft.txt
ln -s ../data/b.jsonl was/b.link
for out in book.txt ./book.txt hard.txt soft.txt "$work/data/../book.txt"; do
    run 2 tokenizer train book.txt --vocab 260 --out "$out"
    says 'is what is read' err
done
run 2 tokenizer train soft.txt --vocab 260 --out book.txt
"$g" tokenizer train - --vocab 260 --out book.txt <soft.txt >out 2>err && fail 'standard input was written over'
says 'is what is read' err
run 2 tokenizer train data --vocab 260 --out data/b.jsonl
run 2 tokenizer train data --vocab 260 --out was/b.link
kept book.txt data/a.txt data/b.jsonl
[ -L soft.txt ] || fail 'a link that was refused is gone'
mkdir snapshot blobs
for f in model/*; do cp "$f" "blobs/$(basename "$f").blob" && ln -s "../blobs/$(basename "$f").blob" "snapshot/$(basename "$f")"; done
for out in model/model.safetensors model/config.json; do run 2 dump model --ids 1,2 --out $out; done
run 2 dump snapshot --ids 1,2 --out blobs/model.safetensors.blob
says 'is what is read' err
run 2 dump base --ids 1,2 --out base/latest/training.safetensors
kept model/model.safetensors model/config.json
cmp -s blobs/model.safetensors.blob was/model.safetensors || fail 'a blob that a snapshot leads to is gone'

# ---- a folder that holds the model or the data ----
ls data model >before
run 2 finetune model book.txt --out model --steps 1
says 'holds what is read (model)' err
run 2 finetune snapshot book.txt --out "$work/snapshot" --steps 1
ln -s model alias
run 2 finetune model book.txt --out alias --steps 1
# shellcheck disable=SC2086
run 2 train data/a.txt $tiny --out data
# shellcheck disable=SC2086
run 2 train data $tiny --out data/
# shellcheck disable=SC2086
run 2 train data/a.txt --eval-data book.txt $tiny --out .
# shellcheck disable=SC2086
run 2 train soft.txt $tiny --out ./
ls data model >after
cmp -s before after || fail "something new is in data or model: $(cat after)"
[ ! -e run.json ] || fail 'a refused run left a run.json'
run 0 generate model --ids 1,2 -n 2
# A model that is not read: the name would stand for the run from then on.
for folder in model base/latest "$work/base/checkpoints/step-2" alias; do
    for resume in '' --resume; do
        # shellcheck disable=SC2086
        run 2 train book.txt $tiny $resume --out "$folder"
        says 'holds a model (config.json), which a run would hide' err
    done
done
mkdir adapter && echo '{}' >adapter/adapter_config.json
# shellcheck disable=SC2086
run 2 train book.txt $tiny --out adapter
[ "$(ls adapter)" = adapter_config.json ] || fail 'a run was begun in an adapter'
[ ! -e base/latest/run.json ] || fail 'a run was begun in a checkpoint'
# What lies deeper is not in the way.
run 0 finetune model book.txt --out model/tuned --steps 1 --context 16

# ---- files of somebody else ----
for name in metrics.jsonl loss.svg run.json latest; do
    mkdir "of-$name" && echo mine >"of-$name/$name" && echo mine >was/"$name"
    # shellcheck disable=SC2086
    run 2 train book.txt $tiny --out "of-$name"
    kept "of-$name/$name"
    [ $name = run.json ] && continue # a run's, and damaged
    # shellcheck disable=SC2086
    run 2 train book.txt $tiny --resume --out "of-$name"
    kept "of-$name/$name"
done
mkdir -p of-checkpoints/checkpoints && echo mine >of-checkpoints/checkpoints/notes
# shellcheck disable=SC2086
run 2 train book.txt $tiny --out of-checkpoints
says 'checkpoints is there' err
# A run without its run.json: nothing says what it is, and a whole command with --resume begins none over it.
cp -r base lost && rm lost/run.json && cp lost/metrics.jsonl was
# shellcheck disable=SC2086
run 2 train book.txt $tiny --resume --out lost
says 'is there, and a run would write over it' err
kept lost/metrics.jsonl
mkdir -p free/checkpoints && : >free/metrics.jsonl && echo mine >free/notes.txt
# shellcheck disable=SC2086
run 0 train book.txt $tiny --out free
[ "$(cat free/notes.txt)" = mine ] || fail 'a file beside the run is gone'
echo '{"mine": true}' >mine.json
printf 'mine' >mine.safetensors
cp mine.json mine.safetensors was
run 2 tokenizer train book.txt --vocab 260 --out mine.json
says 'has not made it' err
run 2 dump model --ids 1,2 --out mine.safetensors
run 2 dump model --ids 1,2 --out mine.json
run 2 tokenizer train book.txt --vocab 260 --out mine.safetensors
kept mine.json mine.safetensors
# A tokenizer that another program has set its own way, and one of a checkpoint.
tr -d '\n' <base/latest/tokenizer.json >compact.json && cp compact.json was
run 2 tokenizer train book.txt --vocab 260 --out compact.json
kept compact.json
run 2 tokenizer train book.txt --vocab 260 --out base/latest/tokenizer.json
says 'checksums' err
run 0 verify base

# ---- what is one's own may be written again ----
: >t.json
run 0 tokenizer train book.txt --vocab 260 --out t.json
run 0 tokenizer train book.txt --vocab 270 --out t.json
run 0 tokenize t.json 'a cat'
run 0 dump model --ids 1,2 --out d.safetensors
run 0 dump model --ids 1,2,3 --out d.safetensors
grep -q '"shape": *\[1, *3, ' d.safetensors || fail 'the second dump is not there'
run 2 tokenizer train book.txt --vocab 260 --out d.safetensors
run 2 dump model --ids 1,2 --out t.json

# ---- links, pipes, devices ----
ln -s t.json to-own
ln -s nothing-yet.json to-nothing
ln -s mine.json to-mine
run 0 tokenizer train book.txt --vocab 260 --out to-own
run 0 tokenizer train book.txt --vocab 260 --out to-nothing
run 2 tokenizer train book.txt --vocab 260 --out to-mine
[ -L to-own ] && [ -L to-nothing ] && [ -L to-mine ] || fail 'a link was replaced'
cmp -s t.json nothing-yet.json || fail 'what links lead to was not written'
kept mine.json
mkfifo pipe
cat pipe >piped &
run 0 tokenizer train book.txt --vocab 260 --out pipe
wait
[ -p pipe ] || fail 'a pipe was replaced'
cmp -s t.json piped || fail 'the pipe got something else'
cat pipe >piped &
run 0 dump model --ids 1,2 --out pipe
wait
[ -p pipe ] && head -c 200 piped | grep -q gr_dump || fail 'dump into a pipe'
run 0 tokenizer train book.txt --vocab 260 --out /dev/null
[ -c /dev/null ] || fail '/dev/null was replaced'
"$g" tokenizer train book.txt --vocab 260 --out /dev/stdout 2>err | cmp -s - t.json || fail "--out /dev/stdout: $(cat err)"
if [ -e /dev/full ]; then
    run 3 tokenizer train book.txt --vocab 260 --out /dev/full
    [ -c /dev/full ] || fail '/dev/full was replaced'
fi

# ---- known before the work is done ----
run 2 tokenizer train book.txt --vocab 260 --out data
run 2 dump model --ids 1,2 --out data
run 2 dump model --ids 1,2 --out ''
run 3 tokenizer train book.txt --vocab 260 --out nowhere/t.json
says 'gradus: --out: nowhere/t.json cannot be made: there is no folder nowhere' err
run 3 dump model --ids 1,2 --out book.txt/x/y.safetensors
says 'gradus: --out: book.txt/x/y.safetensors cannot be made: there is no folder book.txt/x' err
run 3 dump model --ids 1,2 --out book.txt/y.safetensors
says 'gradus: --out: book.txt/y.safetensors cannot be made: book.txt is no folder' err
run 3 tokenizer train book.txt --vocab 260 --out book.txt/t.json
# shellcheck disable=SC2086
run 2 train book.txt $tiny --out mine.json

# ---- a directory that is there and empty, by any of its names ----
for name in empty/ ./empty2/. empty3//; do
    mkdir "$name"
    run 0 convert model --to hf --out "$name"
    [ -f "$name/model.safetensors" ] || fail "nothing in $name"
    [ -z "$(find "$name" -name '.*new*')" ] || fail "something is left in $name"
done
[ -z "$(find . -name '.*.tmp-*')" ] || fail "something is left: $(find . -name '.*.tmp-*')"

[ $failures = 0 ] || exit 1
