#!/usr/bin/env python3
"""Holds the tokenizers of GGUF files to their truth, by the command:

    python tools/oracle/check_gguf.py build/gradus --vocab LLAMA.CPP/models     # llama.cpp's vocabulary files, each with its cases
    python tools/oracle/check_gguf.py build/gradus --model FILE.gguf --texts FILE.jsonl...   # against transformers

Of a model with the pre-tokenizer "smollm", transformers leaves out the step that parts digits, which the model's own tokenizer.json
has: it is put back. Exit code 1 on the first difference's account."""
import argparse
import glob
import json
import os
import subprocess

SEPARATOR = "\n__ggml_vocab_test__\n"


def ours(gradus, file, texts, *flags):
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    run = subprocess.run([gradus, "tokenize", file, "--jsonl", *flags], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line)["ids"] for line in run.stdout.splitlines()]


def compare(name, texts, must, is_):
    bad = [i for i in range(len(texts)) if must[i] != is_[i]]
    print(f"{name}: {len(texts)} texts, {sum(map(len, must))} ids, {len(bad)} differ")
    for i in bad[:3]:
        print("  ", repr(texts[i])[:80], must[i][:16], is_[i][:16])
    return len(bad)


def check_vocab(gradus, folder):
    bad = 0
    for file in sorted(glob.glob(os.path.join(folder, "ggml-vocab-*.gguf"))):
        if not os.path.exists(file + ".inp") or "bert" in file:  # BERT is no language model
            continue
        with open(file + ".inp", encoding="utf-8", newline="") as f:
            texts = f.read().split(SEPARATOR)
        with open(file + ".out") as f:
            must = [[int(i) for i in line.split()] for line in f.read().split("\n")][:len(texts)]
        bad += compare(os.path.basename(file), texts, must, ours(gradus, file, texts))
    return bad


def check_model(gradus, file, files):
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(file) or ".", gguf_file=os.path.basename(file))
    with open(file, "rb") as f:
        if b"\x06\0\0\0\0\0\0\0smollm" in f.read(1 << 26):
            steps = [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    texts = list(dict.fromkeys(json.loads(line)["text"] for name in files for line in open(name)))
    must = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in texts]
    return compare(os.path.basename(file), texts, must, ours(gradus, file, texts, "--allow-special"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gradus")
    parser.add_argument("--vocab")
    parser.add_argument("--model")
    parser.add_argument("--texts", nargs="*", default=[])
    args = parser.parse_args()
    bad = check_vocab(args.gradus, args.vocab) if args.vocab else 0
    bad += check_model(args.gradus, args.model, args.texts) if args.model else 0
    raise SystemExit(bad != 0)
