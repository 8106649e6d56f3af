#!/usr/bin/env python3
"""Compares the documents of `gradus data show` with what trl's SFTTrainer makes of prompts and completions: ids of both
encoded together, the end of text behind them, the first len(ids of the prompt) of them not learned.

    check_data.py GRADUS TEXT TOKENIZER...      random cuts of a text file; tokenizers as transformers loads them

Documents whose prompt ends inside a token are counted, not compared: there trl warns, and goes on with a mask that is off.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

from transformers import AutoTokenizer

DOCUMENTS, CONTEXT = 400, 512


def cut(text):
    """Prompts that end before a space or a line break, and what follows."""
    for _ in range(DOCUMENTS):
        start, middle = random.randrange(len(text) - 600), 0
        middle = start + random.randint(5, 150)
        while text[middle] not in " \n":
            middle += 1
        yield text[start:middle], text[middle:middle + random.randint(5, 150)]


def shown(gradus, tokenizer, path, rows):
    command = [gradus, "data", "show", tokenizer, path, "--context", str(CONTEXT), "--rows", str(rows), "--json"]
    return [json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()]


def documents_of(gradus, tokenizer, path):
    """By line: ids, and which are learned."""
    documents = {}
    rows = shown(gradus, tokenizer, path, 0)[0]["rows"]
    for row in shown(gradus, tokenizer, path, rows):
        for segment, document in enumerate(row["documents"]):
            at = [i for i, s in enumerate(row["segments"]) if s == segment]
            ids = [row["ids"][i] for i in at] + [row["targets"][at[-1]]]
            documents[document["line"]] = ids, [False] + [row["targets"][i] != -100 for i in at]
    return documents


def main():
    gradus, text, *tokenizers = sys.argv[1:]
    random.seed(3)
    pairs = list(cut(open(text, encoding="utf-8").read()))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pairs.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs)
        for name in tokenizers:
            tokenizer, mine = AutoTokenizer.from_pretrained(name), documents_of(gradus, name, path)
            end = mine[1][0][-1]  # transformers knows it only where tokenizer_config.json names it
            counts = {"equal": 0, "inside a token": 0, "different": 0}
            for line, (prompt, completion) in enumerate(pairs, 1):
                given, ids = tokenizer(prompt).input_ids, tokenizer(prompt + completion).input_ids
                learned = [i >= max(len(given), 1) for i in range(len(ids))] + [True]
                if ids[:len(given)] != given:
                    counts["inside a token"] += 1
                else:
                    counts["equal" if mine[line] == (ids + [end], learned) else "different"] += 1
            print(name, counts)


main()
