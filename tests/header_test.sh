#!/bin/sh
# The program on top of gradus.h, as it stands there, and all of examples/ compile without a warning as C11, compile as
# C++17, and run.
set -eu
[ "$GRADUS_KIND" = plain ] || { echo "skipped: only a plain build has the shared library"; exit 77; }
cd "$GRADUS_SOURCE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }

# What is indented in the first comment, from its #include to the brace that ends main.
awk '/^ \*     #include / { take = 1 } take { sub(/^ \*(     )?/, ""); print } /^}$/ { exit }' include/gradus.h >"$work/first.c"
[ "$(wc -l <"$work/first.c")" -gt 20 ] || fail "the program of gradus.h was not found"
cp examples/*.c "$work"
[ "$(ls "$work"/*.c | wc -l)" -gt 5 ] || fail "the examples were not found"

cxx=
for name in "${CXX:-c++}" g++ clang++; do
    command -v "$name" >/dev/null 2>&1 && cxx=$name && break
done
[ -n "$cxx" ] || echo "no C++ compiler: its part is skipped"

link() { # COMPILER FLAG... SOURCE
    "$@" -Iinclude -L"$GRADUS_BUILD" -lgradus -Wl,-rpath,"$GRADUS_BUILD" -lm -o "$work/program" || fail "$*"
    case $2 in *++*) says=cxx ;; *) says=c ;; esac
    "$work/program" >"$work/$(basename "$source").$says" || fail "$*: exits with $?"
}
for source in "$work"/*.c; do
    # Unquoted on purpose: a compiler may be several words.
    link $GRADUS_COMPILER -std=c11 -pedantic -Wall -Wextra -Werror "$source"
    [ -z "$cxx" ] || link "$cxx" -std=c++17 -x c++ -Wall -Werror "$source" -x none
    echo "ok: $(basename "$source")"
done
for says in "$work"/first.c.*; do
    [ "$(cat "$says")" = "$(sed -n 's|.*// \(-0.*\)$|\1|p' "$work/first.c")" ] || fail "the program of gradus.h says $(cat "$says")"
done

# A C++ program's own warnings meet the header and what its macros make.
printf '#include <gradus.h>\nint main() { return (int)GR_INIT(gr_verify_options).size == 0 || GR_VERSION_NUMBER == 0; }\n' >"$work/init.cc"
source="$work/init.cc"
[ -z "$cxx" ] || link "$cxx" -std=c++17 -Wall -Wextra -pedantic -Werror "$source"
