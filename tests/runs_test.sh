#!/bin/sh
# Runs as people treat them: moved, copied, begun twice, their data changed, their readers gone. What is in a run: run_test.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

lines() { grep -c '"loss"' "$1/metrics.jsonl"; }
small='--layers 1 --heads 2 --embed 16 --context 16 --batch 2 --threads 1 --quiet'
# half NAME WORDS...: a run of 20 steps that was stopped at step 10.
half() {
    name=$1
    shift
    # shellcheck disable=SC2086
    run 0 train "$@" $small --steps 20 --save-every 10 --out "$name"
    rm -r "$name/checkpoints/step-20" "$name/latest"
}

i=0
while [ $i -lt 60 ]; do echo "line $i of a text that nobody has read, or will"; i=$((i + 1)); done >a.txt
tail -20 a.txt >b.txt
tail -9 a.txt >eval.txt

# ---- --resume of what is not there ----
for verb in train finetune; do
    run 3 $verb --resume --out misspelt
    says 'misspelt' err
    mkdir empty
    run 3 $verb --resume --out empty
    says 'empty holds no run' err
    [ -d empty ] && [ ! -e misspelt ] || fail "$verb --resume made or removed a folder"
    rmdir empty
done
run 3 train --resume --out a.txt

# ---- a start that fails stands in nobody's way ----
for wrong in '--batch 10000000000' '--tokenizer nowhere.json' '--context 1000000000' '--init nowhere'; do
    # shellcheck disable=SC2086
    "$g" train a.txt --layers 1 --heads 2 --embed 16 --steps 2 $wrong --out new/run >out 2>err && fail "$wrong is trained"
    [ ! -e new ] || fail "$wrong leaves $(find new)"
done

# ---- killed before its first checkpoint: the same command again, with --resume or without ----
for again in '' '--resume'; do
    # shellcheck disable=SC2086
    run 0 train a.txt $small --steps 4 --out early
    rm -r early/checkpoints/* early/latest
    # shellcheck disable=SC2086
    run 0 train a.txt $small --steps 4 $again --out early
    says 'before its first checkpoint' err
    [ "$(lines early)" = 4 ] || fail "begun anew: $(lines early) steps"
    # shellcheck disable=SC2086
    run 2 train a.txt $small --steps 4 --out early
    says 'already holds a run' err
    rm -r early/checkpoints early/latest early/metrics.jsonl # not one step
    # shellcheck disable=SC2086
    run 0 train a.txt $small --steps 4 $again --out early
    rm -r early
done

# ---- the same bytes are the same data, wherever they lie ----
mkdir home
cp a.txt b.txt eval.txt home
(cd home && "$g" train a.txt b.txt --eval-data eval.txt $small --steps 20 --save-every 10 --out run 2>err) || fail 'train'
rm -r home/run/checkpoints/step-20 home/run/latest
cp -r home/run home/run2
cp -r home/run home/run3
run 0 train --resume --out home/run # from another folder: where they were
mv home moved
run 0 train --resume --out moved/run2 # moved along with the run
cmp -s moved/run/latest/model.safetensors moved/run2/latest/model.safetensors || fail 'a moved run ends elsewhere'
mkdir texts
mv moved/a.txt texts/1.txt
mv moved/b.txt texts/2.txt
run 0 train texts --eval-data moved/eval.txt --resume --out moved/run3 # a folder with both of them
cmp -s moved/run/latest/model.safetensors moved/run3/latest/model.safetensors || fail 'renamed data'
run 3 train texts/2.txt texts/1.txt --resume --out moved/run3 # in another order it is another text
says 'those that the run was begun with' err

# ---- other bytes are refused, or accepted and noted ----
for change in 'echo a line of text >>c.txt' 'tr a-y b-z <a.txt >c.txt' 'head -c 300 a.txt >c.txt' 'rm c.txt'; do
    cp a.txt c.txt
    half changed c.txt --tokenizer char
    eval "$change"
    cp changed/metrics.jsonl before.jsonl
    run 3 train --resume --out changed
    says 'c.txt' err
    cmp -s before.jsonl changed/metrics.jsonl || fail "$change: metrics of a refused run"
    if [ -e c.txt ] && [ "$change" != 'tr a-y b-z <a.txt >c.txt' ]; then
        run 0 train --resume --data-changed --out changed
        says 'warning: ' err
        says '"changes"' changed/run.json
        says '"step": 20' changed/run.json
        run 0 train --resume --out changed # these are its data now
        says '"changes"' changed/run.json
    fi
    rm -r changed
done
half evaluated a.txt --eval-data eval.txt
echo more >>eval.txt
run 3 train --resume --out evaluated
says 'eval.txt' err
run 0 train --resume --data-changed --out evaluated
says '"input": "eval-data"' evaluated/run.json
run 2 train --resume --out evaluated --eval-fraction 0.1
says 'contradicts the run' err
# What came through a pipe is known by its bytes as well.
# shellcheck disable=SC2086
"$g" train - $small --steps 20 --save-every 10 --out piped <a.txt 2>err || fail "train -: $(cat err)"
rm -r piped/checkpoints/step-20 piped/latest
run 3 train b.txt --resume --out piped
run 0 train a.txt --resume --out piped

# ---- lion's own beta2 is what its run goes on with ----
# shellcheck disable=SC2086
run 0 train a.txt $small --optimizer lion --steps 20 --save-every 10 --out lion
says '"beta2": "0.99"' lion/run.json
cp lion/checkpoints/step-20/model.safetensors whole.safetensors
rm -r lion/checkpoints/step-20 lion/latest
run 0 train --resume --out lion
cmp -s lion/checkpoints/step-20/model.safetensors whole.safetensors || fail 'lion: a run that is gone on with has other weights'

# ---- copied without links ----
half linked a.txt --eval-fraction 0.1 --eval-every 5
"$g" train --resume --out linked --quiet 2>err || fail "$(cat err)"
cp -rL linked copied
run 0 verify copied
run 0 train --resume --out copied
[ -L copied/latest ] && [ -L copied/best ] || fail 'no links again'
cmp -s linked/best/model.safetensors copied/best/model.safetensors || fail 'another best'

# ---- readers that go away, limits ----
# shellcheck disable=SC2086
"$g" train a.txt $small --steps 100000000 --save-every 0 --json --out piped2 2>err | head -n 3 >/dev/null
[ -e "piped2/checkpoints/step-$(lines piped2)/model.safetensors" ] || fail 'a broken pipe loses steps'
says 'which is saved' err
# shellcheck disable=SC2086
(trap '' PIPE && exec "$g" train a.txt $small --steps 100000000 --save-every 0 --json --out piped3) 2>err | head -n 3 >/dev/null
[ -e "piped3/checkpoints/step-$(lines piped3)/model.safetensors" ] || fail 'an ignored broken pipe loses steps'
# shellcheck disable=SC2086
(ulimit -f 8 && exec "$g" train a.txt $small --steps 2 --out limited) >out 2>err
[ $? = 3 ] || fail "train under ulimit -f: $(cat err)"
says 'ulimit -f' err
find limited -name '.*' | grep -q . && fail "left behind: $(find limited)"
(ulimit -f 8 && exec "$g" convert linked --to hf --out saved) >out 2>err
[ $? = 3 ] || fail "convert under ulimit -f: $(cat err)"
find . -name '*saved*' | grep -q . && fail "left behind: $(find . -name '*saved*')"

# ---- a run without end, an epoch that is less than a batch ----
for steps in '--steps 4G' '--steps 1000000000000' '--epochs 1e9'; do
    # shellcheck disable=SC2086
    "$g" train a.txt $small $steps --save-every 0 --json --out endless 2>err | head -n 2 | grep -q '"step":2' ||
        fail "$steps: $(cat err)"
    rm -rf endless
    # shellcheck disable=SC2086
    run 0 plan train a.txt $small $steps
    says 'it fits' out
done
i=0
while [ $i -lt 5 ]; do echo "{\"prompt\": \"$i?\", \"completion\": \" $i!\"}"; i=$((i + 1)); done >few.jsonl
for shape in '--batch 4' '--batch 2 --accumulate 3' '--batch 64'; do
    # shellcheck disable=SC2086
    run 0 train few.jsonl --documents apart --layers 1 --heads 2 --embed 16 --context 64 $shape --epochs 3 --out few
    [ "$(lines few)" = 3 ] || fail "$shape: three epochs are $(lines few) steps"
    says 'less than the' err
    rm -r few
done

# ---- a run goes on with its own device, unless another one is named ----
half afar a.txt --device far
run 0 train --resume --out afar
says '"device": "far"' afar/run.json
grep -q '^device cpu' err && fail 'a run that was begun on far went on somewhere else'
rm -r afar/checkpoints/step-20 afar/latest
run 0 train --resume --out afar --device ref
says '"device": "ref"' afar/run.json
rm -r afar

# ---- on a device that works while the host makes the next batch: the same weights ----
sed 's/.*/{"text": "&"}/' a.txt >a.jsonl
for data in a.txt a.jsonl; do
    for device in cpu far; do
        # shellcheck disable=SC2086
        run 0 train $data $small --accumulate 3 --steps 12 --eval-every 5 --device $device --out "on-$device"
    done
    cmp -s on-cpu/latest/model.safetensors on-far/latest/model.safetensors || fail "$data: other weights on far"
    rm -r on-cpu on-far
done

[ $failures = 0 ] || exit 1
