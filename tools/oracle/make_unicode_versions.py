"""Writes src/text/unicode/unicode_versions.c: where the `tokenizers` package differs from libraries of Unicode 14 and later.

Its regexes know Unicode 16, its normal forms an old one. Ids must be equal on every input, so the differences are read
off the package itself (Python's unicodedata is of Unicode 14 too):

    python tools/oracle/make_unicode_versions.py > src/text/unicode/unicode_versions.c
"""
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# What patterns ask of characters: new ones are replaced by old ones that agree in all of it.
PROPERTIES = ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Po", "Pd", "Ps", "Pe", "Pi", "Pf",
              "Pc", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Cf", "Alphabetic", "Upper", "Lower", "Emoji", "Extended_Pictographic", "Han",
              "Hiragana", "Katakana", "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai", "Hangul", "Common",
              "Inherited"]


def kinds():
    """Code point to the set of its properties, as bits."""
    bits = dict.fromkeys(POINTS, 0)
    text = "".join(map(chr, POINTS))
    for i, name in enumerate(PROPERTIES):
        found, last = [], 0
        for _, (start, stop) in pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed").pre_tokenize_str(text):
            found.extend(range(last, start))
            last = stop
        for k in found + list(range(last, len(POINTS))):
            bits[POINTS[k]] |= 1 << i
    return bits


def recent():
    """Code points newer than Unicode 14, and for each an older one of the same kind and UTF-8 length."""
    bits = kinds()
    old = {}
    known = {c: unicodedata.category(chr(c)) for c in POINTS}
    for c in POINTS:
        if known[c] not in ("Cn", "Co", "Cc"):
            old.setdefault((bits[c], len(chr(c).encode())), c)
    scripts = ~((1 << PROPERTIES.index("Han")) - 1)

    def distance(a, b):
        return bin((a ^ b) & ~scripts).count("1") * 100 + bin((a ^ b) & scripts).count("1")

    categories, nearest = (1 << PROPERTIES.index("Alphabetic")) - 1, {}
    for c in POINTS:
        if c < 0x800 or known[c] != "Cn" or not bits[c] & categories:
            continue
        key = bits[c], len(chr(c).encode())
        if key not in nearest:
            nearest[key] = min((distance(kind, key[0]), old[kind, size]) for kind, size in old if size == key[1])
            if nearest[key][0]:
                names = [n for i, n in enumerate(PROPERTIES) if key[0] >> i & 1]
                print(f"U+{c:04X} {names}: U+{nearest[key][1]:04X} is {nearest[key][0]} away", file=sys.stderr)
        yield c, nearest[key][1]


def marks():
    """What StripAccents removes."""
    strip = normalizers.StripAccents()
    return [(c, 0) for c in POINTS if strip.normalize_str(chr(c)) == ""]


def inert():
    """What normal forms leave alone though Unicode 14 gives it a decomposition or a combining class."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    for c in POINTS:
        order = unicodedata.combining(chr(c))
        text = "a" + chr(c) + ("\u0334" if order > 1 else "\u0301")
        text = text if order != 1 else "a\u0301" + chr(c)
        if nfkd.normalize_str(chr(c)) != unicodedata.normalize("NFKD", chr(c)):
            yield c, 0
        elif order and nfd.normalize_str(text) != unicodedata.normalize("NFD", text):
            yield c, 0


def lower():
    """Lower case that Unicode 14 has not."""
    lowercase = normalizers.Lowercase()
    for c in POINTS:
        text = lowercase.normalize_str(chr(c))
        if len(text) == 1 and text != chr(c).lower():
            yield c, ord(text) - c


def table(name, pairs):
    ranges = []
    for c, value in pairs:
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == value:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, value])
    print(f"\nconst gr_range {name}[] = {{")
    for i in range(0, len(ranges), 4):
        print("    " + " ".join("{0x%X, 0x%X, %d}," % tuple(r) for r in ranges[i : i + 4]))
    print(f"}};\nconst int {name}_count = {len(ranges)};")


def main():
    print("/* Made by tools/oracle/make_unicode_versions.py (tokenizers %s); do not edit. */" % tokenizers.__version__)
    print('/* clang-format off */\n#include "text/unicode/unicode.h"')
    table("gr_recent", recent())
    table("gr_marks", marks())
    table("gr_inert", inert())
    table("gr_lower", lower())


if __name__ == "__main__":
    main()
