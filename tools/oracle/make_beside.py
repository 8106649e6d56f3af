"""Makes tests/data/tokenizers/beside: tokenizer files, and what AutoTokenizer makes of them with other files beside them.

    python tools/oracle/make_beside.py

cases.jsonl has an object a line: "base" (merges, model or json: which of the tokenizer files are there), "files" (name: object),
"texts", "ids", "ids_special". Where AutoTokenizer fails, or makes a tokenizer without the vocabulary, there is "refused".
"""
import json
import os
import pathlib
import shutil
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
warnings.filterwarnings("ignore")
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

CORPUS = ["the rain fell on the roof and the cat sat under it all night", "in 1987 the old mill stopped; 24 men went home",
          "don't say it'll rain, I'd stay home IT'S late", "le café était fermé à minuit"] * 3
FILES = {"merges": ["vocab.json", "merges.txt"], "model": ["tokenizer.model"], "json": ["tokenizer.json"]}


def make_bases(folder):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(t.to_str())
    (folder / "vocab.json").write_text(json.dumps(data["model"]["vocab"], ensure_ascii=False, separators=(",", ":")))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in data["model"]["merges"]))
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
    m = sentencepiece_model_pb2.ModelProto()
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), ("<tool>", 4), ("[CTL]", 3)]
    letters = sorted(set("".join(CORPUS).replace(" ", "▁")) - set("zq")) + ["th", "the", "▁the", "▁t", "ra", "in", "ain", "rain", "▁▁", "ome"]
    for content, kind in pieces + [(p, 1) for p in letters] + [(f"<0x{i:02X}>", 6) for i in range(256)]:
        p = m.pieces.add()
        p.piece, p.type, p.score = content, kind, -float(len(m.pieces)) / 8 if kind == 1 else 0.0
    m.trainer_spec.model_type, m.trainer_spec.byte_fallback = 2, True
    m.normalizer_spec.remove_extra_whitespaces = False
    (folder / "tokenizer.model").write_bytes(m.SerializeToString())
    return len(data["model"]["vocab"]), len(m.pieces)


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True, **flags}


def typed(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


def cases(n, m):
    """(base, model_type, tokenizer_config, other files)"""
    level = lambda name, **config: {"tokenizer_class": name, **config}
    yield "merges", "gpt2", None, {}
    yield "merges", "gpt2", level("GPT2Tokenizer", add_prefix_space=True, add_bos_token=True), {}
    yield "merges", None, level("GPT2TokenizerFast", add_eos_token=True, eos_token="<|stop|>"), {}
    yield "merges", "llama", level("GPT2Tokenizer", bos_token=typed("[B]", lstrip=True), add_bos_token=True, add_eos_token=True), {}
    yield "merges", "qwen2", None, {}
    yield "merges", "qwen2", level("GPT2Tokenizer", add_prefix_space=True), {}
    yield "merges", "qwen3", level("Qwen2TokenizerFast", additional_special_tokens=["<|im_start|>", "<|im_end|>"]), {}
    yield "merges", None, level("Qwen2Tokenizer", extra_special_tokens=[typed("<x>", rstrip=True)], pad_token="<pad>"), {}
    yield "merges", "gpt2", level("RobertaTokenizer", mask_token=typed("<mask>", lstrip=True)), {}
    yield "merges", "gpt2", level("BartTokenizer", add_prefix_space=True, cls_token="<c>", sep_token="<e>"), {}
    yield "merges", "gpt2", level("CodeGenTokenizer", add_bos_token=True), {}
    yield "merges", "gpt_neox", None, {}
    yield "merges", "gpt2", level("GPTNeoXTokenizerFast", add_eos_token=True), {}
    decoder = {str(n): token("<|im_start|>"), str(n + 1): token("<|im_end|>", lstrip=True, rstrip=True),
               str(n + 2): token("cat", special=False, single_word=True), "0": token("<|endoftext|>")}
    yield "merges", "gpt2", level("GPT2Tokenizer", added_tokens_decoder=decoder), {"added_tokens.json": {"void": n}}
    yield "merges", "gpt2", level("GPT2Tokenizer", added_tokens_decoder={str(n + 9): token("far"), "-3": token("first"), "7": token("night")}), {}
    yield "merges", "gpt2", level("GPT2Tokenizer", added_tokens_decoder={str(n): token(""), str(n + 1): token("rain", normalized=True)}), {}
    yield "merges", "gpt2", None, {"added_tokens.json": {"[TURN]": n, "[/TURN]": n + 1}}
    yield "merges", "gpt2", None, {"added_tokens.json": {"[B]": n + 1, "[A]": n, "on": 260}, "special_tokens_map.json": {"eos_token": "[A]"}}
    yield "merges", "gpt2", level("GPT2Tokenizer", eos_token="<old>"), {
        "special_tokens_map.json": {"eos_token": token("<new>", rstrip=True), "additional_special_tokens": ["<u>", "<v>"],
                                    "image_token": "<img>"}}
    yield "merges", "gpt2", level("GPT2Tokenizer", extra_special_tokens=["<u>"]), {
        "special_tokens_map.json": {"extra_special_tokens": ["<v>", "<u>"], "additional_special_tokens": ["<w>"]}}
    yield "merges", "gpt2", level("GPT2Tokenizer", extra_special_tokens={"image_token": "<img>", "eos_token": "<e>"}, sep_token="<sep>",
                                  video_token=typed("<vid>", lstrip=True)), {}
    yield "merges", "gpt2", level("GPT2Tokenizer", unk_token=None, bos_token=None, eos_token=None, add_bos_token=True), {}
    for base, type_, class_ in (("merges", "llama", None), ("merges", "mistral", "GPT2Tokenizer"), ("merges", "gpt2", "NobodysTokenizer"),
                                ("merges", "llama", "LlamaTokenizer"), ("merges", None, "PreTrainedTokenizerFast"), ("model", "gpt2", None),
                                ("model", "llama", "BertTokenizer")):
        yield base, type_, level(class_) if class_ else None, {}
    yield "merges", "gpt2", level("GPT2Tokenizer", added_tokens_decoder={"x": token("a")}), {}
    yield "merges", "gpt2", level("GPT2Tokenizer", added_tokens_decoder={"1": "a"}), {}
    yield "merges", "gpt2", level("GPT2Tokenizer", bos_token="a b", add_bos_token=True), {}
    yield "merges", "gpt2", level("GPT2Tokenizer", pad_token=5), {}
    yield "model", "llama", None, {}
    yield "model", "mistral", level("LlamaTokenizer", legacy=False, add_bos_token=True), {}
    yield "model", "olmo2", level("NobodysTokenizer", legacy=True, added_tokens_decoder={"4": token("<renamed>"), str(m): token("<new>")}), {}
    yield "model", "phi3", None, {"added_tokens.json": {"<|user|>": m, "<|end|>": m + 1}}
    yield "model", "llama", level("LlamaTokenizer"), {}
    yield "model", "llama", level("LlamaTokenizer", legacy=True, add_bos_token=True), {}
    yield "model", "llama", level("LlamaTokenizerFast", add_prefix_space=False, add_eos_token=True, pad_token="<pad>"), {}
    yield "model", "llama", level("LlamaTokenizer", add_prefix_space=None, additional_special_tokens=["<u>"]), {}
    yield "model", "gemma3_text", None, {}
    yield "model", "gemma3_text", level("GemmaTokenizer", bos_token="<s>", eos_token="</s>", add_bos_token=True), {}
    yield "json", "llama", level("PreTrainedTokenizerFast", added_tokens_decoder=decoder, add_bos_token=True, add_prefix_space=True), {}
    yield "json", "llama", level("PreTrainedTokenizerFast", pad_token="[PAD]"), {"added_tokens.json": {"[TURN]": n}}
    yield "json", "olmo2", None, {"special_tokens_map.json": {"eos_token": "<|end|>", "additional_special_tokens": ["<u>"]}}
    yield "json", "gpt2", level("GPT2Tokenizer", add_prefix_space=True), {}
    yield "json", "gpt2", level("GPT2Tokenizer", add_bos_token=True, added_tokens_decoder={"0": token("<|endoftext|>"), str(n): token("<z>")}), {}


TEXTS = ["", "the rain", " the  rain ", "It's 1987 and IT'LL rain", "<|im_start|>the cat <|im_end|> cats", "[TURN] on [/TURN][A]x[B]",
         "<u> <v><w> <new> <old>x", "<s>the rain</s> <tool>the<pad> ra", "<mask> <img><vid> <e> <c>", "far first night café  \r\n x",
         "<|endoftext|><|end|><|user|>the <renamed>[CTL]", "▁the\u0000z日 <z> <x> y"]


def main():
    target = pathlib.Path(__file__).resolve().parents[2] / "tests/data/tokenizers/beside"
    target.mkdir(exist_ok=True)
    n, m = make_bases(target)
    with open(target / "cases.jsonl", "w") as out:
        for base, type_, config, files in cases(n, m):
            files = dict(files)
            if type_:
                files["config.json"] = {"model_type": type_}
            if config is not None:
                files["tokenizer_config.json"] = config
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                for file in FILES[base]:
                    shutil.copy(target / file, folder / file)
                for file, content in files.items():
                    (folder / file).write_text(json.dumps(content))
                row = {"base": base, "files": files}
                try:
                    t = AutoTokenizer.from_pretrained(name)
                    level = type(t).__name__ in ("GPT2Tokenizer", "Qwen2Tokenizer")
                    if t.vocab_size < 300 or (base == "model" and level):
                        raise ValueError("not its files")
                    row["texts"] = TEXTS
                    row["ids"] = [t.encode(text, add_special_tokens=False) for text in TEXTS]
                    row["ids_special"] = [t.encode(text) for text in TEXTS]
                except (ValueError, TypeError, AttributeError) as e:
                    row["refused"] = True
                out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
