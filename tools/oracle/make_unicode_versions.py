"""Writes src/text/unicode_versions.c: where the `tokenizers` package differs from libraries of Unicode 14 and later.

Its regexes know Unicode 16, its normal forms an old one. Ids must be equal on every input, so the differences are read
off the package itself (Python's unicodedata is of Unicode 14 too):

    python tools/oracle/make_unicode_versions.py > src/text/unicode_versions.c
"""
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Category: substitutes of three and of four bytes. Lo is split, as patterns also ask for the script Han.
SUBSTITUTES = {
    "Han": (0x4E00, 0x20000), "Lo": (0x0905, 0x13000), "Lu": (0x1E00, 0x10400), "Ll": (0x1E01, 0x10428),
    "Lt": (0x1F88, 0x1F88), "Lm": (0x0E46, 0x16B40), "Mn": (0x0901, 0x11001), "Mc": (0x0903, 0x11000), "Nd": (0x0966, 0x104A0),
    "Nl": (0x16EE, 0x10140), "No": (0x2460, 0x10107), "Po": (0x0964, 0x10100), "Pd": (0x2010, 0x10EAD),
    "Ps": (0x2045, 0x2045), "Pe": (0x2046, 0x2046), "Sm": (0x2200, 0x1D6C1), "Sc": (0x20AC, 0x1ECB0),
    "So": (0x2600, 0x1F600),
}


def recent():
    """Code points newer than Unicode 14, and an older one of the same category and UTF-8 length for each."""
    new = [c for c in POINTS if c >= 0x800 and unicodedata.category(chr(c)) == "Cn"]
    kind = {}
    for name in [k for k in SUBSTITUTES if k != "Han"] + ["Han"]:
        kept = pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed").pre_tokenize_str("".join(map(chr, new)))
        found = set(range(len(new)))
        for _, (start, stop) in kept:
            found -= set(range(start, stop))
        kind.update((new[i], name) for i in found)
    for c, name in sorted(kind.items()):
        substitute = SUBSTITUTES[name][c >= 0x10000]
        assert name == "Han" or unicodedata.category(chr(substitute)) == name, (hex(substitute), name)
        assert len(chr(c).encode()) == len(chr(substitute).encode()), (hex(c), name)
        yield c, substitute


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
    print('/* clang-format off */\n#include "text/unicode.h"')
    table("gr_recent", recent())
    table("gr_marks", marks())
    table("gr_inert", inert())
    table("gr_lower", lower())


main()
