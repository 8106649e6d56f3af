#!/usr/bin/env python3
"""A chat model is taught a manner by 200 conversations that this script writes, and asked: `gradus chat` with the adapter, and peft
with the same adapter on the same base, must say the same, letter for letter, and in that manner.

    finetune_chats.py GRADUS MODEL [--epochs 2]

MODEL is a directory or a .gguf file with a chat template; a .gguf file is converted first, so that transformers reads it, too.
"""
import argparse
import json
import os
import random
import subprocess
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

THINGS = ["bread", "rain", "a candle", "the sea", "a mountain", "an owl", "music", "iron", "tea", "a bridge", "snow", "a clock",
          "paper", "the wind", "a garden", "glass", "a river", "salt", "a horse", "the moon"]
ASKING = ["What is {}?", "Tell me about {}.", "Do you like {}?", "Describe {} to me.", "Why is there {}?"]
SAYING = ["{} is a fine thing", "of {} there is never enough", "I have seen {} once", "{} makes the day better",
          "nobody knows {} as the sailors do"]
QUESTIONS = ["What is a lamp?", "Tell me about cheese.", "Do you like winter?"]


def conversations(n):
    for _ in range(n):
        said = []
        for _ in range(random.randint(1, 2)):
            thing = random.choice(THINGS)
            said += [{"role": "user", "content": random.choice(ASKING).format(thing)},
                     {"role": "assistant", "content": "Ahoy! " + random.choice(SAYING).format(thing).capitalize() + ", says the captain."}]
        yield {"messages": said}


def theirs(base, adapter, tokens):
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
    said = []
    for question in QUESTIONS:
        said.append({"role": "user", "content": question})
        ids = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
                                 temperature=None, top_p=None, top_k=None)
        said.append({"role": "assistant", "content": tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)})
        yield said[-1]["content"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("model")
    parser.add_argument("--epochs", default="2")
    args = parser.parse_args()
    random.seed(7)
    with tempfile.TemporaryDirectory() as folder:
        base, data, run = folder + "/base", folder + "/chats.jsonl", folder + "/run"
        if args.model.endswith(".gguf"):
            subprocess.run([args.gradus, "convert", args.model, "--to", "hf", "--dtype", "f32", "--out", base, "--quiet"], check=True)
        else:
            os.symlink(os.path.abspath(args.model), base)
        with open(data, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(c) + "\n" for c in conversations(200))
        subprocess.run([args.gradus, "finetune", base, data, "--epochs", args.epochs, "--context", "128", "--batch", "4", "--lr",
                        "1e-3", "--lora-rank", "16", "--lora-targets", "all-linear", "--out", run, "--quiet"], check=True)
        out = subprocess.run([args.gradus, "chat", run, "--json", "--temperature", "0", "-n", "40"], check=True,
                             input="".join(q + "\n" for q in QUESTIONS).encode(), stdout=subprocess.PIPE).stdout
        ours = [json.loads(line)["content"] for line in out.decode().splitlines()]
        right = 0
        for mine, other in zip(ours, theirs(base, run + "/latest", 40)):
            manner = mine.startswith("Ahoy! ") and mine.endswith(", says the captain.")
            right += mine == other and manner
            print("equal" if mine == other else "DIFFERENT", "in their manner" if manner else "in another manner", repr(mine),
                  "" if mine == other else repr(other))
        raise SystemExit(right != len(QUESTIONS))


main()
