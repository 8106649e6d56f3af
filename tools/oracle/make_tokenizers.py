"""Small tokenizers of every kind with the ids that the `tokenizers` package gives: NAME.json and NAME.jsonl.

    python tools/oracle/make_tokenizers.py tests/data/tokenizers [NAME ...]
"""
import itertools
import json
import pathlib
import random
import sys

from charsmap import charsmap
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

TEXT = [
    "The quick brown fox jumps over the lazy dog. It's what they'd do; we'll see, won't we?",
    "def main(argc, argv):\n    return [x ** 2 for x in range(10)]\n\n\t# comment 12345\r\n",
    "Die Straße ist naß. El niño comió piñas. Ça va très bien, merci à tous.",
    "今日は良い天気です。我们去公园吧。 한국어도 있습니다.",
    "Привет, как дела? Γειά σου Κόσμε! שלום עולם. مرحبا بالعالم. नमस्ते दुनिया",
    "🙂🙃👩‍👩‍👧 café cafe\u0301 ﬁne ½ ① Ⅷ ２０２４ İstanbul ﷺ",
] * 3
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKS = [
    AddedToken("<|end|>", special=True, normalized=False),
    AddedToken("<mask>", special=True, lstrip=True, normalized=False),
    AddedToken("[R]", rstrip=True, normalized=False),
    AddedToken("Word", single_word=True, normalized=True),
    AddedToken("ﬁne", normalized=True),
]


def byte_bpe(pre, vocab=600, normalizer=None, **options):
    t = Tokenizer(models.BPE(**options))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=vocab, show_progress=False, initial_alphabet=alphabet))
    return t


def char_bpe(pre=None, normalizer=None, decoder=None, unk="<unk>", vocab=400, fallback=False, fuse=True):
    t = Tokenizer(models.BPE(unk_token=unk, byte_fallback=fallback, fuse_unk=fuse))
    t.pre_tokenizer = pre or pre_tokenizers.Whitespace()
    if normalizer:
        t.normalizer = normalizer
    special = ([unk] if unk else []) + ([f"<0x{i:02X}>" for i in range(256)] if fallback else [])
    t.train_from_iterator(TEXT[:3], trainers.BpeTrainer(vocab_size=vocab + len(special), show_progress=False,
                                                        special_tokens=special))
    data = json.loads(t.to_str())
    data["added_tokens"] = data["added_tokens"][:1] if unk else []
    if pre is None:
        data["pre_tokenizer"] = None
    t = Tokenizer.from_str(json.dumps(data))
    if decoder:
        t.decoder = decoder
    return t


def unigram(fallback):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    t.train_from_iterator(TEXT, trainers.UnigramTrainer(vocab_size=300, show_progress=False, unk_token="<unk>",
                                                        special_tokens=["<unk>", "</s>"]))
    if fallback:
        data = json.loads(t.to_str())
        data["model"]["byte_fallback"] = True
        data["model"]["vocab"] += [[f"<0x{i:02X}>", -20.0] for i in range(256)]
        t = Tokenizer.from_str(json.dumps(data))
        t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return t


def word_level(pre):
    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    t.pre_tokenizer = pre
    t.train_from_iterator(TEXT, trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False))
    return t


def affixes():
    """Bytes of a character are those of its prefix and suffix too."""
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
    t.pre_tokenizer, t.decoder = pre_tokenizers.WhitespaceSplit(), decoders.BPEDecoder()
    special = ["<unk>"] + [f"<0x{i:02X}>" for i in range(256) if i != 0xC3]
    t.train_from_iterator(TEXT[:2], trainers.BpeTrainer(vocab_size=500, show_progress=False, special_tokens=special,
                                                        end_of_word_suffix="</w>", continuing_subword_prefix="##"))
    data = json.loads(t.to_str())
    data["model"]["byte_fallback"], data["added_tokens"] = True, data["added_tokens"][:1]
    return Tokenizer.from_str(json.dumps(data))


def overlapping(t):
    """Added tokens that the normalizer changes, or that take each other's white space."""
    t.add_tokens([AddedToken("É", special=True, single_word=True, normalized=True),
                  AddedToken("\n\n", special=True, lstrip=True, rstrip=True, normalized=False),
                  AddedToken("aa", rstrip=True, normalized=False), AddedToken("\u3000\u3000", lstrip=True, normalized=False)])
    return t


def repeating(t):
    """Pieces that are in the list twice: the later one is found."""
    data = json.loads(t.to_str())
    data["model"]["vocab"] += [["<unk>", -9.0], ["e", -2.5], ["▁the", -1.0]]
    return Tokenizer.from_str(json.dumps(data))


RULES = {"ａ": "a", "Ｂ": "b", "①": "1", "⑳": "20", "…": "...", "\u00ad": "", "\u200b": " ", "\t": " ", "\n": " ", "\r": " ", "e\u0301": "é", "É": "e",
         "ﬁ": "fi", "ﷺ": "صلى الله", "　": " ", "क्": "k", "क": "ka", "©": "(c)", "\u1100": "g", "か\u3099": "が", "\u0600": "", "x": "y"}


def precompiled(rules, model="unigram"):
    """A table of SentencePiece's before the model it mostly comes with, and before one that looks at where a text begins."""
    t = Tokenizer(models.Unigram() if model == "unigram" else models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(rules)), normalizers.Replace(Regex(" {2,}"), " ")])
    scheme = "always" if model == "unigram" else "first"
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer if model == "unigram" else trainers.WordLevelTrainer
    options = {"unk_token": "<unk>"} if model == "unigram" else {}
    t.train_from_iterator(TEXT, trainer(vocab_size=300, show_progress=False, special_tokens=["<unk>", "</s>"], **options))
    return t


def dropped():
    """What a table drops at the beginning of a text lets the first character left count as the first, what BERT's normalizer
    drops does not."""
    t = precompiled({"\u0001": "", "\u001f": "", "\u00ad": ""}, "words")
    t.normalizer = normalizers.Sequence([t.normalizer, normalizers.BertNormalizer(strip_accents=False)])
    return t


def bert(prefix="##", longest=100, normalizer=None, vocab=500):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=prefix, max_input_chars_per_word=longest))
    t.normalizer, t.pre_tokenizer = normalizer or normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix, cleanup=longest == 100)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=vocab, show_progress=False, special_tokens=special,
                                                          continuing_subword_prefix=prefix))
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def two_templates(t, single):
    """The second template takes what the first one made for a pair: a token and the text."""
    t.add_special_tokens(["<s>", "</s>", "<x>"])
    tokens = [(token, t.token_to_id(token)) for token in ("<s>", "</s>", "<x>")]
    template = processors.TemplateProcessing
    t.post_processor = processors.Sequence([
        template(single=single, special_tokens=tokens), processors.ByteLevel(),
        template(single="$A </s>", pair="<x> $B:0 </s> $A:0", special_tokens=tokens),
        processors.RobertaProcessing(tokens[1], tokens[0])])
    return t


def with_marks(t):
    t.add_tokens(MARKS)
    t.add_special_tokens(["<s>"])
    t.post_processor = processors.TemplateProcessing(single="<s> $A <|end|>", special_tokens=[
        ("<s>", t.token_to_id("<s>")), ("<|end|>", t.token_to_id("<|end|>"))])
    return t


def tokenizers():
    """Name and tokenizer of every kind."""
    split, level = pre_tokenizers.Split, pre_tokenizers.ByteLevel
    raw = level(add_prefix_space=False, use_regex=False)
    chain = pre_tokenizers.Sequence
    yield "gpt2", with_marks(byte_bpe(level(add_prefix_space=False)))
    yield "gpt2-prefix", byte_bpe(level(add_prefix_space=True), normalizer=normalizers.NFC())
    yield "llama3", byte_bpe(chain([split(Regex(LLAMA3), "isolated"), raw]), ignore_merges=True)
    yield "qwen2", with_marks(byte_bpe(chain([split(Regex(LLAMA3.replace("{1,3}", "")), "isolated"), raw]),
                                       normalizer=normalizers.NFC()))
    yield "o200k", byte_bpe(chain([split(Regex(O200K), "removed", invert=True), raw]))
    yield "deepseek", byte_bpe(chain([split(Regex(r"\p{N}{1,3}"), "isolated"), split(Regex("[一-龥぀-ゟ゠-ヿ]+"), "isolated"),
                                      pre_tokenizers.Digits(individual_digits=True), split(Regex(r"\w+\b"), "contiguous"),
                                      raw]))
    yield "level-first", byte_bpe(chain([level(add_prefix_space=True), pre_tokenizers.Punctuation("merged_with_previous")]))
    mark = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    unmark = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                decoders.Strip(" ", 1, 0)])
    yield "llama2", with_marks(char_bpe(None, mark, unmark, fallback=True))
    yield "metaspace-first", with_marks(char_bpe(pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
                                                 decoder=decoders.Metaspace(prepend_scheme="first"), fuse=False))
    yield "metaspace-never", char_bpe(pre_tokenizers.Metaspace(prepend_scheme="never"),
                                      decoder=decoders.Metaspace(prepend_scheme="never"), unk=None)
    forms = [("nfd", normalizers.NFD()), ("nfkc", normalizers.NFKC()), ("nfkd", normalizers.NFKD()),
             ("strip", normalizers.Sequence([normalizers.Strip(), normalizers.Lowercase()])),
             ("nmt", normalizers.Sequence([normalizers.Nmt(), normalizers.Replace(Regex(r"\s+"), "_")]))]
    for name, form in forms:
        yield "normalize-" + name, with_marks(char_bpe(normalizer=form, decoder=decoders.BPEDecoder()))
    yield "normalize-bytes", with_marks(char_bpe(normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]),
                                                 decoder=decoders.ByteLevel()))
    for how in ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]:
        cut = chain([split(" ", how), split(Regex("[aeiou]"), how), pre_tokenizers.Punctuation(how)])
        yield "split-" + how, char_bpe(cut)
    yield "split-classes", char_bpe(chain([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(),
                                           pre_tokenizers.CharDelimiterSplit("e"), split(Regex(r"\d|\W"), "isolated")]))
    yield "unigram", with_marks(unigram(False))
    yield "unigram-bytes", unigram(True)
    yield "word-level", word_level(pre_tokenizers.Whitespace())
    yield "precompiled", with_marks(precompiled(RULES))
    yield "precompiled-first", precompiled({key: value for key, value in RULES.items() if len(key) == 1}, "words")
    yield "precompiled-clusters", precompiled({"a": "A", "\u0301": "", "\r\n": "\n", "©\u200d": "c", "\u0600a": "b", "が": "ga", "ß": "ss", "ç": "",
                                              "👍": "+"})
    yield "precompiled-dropped", dropped()
    yield "bert", bert()
    yield "bert-cased", with_marks(bert("#", 7, normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)))
    yield "bert-accents", bert("##", 100, normalizers.BertNormalizer(strip_accents=False, clean_text=False), 400)
    yield "bert-strip", bert("", 20, normalizers.BertNormalizer(strip_accents=True, lowercase=False), 350)
    yield "templates", two_templates(byte_bpe(level(add_prefix_space=False), 400), "<s> $A")
    yield "templates-alone", two_templates(byte_bpe(level(add_prefix_space=False), 400), "$A")
    yield "templates-twice", two_templates(byte_bpe(level(add_prefix_space=False), 400), "$A $A")
    # What the fuzzer has found.
    yield "scripts", with_marks(char_bpe(chain([pre_tokenizers.UnicodeScripts(), pre_tokenizers.FixedLength(7),
                                                pre_tokenizers.Metaspace(prepend_scheme="always", replacement="_"),
                                                pre_tokenizers.Punctuation("merged_with_previous"),
                                                pre_tokenizers.Metaspace(prepend_scheme="first", split=False)])))
    yield "first-replaced", with_marks(char_bpe(pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Metaspace(
        prepend_scheme="first")]), normalizers.Sequence([normalizers.Replace(Regex(r"\d{1,3}"), "#"), normalizers.NFD()])))
    yield "bert-words", overlapping(word_level(pre_tokenizers.BertPreTokenizer()))
    yield "affixes", affixes()
    yield "unigram-repeats", repeating(unigram(False))
    yield "regex-classes", char_bpe(chain([split(Regex(r"\w"), "isolated"), split(Regex(r"[[:punct:]]|[[:lower:]]\b"), "removed"),
                                           split(Regex(r"\p{Alphabetic}|\p{Emoji}+"), "merged_with_next")]), fuse=False)


# ---- random strings ----

RANGES = [(0x20, 0x7F), (0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530),
          (0x590, 0x700), (0x900, 0xE00), (0xE00, 0x1100), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2100),
          (0x2100, 0x2C00), (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xF900, 0x10000), (0x1F300, 0x1FAFF),
          (0x10000, 0x20000), (0x20000, 0x2FA20), (0, 0x20), (0, 0xD800), (0xE000, 0x110000)]
BITS = ["aa", "aaa", "\n\n", "\n\n\n\n", "\u3000\u3000", "é", "e\u0301", "½", "²", "12", "$+", "\u0363", "'s", "'T", "'ll", "'RE", "'ſ", " ", "  ", "   ", "\n", "\r\n", "\t", "\u3000", "\u00a0", "\u0085", "<|end|>",
        "<mask>", "[R]", "Word", "word", "ﬁne", "fine", "<s>", "</s>", "<unk>", "123", "1234567", "...", "!?", "▁", "a", "e",
        "İ", "ß", "Σ", "e\u0301", "\u0301", "\u200d", "<0x41>", "\u180e", "\ufeff", "\ufffd", "\x00"]


def random_text(rng, words):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.35:
            parts.append(rng.choice(BITS))
        elif kind < 0.6:
            parts.append(rng.choice(words))
        else:
            low, high = rng.choice(RANGES)
            parts.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6))))
    return "".join(parts)


def words():
    return [piece for text in TEXT for piece in text.replace(" ", "| ").split("|")]


def write(folder, wanted):
    known = words()
    folder.mkdir(parents=True, exist_ok=True)
    for name, t in tokenizers():
        rng = random.Random(name)
        if wanted and name not in wanted:
            continue
        starts = ["".join(s) + "the" for n in range(4) for s in itertools.product("\x00\x1f\u00ad", repeat=n)]
        texts = (starts if name == "precompiled-dropped" else []) + ["", " ", "  a", "a  b ", "\n", "<s>[R] x<mask>", *TEXT[:6]] + [random_text(rng, known) for _ in range(60)]
        (folder / f"{name}.json").write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")))
        t = Tokenizer.from_file(str(folder / f"{name}.json"))
        with open(folder / f"{name}.jsonl", "w") as out:
            for text in texts:
                ids = t.encode(text, add_special_tokens=False).ids
                case = {"text": text, "ids": ids, "ids_special": t.encode(text).ids,
                        "decoded": t.decode(ids, skip_special_tokens=False)}
                out.write(json.dumps(case) + "\n")


def write_trained(folder):
    """What BpeTrainer learns from a text: line by line, as from a file, and from all of it at once."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, known = random.Random(2), words()
    text = "\n".join(" ".join(rng.choice(known) for _ in range(12)) + rng.choice(["", "\n", " ", "\r"]) for _ in range(150))
    (folder / "text.txt").write_bytes(text.encode())
    for name, least in (("lines", 2), ("whole", 0)):
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=700, min_frequency=least, show_progress=False,
                                      special_tokens=["<|endoftext|>"],
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        if name == "lines":
            t.train([str(folder / "text.txt")], trainer)
        else:
            t.train_from_iterator([text], trainer)
        (folder / f"{name}.json").write_text(json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]), sys.argv[2:])
    write_trained(pathlib.Path(sys.argv[1]) / "trained")
