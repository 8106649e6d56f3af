# A page of docs/ followed to the letter, on a copy of the tree; sourced. A block of code on the page says in the comment
# above it what is to be done with it:
#
#     <!-- file PATH -->             it is a new file
#     <!-- end of PATH -->           it goes to the end of that file
#     <!-- in PATH after TEXT -->    its lines go behind the first line that has TEXT
#     <!-- in PATH behind TEXT -->   its one line goes right behind TEXT
#     <!-- run -->                   commands; `make` builds the programs that they name, nothing else
#
# `follow_open` makes the copy, `follow PAGE` changes it and keeps the page's commands for `follow_run`, which builds once for
# all pages and runs them.
. "$GRADUS_SOURCE/tests/shell/harness.sh"

follow_stop() { echo "FAILED: $*" >&2; exit 1; }

follow_open() {
    mkdir tree marks
    for part in CMakeLists.txt Makefile LICENSE README.md cmake include src tests docs; do
        cp -r "$GRADUS_SOURCE/$part" tree
    done
    mkdir tree/examples tree/bench tree/fuzz
    : >commands
}

# Each marked block of the page as two files: N.mark, and N.code with the code as it stands.
follow_split() {
    rm -f marks/*
    awk '
        /^<!-- (file|end of|in|run).*-->$/ { mark = $0; sub(/^<!-- /, "", mark); sub(/ -->$/, "", mark); next }
        /^```/ && inside { inside = 0; mark = ""; close(code); next }
        /^```/ && mark != "" {
            inside = 1
            name = sprintf("marks/%03d", ++n)
            print mark > (name ".mark")
            close(name ".mark")
            code = name ".code"
            printf "" > code
            next
        }
        inside { print > code }' "$1"
}

# PATH HOW TEXT CODE
follow_insert() {
    [ -f "tree/$1" ] || follow_stop "$page: there is no $1"
    TEXT=$3 awk -v how="$2" -v code="$4" '
        { at = found ? 0 : index($0, ENVIRON["TEXT"]) }
        at && how == "behind" {
            found = 1
            getline more < code
            at += length(ENVIRON["TEXT"])
            print substr($0, 1, at - 1) more substr($0, at)
            next
        }
        { print }
        at { found = 1; while ((getline more < code) > 0) print more }
        END { exit !found }' "tree/$1" >edited || follow_stop "$page: no '$3' in $1"
    cat edited >"tree/$1"
}

follow() {
    page=$1
    follow_split "$GRADUS_SOURCE/$page"
    for mark in marks/*.mark; do
        [ -f "$mark" ] || follow_stop "$page has nothing to follow"
        code=${mark%.mark}.code
        what=$(cat "$mark")
        case $what in
        "file "*)
            [ ! -e "tree/${what#file }" ] || follow_stop "$page: ${what#file } is there already"
            cp "$code" "tree/${what#file }" ;;
        "end of "*)
            [ -f "tree/${what#end of }" ] || follow_stop "$page: there is no ${what#end of }"
            { echo; cat "$code"; } >>"tree/${what#end of }" ;;
        "in "*" after "*) path=${what#in }; follow_insert "${path%% *}" after "${what#* after }" "$code" ;;
        "in "*" behind "*) path=${what#in }; follow_insert "${path%% *}" behind "${what#* behind }" "$code" ;;
        run) cat "$code" >>commands ;;
        *) follow_stop "$page: what is '$what'?" ;;
        esac
    done
}

# Unoptimized: it is built for a few seconds of tests.
follow_run() {
    cd tree || exit 1
    targets=$(grep -ow 'build/tests/[a-z_]*\|build/gradus' ../commands | sort -u | sed 's|.*/||; s|^gradus$|gradus_cli|')
    "$GRADUS_CMAKE" -S . -B build -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0 \
        -DCMAKE_C_COMPILER="$GRADUS_COMPILER" >../log 2>&1 || { cat ../log; follow_stop "cmake"; }
    # Unquoted on purpose: words.
    "$GRADUS_CMAKE" --build build -j2 --target $targets >../log 2>&1 || { tail -40 ../log; follow_stop "the build"; }
    grep -v '^make$' ../commands >../run.sh
    # The copy's build, not the one whose test this is.
    (unset GRADUS_BUILD GRADUS_BIN; sh -e ../run.sh) >../log 2>&1 || { tail -40 ../log; follow_stop "what the pages run"; }
    tail -3 ../log
}
