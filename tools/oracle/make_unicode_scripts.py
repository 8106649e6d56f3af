"""Writes src/text/unicode/unicode_scripts.c: the scripts that the pre-tokenizer UnicodeScripts of the `tokenizers` package tells
apart, read off the package itself, which knows another Unicode version than its regexes and than libraries:

    python tools/oracle/make_unicode_scripts.py > src/text/unicode/unicode_scripts.c
"""
import tokenizers
from tokenizers import pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CUT = pre_tokenizers.UnicodeScripts()


def pieces(text):
    return len(CUT.pre_tokenize_str(text))


def scripts():
    """Code point to a number of its script, for all that have one: those that are not cut from a member have its number."""
    members, script = [], {}
    for c in POINTS:
        if pieces(chr(c)) == 0:
            continue  # of no script: goes with what is before it
        near = [script.get(c - 1)] if c - 1 in script else []
        for i in near + [i for i in range(len(members)) if i not in near]:
            if pieces(chr(members[i]) + chr(c)) == 1:
                script[c] = i
                break
        else:
            script[c] = len(members)
            members.append(c)
    return script


def main():
    ranges = []
    for c, i in sorted(scripts().items()):
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == i:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, i])
    print("/* Made by tools/oracle/make_unicode_scripts.py (tokenizers %s); do not edit. */" % tokenizers.__version__)
    print('/* clang-format off */\n#include "text/unicode/unicode.h"\n\nconst gr_range gr_scripts[] = {')
    for i in range(0, len(ranges), 5):
        print("    " + " ".join("{0x%X, 0x%X, %d}," % tuple(r) for r in ranges[i : i + 5]))
    print(f"}};\nconst int gr_scripts_count = {len(ranges)};")


main()
