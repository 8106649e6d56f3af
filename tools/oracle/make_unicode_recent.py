"""Writes src/text/unicode_recent.c: code points assigned after Unicode 14 and an older one of the same category and
UTF-8 length for each, as the `tokenizers` package's Oniguruma has them. PCRE2 libraries in use know Unicode 14.

    python tools/oracle/make_unicode_recent.py > src/text/unicode_recent.c
"""
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

# Category: substitutes of three and of four bytes. Lo is split, as patterns also ask for the script Han.
SUBSTITUTES = {
    "Han": (0x4E00, 0x20000), "Lo": (0x0905, 0x13000), "Lu": (0x1E00, 0x10400), "Ll": (0x1E01, 0x10428),
    "Lt": (0x1F88, 0x1F88), "Lm": (0x0E46, 0x16B40), "Mn": (0x0901, 0x11001), "Mc": (0x0903, 0x11000), "Nd": (0x0966, 0x104A0),
    "Nl": (0x16EE, 0x10140), "No": (0x2460, 0x10107), "Po": (0x0964, 0x10100), "Pd": (0x2010, 0x10EAD),
    "Ps": (0x2045, 0x2045), "Pe": (0x2046, 0x2046), "Sm": (0x2200, 0x1D6C1), "Sc": (0x20AC, 0x1ECB0),
    "So": (0x2600, 0x1F600),
}


def main():
    new = [c for c in range(0x800, 0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) == "Cn"]
    text = "".join(map(chr, new))
    kind = {}
    for name in ["Lo", "Lu", "Ll", "Lt", "Lm", "Mn", "Mc", "Nd", "Nl", "No", "Po", "Pd", "Ps", "Pe", "Sm", "Sc", "So", "Han"]:
        kept = pre_tokenizers.Split(Regex(rf"\p{{{name}}}"), "removed").pre_tokenize_str(text)
        found = set(range(len(new)))
        for _, (start, stop) in kept:
            found -= set(range(start, stop))
        kind.update((new[i], name) for i in found)
    ranges = []
    for c, name in sorted(kind.items()):
        substitute = SUBSTITUTES[name][c >= 0x10000]
        assert name == "Han" or unicodedata.category(chr(substitute)) == name, (hex(substitute), name)
        assert len(chr(c).encode()) == len(chr(substitute).encode()), (hex(c), name)
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == substitute:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, substitute])
    print("/* Made by tools/oracle/make_unicode_recent.py (tokenizers %s); do not edit. */" % tokenizers.__version__)
    print('/* clang-format off */\n#include "text/unicode.h"\n')
    print("const int gr_recent_count = %d;\n\nconst gr_recent_range gr_recent[] = {" % len(ranges))
    for i in range(0, len(ranges), 4):
        print("    " + " ".join("{0x%X, 0x%X, 0x%X}," % tuple(r) for r in ranges[i : i + 4]))
    print("};")


main()
