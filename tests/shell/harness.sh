# What the tests in shell share; sourced at their top. They work in an empty folder, which goes when they end.
set -u
g=$GRADUS_BIN
failures=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

fail() { echo "FAILED: $*" >&2; failures=$((failures + 1)); }
# run CODE WORDS...: the exit code; for failures the two lines on stderr and nothing on stdout.
run() {
    code=$1
    shift
    "$g" "$@" >out 2>err </dev/null
    got=$?
    [ $got = "$code" ] || fail "gradus $*: exit code $got, expected $code: $(cat err)"
    [ "$code" = 0 ] && return
    # On a busy machine there are lines of progress, too.
    [ "$(grep -vcE '^device |^[a-z]+ +[0-9]+%, ' err)" = 2 ] || fail "gradus $*: an error is two lines, found: $(cat err)"
    [ ! -s out ] || fail "gradus $*: failed, and yet wrote to stdout: $(head -3 out)"
}
says() { grep -qF -e "$1" "$2" || fail "no '$1' in: $(cat "$2")"; }
