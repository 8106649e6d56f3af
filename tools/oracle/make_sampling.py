#!/usr/bin/env python3
"""Goldens of sampling: tests/data/sampling.json, what transformers' logits processors leave of some logits.

    python3 tools/oracle/make_sampling.py tests/data/sampling.json

Needs torch and transformers. Frequency and presence penalties, which transformers has not, follow OpenAI's formula as vLLM
implements it: logits -= frequency * count + presence * (count > 0), over generated tokens, behind the repetition penalty.
A case is its settings, the logits' index, and the probability of every token that has one.
"""
import itertools
import json
import sys

import torch
from transformers.generation import logits_process as lp

VOCAB = 24
TOKENS = [3, 7, 7, 23, 0, 12, 7, 3, 19, 12]
PROMPT = 4


def make_logits():
    torch.manual_seed(1)
    some = [torch.randn(VOCAB) * 3, torch.randn(VOCAB) * 0.5, torch.randn(VOCAB) * 12]
    some.append((torch.randn(VOCAB) * 2).round())  # many ties
    some.append(torch.zeros(VOCAB))  # nothing but ties
    masked = torch.randn(VOCAB)
    masked[5:20] = float("-inf")
    some.append(masked)
    return some


def process(logits, s):
    ids = torch.tensor([TOKENS])
    x = logits.clone()[None]
    if s.get("repeat_penalty", 1) != 1:
        x = lp.RepetitionPenaltyLogitsProcessor(s["repeat_penalty"])(ids, x)
    for t in sorted(set(TOKENS[PROMPT:])):
        x[0, t] -= s.get("frequency_penalty", 0) * TOKENS[PROMPT:].count(t)
        x[0, t] -= s.get("presence_penalty", 0)
    warpers = [("temperature", 1, lp.TemperatureLogitsWarper), ("top_k", 0, lp.TopKLogitsWarper),
               ("top_p", 1, lp.TopPLogitsWarper), ("min_p", 0, lp.MinPLogitsWarper),
               ("typical_p", 0, lp.TypicalLogitsWarper)]
    for name, off, warper in warpers:  # in the order of GenerationMixin._get_logits_processor
        if s.get(name, off) != off:
            x = warper(s[name])(ids, x)
    return x[0].double().softmax(-1)


def settings():
    values = {
        "repeat_penalty": [1.3, 0.5, 10.0],
        "frequency_penalty": [0.7, -0.5],
        "presence_penalty": [1.5, -1.0],
        "temperature": [0.3, 1e-3, 2.5],
        "top_k": [1, 5, 17, 24, 1000],
        "top_p": [0.0, 0.1, 0.5, 0.95, 0.999],
        "min_p": [0.02, 0.3, 1.0],
        "typical_p": [0.05, 0.3, 0.9, 0.99],
    }
    yield {}
    for name, some in values.items():
        yield from ({name: v} for v in some)
    for (a, some), (b, others) in itertools.combinations(values.items(), 2):
        yield {a: some[0], b: others[-1]}
        yield {a: some[1], b: others[0]}
    yield {name: some[0] for name, some in values.items() if name != "top_k"} | {"top_p": 0.9}
    yield {name: some[1] for name, some in values.items()} | {"temperature": 1.7, "top_p": 0.8, "min_p": 0.01}
    yield {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.95}


def main():
    logits = make_logits()
    cases = []
    for i, (s, k) in enumerate(itertools.product(settings(), range(len(logits)))):
        if len(s) > 1 and (i + i // len(logits)) % 3:
            continue  # of the combinations each with two of the logits, by turns
        if k == 4 and "top_p" in s:
            continue  # which of nothing but equals it keeps depends on torch.sort
        p = process(logits[k], s)
        left = [[t, float("%.7g" % v)] for t, v in enumerate(p.tolist()) if v > 1e-12]
        cases.append({**s, "logits": k, "p": left})
    number = lambda x: None if x == float("-inf") else float("%.9g" % x)
    doc = {"tokens": TOKENS, "prompt": PROMPT, "logits": [[number(x) for x in l.tolist()] for l in logits],
           "cases": cases}
    with open(sys.argv[1], "w") as f:
        f.write("{" + ",\n".join('"%s": %s' % (k, "[" + ",\n".join(json.dumps(x, separators=(",", ":")) for x in v) + "]"
                if isinstance(v, list) and k != "tokens" else json.dumps(v)) for k, v in doc.items()) + "}\n")
    print(len(cases), "cases")


main()
