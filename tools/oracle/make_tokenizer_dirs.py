"""Small directories without tokenizer.json, with the ids that AutoTokenizer gives (mistral_common for tekken.json): NAME/.

    python tools/oracle/make_tokenizer_dirs.py tests/data/tokenizer_dirs [NAME ...]
"""
import json
import pathlib
import random
import shutil
import sys

import check_auto_tokenizer as auto
from charsmap import charsmap
from sentencepiece import sentencepiece_model_pb2

RULES = {"d": "t", "é": "e", "ï": "i", "ß": "ss", "ﬁ": "fi", "\t": " ", "\u00a0": " ", "e\u0301": "é", "日": "月", "\u200b": ""}


def with_rules(model_type, spaces, prefix):
    def write(rng, folder):
        while True:
            auto.write_model(rng, folder)
            m = sentencepiece_model_pb2.ModelProto()
            m.ParseFromString((folder / "tokenizer.model").read_bytes())
            if m.trainer_spec.model_type == model_type:
                break
        m.normalizer_spec.precompiled_charsmap = charsmap(RULES)
        m.normalizer_spec.remove_extra_whitespaces, m.normalizer_spec.add_dummy_prefix = spaces, prefix
        (folder / "tokenizer.model").write_bytes(m.SerializeToString())
    return write


def tekken_of(version, special):
    def write(rng, folder):
        while True:
            auto.write_tekken(rng, folder)
            data = json.loads((folder / "tekken.json").read_text())
            if data["config"]["version"] == version and ("special_tokens" in data) == special:
                return
    return write


def repeated_words(rng, folder):
    """The largest ids lie behind the number of different lines, where added tokens begin."""
    lines = []
    while len(set(lines)) == len(lines):
        auto.write_words(rng, folder)
        lines = [line.rstrip() for line in (folder / "vocab.txt").read_text().split("\n")]


MARKS = {"content": "<|im_start|>", "special": True}, {"content": "tide", "special": False, "normalized": True}
DIRS = {
    "bert": (auto.write_words, "gpt2", {"tokenizer_class": "BertTokenizer"}),
    "bert-cased": (auto.write_words, "gpt2", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False, "cls_token": "<s>"}),
    "bert-accents": (auto.write_words, "bert", {"strip_accents": False, "tokenize_chinese_chars": False, "do_basic_tokenize": False}),
    "distilbert": (auto.write_words, None, {"tokenizer_class": "DistilBertTokenizer", "additional_special_tokens": ["<|user|>", "a"]}),
    "bert-repeated": (repeated_words, "bert", {"mask_token": "##z", "pad_token": "<pad>", "extra_special_tokens": ["<s>", "##y", "[TURN]"]}),
    "tiktoken": (auto.write_lines, "llama", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    "tiktoken-reserved": (auto.write_lines, "llama", {"bos_token": "<|im_start|>", "add_bos_token": True, "extra_special_tokens": ["</s>"],
                                                      "added_tokens_decoder": {"SIZE+3": MARKS[0], "SIZE+5": MARKS[1]}}),
    "tiktoken-llama": (auto.write_lines, "llama", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "eos_token": "<eos>"}),
    "tiktoken-qwen": (auto.write_lines, "qwen2", {}),
    "tekken-v3": (tekken_of("v3", False), "mistral", {}),
    "tekken-v7": (tekken_of("v7", True), "llama", {"added_tokens_decoder": {"1": {"content": "<s>", "special": True}}}),
    "tekken-v11": (tekken_of("v11", True), "olmo2", {"eos_token": "</s>", "add_eos_token": True}),
    "rules-bpe": (with_rules(2, False, True), "llama", {"tokenizer_class": "TokenizersBackend"}),
    "rules-unigram": (with_rules(1, True, True), "llama", {"legacy": False}),
    "rules-bare": (with_rules(2, True, False), "olmo2", {}),
    "rules-llama": (with_rules(2, False, True), "llama", {"tokenizer_class": "LlamaTokenizer"}),
}


def main():
    root = pathlib.Path(sys.argv[1])
    for name, (write, model_type, config) in DIRS.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        folder, rng = root / name, random.Random(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(rng, folder)
        size = auto.size_of(folder)
        text = json.dumps(config, ensure_ascii=False)
        for more in (3, 5):
            text = text.replace(f'"SIZE+{more}"', f'"{size + more}"')
        (folder / "tokenizer_config.json").write_text(text)
        if model_type:
            (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": size}))
        texts = [text for text in auto.texts_of(rng, folder) if "\0" not in text]
        if (folder / "tekken.json").exists():
            texts = [text.replace("<", "(").replace("[", "(") for text in texts]
        rows, what = auto.expected(folder, texts)
        assert rows, (name, what)
        with open(folder / "cases.jsonl", "w") as out:
            for text, row in zip(texts, rows):
                out.write(json.dumps({"text": text, "ids": row[0], "ids_special": row[1]}) + "\n")
        print(name, what, size, sum(len(row[0]) for row in rows))


main()
