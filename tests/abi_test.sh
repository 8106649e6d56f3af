#!/bin/sh
# `tools/abi` says nothing of a library that was built again, and names what has changed in one whose public struct has
# another field. labels: slow
set -eu
[ "$GRADUS_KIND" = plain ] && [ "$(uname -s)" = Linux ] || { echo "skipped: only a plain build on Linux"; exit 77; }
command -v abidiff >/dev/null 2>&1 && command -v abidw >/dev/null 2>&1 || { echo "skipped: no abidiff (tools/setup --dev)"; exit 77; }
cd "$GRADUS_SOURCE"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }

# Built once, and again when sources have changed; like tools/abi does, where the tests are built.
"$GRADUS_CMAKE" -S . -B "$GRADUS_BUILD/abi" -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O0 -g" -DGRADUS_TESTS=OFF >/dev/null
"$GRADUS_CMAKE" --build "$GRADUS_BUILD/abi" --target gradus_static -j 2 >"$work/log" 2>&1 || { cat "$work/log"; fail "the library does not build"; }
libraries=$(sed -n 's/^Libs\(\.private\)*: *//p' "$GRADUS_BUILD/gradus.pc" | tr '\n' ' ' | sed 's/-L[^ ]*{libdir}//; s/-lgradus//')

build() { # INCLUDE NAME: the library, with one of its files compiled again. Unquoted on purpose: words.
    $GRADUS_COMPILER -std=gnu11 -O0 -g -fPIC -fvisibility=hidden "-I$1" -Isrc -c src/infer/evaluate.c -o "$work/evaluate.c.o"
    cp "$GRADUS_BUILD/abi/libgradus.a" "$work/$2.a"
    ar r "$work/$2.a" "$work/evaluate.c.o" # the one of this name
    $GRADUS_COMPILER -shared -Wl,--version-script=cmake/gradus.map -Wl,--whole-archive "$work/$2.a" -Wl,--no-whole-archive \
        $libraries -lm -lpthread -ldl -o "$work/$2.so"
}
build include first
build include again
cp -r include "$work/include"
sed 's/^    int64_t stride;  \(.*from window to window\)/    int32_t stride;  \1/' include/gradus/generate.h >"$work/include/gradus/generate.h"
cmp -s include/gradus/generate.h "$work/include/gradus/generate.h" && fail "the field to change was not found"
build "$work/include" changed

tools/abi --save --dump "$work/dump" "$work/first.so"
tools/abi --dump "$work/dump" "$work/again.so" >"$work/says" || { cat "$work/says"; fail "a library built again is not the same"; }
grep -q 'nothing has changed' "$work/says" || { cat "$work/says"; fail "a library built again is not the same"; }
! tools/abi --dump "$work/dump" "$work/changed.so" >"$work/says" 2>&1 || fail "a changed field was not noticed"
grep -q gr_evaluate_options "$work/says" || { cat "$work/says"; fail "the struct is not named"; }
! tools/abi --dump "$work/dump" build/no-such-library.so >/dev/null 2>&1 || fail "a library that is not there is fine"
