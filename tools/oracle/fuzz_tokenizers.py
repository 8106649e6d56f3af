"""Random texts through `gradus tokenize` and Hugging Face's `tokenizers`: ids, ids with special tokens, decoded text.

    python tools/oracle/fuzz_tokenizers.py build/gradus [--count N] [--seed N] [--random N] [--regexes N] [--keep DIR] [tokenizer.json ...]

Half of the texts go through the tokenizers given (default: those of tests/data/tokenizers, and ../shared/data/tokenizers if
there), half through --random pipelines composed and trained here: normalizers x pre-tokenizers x models x decoders x added
tokens x post-processors. A pipeline that Gradus refuses to load is counted with its reason. A text that the package cannot
encode must fail in Gradus too. --keep writes what differs as NAME.json and NAME.jsonl, the form of tests/data/tokenizers.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unicodedata

os.environ["RUST_BACKTRACE"] = "0"
from charsmap import charsmap, real_charsmap
import fuzz_regexes
from make_tokenizers import LLAMA3, O200K, TEXT
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# ---- texts ----

BLOCKS = [(0x41, 0x5B), (0x61, 0x7B), (0x20, 0x7F), (0x30, 0x3A), (0xA0, 0x180), (0x180, 0x370), (0x300, 0x370),
          (0x370, 0x400), (0x400, 0x530), (0x530, 0x600), (0x590, 0x600), (0x600, 0x700), (0x700, 0x900), (0x900, 0x980),
          (0x980, 0xE00), (0xE00, 0xF00), (0xF00, 0x1000), (0x1000, 0x1100), (0x1100, 0x1200), (0x1200, 0x1780),
          (0x1780, 0x1800), (0x1800, 0x1E00), (0x1AB0, 0x1B00), (0x1DC0, 0x1E00), (0x1E00, 0x2000), (0x2000, 0x2070),
          (0x2070, 0x2100), (0x2100, 0x2200), (0x2200, 0x2C00), (0x2C00, 0x3000), (0x3000, 0x3040), (0x3040, 0x3100),
          (0x3100, 0x3400), (0x3400, 0x4E00), (0x4E00, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD7B0), (0xE000, 0xF900),
          (0xF900, 0xFB00), (0xFB00, 0xFE00), (0xFE00, 0xFE30), (0xFE30, 0x10000), (0x10000, 0x11000), (0x11000, 0x13000),
          (0x13000, 0x17000), (0x17000, 0x1D000), (0x1D000, 0x1E000), (0x1E000, 0x1F000), (0x1F000, 0x1FB00),
          (0x1FB00, 0x20000), (0x20000, 0x2A6E0), (0x2F800, 0x2FA20), (0x30000, 0x323B0), (0xE0000, 0xE01F0),
          (0xF0000, 0x110000), (0, 0x20), (0x7F, 0xA0)]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u180e", "\u2000",
          "\u2009", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff", " \n ", "\t  \n"]
BITS = ["'s", "'T", "'ll", "'RE", "'ſ", "’s", "…", "...", "!?", "▁", "▁▁", "Ġ", "Ċ", "##", "</w>", "İ", "ı", "ß", "ẞ", "Σ", "ς", "ﬁ",
        "ǆ", "Ǆ", "K", "Å", "\u0344", "e\u0301", "\u0301", "\u0323\u0307", "\u200d", "\u200c", "\ufe0f", "\ufffd", "\x00",
        "<0x41>", "<0xE2>", "<unk>", "<s>", "</s>", "12", "1234567", "٣٤", "½", "Ⅷ", "①", "２０", "_", "-", "--", "/", "//", "#",
        "한", "글", "한국어", "日本", "中文", "ไทย", "हिन्दी", "עברית", "العربية", "\u202e", "\u2067", "🙂", "👩‍👩‍👧", "👍🏽", "🇩🇪", "1️⃣",
        "\U000e0067", "𝐀", "𐍈", "don't", "we'll", "camelCase", "HTTPServer", "x_y", "a.b", "e", "a", "aa", "aaa", "aaaa"]


def characters(rng):
    low, high = rng.choice(BLOCKS)
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 7)))


def fragment(rng, pieces):
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(pieces)
    if kind < 0.45:
        return rng.choice(BITS)
    if kind < 0.6:
        return rng.choice(SPACES)
    if kind < 0.68:
        return rng.choice(TEXT)[(at := rng.randrange(40)):at + rng.randrange(30)]
    if kind < 0.72:
        return rng.choice(BITS) * rng.randrange(1, 20)
    if kind < 0.78: # letters with stacks of marks
        return "".join(rng.choice("aeoucnsAEOкиαώ가각か") + "".join(chr(rng.randrange(0x300, 0x370)) for _ in range(rng.randrange(4)))
                       for _ in range(rng.randrange(1, 4)))
    if kind < 0.8:
        return "".join(chr(c) for c in (rng.randrange(0x110000) for _ in range(3)) if not 0xD800 <= c < 0xE000)
    return characters(rng)


def text_of(rng, pieces):
    return "".join(fragment(rng, pieces) for _ in range(rng.choice((1, 2, 3, 5, 8, 13, 30))))


def pieces_of(tokenizer, rng):
    """Spellings of tokens, what they decode to, and the added tokens often."""
    vocab = sorted(tokenizer.get_vocab())
    some = rng.sample(vocab, min(len(vocab), 400))
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()][:40]
    decoded = decoded_by(tokenizer, [[tokenizer.token_to_id(token)] for token in some], False)
    pieces = [p for p in some + decoded if isinstance(p, str) and p and "\ufffd" not in p] + (added * (len(some) // len(added) // 2 + 1) if added else [])
    return [p for p in pieces if p] or ["a"]


# ---- pipelines ----


def a_charsmap(rng):
    """Rules for characters, clusters and what is neither; some to nothing. Or one of SentencePiece's own tables."""
    if rng.random() < 0.4:
        return real_charsmap(rng.choice(["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"]))
    bits = BITS + [chr(c) for c in range(0x20, 0x7F)] + ["e\u0301", "a\u0300\u0323", "\r\n", "\r", "\n", "\t", "\u0600a", "©", "©\u200d", "\u1100\u1161",
                                                        "क", "क्", "क्त", "\u0e33", "\u200d", "\u0600", "🙂", "\u00ad", " "]
    rules = {}
    for _ in range(rng.randrange(1, 60)):
        key = rng.choice(bits) if rng.random() < 0.7 else characters(rng)[:rng.randrange(1, 3)]
        if "\x00" not in key and key:
            rules[key] = rng.choice(["", " ", "x", "ab", "é", "日本", "▁", rng.choice(BITS).replace("\x00", "")])
    return charsmap(rules or {"a": "b"})


def a_bert_normalizer(rng):
    return normalizers.BertNormalizer(clean_text=rng.random() < 0.8, handle_chinese_chars=rng.random() < 0.8,
                                      strip_accents=rng.choice([None, None, True, False]), lowercase=rng.random() < 0.6)


def a_normalizer(rng, depth=0):
    n = normalizers
    kinds = [n.NFC, n.NFD, n.NFKC, n.NFKD, n.Lowercase, n.StripAccents, n.Nmt, lambda: n.Strip(rng.random() < 0.6, rng.random() < 0.6),
             lambda: n.Replace(rng.choice([" ", "a", "  ", "é", "ab"]), rng.choice(["▁", "", "_", "xy", " "])),
             lambda: n.Replace(Regex(rng.choice([r"\s+", r"[aeiou]", r" {2,}", r"\p{M}", r"^\s", r"(?i)THE", r"\d{1,3}", r"[^\S ]"])),
                               rng.choice(["", " ", "#", "▁"])),
             lambda: n.Prepend(rng.choice(["▁", " ", "x"])), lambda: n.Precompiled(a_charsmap(rng)),
             lambda: n.Precompiled(a_charsmap(rng)), lambda: a_bert_normalizer(rng), lambda: a_bert_normalizer(rng)]
    if depth < 2 and rng.random() < 0.4:
        return n.Sequence([a_normalizer(rng, depth + 1) for _ in range(rng.randrange(1, 4))])
    return rng.choice(kinds)()


REGEXES = [LLAMA3, LLAMA3.replace("{1,3}", ""), O200K, r"\s+", r"\w+|[^\w\s]+", r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"[aeiou]", r"\d|\D\b",
           r"(?<=\w)(?=\W)", r"[[:punct:]]", r"\p{Han}+|\p{Hiragana}+", r".", r"(?s:.{1,3})", r"[^\r\n]+", r"\h+", r"(?:a|b)*", r"\p{Lu}\p{Ll}+",
           r"[\p{P}\p{S}]", r"[^a-z]", r"e+?", r"^.|.$", r"\p{^L}+", r"'(?i:[sdmt]|ll|ve|re)"]
HOW = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]


def a_pretokenizer(rng, level, depth=0):
    p = pre_tokenizers
    kinds = [p.Whitespace, p.WhitespaceSplit, lambda: p.Digits(rng.random() < 0.5), lambda: p.Punctuation(rng.choice(HOW)),
             lambda: p.Metaspace(prepend_scheme=rng.choice(["always", "first", "never"]), split=rng.random() < 0.6),
             lambda: p.Metaspace(replacement=rng.choice("_Ġé"), prepend_scheme="always"),
             lambda: p.Split(rng.choice([" ", "a", "e", "\n", "th", ".", "▁", "é"]), rng.choice(HOW), rng.random() < 0.2),
             lambda: p.Split(Regex(rng.choice(REGEXES)), rng.choice(HOW), rng.random() < 0.2),
             lambda: p.Split(Regex(rng.choice(REGEXES[:3])), "isolated"), p.UnicodeScripts,
             lambda: p.CharDelimiterSplit(rng.choice("e -é")), p.BertPreTokenizer, lambda: p.FixedLength(rng.randrange(1, 8))]
    if level: # the last step spells bytes
        use_regex = rng.random() < 0.4
        last = p.ByteLevel(add_prefix_space=rng.random() < 0.3, use_regex=use_regex)
        if use_regex and rng.random() < 0.7:
            return last
        return p.Sequence([a_pretokenizer(rng, False, depth + 1) for _ in range(rng.randrange(0, 3))] + [last])
    if depth < 3 and rng.random() < 0.35:
        return p.Sequence([a_pretokenizer(rng, False, depth + 1) for _ in range(rng.randrange(1, 4))])
    return rng.choice(kinds)()


def a_decoder(rng, level, depth=0):
    d = decoders
    if level and rng.random() < 0.8:
        return d.ByteLevel()
    kinds = [d.ByteLevel, d.ByteFallback, d.Fuse, d.Metaspace, d.BPEDecoder, lambda: d.WordPiece(rng.choice(["##", "##", "@", "", "a"]), cleanup=rng.random() < 0.5),
             lambda: d.Metaspace(prepend_scheme=rng.choice(["always", "first", "never"])),
             lambda: d.Strip(rng.choice([" ", "a", "▁"]), rng.randrange(3), rng.randrange(3)),
             lambda: d.Replace(rng.choice(["▁", " ", "a"]), rng.choice([" ", "", "xx"])),
             lambda: d.Replace(Regex(r"\s+"), " "), d.CTC,
             lambda: d.CTC(rng.choice(["<pad>", "a"]), rng.choice(["|", "e", " "]), rng.random() < 0.5)]
    if depth < 2 and rng.random() < 0.4:
        return d.Sequence([a_decoder(rng, False, depth + 1) for _ in range(rng.randrange(1, 4))])
    return rng.choice(kinds)()


def a_model(rng, level):
    """A model to train, its trainer, and what is set in the file afterwards."""
    corpus = {"show_progress": False, "vocab_size": rng.randrange(300, 900)}
    kind = "bpe" if level else rng.choice(["bpe", "bpe", "bpe", "unigram", "wordlevel", "wordpiece"])
    if kind == "wordlevel":
        return models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(special_tokens=["<unk>"], **corpus), {}
    if kind == "wordpiece":
        prefix, longest = rng.choice(["##", "##", "##", "@", "é#"]), rng.choice([100, 100, 100, 1, 4, 20])
        return (models.WordPiece(unk_token="<unk>", continuing_subword_prefix=prefix, max_input_chars_per_word=longest),
                trainers.WordPieceTrainer(special_tokens=["<unk>"], continuing_subword_prefix=prefix, **corpus),
                {"continuing_subword_prefix": rng.choice(["##", "", "a"])} if rng.random() < 0.1 else {})
    bytes_ = [f"<0x{i:02X}>" for i in range(256) if i != rng.choice((300, 300, 195))]
    if kind == "unigram":
        edit = {"byte_fallback": True} if rng.random() < 0.4 else {}
        special = ["<unk>", "</s>"] + (bytes_ if edit else [])
        corpus["vocab_size"] += len(special)
        return models.Unigram(), trainers.UnigramTrainer(unk_token="<unk>", special_tokens=special, **corpus), edit
    if level:
        special = ["<|endoftext|>"] if rng.random() < 0.7 else []
        return models.BPE(), trainers.BpeTrainer(special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
                                                 if rng.random() < 0.9 else [], **corpus), {"ignore_merges": rng.random() < 0.3}
    unk = rng.random() < 0.8
    edit = {"fuse_unk": rng.random() < 0.5, "byte_fallback": rng.random() < 0.4, "ignore_merges": rng.random() < 0.3}
    options = {"unk_token": "<unk>"} if unk else {}
    affix = {}
    if rng.random() < 0.15:
        affix["continuing_subword_prefix"] = "##"
    if rng.random() < 0.15:
        affix["end_of_word_suffix"] = "</w>"
    special = (["<unk>"] if unk else []) + (bytes_ if edit["byte_fallback"] else [])
    corpus["vocab_size"] += len(special)
    return models.BPE(**options, **affix), trainers.BpeTrainer(special_tokens=special, **corpus, **affix), edit


def added_tokens(rng):
    flag = lambda p: rng.random() < p
    return [AddedToken(content, special=flag(0.4), normalized=flag(0.5), lstrip=flag(0.3), rstrip=flag(0.3), single_word=flag(0.3))
            for content in rng.sample(["<s>", "</s>", "<mask>", "[R]", "Word", "the", "ﬁne", "é", "日本", "<|im_start|>", "<|im_",
                                       "a b", " x", "aa", "aaa", "\n\n", "İ", "12"], rng.randrange(0, 6))]


def found_once(t, tokens):
    """Without tokens that are equal behind the normalizer: which of them is found changes from run to run."""
    seen, kept = set(), []
    for token in tokens:
        shown = t.normalizer.normalize_str(token.content) if t.normalizer and token.normalized else token.content
        if (token.normalized, shown) not in seen:
            kept.append(token)
        seen.add((token.normalized, shown))
    return kept


def a_template(rng, t, have):
    some = lambda most: [rng.choice(have) for _ in range(rng.randrange(0, most))]
    pair = some(2) + ["$A"] + some(3) + ["$B:1"] + some(2) if rng.random() < 0.8 else some(2) + rng.choice([["$B"], ["$B", "$A"], ["$A"]])
    single = some(3) + ["$A"] + some(2) if rng.random() < 0.95 else rng.choice([["$A", "$A"], some(2) + [have[0]]])
    return processors.TemplateProcessing(single=" ".join(single), pair=" ".join(pair),
                                         special_tokens=[(token, t.token_to_id(token)) for token in have])


def a_postprocessor(rng, t):
    have = [token for token in ("<s>", "</s>", "<unk>", "<mask>") if t.token_to_id(token) is not None]
    if not have:
        return rng.choice([None, processors.ByteLevel()])
    ends = [(token, t.token_to_id(token)) for token in (rng.choice(have), rng.choice(have))]
    kinds = [lambda: a_template(rng, t, have), lambda: a_template(rng, t, have), processors.ByteLevel,
             lambda: processors.BertProcessing(*ends), lambda: processors.RobertaProcessing(*ends)]
    if rng.random() < 0.5:
        return rng.choice(kinds)()
    return processors.Sequence([rng.choice(kinds)() for _ in range(rng.randrange(1, 4))])


def a_pipeline(rng):
    level = rng.random() < 0.45
    model, trainer, edit = a_model(rng, level)
    t = Tokenizer(model)
    if rng.random() < 0.6:
        t.normalizer = a_normalizer(rng)
    if level or rng.random() < 0.85:
        t.pre_tokenizer = a_pretokenizer(rng, level)
    known = [characters(rng) for _ in range(60)] + BITS
    texts = TEXT + ["".join(rng.choice(known) for _ in range(20)) for _ in range(20)]
    t.train_from_iterator([text.replace("\x00", "") for text in texts], trainer)
    if rng.random() < 0.85:
        t.decoder = a_decoder(rng, level)
    data = json.loads(t.to_str())
    data["model"].update(edit)
    if data["model"]["type"] == "BPE" and rng.random() < 0.3:
        pairs = data["model"]["merges"]
        if not any(" " in part for pair in pairs for part in pair):
            data["model"]["merges"] = [" ".join(pair) for pair in pairs]
    t = Tokenizer.from_str(json.dumps(data))
    t.add_tokens(found_once(t, added_tokens(rng)))
    post = a_postprocessor(rng, t)
    if post is not None:
        t.post_processor = post
    return json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":"))


# ---- comparing ----


PANIC = object()


class Gradus:
    def __init__(self, command, path):
        self.command = [command, "tokenize", path, "--jsonl"]

    def lines(self, flags, rows):
        """The answers, or the message why there is none."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        p = subprocess.run(self.command + flags, input=text, capture_output=True)
        if p.returncode:
            return p.stderr.decode(errors="replace")
        return [json.loads(line) for line in p.stdout.decode().split("\n")[:-1]]


def each(many, one, inputs):
    """All at once, or one by one when the package gives up: None for those, PANIC where it panics, which says nothing."""
    try:
        return many(inputs)
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
    found = []
    for x in inputs:
        try:
            found.append(one(x))
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            found.append(None if isinstance(e, Exception) else PANIC)
    return found


def encoded_by(t, texts, special):
    return each(lambda texts: [e.ids for e in t.encode_batch(texts, add_special_tokens=special)],
                lambda text: t.encode(text, add_special_tokens=special).ids, texts)


def decoded_by(t, rows, skip):
    return each(lambda rows: t.decode_batch(rows, skip_special_tokens=skip),
                lambda row: t.decode(row, skip_special_tokens=skip), rows)


def differences(ours, t, texts):
    """(what, text, theirs, ours) of all that is not equal; and the reason when nothing can be compared."""
    expected, special = encoded_by(t, texts, False), encoded_by(t, texts, True)
    found = []
    for text in [text for text, ids in zip(texts, expected) if ids is None][:20]:
        answer = ours.lines(["--allow-special"], [{"text": text}])
        if not isinstance(answer, str):
            found.append(("a failure", text, None, answer))
    good = [(text, a, b) for text, a, b in zip(texts, expected, special) if a is not None and PANIC not in (a, b)]
    rows = [{"text": text} for text, _, _ in good]
    runs = [("ids", ["--allow-special"], rows, [a for _, a, _ in good], "ids"),
            ("ids with special tokens", ["--allow-special", "--special"], rows, [b for _, _, b in good], "ids")]
    id_rows = [{"ids": b} for _, _, b in good]
    for skip in (False, True):
        decoded = decoded_by(t, [b for _, _, b in good], skip)
        runs.append(("decoded text" + " without special tokens" * skip, ["--skip-special"] * skip, id_rows, decoded, "text"))
    for what, flags, inputs, wanted, key in runs:
        answers = ours.lines(flags, inputs)
        if isinstance(answers, str) or len(answers) != len(wanted):
            found.append((what, "(all)", len(wanted), answers if isinstance(answers, str) else len(answers)))
            continue
        for (text, _, _), want, answer in zip(good, wanted, answers):
            if answer[key] != want and want is not None and want is not PANIC:
                found.append((what, text, want, answer[key]))
    return found


def keep(folder, name, json_text, t, found):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json_text)
    with open(folder / f"{name}.jsonl", "w") as out:
        for text in dict.fromkeys(text for _, text, _, _ in found if text != "(all)"):
            ids = t.encode(text, add_special_tokens=False).ids
            out.write(json.dumps({"text": text, "ids": ids, "ids_special": t.encode(text).ids,
                                  "decoded": t.decode(ids, skip_special_tokens=False)}) + "\n")


def check(options, name, path, count, rng, totals):
    t = Tokenizer.from_file(path)
    ours = Gradus(options.gradus, path)
    answer = ours.lines([], [])
    if isinstance(answer, str):
        totals["refused"][re.sub(r"'.*'|\d+", "...", answer.split("\n")[0].split(": ", 2)[-1])] += 1
        return
    pieces = pieces_of(t, rng)
    bad = []
    for start in range(0, count, 5000):
        texts = [text_of(rng, pieces) for _ in range(min(5000, count - start))]
        bad += differences(ours, t, texts)
        totals["texts"] += len(texts)
        totals["bytes"] += sum(len(text.encode()) for text in texts)
    totals["tokenizers"] += 1
    totals["bad"] += len(bad)
    for what, text, want, got in bad[:3]:
        print(f"{name}: {what} of {ascii(text)}\n    theirs {ascii(want)[:600]}\n    ours   {ascii(got)[:600]}", flush=True)
    if bad and options.keep:
        keep(pathlib.Path(options.keep), name, pathlib.Path(path).read_text(), t, bad[:40])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--count", type=int, default=1000000)
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--regexes", type=int, default=100000, help="texts of the stage of fuzz_regexes.py, beside --count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    files = options.files or sorted(map(str, root.glob("tests/data/tokenizers/*.json"))) + sorted(
        map(str, root.glob("../shared/data/tokenizers/*/tokenizer.json")))
    totals = {"texts": 0, "bytes": 0, "tokenizers": 0, "bad": 0, "refused": collections.Counter()}
    share = options.count // (2 if options.random else 1)
    for path in files:
        name = pathlib.Path(path).parent.name if path.endswith("tokenizer.json") else pathlib.Path(path).stem
        check(options, name, path, share // len(files), random.Random(f"{options.seed} {name}"), totals)
    print(f"{totals['tokenizers']} files, {totals['texts']} texts: {totals['bad']} differences", flush=True)
    for i in range(options.random):
        rng = random.Random(f"{options.seed} {i}")
        while True:
            try:
                pipeline = a_pipeline(rng)
                break
            except Exception:  # one that cannot be trained
                pass
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "tokenizer.json")
            path.write_text(pipeline)
            check(options, f"random-{options.seed}-{i}", str(path), share // options.random, rng, totals)
    print(f"{totals['tokenizers']} tokenizers, {totals['texts']} texts, {totals['bytes'] / 2**20:.0f} MiB, each encoded with and "
          f"without special tokens and decoded with and without them: {totals['bad']} differences; Unicode "
          f"{unicodedata.unidata_version}; refused: {dict(totals['refused'])}")
    found = fuzz_regexes.run(options.gradus, options.regexes, 40, options.seed) if options.regexes else 0
    return totals["bad"] > 0 or found > 0


if __name__ == "__main__":
    sys.exit(main())
