"""Writes tests/data/regexes.jsonl: what regexes of every construct find in texts, as the `tokenizers` package has it.

    python tools/oracle/make_regexes.py > tests/data/regexes.jsonl

A line is {"regex", "text", "marked", "pieces"}: the text with every match replaced by U+0002, and the pieces of an isolating
Split; or {"split", "text", "pieces"} with a Split of any behaviour as it stands in tokenizer.json.
"""
import json

from tokenizers import Regex, normalizers, pre_tokenizers

TEXTS = {
    "words": "The DOG's 3 cats, naïve Straße_42!\n\tfoo  bar\r\n½²x ",
    "scripts": "漢字かなカナ한글 кот ΑΒγ עברית ไทย हिन्दी\u3000①Ⅷ٣ 🙂👍🏽\u200d",
    "new": "x\u1c89\u1c8a\U00010d50\U00010d70\U00010d41 \U0001fadf\U00011bc0y",
    "cases": "sSſ kK\u212a éÉ яЯ σςΣ ǅǆǄ μµ Kk",
}
PATTERNS = {
    "code points": r"[\u4e00-\u9fa5\u3040-\u30ff]+|\x{61}\x62|\u006f+|\x{20} ?|\343\201\213|\o{156}|[\o{141}\x{c}-\xe\101]|[\xe6\xbc\xa2\123]"
                   r"|\cI|\C-j|[\cM\t]|\e|[\x{1f300}-\x{7fffffff}]".split("|"),
    "classes in classes": [r"[^(\s|[.,!?…。，、।۔،])]+", r" ?[^(\s|[.,!?])]+", r"[a[b-d]e[^\x01-\x{10fffe}]]+", r"[[^a-z][f-h]]+", r"[^[a-m][^a-z]é]+",
                           r"[[[[x]y]z]]", r"[a-c-e\-]", r"[]a]+", r"[^]a]+", r"[-a]|[a-]|[&a]"],
    "intersections": [r"[\p{Lu}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+", r"[a-w&&[^c-g]z]+", r"[^a-z&&\w]+", r"[a-z&&b-y&&[^m-o]]+", r"[\w&&\P{Han}&&[^\d]]+",
                      r"[a&&]|[&&a]|[a-z&&&a]", r"[\p{L}&&\p{ASCII}]+", r"[[:alpha:]&&[^[:lower:]]]+", r"[^\W&&[^a-zA-Z]]"],
    "POSIX names": [r"\p{Alnum}+", r"\p{Punct}", r"\p{Word}+", r"\p{Space}", r"[[:^space:]]+", r"\p{^Upper}+", r"\P{Graph}", r"[[:blank:][:cntrl:]]",
                    r"[^[:^alpha:]]+", r"\p{Print}+", r"\p{XDigit}+", r"[[:word:]]+", r"\p{ASCII}+", r"[\p{Word}\p{^Print}]+", r"[[:punct:]]"],
    "blocks and scripts": [r"\p{In_Hiragana}+", r"\p{InCJKUnifiedIdeographs}+", r"\p{in cyrillic}+", r"\p{Script_Extensions}|\p{Hang}+", r"\p{Greek}+",
                           r"[\p{Hebrew}\p{Thai}]+", r"\P{Common}+", r"[\P{Latin}&&\p{L}]+", r"\p{^Devanagari}+", r"\p{Katakana}|\p{Hiragana}+",
                           r"\p{In_Emoticons}", r"\p{Inherited}", r"\p{Garay}+", r"[\p{In_Basic_Latin}]+", r"[^\p{In_Latin_1_Supplement}]+"],
    "categories": [r"\p{Lu}\p{Ll}+", r"\p{Uppercase_Letter}", r"\p{decimal number}+", r"\p{other-symbol}", r"\pL+\PN", r"[\p{M}\p{Cf}]", r"\p{Lt}",
                   r"\p{Emoji}+", r"\p{Extended_Pictographic}", r"[^\p{C}\p{Z}]+", r"\p{Cn}", r"\p{Ideographic}+", r"\p{Alphabetic}+", r"\p{ID_Start}+",
                   r"\p{Cased_Letter}+", r"[\p{L}\p{Nd}&&[^\p{Ll}]]+"],
    "cases": [r"(?i)[ks]+", r"(?i:K|é)", r"(?i)я|σ", r"(?i)[^k]+", r"(?i)ǆ", r"a(?i)S|K", r"(?i)\x{b5}", r"(?i:[a-k&&[^c]])+", r"(?-i:s)(?i)s", r"(?i)[^à-ÿ]"],
    "groups": [r"(?<n>o)\k<n>", r"(\w)\1", r"(?'q'f)o\k'q'", r"(?x: o + # letters" "\n" r") ", r"(?#all)a", r"(?>\w+)s", r"(?:\w|\s)\K[a-z]", r"(?m:.)+",
               r"(?<=a|Th)\w", r"(?<!\w)[a-z]", r"\w(?=\W)", r"\w+(?!\w)\s", r"(o)|\w(?:x)?", r"o(?i)B|c"],
    "repetitions": [r"o{2}+", r"o{,1}f", r"\w{3,1}", r"o{2}?", r"\s{1,2}?", r"\w++", r"[a-f]*+o?", r"o??b", r"o{1}{2}", r"{x", r"o{,}|o{2", r"(?:o{2}){1,2}", r"\w{2,}?"],
    "places": [r"^", r"$", r"^\w|\w$", r"\b", r"\B", r"\A.", r"\Z", r".\z", r"\G\w", r"\R", r"\N+", r"\O", r"\h+", r"\H+", r"(?m).{1,9}"],
    "nothing": ["", "x*", "(?=o)", "|a", "(?:)", r"\b|o", "[a-z]*"],
}
HOW = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
NAMES = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def write(found, split, text):
    """The package fails on some: empty matches in texts of several bytes a character."""
    try:
        found |= {"text": text, "pieces": [piece for piece, _ in split.pre_tokenize_str(text)]}
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
        return
    print(json.dumps(found, ensure_ascii=False))


def marked(regex, text):
    return {"regex": regex, "marked": normalizers.Replace(Regex(regex), "\x02").normalize_str(text)}


def behaviours(key, pattern, text):
    for how, name in zip(HOW, NAMES):
        for invert in (False, True):
            split = {"type": "Split", "pattern": {key: pattern}, "behavior": name, "invert": invert}
            write({"split": json.dumps(split)}, pre_tokenizers.Split(Regex(pattern) if key == "Regex" else pattern, how, invert), text)


def main():
    for kind, patterns in PATTERNS.items():
        for pattern in patterns:
            try:
                Regex(pattern)
            except Exception:
                continue
            which = ["words"] if kind in ("groups", "repetitions", "places", "nothing") else ["cases", "words"] if kind == "cases" else list(TEXTS)[:3]
            for name in which:
                write(marked(pattern, TEXTS[name]), pre_tokenizers.Split(Regex(pattern), "isolated"), TEXTS[name])
    for key, pattern in (("String", ""), ("Regex", ""), ("Regex", "b*"), ("Regex", r"\b"), ("Regex", "(?=b)|$")):
        for text in ("a", "abba-b", "é\n中b"):
            behaviours(key, pattern, text)


main()
