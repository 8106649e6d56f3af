"""Writes src/text/unicode/unicode_graphemes.c: what the normalizers Precompiled and BertNormalizer of the `tokenizers` package
ask of characters.

Precompiled looks a grapheme cluster of less than six bytes up as one, so it matters where clusters end, but for pairs of
regional indicators: these are longer alone or together with anything. BertNormalizer drops "other" characters and
non-spacing marks of an old Unicode. Both are read off the package itself:

    python tools/oracle/make_unicode_graphemes.py > src/text/unicode/unicode_graphemes.c
"""
import tokenizers
from charsmap import charsmap
from make_unicode_versions import POINTS, table
from tokenizers import normalizers

NAMES = ["EXTEND", "LINKER", "NON_JOINER", "JOINER", "SPACING", "PREPEND", "CONTROL", "PICTOGRAPH", "L", "V", "T", "SYLLABLE",
         "CONSONANT"]  # of src/text/unicode/graphemes.c, from 1 on


def joins(first, rest):
    """Whether first + rest, less than six bytes, is one cluster: then it becomes what `first` becomes."""
    return normalizers.Precompiled(charsmap({first: "#"})).normalize_str(first + rest) == "#"


def pictographs():
    """With U+00A9 and a joiner before it, such a character makes a cluster of six bytes and more: nothing is one then."""
    mapping = normalizers.Precompiled(charsmap({"©": "#"}))
    return {c for c in POINTS if mapping.normalize_str("©\u200d" + chr(c)).startswith("#\u200d")}


def jamo(before):
    """What a cluster of five bytes goes on with."""
    mapping = normalizers.Precompiled(charsmap({"\u0600": "#"}))
    return {c for c in POINTS if mapping.normalize_str("\u0600" + before + chr(c)).startswith("#" + before)}


def short_clusters():
    """Sets by name: what goes on a cluster, begins one, is none; pictographs; Hangul."""
    letter = normalizers.Precompiled(charsmap({"a": "#"}))
    joined = {c for c in POINTS if c and letter.normalize_str("a" + chr(c)) == "#"}
    others = [c for c in POINTS if c and c not in joined]
    after_l, after_v, after_t = jamo("\u1100") - joined, jamo("\u1161") - joined, jamo("\u11a8") - joined
    syllables = {c for c in after_l if 0xAC00 <= c < 0xD7A4}
    return {
        "joined": joined,
        "PREPEND": {c for c in others if joins(chr(c), "a")},
        "CONTROL": {0} | {c for c in others if c < 0x10000 and not joins(chr(c), "\u0301")},
        "PICTOGRAPH": pictographs() - joined,
        "T": after_t,
        "V": after_v - after_t,
        "SYLLABLE": syllables,
        "L": after_l - after_v - syllables,
    }


def rows(mapped, before, after, whole):
    """The points that between two strings make one cluster of them, so that `mapped` and a mark stay what they are."""
    mapping = normalizers.Precompiled(charsmap({mapped: "#"}))
    return {c for c in POINTS if c and mapping.normalize_str(before + chr(c) + after).endswith(whole)}


def long_clusters():
    """Which marks may stand between a pictograph and a joiner; consonants and linkers of Indic conjuncts, and what may
    stand between."""
    between = rows("©", "©", "\u200d©\u0301", "#\u0301")
    consonants = rows("क", "", "\u094dक\u0301", "#\u0301")
    linkers = rows("क", "क", "क\u0301", "#\u0301")
    inner = rows("क", "क", "\u094dक\u0301", "#\u0301") - linkers - consonants
    return between, consonants, linkers, inner


def classes(short, between, consonants, linkers, inner):
    """Code point to its number, once a class."""
    between, linkers = between - short["PICTOGRAPH"], linkers - short["PREPEND"]
    assert linkers <= between <= short["joined"] and inner == (between | {0x200D}) - linkers - {0x200C}
    short["LINKER"], short["NON_JOINER"], short["JOINER"], short["CONSONANT"] = linkers, {0x200C}, {0x200D}, consonants
    short["EXTEND"] = between - linkers - {0x200C}
    short["SPACING"] = short.pop("joined") - between - {0x200D}
    found = {}
    for name, points in short.items():
        for c in points:
            assert c not in found, (hex(c), name)
            found[c] = NAMES.index(name) + 1
    return sorted(found.items())


def bert():
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    strip = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    pad = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False)
    dropped = [(c, 0) for c in POINTS if clean.normalize_str(chr(c)) == ""]
    marks = [(c, 0) for c in POINTS if strip.normalize_str(chr(c)) == ""]
    padded = [(c, 0) for c in POINTS if pad.normalize_str(chr(c)) == f" {chr(c)} "]
    return dropped, marks, padded


def main():
    print("/* Made by tools/oracle/make_unicode_graphemes.py (tokenizers %s); do not edit. */" % tokenizers.__version__)
    print('/* clang-format off */\n#include "text/unicode/graphemes.h"')
    table("gr_graphemes", classes(short_clusters(), *long_clusters()))
    dropped, marks, padded = bert()
    table("gr_bert_dropped", dropped)
    table("gr_bert_marks", marks)
    table("gr_bert_padded", padded)


if __name__ == "__main__":
    main()
