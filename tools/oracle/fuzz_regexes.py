"""Random regexes through Gradus and the `tokenizers` package: where they match, seen through Split in every behaviour and
through Replace. A pattern that the package refuses is left out; one that Gradus refuses is counted with its reason.

    python tools/oracle/fuzz_regexes.py build/gradus [--count TEXTS] [--seed N] [--per TEXTS_A_PATTERN]
"""
import argparse
import collections
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from tokenizers import Regex, Tokenizer

HOW = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
LETTERS = ["a", "b", "s", "k", "S", "K", "é", "É", "я", "Я", "中", "あ", "ア", "ſ", "1", "٣", " ", "\\n", "-", "_", "'", "½", "²", "🙂", "ß", "\u0301",
           "ǅ", "\u1c89", "\U00010d50", "𐐀", "к", "Σ", "ς", "σ", "İ", "f", "i", "t", "μ", "µ", "\\.", "\\t", "x"]
PROPERTIES = """L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cn Co Letter Lowercase_Letter
Uppercase_Letter Titlecase_Letter Cased_Letter LC Modifier_Letter Other_Letter Mark Nonspacing_Mark Number Decimal_Number Letter_Number
Other_Number Punctuation Connector_Punctuation Dash_Punctuation Symbol Math_Symbol Currency_Symbol Separator Space_Separator Control Format
Unassigned Private_Use Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper XDigit Word ASCII Any Assigned Alphabetic Uppercase
Lowercase White_Space Math Emoji Emoji_Presentation Extended_Pictographic ID_Start ID_Continue XID_Start Ideographic Dash Hex_Digit
Default_Ignorable_Code_Point Cased Case_Ignorable Diacritic Extender Han Hiragana Katakana Hangul Latin Greek Cyrillic Arabic Hebrew
Devanagari Thai Tibetan Georgian Armenian Ethiopic Common Inherited Zyyy Hira Hang Grek Cyrl Arab Hani In_Basic_Latin In_Latin_1_Supplement
In_CJK_Unified_Ideographs In_Hiragana In_Katakana In_Hangul_Syllables In_Cyrillic In_Arabic In_Emoticons InGeneralPunctuation
in_hira_gana InCJKSymbolsAndPunctuation Script_Han other_LETTER  decimal-number xid_continue upper-case""".split()
POSIX = "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word".split()
CLASSES = ["\\d", "\\D", "\\s", "\\S", "\\w", "\\W", "\\h", "\\H"]


def name(rng):
    return rng.choice(PROPERTIES[:40] if rng.random() < 0.5 else PROPERTIES)


def a_property(rng):
    if rng.random() < 0.15:
        return rng.choice(["\\p", "\\P"]) + rng.choice("LMNPSZC")
    return rng.choice(["\\p{", "\\p{", "\\p{", "\\P{", "\\p{^", "\\P{^"]) + name(rng) + "}"


def a_code(rng):
    c = rng.choice([0x41, 0x62, 0x73, 0xE9, 0x43A, 0x4E2D, 0x3042, 0x1F642, 0x20, 0x0A, 0x1C89])
    kinds = [f"\\x{{{c:x}}}", f"\\x{{{c:06X}}}", f"\\o{{{c:o}}}", f"\\o{{0{c:o}}}", "".join(f"\\x{b:02x}" for b in chr(c).encode())]
    if c < 0x10000:
        kinds += [f"\\u{c:04x}", f"\\u{c:04X}"]
    if c < 128:
        kinds += [f"\\{c:03o}", f"\\x{c:x}"]
    return rng.choice(kinds)


def member(rng, depth):
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(LETTERS)
    if kind < 0.5:
        return rng.choice(["a-f", "b-y", "A-Z", "0-9", "à-ÿ", "а-я", "一-龥", "ぁ-ん", "\\u3040-\\u30ff", "\\x{4e00}-\\x{9fa5}", "!-/", "\\x21-\\x2f",
                           " -~", "\\x{10000}-\\x{10ffff}", "\\x{1f300}-\\x{7fffffff}", "s-t"])
    if kind < 0.62:
        return rng.choice(CLASSES)
    if kind < 0.74:
        return a_property(rng)
    if kind < 0.82:
        return rng.choice(["[:", "[:", "[:^"]) + rng.choice(POSIX) + ":]"
    if kind < 0.87:
        return a_code(rng)
    if kind < 0.9:
        return rng.choice(["-", "&", "^", "\\]", "\\[", "\\-", ".", "(", "|", "$", "\\b", "\\q", "#"])
    return a_class(rng, depth + 1) if depth < 3 else "a"


def a_class(rng, depth=0):
    parts = ["".join(member(rng, depth) for _ in range(rng.choice((1, 1, 2, 3, 5)))) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    if rng.random() < 0.1:
        parts[rng.randrange(len(parts))] = ""
    return "[" + rng.choice(["", "", "^"]) + rng.choice([""] * 20 + ["]", "-"]) + "&&".join(parts) + rng.choice([""] * 8 + ["-"]) + "]"


def a_literal(rng, look):
    return "".join(rng.choice(LETTERS) for _ in range(rng.choice((1, 1, 2, 3))))


def an_atom(rng, depth, look):
    kind = rng.random()
    if kind < 0.26:
        return a_literal(rng, look)
    if kind < 0.5:
        return a_class(rng)
    if kind < 0.58:
        return rng.choice(CLASSES)
    if kind < 0.68:
        return a_property(rng)
    if kind < 0.72:
        return a_code(rng)
    if kind < 0.76:
        return rng.choice([".", ".", "\\O", "\\N", "\\R", "\\X", "\\e", "\\cA", "\\C-j", "\\y"])
    if depth > 3:
        return "a"
    body = alternatives(rng, depth + 1, look)
    return rng.choice(["(", "(?:", "(?:", "(?>", "(?i:", "(?m:", "(?x: ", "(?-i:", "(?im-x:", "(?<n>", "(?'m'"]) + body + ")"


def an_anchor(rng, depth, look):
    if rng.random() < 0.6 or depth > 2:
        return rng.choice(["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\G", "\\K", "(?#a \\) b)"])
    opening = rng.choice(["(?=", "(?!", "(?<=", "(?<!"])
    if "<" in opening:
        inner = "|".join(rng.choice([a_class(rng), a_literal(rng, True), rng.choice(CLASSES), "^", "a{2}"]) for _ in range(rng.choice((1, 1, 2))))
        return opening + inner + ")"
    return opening + alternatives(rng, depth + 1, look) + ")"


REPEATS = ["*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,3}", "{2,}", "{,2}", "{0}", "{1}", "{3,1}", "{1,2}?", "{2}?", "{2}+", "{1,3}+",
           "{,}", "{x}", "{2", "{0,1}", "{2,}+", "{,2}?"]


def branch(rng, depth, look):
    out = ""
    for _ in range(rng.choice((1, 1, 2, 3)) if rng.random() < 0.97 else 0):
        if rng.random() < 0.12:
            out += an_anchor(rng, depth, look)
            continue
        out += an_atom(rng, depth, look)
        while rng.random() < 0.33:
            out += rng.choice(REPEATS[:6] if rng.random() < 0.5 else REPEATS)
        if rng.random() < 0.03:
            out += rng.choice(["(?i)", "(?-i)", "(?m)", "(?x)", "\\1", "\\k<1>", "\\k<n>", "\\k<-1>", "\\2"])
    return out


def alternatives(rng, depth, look=False):
    return "|".join(branch(rng, depth, look) for _ in range(rng.choice((1, 1, 1, 2, 3))))


def a_regex(rng):
    return rng.choice([""] * 8 + ["(?i)"]) + alternatives(rng, 0)


BITS = ["a", "b", "ab", "abab", "s", "k", "S", "K", "K", "ſ", "é", "É", "e\u0301", "я", "Я", "ЖЖ", "中文", "日本", "あ", "アイ", "한국어", "1", "12", "٣٤", " ", "  ",
        "\n", "\r\n", "\n\n", "\t", "-", "_", "'s", "½", "²", "①", "🙂", "👍🏽", "ß", "ss", "ẞ", "ﬁ", "fi", "st", "ff", "ǆ", "ǅ", "Σ", "ς", "μ", "µ", "\u0301", "\u1c89",
        "\u1c8a", "\U00010d50", "\U00010d70", "𐐀", "𐐨", "\u2028", "\u0085", "\u00a0", "\u3000", "\u200d", "\ufeff", ".", "!?", "$+", "«", "…", "~", "xyz", "FOO", "0x1F",
        "\ue000", "\u0378", "Ⅷ", "ª", "ʰ", "ึ", "\x00", "\x07", "İ", "ı", "i", "I", "aaa", "\U00013430", "\U0001f6d8"]


def a_text(rng, regex):
    inner = [c for c in regex if ord(c) > 127 or c.isalnum()]
    parts = []
    for _ in range(rng.choice((1, 2, 4, 8, 14))):
        kind = rng.random()
        if kind < 0.75:
            parts.append(rng.choice(BITS))
        elif kind < 0.9 and inner:
            parts.append(rng.choice(inner))
        else:
            low = rng.choice((0, 0x80, 0x300, 0x530, 0x900, 0x1c80, 0x2000, 0x3000, 0xa640, 0xfb00, 0x10400, 0x10d00, 0x11380, 0x1d400, 0x1f300))
            parts.append(chr(low + rng.randrange(0x100)))
    return "".join(parts)


def a_tokenizer(rng, regex):
    """Pieces begin with a mark of their own, and every byte is a token: ids tell where the text was cut."""
    vocab = {f"<0x{i:02X}>": i for i in range(256)} | {"\u2581": 256, "\u241f": 257}
    pattern = {"Regex": regex}
    mark = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False}
    split = {"type": "Split", "pattern": pattern, "behavior": rng.choice(HOW), "invert": rng.random() < 0.3}
    replace = {"type": "Replace", "pattern": pattern, "content": rng.choice(["\u241f", "", "\u241f\u241f"])}
    normalizer, pre = (replace, None) if rng.random() < 0.3 else (None, {"type": "Sequence", "pretokenizers": [split, mark]})
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
                       "pre_tokenizer": pre, "post_processor": None, "decoder": None,
                       "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                                 "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": True, "ignore_merges": False,
                                 "vocab": vocab, "merges": []}})


def reason(message):
    return re.sub(r".*at byte \d+, ", "", message.split("\n")[0])[-100:]


def check(gradus, rng, per, totals):
    """One pattern and `per` texts."""
    regex = a_regex(rng)
    try:
        Regex(regex)
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
        totals["theirs"] += 1
        return
    source = a_tokenizer(rng, regex)
    t = Tokenizer.from_str(source)
    texts = [a_text(rng, regex) for _ in range(per)]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "tokenizer.json")
        path.write_text(source)
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        p = subprocess.run([gradus, "tokenize", str(path), "--jsonl"], input=lines.encode(), capture_output=True)
    if p.returncode:
        totals["refused"][reason(p.stderr.decode(errors="replace"))] += 1
        return
    totals["patterns"] += 1
    for text, line in zip(texts, p.stdout.decode().splitlines()):
        try:
            want = t.encode(text, add_special_tokens=False).ids
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            continue
        totals["texts"] += 1
        if json.loads(line)["ids"] != want:
            totals["bad"] += 1
            print(f"{ascii(regex)} in {source[:source.index('model')][-300:]!r}: {ascii(text)}", flush=True)
            return


def run(gradus, count, per, seed):
    totals = {"patterns": 0, "texts": 0, "bad": 0, "theirs": 0, "refused": collections.Counter()}
    i = 0
    while totals["texts"] < count:
        check(gradus, random.Random(f"{seed} regex {i}"), per, totals)
        i += 1
    print(f"{totals['patterns']} regexes, {totals['texts']} texts: {totals['bad']} differences; {totals['theirs']} refused by both or by "
          f"theirs alone; by Gradus: {dict(totals['refused'].most_common())}", flush=True)
    return totals["bad"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--per", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return run(options.gradus, options.count, options.per, options.seed) > 0


if __name__ == "__main__":
    sys.exit(main())
