#!/bin/sh
# What the docs say is so: code is quoted word for word from files that the build compiles, names exist, flags exist, and
# README's program compiles and runs.
set -eu
cd "$GRADUS_SOURCE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
docs="README.md CONTRIBUTING.md $(echo docs/*.md docs/decisions/*.md)"
fail() { echo "FAILED: $1" >&2; echo "$1" >>"$work/failures"; }

# Every block of C is "<!-- from FILE -->", and then its lines stand in FILE one after the other, or "<!-- runs -->".
awk -v work="$work" '
    function check(   text, part) {
        text = ""
        while ((getline part < file) > 0) text = text part "\n"
        close(file)
        blocks++
        if (index(text, code) == 0) print FILENAME ":" start ": this is not what " file " says"
    }
    /^<!-- from .* -->$/ { file = $3; next }
    /^<!-- runs -->$/ { file = "runs"; next }
    /^<!-- (file|end of|in) .* -->$/ { file = "followed"; next }
    /^```c$/ { inside = 1; start = FNR; code = ""; if (file == "") print FILENAME ":" start ": code from nowhere"; next }
    /^```$/ && inside {
        inside = 0
        if (file == "runs") printf "%s", code > (work "/readme.c")
        else if (file == "followed") { printf "%s", code > (work "/followed.c"); followed[FILENAME] = 1 }
        else if (file != "") check()
        file = ""
    }
    inside { code = code $0 "\n" }
    END { for (page in followed) print page > (work "/pages")
        if (blocks < 10) print "only " blocks " quotations found: the marks have changed" }' $docs >"$work/quotes"
while read -r line; do fail "$line"; done <"$work/quotes"

# `path/file.c:name` is something that stands in the file.
grep -no '`[a-z]*/[A-Za-z0-9_/]*\.[ch]:[A-Za-z0-9_]*`' $docs >"$work/places" || true
[ "$(wc -l <"$work/places")" -gt 30 ] || fail "only $(wc -l <"$work/places") places found: has their form changed?"
while IFS=: read -r doc line file name; do
    file=${file#?} name=${name%?}
    grep -qsw -e "$name" "$file" || fail "$doc:$line: no $name in $file"
done <"$work/places"

# Pages to be followed are.
while read -r page; do
    grep -q "^follow $page$" tests/*.sh || fail "$page: no test follows it"
done <"$work/pages"

# Every gr_ name is one of the code, or of what a page adds.
cat $(find include src -name '*.[ch]') "$work/followed.c" | grep -ow 'gr_[a-z0-9_]*' | sort -u >"$work/known"
for doc in $docs; do
    grep -ow 'gr_[a-z0-9_]*[a-z0-9]' "$doc" | sort -u | comm -23 - "$work/known" | while read -r name; do
        fail "$doc: there is no $name"
    done
done

# Every flag in a line that begins with `gradus VERB` is one of that verb.
sed -n 's/^ *gradus \([a-z]*\)\(.*\)/\1 \2/p' $docs | sed 's/#.*//' | while read -r verb rest; do
    second=${rest%% *} # "plan train" is a verb of two words
    "$GRADUS_BIN" help "$verb" "$second" >"$work/help" 2>/dev/null || "$GRADUS_BIN" help "$verb" >"$work/help" 2>&1 ||
        fail "docs: there is no verb $verb"
    for word in $rest; do
        case $word in
        --*) grep -q -e "$word " "$work/help" || fail "docs: gradus $verb has no flag $word" ;;
        esac
    done
done

# README's way from a model to a better one, on a small model and a little text.
mkdir "$work/way"
cat >"$work/way/commands" <<'END'
set -eu
gradus() { "$GRADUS_BIN" "$@"; }
MODEL=acme/small TEXT=notes.txt CHATS=chats.jsonl
for i in 1 2 3 4 5 6 7 8 9; do
    echo "The moon is a rock, and it goes round the earth $i times." >>notes.txt
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"$i and 1?\"}, {\"role\": \"assistant\", \"content\": \"$((i + 1)).\"}]}" >>chats.jsonl
done
gradus train notes.txt --tokenizer bpe:300 --layers 1 --heads 2 --embed 16 --context 64 --steps 2 --eval-fraction 0.3 --out base
cp -rL base/best small && echo '{% for m in messages %}{{ m.role[0] }}{{ m.content }}
{% endfor %}{% if add_generation_prompt %}a{% endif %}' >small/chat_template.jinja
mkdir -p hub/models/acme && mv small hub/models/acme
END
if command -v python3 >/dev/null 2>&1; then
    cat >>"$work/way/commands" <<'END'
python3 "$GRADUS_SOURCE/tests/shell/hub.py" hub & hub=$!
trap 'kill $hub' EXIT
while [ ! -e hub/port ]; do sleep 0.1; done
read -r port other <hub/port
export HF_ENDPOINT=http://127.0.0.1:$port HF_HOME=$PWD/cache no_proxy=127.0.0.1
END
else
    echo "no python3, which plays the hub: README's models are directories"
    echo 'MODEL=hub/models/acme/small' >>"$work/way/commands"
fi
awk '/^<!-- runs with a small model -->$/ { take = 1; next } /^```sh$/ && take { inside = 1; next }
    /^```$/ { take = inside = 0 } inside && !/^MODEL=/' README.md |
    if command -v python3 >/dev/null 2>&1; then cat; else grep -v '^gradus pull'; fi >>"$work/way/commands"
[ "$(grep -c '^gradus ' "$work/way/commands")" -gt 10 ] || fail "README's commands were not found"
(cd "$work/way" && echo 'Who are you?' | sh commands) >"$work/way/log" 2>&1 || { cat "$work/way/log" >&2; fail "README's commands fail"; }

if [ "$GRADUS_KIND" = plain ]; then
    # Unquoted on purpose: a compiler may be several words.
    $GRADUS_COMPILER -std=c99 -Wall -Wextra -Werror -Iinclude "$work/readme.c" -L"$GRADUS_BUILD" -lgradus \
        -Wl,-rpath,"$GRADUS_BUILD" -o "$work/readme" || fail "README's program does not compile"
    "$work/readme" || fail "README's program fails"
fi
[ ! -e "$work/failures" ]
