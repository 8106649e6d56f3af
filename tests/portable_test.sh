#!/bin/sh
# The portable executable needs the C library and nothing else: by its list of needed libraries, and by running in a
# root file system that has nothing but the C library's files.
set -eu
[ "$GRADUS_KIND" = portable ] || { echo "skipped: not a portable build"; exit 77; }
fail() { echo "FAILED: $1" >&2; exit 1; }
needed=$(readelf -d "$GRADUS_BIN" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
echo "needs:" $needed
for library in $needed; do
    case $library in
    libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | ld-linux*) ;;
    *) fail "gradus needs $library" ;;
    esac
done
[ "$(id -u)" = 0 ] || { echo "not root: the run in a bare root is skipped"; exit 0; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$GRADUS_BIN" "$root/gradus"
for path in $(ldd "$GRADUS_BIN" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$path")"
    cp -L "$path" "$root$path"
done
chroot "$root" /gradus --version || fail "gradus --version in a bare root"
