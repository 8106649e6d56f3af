"""Tokenizers of the kinds that nobody's files are needed for, trained on texts of this machine: directories in OUT.

    python bench/peers/make_tokenizers.py OUT FILE...

| directory | what |
|---|---|
| `wordpiece` | WordPiece behind BertNormalizer and BertPreTokenizer |
| `unigram` | Unigram behind SentencePiece's table nmt_nfkc (Precompiled), cut at spaces |
| `tiktoken` | a tokenizer.model of lines in base64 with their ranks; LLaMA 3's pattern |
| `tekken` | Mistral's tekken.json and its pattern |
| `classes` | byte-level BPE with a pattern of classes in classes and &&, as Kimi's is |
"""
import base64
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools/oracle"))
from charsmap import real_charsmap
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}]*{LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}]+{LOWER}]*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CLASSES = (rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}&&[^\p{{Han}}]]*{LOWER}&&[^\p{{Han}}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
           rf"|[^\r\n\p{{L}}\p{{N}}]?{UPPER}&&[^\p{{Han}}]]+{LOWER}&&[^\p{{Han}}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
           r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SIZE = 16000


def save(folder, t):
    folder.mkdir(parents=True, exist_ok=True)
    t.save(str(folder / "tokenizer.json"))


def word_piece(lines):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    return t


def unigram(lines):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(real_charsmap("nmt_nfkc")), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=SIZE // 2, unk_token="<unk>", special_tokens=["<unk>", "</s>"], show_progress=False))
    return t


def byte_level(lines, pattern):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=SIZE, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def ranks(t):
    """Byte strings in the order of their merging, the bytes themselves first."""
    printable = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    vocab = sorted(t.get_vocab().items(), key=lambda item: item[1])
    tokens = [bytes(byte_of[c] for c in token) for token, _ in vocab]
    return [bytes([b]) for b in range(256)] + [token for token in tokens if len(token) > 1]


def tiktoken_lines(folder, tokens):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_text("".join(f"{base64.b64encode(token).decode()} {i}\n" for i, token in enumerate(tokens)))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def tekken(folder, tokens):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"pattern": TEKKEN, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 100,
              "default_num_special_tokens": 100, "version": "v3"}
    vocab = [{"rank": i, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for i, token in enumerate(tokens)]
    (folder / "tekken.json").write_text(json.dumps({"config": config, "vocab": vocab}))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer_config.json").write_text("{}")


def main():
    out, lines = pathlib.Path(sys.argv[1]), []
    for file in sys.argv[2:]:
        lines += pathlib.Path(file).read_text(errors="replace").replace("\0", "").split("\n")
    save(out / "wordpiece", word_piece(lines))
    save(out / "unigram", unigram(lines))
    save(out / "classes", byte_level(lines, CLASSES))
    tiktoken_lines(out / "tiktoken", ranks(byte_level(lines, LLAMA3)))
    tekken(out / "tekken", ranks(byte_level(lines, TEKKEN)))


main()
