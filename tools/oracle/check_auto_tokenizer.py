"""Random tokenizer directories through `gradus tokenize` and transformers' AutoTokenizer: ids with and without special tokens.

    python tools/oracle/check_auto_tokenizer.py build/gradus [--count N] [--seed N] [--keep DIR] [--only KIND]

A directory is vocab.json with merges.txt, a tokenizer.model (SentencePiece's, some with a normalization table, or lines of
tiktoken's), a tekken.json, a vocab.txt, or a tokenizer.json, and beside it, at random: config.json with a
model_type, tokenizer_config.json with a class, switches, named tokens and added tokens, special_tokens_map.json,
added_tokens.json. Texts contain the added tokens, spaces around them, NUL and Unicode. Where AutoTokenizer fails, Gradus must
refuse too; where it makes a tokenizer without the vocabulary (a class that does not read the files that are there), Gradus
must refuse. Directories whose tokenizer.json AutoTokenizer throws away for a class of its own are not drawn: Gradus runs a
tokenizer.json as it is written.
"""
import argparse
import base64
import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
os.environ["RUST_BACKTRACE"] = "0"
warnings.filterwarnings("ignore")
from charsmap import charsmap, real_charsmap
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

WORDS = ("the tide turns twice a day and boats wait for it under a red kite; 1024 chimneys over 7 hills, can't we'll IT'S "
         "naïve Straße привет мир 日本語 한국어 مرحبا हिन्दी 🙂 x\r\n\r\n  y\t z ﬁ e\u0301 Å").split(" ")
LEVEL = {"GPT2Tokenizer", "Qwen2Tokenizer", "RobertaTokenizer", "CodeGenTokenizer", "GPTNeoXTokenizer"}
PIECES = {"LlamaTokenizer", "GemmaTokenizer", "TokenizersBackend"}
TYPES = [None, "gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma3_text", "olmo2", "phi3", "gpt_neox", "opt", "starcoder2"]
CLASSES = {
    "merges": ["GPT2Tokenizer", "GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "Qwen2Tokenizer", "Qwen2TokenizerFast",
               "RobertaTokenizer", "BartTokenizer", "CodeGenTokenizer", "GPTNeoXTokenizerFast", "PreTrainedTokenizerFast",
               "LlamaTokenizer", "NobodysTokenizer", None],
    "model": ["LlamaTokenizer", "LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer", "TokenizersBackend",
              "PreTrainedTokenizerFast", "NobodysTokenizer", "Phi3Tokenizer", None, None],
    "words": ["BertTokenizer", "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizer", "GPT2Tokenizer"],
    "lines": ["PreTrainedTokenizerFast", "LlamaTokenizer", "TokenizersBackend", "TikTokenTokenizer", "Qwen2Tokenizer",
              "GPT2Tokenizer", None],
    "json": ["PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer", None],
}
NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
CONTENTS = ["<|im_start|>", "<|im_end|>", "<|user|>", "[TURN]", "[/TURN]", "<s>", "</s>", "<pad>", "<unk>", "<mask>", "<bos>", "<eos>",
            "<|endoftext|>", "the", "tide", "a", "日本", "é", " x", "<a b>", "<c:d>", "fi", "▁tide", "\u00c5", "<extra_0>", "aa",
            "\n\n", "İ", "<|im", "1024", "$x", "<tool\u0000>"]


def chance(rng, p):
    return rng.random() < p


# ---- what stands in a directory ----


def level_tokenizer(rng):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    special = rng.choice([[], ["<|endoftext|>"], ["<s>", "</s>", "<pad>"], ["<|endoftext|>", "<|im_start|>"]])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator([" ".join(rng.choices(WORDS, k=40)) for _ in range(30)],
                          trainers.BpeTrainer(vocab_size=rng.randrange(280, 360), special_tokens=special, initial_alphabet=alphabet,
                                              show_progress=False))
    return t


def write_merges(rng, folder):
    model = json.loads(level_tokenizer(rng).to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=chance(rng, 0.5)))
    lines = ["#version: 0.2"] * chance(rng, 0.7) + [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")


def ranks(rng):
    """Byte strings in the order of their merging."""
    model = json.loads(level_tokenizer(rng).to_str())["model"]
    printable = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    tokens = [bytes(byte_of[c] for c in token) for token, _ in sorted(model["vocab"].items(), key=lambda x: x[1]) if "<" not in token]
    return [bytes([i]) for i in range(256)] + [token for token in tokens if len(token) > 1]


def write_lines(rng, folder):
    lines = [base64.b64encode(token).decode() + f" {rank}" for rank, token in enumerate(ranks(rng))]
    (folder / rng.choice(["tokenizer.model", "tokenizer.model", "tiktoken.model"])).write_text("\n".join(lines) + "\n" * rng.randrange(3))


TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
          r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def write_tekken(rng, folder):
    tokens, version = ranks(rng), rng.choice(["v3", "v7", "v11", "v13"])
    names = ["<unk>", "<s>", "</s>"] + rng.sample(["[INST]", "[/INST]", "<pad>", "[TURN]", "<tool>", "[IMG]"], rng.randrange(5))
    special = [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(names)]
    count = len(names) + rng.choice([0, 3, 20])
    data = {"config": {"pattern": TEKKEN, "num_vocab_tokens": len(tokens) + 500, "default_num_special_tokens": count, "version": version,
                       "default_vocab_size": count + len(tokens) - rng.choice([0, 10])},
            "vocab": [{"rank": i, "token_bytes": base64.b64encode(token).decode(), "token_str": token.decode(errors="ignore") or None}
                      for i, token in enumerate(tokens)], "special_tokens": special}
    if version in ("v3", "v7") and chance(rng, 0.5):
        del data["special_tokens"]
        data["config"]["default_num_special_tokens"] = 25
        data["config"]["default_vocab_size"] = 25 + len(tokens)
    (folder / "tekken.json").write_text(json.dumps(data))


def write_words(rng, folder):
    words = [w for word in WORDS for w in word.split()] + ["kite", "hill", "Straße", "strasse", "naive", "мир", "日", "本", "a", "b", "i", "e"]
    tokens = rng.sample(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], rng.choice([5, 5, 5, 4])) + ["[unused1]"] * chance(rng, 0.3)
    if "[UNK]" not in tokens:
        tokens.append("[UNK]")
    for word in rng.sample(words, 30):
        cut = rng.randrange(1, len(word) + 1)
        tokens += [word.lower() if chance(rng, 0.5) else word, word[:cut]] + ["##" + word[cut:]] * (cut < len(word))
    tokens += ["##" + c for c in "abcdefghijklmnopqrstuvwxyz"] + [rng.choice(tokens), rng.choice([" x", "x ", "\u3000", "", "##"])]
    if chance(rng, 0.8):
        tokens = list(dict.fromkeys(token.rstrip() for token in tokens))
    end = rng.choice(["\n", "\n", "\r\n"])
    (folder / "vocab.txt").write_bytes((end.join(tokens) + end * rng.randrange(2)).encode())


def write_json(rng, folder):
    data = json.loads(level_tokenizer(rng).to_str())
    if chance(rng, 0.3):
        data["added_tokens"] = []
    if chance(rng, 0.3):
        names = [token["content"] for token in data["added_tokens"]]
        if names:
            one = {"SpecialToken": {"id": names[0], "type_id": 0}}
            data["post_processor"] = {"type": "TemplateProcessing", "single": [one, {"Sequence": {"id": "A", "type_id": 0}}],
                                      "pair": [one, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                                      "special_tokens": {names[0]: {"id": names[0], "ids": [data["added_tokens"][0]["id"]],
                                                                    "tokens": [names[0]]}}}
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False))


def write_model(rng, folder):
    """Not trained, but made: pieces by hand, so that every kind of piece and every setting comes."""
    m = sentencepiece_model_pb2.ModelProto()
    text = [" ".join(rng.choices(WORDS, k=20)).replace(" ", "▁") for _ in range(20)]
    found = collections.Counter(t[i:i + n] for t in text for n in range(1, 6) for i in range(len(t) - n + 1))
    letters = sorted({c for t in text for c in t})
    pieces = [c for c in letters if chance(rng, 0.9)] + [p for p, _ in found.most_common(150) if len(p) > 1]
    rng.shuffle(pieces)
    head = rng.choice([[("<unk>", 2), ("<s>", 3), ("</s>", 3)], [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2), ("<mask>", 4)],
                       [("<unk>", 2)]])
    user = [(w, 4) for w in rng.sample(["<tool>", "(a+b)", "▁▁▁", "<sep#1>", "kite.", "\n"], rng.choice([0, 0, 1, 3]))]
    control = [(w, 3) for w in rng.sample(["<ctl>", "[INST]", "<0>"], rng.choice([0, 0, 1, 2]))]
    fallback = chance(rng, 0.7)
    bytes_ = [(f"<0x{i:02X}>", 6) for i in range(256)] * fallback
    special = head + user + control + bytes_
    for content, kind in special + [(p, 1) for p in dict.fromkeys(pieces) if p not in {c for c, _ in special}]:
        p = m.pieces.add()
        p.piece, p.type, p.score = content, kind, 0.0 if kind != 1 else rng.choice([-1.0, -2.5, -len(content), -rng.random() * 9])
    spec, norm, ids = m.trainer_spec, m.normalizer_spec, [c for c, _ in head]
    spec.model_type = rng.choice([1, 2, 2, 2])
    spec.byte_fallback = fallback
    spec.unk_id = ids.index("<unk>")
    spec.bos_id = ids.index("<s>") if "<s>" in ids else ids.index("<bos>") if "<bos>" in ids else -1
    spec.eos_id = ids.index("</s>") if "</s>" in ids else ids.index("<eos>") if "<eos>" in ids else -1
    if "<bos>" in ids and chance(rng, 0.7):
        spec.bos_piece, spec.eos_piece = "<bos>", "<eos>"
    norm.add_dummy_prefix = chance(rng, 0.7)
    norm.remove_extra_whitespaces = chance(rng, 0.3)
    if chance(rng, 0.1):
        norm.escape_whitespaces = False
    if chance(rng, 0.4):
        rules = {rng.choice(letters + ["ﬁ", "\t", "\r\n", "\u00a0", "e\u0301"]): rng.choice(["", " ", "a", "xy", "é", "▁"]) for _ in range(9)}
        norm.precompiled_charsmap = real_charsmap(rng.choice(["nmt_nfkc", "nfkc_cf"])) if chance(rng, 0.3) else charsmap(rules)
    (folder / "tokenizer.model").write_bytes(m.SerializeToString())


def write_saved(rng, folder):
    """What a class of transformers saves, then changed by hand: tokens and switches that only tokenizer_config.json has."""
    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name)
        level = chance(rng, 0.5)
        class_ = rng.choice(sorted(LEVEL) if level else ["LlamaTokenizer", "LlamaTokenizer", "GemmaTokenizer"])
        (write_merges if level else write_model)(rng, source)
        config = {"tokenizer_class": class_, "extra_special_tokens": rng.sample(CONTENTS[:12], rng.randrange(0, 3))}
        for key in ("add_prefix_space", "legacy", "add_bos_token", "add_eos_token"):
            if chance(rng, 0.3):
                config[key] = chance(rng, 0.5)
        (source / "tokenizer_config.json").write_text(json.dumps(config))
        AutoTokenizer.from_pretrained(str(source)).save_pretrained(str(folder))
    data = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    size = len(data["model"]["vocab"])
    decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in data["added_tokens"]}
    for i, content in enumerate(rng.sample(CONTENTS, rng.randrange(0, 3))):
        if content not in [t["content"] for t in decoder.values()]:
            decoder[str(max([size - 1] + [int(k) for k in decoder]) + 1)] = flagged(rng, content, False)
    config["added_tokens_decoder"] = decoder
    if chance(rng, 0.5):
        data["added_tokens"] = [t for t in data["added_tokens"] if chance(rng, 0.5)]
    for key in ("add_prefix_space", "legacy"):
        if chance(rng, 0.3):
            config[key] = chance(rng, 0.5)
    if class_ == "LlamaTokenizer":  # which transformers forgets when it saves
        config.setdefault("legacy", data["pre_tokenizer"].get("prepend_scheme") == "always")
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def flagged(rng, content, typed):
    token = {"content": content, "lstrip": chance(rng, 0.2), "rstrip": chance(rng, 0.2), "single_word": chance(rng, 0.15),
             "special": chance(rng, 0.6), "normalized": chance(rng, 0.4)}
    if chance(rng, 0.15):
        del token["normalized"]
    return {"__type": "AddedToken", **token} if typed else token


def named_token(rng):
    content = rng.choice(CONTENTS)
    return None if chance(rng, 0.1) else flagged(rng, content, True) if chance(rng, 0.3) else content


def size_of(folder):
    if (folder / "vocab.json").exists():
        return len(json.loads((folder / "vocab.json").read_text()))
    if (folder / "tokenizer.json").exists():
        return len(json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"])
    if (folder / "vocab.txt").exists():
        return len(set(line.rstrip() for line in (folder / "vocab.txt").read_text().split("\n")))
    if (folder / "tekken.json").exists():
        return json.loads((folder / "tekken.json").read_text())["config"]["default_vocab_size"]
    for name in ("tokenizer.model", "tiktoken.model"):
        if is_lines(folder / name):
            return len((folder / name).read_bytes().split())  // 2
    m = sentencepiece_model_pb2.ModelProto()
    m.ParseFromString((folder / "tokenizer.model").read_bytes())
    return len(m.pieces)


def is_lines(path):
    return path.exists() and path.read_bytes().startswith(b"AA== 0")


def write_beside(rng, folder, kind):
    size, config = size_of(folder), {}
    model_type = rng.choice([None, "llama", "mistral", "olmo2", "phi3"]) if kind in ("json", "tekken") else rng.choice(TYPES)
    if kind == "words":
        model_type = rng.choice(["gpt2", "bert", "llama", None])
        config |= {key: chance(rng, 0.5) for key in ("do_lower_case", "tokenize_chinese_chars", "do_basic_tokenize", "strip_accents")
                   if chance(rng, 0.4)}
        if chance(rng, 0.1):
            config["strip_accents"] = None
    class_ = rng.choice(CLASSES["json" if kind == "tekken" else kind])
    if class_:
        config["tokenizer_class"] = class_
    for key, p in (("add_bos_token", 0.35), ("add_eos_token", 0.35), ("add_prefix_space", 0.3), ("legacy", 0.3)):
        if chance(rng, p):
            config[key] = chance(rng, 0.5)
    for key in rng.sample(NAMED, rng.choice([0, 0, 1, 2, 4])):
        config[key] = named_token(rng)
    if chance(rng, 0.2):
        config["image_token"] = rng.choice(CONTENTS)
    if chance(rng, 0.2):
        config[rng.choice(["additional_special_tokens", "extra_special_tokens"])] = [
            flagged(rng, c, True) if chance(rng, 0.3) else c for c in rng.sample(CONTENTS, rng.randrange(0, 4))]
    if chance(rng, 0.1):
        config["extra_special_tokens"] = {f"name_{k}": flagged(rng, c, True) if chance(rng, 0.3) else c for k, c in enumerate(rng.sample(CONTENTS, 2))}
    if chance(rng, 0.4):
        ids = [rng.randrange(size) for _ in range(rng.randrange(0, 3))] + [size + i for i in range(rng.randrange(0, 4))]
        if chance(rng, 0.15):
            ids.append(size + rng.choice([7, 100, 100000]))
        config["added_tokens_decoder"] = {str(i): flagged(rng, c, False) for i, c in zip(ids, rng.sample(CONTENTS, len(ids)))}
    map_ = {}
    if chance(rng, 0.3):
        for key in rng.sample(NAMED, rng.randrange(0, 4)):
            content = rng.choice(CONTENTS)
            map_[key] = flagged(rng, content, False) if chance(rng, 0.4) else content
        if chance(rng, 0.3):
            map_["additional_special_tokens"] = rng.sample(CONTENTS, rng.randrange(0, 3))
        if chance(rng, 0.2):
            map_["extra_special_tokens"] = rng.sample(CONTENTS, rng.randrange(0, 3))
        (folder / "special_tokens_map.json").write_text(json.dumps(map_))
    if chance(rng, 0.3):
        (folder / "added_tokens.json").write_text(json.dumps(
            {c: size + i for i, c in enumerate(rng.sample([c for c in CONTENTS if "\0" not in c], rng.randrange(0, 4)))}))
    if kind == "words": # whatever BERT's class does with them, its own template counts
        config = {key: value for key, value in config.items() if key not in ("add_bos_token", "add_eos_token")
                  and not (key in ("cls_token", "sep_token") and value is None)} # it takes the ids 2 and 3 then, whatever they are
    if kind == "lines": # transformers takes nothing but strings here
        for key in ("additional_special_tokens", "extra_special_tokens"):
            if isinstance(config.get(key), list):
                config[key] = [c if isinstance(c, str) else c["content"] for c in config[key]]
    if config or chance(rng, 0.5):
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=chance(rng, 0.5)))
    if model_type:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": size}))


def texts_of(rng, folder):
    told = " ".join(p.read_text() for p in folder.glob("*.json") if p.name not in ("vocab.json", "tokenizer.json"))
    mine = [c for c in CONTENTS if c in told or json.dumps(c)[1:-1] in told] or CONTENTS
    bits = mine * 3 + WORDS + CONTENTS[:14] + [" ", "  ", "\n", "\0", "\t", "▁", "\u00a0", "don't", "(a+b)", "<tool>", "1 2 3", "INST]"]
    texts = ["".join(rng.choice(bits) + rng.choice(["", "", " ", "  "]) for _ in range(rng.randrange(1, 9))) for _ in range(22)]
    return ["", " ", "the tide", " the  tide "] + texts


# ---- comparing ----


def expected(folder, texts):
    """(ids without, ids with special tokens, reason why there are none)."""
    try:
        t = AutoTokenizer.from_pretrained(str(folder))
        if type(t).__name__ == "MistralCommonBackend":
            return [(t.encode(text, add_special_tokens=False), t.encode(text, add_special_tokens=True)) for text in texts], "mistral"
        size = t._tokenizer.get_vocab_size(with_added_tokens=False)
        if size < size_of(folder) - 1:
            return None, f"{type(t).__name__} does not read its files"
        name = type(t).__name__
        if (folder / "tokenizer.model").exists() and name in LEVEL and not is_lines(folder / "tokenizer.model"):
            return None, f"{name} makes nothing of a tokenizer.model"
    except BaseException as e:
        if isinstance(e, KeyboardInterrupt):
            raise
        return None, f"{type(e).__name__}: {str(e).splitlines()[0][:60] if str(e) else ''}"
    rows = []
    for text in texts:
        try:
            ids = t.encode(text, add_special_tokens=True)
            rows.append((t.encode(text, add_special_tokens=False), ids, t.decode(ids), t.decode(ids, skip_special_tokens=True)))
        except BaseException as e:
            if isinstance(e, KeyboardInterrupt):
                raise
            rows.append(None)
    return rows, type(t).__name__


def gradus(command, folder, rows, key, flags):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    p = subprocess.run([command, "tokenize", str(folder), "--jsonl", *flags], input=lines.encode(),
                       capture_output=True)
    if p.returncode:
        return p.stderr.decode(errors="replace").strip()
    return [json.loads(line)[key] for line in p.stdout.decode().split("\n")[:-1]]


def one(options, i, totals):
    rng = random.Random(f"{options.seed} {i}")
    kind = options.only or rng.choice(["merges", "merges", "model", "model", "json", "saved", "words", "lines", "tekken"])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        {"merges": write_merges, "model": write_model, "json": write_json, "saved": write_saved, "words": write_words,
         "lines": write_lines, "tekken": write_tekken}[kind](rng, folder)
        if kind != "saved":
            write_beside(rng, folder, kind)
        if kind != "json" and not (folder / "config.json").exists() and not (folder / "tokenizer_config.json").exists():
            return # AutoTokenizer cannot; Gradus takes the two files for GPT-2's
        texts = texts_of(rng, folder)
        rows, what = expected(folder, texts)
        bad = []
        if "Unknown control token" in what: # of chats, which Mistral's own program wants of every file
            return
        if rows is None:
            answer = gradus(options.gradus, folder, [{"text": texts[0]}], "ids", ["--allow-special"])
            totals["refused by both" if isinstance(answer, str) else "taken by Gradus alone"] += 1
            if not isinstance(answer, str):
                bad = [("AutoTokenizer fails: " + what, None, None, None)]
        else:
            totals[f"{kind} {what}"] += 1
            good = [(text, row) for text, row in zip(texts, rows) if row]
            parse = ["--allow-special"] * (what != "mistral") # Mistral's program takes no text for a special token
            runs = [("ids", "text", 0, parse), ("ids", "text", 1, parse + ["--special"])]
            if what != "mistral":
                runs += [("text", "ids", 2, []), ("text", "ids", 3, ["--skip-special"])]
            for key, given, which, flags in runs:
                inputs = [{given: row[1] if given == "ids" else text} for text, row in good]
                answer = gradus(options.gradus, folder, inputs, key, flags)
                if isinstance(answer, str):
                    bad.append((what, answer, None, None))
                    continue
                totals["texts"] += len(answer) * (which == 0)
                bad += [(" ".join([what, key] + flags), text, row[which], got)
                        for (text, row), got in zip(good, answer) if got != row[which]]
        if bad:
            totals["directories that differ"] += 1
            print(f"{i} {kind}: {len(bad)} differences, first: {bad[0][0]} of {ascii(bad[0][1])}\n    theirs {bad[0][2]}\n    ours   {bad[0][3]}")
            for path in sorted(folder.glob("*.json")):
                if path.name not in ("vocab.json", "tokenizer.json"):
                    print("    ", path.name, ascii(path.read_text())[:700])
            if options.keep:
                shutil.copytree(folder, pathlib.Path(options.keep, f"{options.seed}-{i}"), dirs_exist_ok=True)
            sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["merges", "model", "json", "saved", "words", "lines", "tekken"])
    parser.add_argument("--keep")
    options = parser.parse_args()
    totals = collections.Counter()
    for i in range(options.first, options.first + options.count):
        one(options, i, totals)
    print(f"{options.count} directories: {totals['directories that differ']} differ; {dict(sorted(totals.items()))}")
    return totals["directories that differ"] > 0


if __name__ == "__main__":
    sys.exit(main())
