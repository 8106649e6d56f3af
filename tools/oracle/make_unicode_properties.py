"""Writes src/text/unicode/unicode_properties.c: the code points of every name that \\p{...} of the `tokenizers` package's
regexes knows, which characters are one another in another case, and where PCRE2's own properties may stand for a set.

NAMES is a list of names, one a line, as doc/UNICODE_PROPERTIES of Oniguruma's sources is; what they mean is read off the
package itself. The newest Unicode of the libraries (14 and later) is told by gr_recent of unicode_versions.c:

    python tools/oracle/make_unicode_properties.py NAMES > src/text/unicode/unicode_properties.c
"""
import ctypes
import ctypes.util
import pathlib
import re
import sys

import tokenizers
from tokenizers import Regex, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Inside of these all characters are alike; only their ends are asked for, and must agree.
ALIKE = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xE000, 0xF8FF), (0x17000, 0x187F7), (0x20000, 0x2A6DF), (0x2A700, 0x2B739),
         (0x2B740, 0x2B81D), (0x2B820, 0x2CEA1), (0x2CEB0, 0x2EBE0), (0x2FA20, 0x2FFFD), (0x30000, 0x3134A), (0x31350, 0x323AF),
         (0x323B0, 0x3FFFD)] + [(p << 16, (p << 16) + 0xFFFD) for p in range(4, 14)] + [(0xE1000, 0xEFFFD), (0xF0000, 0xFFFFD),
                                                                                    (0x100000, 0x10FFFD)]
INSIDE = [(first + 16, last - 16) for first, last in ALIKE]
ASKED = [c for c in POINTS if not any(first <= c <= last for first, last in INSIDE)]
TEXT = "".join(map(chr, ASKED))
POSIX = "alnum alpha ascii blank cntrl digit graph lower newline posixpunct print punct space upper word xdigit".split()
# Properties of PCRE2 that sets are written with, the larger ones first, and their names here.
BLOCKS = [("Alphabetic", "alphabetic"), ("L", "l"), ("M", "m"), ("N", "n"), ("P", "p"), ("S", "s"), ("Z", "z"), ("C", "c"),
          ("Lu", "lu"), ("Ll", "ll"), ("Lt", "lt"), ("Lm", "lm"), ("Lo", "lo"), ("Mn", "mn"), ("Mc", "mc"), ("Me", "me"),
          ("Nd", "nd"), ("Nl", "nl"), ("No", "no"), ("Pc", "pc"), ("Pd", "pd"), ("Ps", "ps"), ("Pe", "pe"), ("Pi", "pi"),
          ("Pf", "pf"), ("Po", "po"), ("Sm", "sm"), ("Sc", "sc"), ("Sk", "sk"), ("So", "so"), ("Cf", "cf"), ("Cn", "cn"),
          ("Lowercase", "lowercase"), ("Uppercase", "uppercase"), ("sc:Han", "han"), ("sc:Latin", "latin"),
          ("sc:Common", "common"), ("sc:Inherited", "inherited"), ("sc:Arabic", "arabic"), ("sc:Greek", "greek"),
          ("sc:Cyrillic", "cyrillic"), ("sc:Katakana", "katakana"), ("sc:Hiragana", "hiragana"), ("sc:Hangul", "hangul"),
          ("Emoji", "emoji"), ("Extended_Pictographic", "extendedpictographic")]


def pieces(pattern, text=TEXT):
    return [span for _, span in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)]


EDGES = {first for first, _ in INSIDE} | {stop + 1 for _, stop in INSIDE}


def spans(pattern):
    """The ranges of code points that an Oniguruma pattern matches; the hole of surrogates, which no text has, is closed."""
    found, last = [], 0
    for start, stop in pieces(pattern) + [(len(ASKED), len(ASKED))]:
        if start > last:
            found.append((ASKED[last], ASKED[start - 1]))
            assert ASKED[last] not in EDGES and ASKED[start - 1] + 1 not in EDGES, pattern
        last = stop
    return tuple(found)


def points(ranges):
    return {c for first, last in ranges for c in range(first, last + 1) if not 0xD800 <= c < 0xE000}


def matched(pattern):
    return points(spans(pattern))


def properties(names):
    sets = {}
    for name in names:
        try:
            sets[name] = spans(rf"[\p{{{name}}}]+")
        except Exception:
            print(name, "is not known", file=sys.stderr)
    return sets


def ranges_of(found):
    """Of a set, as spans() has them."""
    ranges = []
    for c in sorted(found):
        if ranges and (ranges[-1][1] == c - 1 or (ranges[-1][1] == 0xD7FF and c == 0xE000)):
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return tuple(map(tuple, ranges))


def cases():
    """The sets of characters that are one another when case is ignored, and the ones that are several then: of all that any
    Unicode of Python or of the package knows to change, each is asked for."""
    several = {c: chr(c).casefold() for c in POINTS if len(chr(c).casefold()) > 1}
    change = {c for c in POINTS if {chr(c)} != {chr(c).lower(), chr(c).upper(), chr(c).casefold()}}
    change |= matched(r"[\p{Cased}\p{Changes_When_Casefolded}\p{Changes_When_Casemapped}\p{M}]") - set(several)
    text, orbits, seen = "".join(map(chr, sorted(change | set(several)))), [], set()
    for c in sorted(change - set(several)):
        if c in seen:
            continue
        found, last = set(), 0
        for start, stop in pieces(rf"(?i)\x{{{c:X}}}", text) + [(len(text), len(text))]:
            found.update(map(ord, text[last:start]))
            last = stop
        assert c in found and not found & set(several), hex(c)
        if len(found) > 1:
            orbits.append(sorted(found))
            seen |= found
    # Those that are the same letters in another case are one another in classes.
    same = {}
    for c, string in several.items():
        same.setdefault(string, []).append(c)
    orbits += [sorted(group) for group in same.values() if len(group) > 1]
    for c, string in several.items():
        assert pieces(rf"(?i)\x{{{c:X}}}", string) == [] and pieces(f"(?i){string}", chr(c)) == [], hex(c)
    return orbits, several


def pcre2():
    """What the installed PCRE2 finds with a property."""
    lib = ctypes.CDLL(ctypes.util.find_library("pcre2-8"))
    lib.pcre2_compile_8.restype = lib.pcre2_match_data_create_8.restype = ctypes.c_void_p
    lib.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(ctypes.c_size_t)
    data, at, size = TEXT.encode(), {}, 0
    for i, c in enumerate(ASKED):
        at[size] = i
        size += len(chr(c).encode())
    at[len(data)] = len(ASKED)

    def find(name):
        pattern = rf"\p{{{name}}}+".encode()
        code = ctypes.c_void_p(lib.pcre2_compile_8(pattern, ctypes.c_size_t(len(pattern)), 0x80000, ctypes.byref(ctypes.c_int()),
                                                   ctypes.byref(ctypes.c_size_t()), None))
        match, start, found = ctypes.c_void_p(lib.pcre2_match_data_create_8(1, None)), 0, []
        spans = lib.pcre2_get_ovector_pointer_8(match)
        while lib.pcre2_match_8(code, data, ctypes.c_size_t(len(data)), ctypes.c_size_t(start), 0x40000000, match, None) > 0:
            found.append((ASKED[at[spans[0]]], ASKED[at[spans[1]] - 1]))
            start = spans[1]
        return points(found)

    return find


def recent():
    source = pathlib.Path(__file__).parents[2] / "src/text/unicode/unicode_versions.c"
    table = source.read_text().split("gr_recent[]")[1].split("};")[0]
    return {c for a, b in re.findall(r"\{(0x\w+), (0x\w+), ", table) for c in range(int(a, 16), int(b, 16) + 1)}


def usable(sets, new):
    """Properties of PCRE2 that are no larger than ours: name, ours, what of ours an older PCRE2 finds too, and whether it
    leaves alone the new characters that are not in ours."""
    find, blocks = pcre2(), []
    for name, ours in BLOCKS:
        theirs, have = find(name), points(sets[ours])
        missing = have - new - theirs
        if theirs - new - have or len(missing) > 60:
            print(name, len(theirs - new - have), "more and", len(missing), "fewer", file=sys.stderr)
            continue
        blocks.append((name, ours, ranges_of(have - missing), not (theirs & new) - have))
    return blocks


# ---- writing ----


class Store:
    """Numbers of any size, seven bits a byte, the lowest first."""

    def __init__(self):
        self.data, self.known, self.at = bytearray(), {}, []

    def number(self, n):
        while n > 127:
            self.data.append(n & 127 | 128)
            n >>= 7
        self.data.append(n)

    def ranges(self, found):
        """The number of a set: how many ranges, then gaps and lengths by turns."""
        if found not in self.known:
            self.known[found] = len(self.at)
            self.at.append(len(self.data))
            self.number(len(found))
            last = 0
            for first, stop in found:
                self.number(first - last)
                self.number(stop - first)
                last = stop + 1
        return self.known[found]


def rows(name, ctype, values, per_line, declared=""):
    print(f"\nconst {ctype} {name}[] = {{")
    for i in range(0, len(values), per_line):
        print("    " + " ".join(f"{v}," for v in values[i : i + per_line]))
    print("};" + declared)


def main():
    names = sorted({re.sub("[ _-]", "", line).lower() for line in open(sys.argv[1]).read().split("\n")[1:] if line} | set(POSIX))
    sets = properties(names)
    names = sorted(sets)
    store, new = Store(), recent()
    numbers = [store.ranges(sets[name]) for name in names]
    blocks = [(name, numbers[names.index(ours)], store.ranges(sure), exact) for name, ours, sure, exact in usable(sets, new)]
    orbits, several = cases()
    word, fold = store.ranges(spans(r"\w+")), store.ranges(ranges_of(several))
    first = {c: orbit[0] for orbit in orbits for c in orbit}
    folds_at = len(store.data)
    for orbit in orbits:
        store.number(len(orbit))
        last = 0
        for c in orbit:
            store.number(c - last)
            last = c
    several_at = len(store.data)
    strings = sorted({tuple(first.get(ord(c), ord(c)) for c in string) for string in several.values()})
    for string in strings:
        store.number(len(string))
        for c in string:
            store.number(c)
    while len(store.data) % 8:
        store.data.append(0)
    print("/* Made by tools/oracle/make_unicode_properties.py (tokenizers %s); do not edit. */" % tokenizers.__version__)
    print('/* clang-format off */\n#include "text/unicode/properties.h"')
    print("\nconst char gr_property_names[] =")
    for i in range(0, len(names), 8):
        print('    "' + "".join(name + "\\0" for name in names[i : i + 8]) + '"' + (";" if i + 8 >= len(names) else ""))
    rows("gr_property_numbers", "uint16_t", numbers, 30, f"\nconst int gr_property_count = {len(names)};")
    print("\nconst gr_property_block gr_property_blocks[] = {")
    for name, ours, sure, exact in blocks:
        print(f'    {{"\\\\p{{{name}}}", {ours}, {sure}, {str(exact).lower()}}},')
    print(f"}};\nconst int gr_property_block_count = {len(blocks)};")
    print(f"\nconst int gr_set_word = {word}, gr_set_several = {fold};")
    print(f"const uint32_t gr_folds_at = {folds_at}, gr_several_at = {several_at};")
    print(f"const int gr_fold_count = {len(orbits)}, gr_several_count = {len(strings)};")
    rows("gr_set_at", "uint32_t", store.at, 20)
    words = [int.from_bytes(store.data[i : i + 8], "little") for i in range(0, len(store.data), 8)]
    rows("gr_set_data", "uint64_t", ["0x%X" % w for w in words], 12)
    print(len(names), "names", len(store.at), "sets", len(store.data), "bytes", len(orbits), "orbits", file=sys.stderr)


main()
