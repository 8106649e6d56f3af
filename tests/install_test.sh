#!/bin/sh
# What `make install` installs can be used: a program outside the source tree is built with pkg-config, with pkg-config
# --static and with find_package, after the prefix was moved; and the shared library exports what gradus.h declares,
# versioned, and nothing else.
set -eu
[ "$GRADUS_KIND" = plain ] || { echo "skipped: only a plain build is installed"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $1" >&2; exit 1; }

"$GRADUS_CMAKE" --install "$GRADUS_BUILD" --prefix "$work/before" >/dev/null
mv "$work/before" "$work/prefix"
for file in gradus.h gradus/core.h gradus.pc gradusConfig.cmake libgradus.a bin/gradus; do
    find "$work/prefix" -path "*/$file" | grep -q . || fail "$file is not installed"
done
pc=$(dirname "$(find "$work/prefix" -name gradus.pc)")
lib=$(dirname "$pc")
# Uninstalled copies of the source must not help: build somewhere else.
cp -r "$GRADUS_SOURCE/tests/install" "$work/consumer"
cd "$work/consumer"

version=$(sed -n 's/^#define GR_VERSION_[A-Z]* \([0-9]*\)$/\1/p' "$work/prefix/include/gradus.h" | paste -sd . -)
expected="libgradus $version: 2 * 3 = 6"
run() {
    said=$("$@") || fail "$* exits with $?"
    [ "$said" = "$expected" ] || fail "$* says '$said'"
    echo "ok: $1"
}
export LD_LIBRARY_PATH="$lib" DYLD_LIBRARY_PATH="$lib"

"$GRADUS_CMAKE" -S . -B build -DCMAKE_C_COMPILER="$GRADUS_COMPILER" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
"$GRADUS_CMAKE" --build build >/dev/null
run build/with_shared
run build/with_static

case $(uname -s) in
Linux)
    # nm: "address kind name@@version"; kind A is the version's own mark.
    nm -D --defined-only "$lib/libgradus.so" | awk '$2 != "A" { print $3 }' | sort >exported
    sed -n 's/^GR_API .*[ *]\(gr_[a-z0-9_]*\)(.*/\1@@GRADUS_0/p' "$work"/prefix/include/gradus.h "$work"/prefix/include/gradus/*.h | sort >declared
    [ "$(wc -l <declared)" -gt 50 ] || fail "gradus.h was not understood: $(wc -l <declared) functions"
    diff declared exported || fail "exported (>) is not what gradus.h declares (<)"
    echo "ok: $(wc -l <exported) functions exported, all of them declared and versioned"
    # Until 1.0 a program asks for the minor version that it was linked with.
    name=libgradus.so.$(echo "$version" | awk -F. '{ print $1 == 0 ? $1 "." $2 : $1 }')
    [ -e "$lib/$name" ] || fail "there is no $name"
    ldd build/with_shared | grep -q "$name" || fail "a linked program does not ask for $name: $(ldd build/with_shared)"
    ! ldd build/with_static | grep gradus || fail "with_static needs the shared library"
    ;;
esac

command -v pkg-config >/dev/null || { echo "no pkg-config: its part is skipped"; exit 0; }
export PKG_CONFIG_PATH="$pc"
# Unquoted on purpose: flags are words.
"$GRADUS_COMPILER" consumer.c $(pkg-config --cflags --libs gradus) -o pc_shared
run ./pc_shared
# With only the archive there, -lgradus is the archive.
rm -f "$lib"/libgradus.so* "$lib"/libgradus*.dylib
"$GRADUS_COMPILER" consumer.c $(pkg-config --static --cflags --libs gradus) -o pc_static
unset LD_LIBRARY_PATH DYLD_LIBRARY_PATH
run ./pc_static

# The examples too, so that training and generating are known to need nothing but the archive.
for source in "$GRADUS_SOURCE"/examples/*.c; do
    name=$(basename "$source" .c)
    "$GRADUS_COMPILER" -std=c99 "$source" $(pkg-config --static --cflags --libs gradus) -lm -o "$name"
    "./$name" >"$name.log" 2>&1 || { cat "$name.log"; fail "example $name, linked statically"; }
    echo "ok: example $name, linked statically"
done
