#!/usr/bin/env python3
"""Five turns of `gradus chat` against transformers' greedy generation with apply_chat_template, letter for letter.

    python tools/oracle/chat.py build/gradus MODEL [--tokens 60]

MODEL is a directory, or a .gguf file, which transformers widens to f32. Prints how long the first token of the second turn took
beside that of a cold conversation of the same length.
"""
import argparse
import json
import os
import subprocess

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MESSAGES = ["Hi, who are you?", "Name three colours.", "Write them in another order, one a line.",
            "Ünïcödé: was heißt „Baum“ auf Englisch?", "Thanks! Say goodbye."]


def gradus(command, model, tokens, messages, more=()):
    text = "".join(m + "\n" for m in messages)
    made = subprocess.run([command, "chat", model, "--json", "--activations", "f32", "--temperature", "0",
                           "--repeat-penalty", "1", "-n", str(tokens), *more],
                          input=text.encode(), stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in made.decode().splitlines()]


def transformers(model, tokens):
    folder, file = (os.path.dirname(model), {"gguf_file": os.path.basename(model)}) if model.endswith(".gguf") else (model, {})
    tokenizer = AutoTokenizer.from_pretrained(folder, **file)
    lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **file).eval()
    said, answers = [], []
    for message in MESSAGES:
        said.append({"role": "user", "content": message})
        ids = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            out = lm.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
                              temperature=None, top_p=None, top_k=None)
        new = out[0, ids.shape[1]:].tolist()
        text = tokenizer.decode(new, skip_special_tokens=True)
        answers.append((ids.shape[1], new, text))
        said.append({"role": "assistant", "content": text})
    return answers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=60)
    args = parser.parse_args()
    ours = gradus(args.gradus, args.model, args.tokens, MESSAGES)
    wrong = 0
    for i, (mine, (n, ids, text)) in enumerate(zip(ours, transformers(args.model, args.tokens))):
        same = mine["content"] == text and mine["ids"] == ids and mine["prompt_tokens"] == n
        wrong += not same
        print(f"turn {i + 1}: {'equal' if same else 'DIFFERENT'}, {n} tokens of prompt, {len(ids)} of answer")
        if not same:
            print("  gradus:", mine["prompt_tokens"], mine["content"], "\n  transformers:", n, text)
    long = "Tell me a story about a fox. " * 60
    first, second = gradus(args.gradus, args.model, 40, [long, "And then?"])
    print(f"first token: {first['first_token_s']:.3f} s of {first['prompt_tokens']} tokens, then {second['first_token_s']:.3f} s "
          f"of {second['prompt_tokens']}, {second['cached_tokens']} of them in the cache: "
          f"{second['first_token_s'] / first['first_token_s']:.2f}x")
    raise SystemExit(wrong)


if __name__ == "__main__":
    main()
