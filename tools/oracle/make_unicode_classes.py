"""Writes src/text/unicode/unicode_classes.c: the classes of every code point, as the `tokenizers` package has them.

The package asks four sources (Oniguruma, the regex crate, Rust's char, its own punctuation list), each of a Unicode
version of its own. Ids must be equal on every input, so the classes are read off the package itself:

    python tools/oracle/make_unicode_classes.py > src/text/unicode/unicode_classes.c
"""
import sys

import tokenizers
from tokenizers import Regex, pre_tokenizers

BLOCK = 128
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
FLAGS = ["LETTER", "NUMBER", "SPACE", "WORD", "DIGIT", "RUST_WORD", "NUMERIC", "PUNCTUATION"]


def matched(pattern):
    """Which code points an Oniguruma pattern matches."""
    kept = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str("".join(map(chr, POINTS)))
    found = set(POINTS)
    for _, (start, stop) in kept:
        found -= {POINTS[i] for i in range(start, stop)}
    return found


def pieces(pre_tokenizer, c):
    return len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a"))


def properties():
    whitespace, digits = pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)
    punctuation = pre_tokenizers.Punctuation("isolated")
    return {
        "LETTER": matched(r"\p{L}"),
        "NUMBER": matched(r"\p{N}"),
        "SPACE": matched(r"\s"),
        "WORD": matched(r"\w"),
        "DIGIT": matched(r"\d"),
        "RUST_WORD": {c for c in POINTS if pieces(whitespace, c) == 1},
        "NUMERIC": {c for c in POINTS if pieces(digits, c) == 3},
        "PUNCTUATION": {c for c in POINTS if pieces(punctuation, c) == 3},
    }


def table(name, ctype, values, per_line):
    lines = [", ".join(map(str, values[i : i + per_line])) for i in range(0, len(values), per_line)]
    body = ",\n".join("    " + line for line in lines)
    return f"const {ctype} {name}[{len(values)}] = {{\n{body}}};\n"


def main():
    props = properties()
    sets = [tuple(c in props[f] for f in FLAGS) for c in range(0x110000)]
    kinds = sorted(set(sets), key=lambda k: (sum(k), k))
    assert len(kinds) <= 16
    code = {k: i for i, k in enumerate(kinds)}
    blocks, index = {}, []
    for start in range(0, 0x110000, BLOCK):
        block = tuple(code[k] for k in sets[start : start + BLOCK])
        index.append(blocks.setdefault(block, len(blocks)))
    while index[-1] == index[-2]:
        index.pop()
    nibbles = []
    for block in blocks:
        for i in range(0, BLOCK, 16):  # sixteen code points a word, the first in the lowest bits
            nibbles.append("0x%X" % sum(v << 4 * j for j, v in enumerate(block[i : i + 16])))
    names = ["0" if not any(k) else " | ".join("GR_CLASS_" + f for f, x in zip(FLAGS, k) if x) for k in kinds]
    out = sys.stdout
    out.write("/* Made by tools/oracle/make_unicode_classes.py (tokenizers %s); do not edit. */\n" % tokenizers.__version__)
    out.write('/* clang-format off */\n#include "text/unicode/unicode.h"\n\n')
    out.write("const int gr_class_blocks = %d;\n\n" % len(index))
    out.write(table("gr_class_flags", "uint8_t", names + ["0"] * (16 - len(names)), 1) + "\n")
    out.write(table("gr_class_index", "uint16_t", index, 25) + "\n")
    out.write(table("gr_class_codes", "uint64_t", nibbles, 6))


main()
