"""The same texts through Gradus, Hugging Face tokenizers and tiktoken by turns, one thread each: the best of many rounds, and
for Gradus the first round too, whose word cache is empty (the peers' rounds differ little).

    python bench/peers/tokenizers_bench.py build/bench/tokenizer_bench TOKENIZER_DIR... -- FILE...

A directory without tokenizer.json (tokenizer.model, tekken.json, …) has its peer from AutoTokenizer. tiktoken runs with the
vocabulary and pattern of the tokenizer, where that is byte-level; ids are compared. `make_tokenizers.py` makes directories of
the kinds that nobody's files are needed for.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
from tokenizers import Tokenizer

try:
    import tiktoken
except ImportError:
    tiktoken = None

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def best(encode, text, seconds=2):
    """MiB/s of the best round, and the ids."""
    times, end = [], time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        ids = encode(text)
        times.append(time.perf_counter() - start)
    return len(text.encode()) / 2**20 / min(times), ids


def tokenizer_of(folder):
    if (folder / "tokenizer.json").exists():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder))._tokenizer


def tiktoken_of(t):
    """A tiktoken encoding with the tokenizer's vocabulary, or None where there is none."""
    data = json.loads(t.to_str())
    pre = data["pre_tokenizer"]
    if tiktoken is None or (data["decoder"] or {}).get("type") != "ByteLevel":
        return None
    pattern = GPT2 if pre["type"] == "ByteLevel" else pre["pretokenizers"][0]["pattern"]["Regex"]
    alphabet = bytes_to_unicode()
    byte_of = {c: b for b, c in alphabet.items()}
    ranks = {bytes(byte_of[c] for c in token): i for token, i in data["model"]["vocab"].items()
             if all(c in byte_of for c in token)}
    for added in data["added_tokens"]:
        ranks.pop(added["content"].encode(), None)
    return tiktoken.Encoding("peer", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def bytes_to_unicode():
    printable = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def main():
    split = sys.argv.index("--")
    for folder in map(pathlib.Path, sys.argv[2:split]):
        theirs = tokenizer_of(folder)
        openai = tiktoken_of(theirs)
        for file in sys.argv[split + 1 :]:
            text = pathlib.Path(file).read_text(errors="replace")
            ours, first = 0, 0
            for _ in range(3):
                run = json.loads(subprocess.check_output([sys.argv[1], str(folder), file, "1"]))
                ours, first = max(ours, run["encode_mib_s"]), max(first, run["first_mib_s"])
            hf, ids = best(lambda t: theirs.encode(t, add_special_tokens=False).ids, text)
            line = f"{folder.name:9} {pathlib.Path(file).name:24} gradus {ours:6.1f}, first {first:6.1f}  tokenizers {hf:5.2f} ({ours / hf:.1f}x, {first / hf:.1f}x)"
            if openai:
                speed, other = best(openai.encode_ordinary, text)
                line += f"  tiktoken {speed:6.2f} ({ours / speed:.1f}x, {first / speed:.1f}x{'' if other == ids else ', other ids'})"
            print(line, flush=True)


main()
