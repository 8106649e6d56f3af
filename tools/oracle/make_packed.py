#!/usr/bin/env python3
"""Makes tests/data/packed with transformers: loss and gradients of rows that hold several documents.

    make_packed.py [--models tests/data/models] [--out tests/data/packed]

packed.safetensors: tokens, targets (-100: not learned), segments, i64 [R, T]; for each model NAME.loss, f32 [], the mean
over what is learned, and NAME.grad.PARAMETER. Models are those of tests/data/models, in f32, attention "eager"; "mistral"
is the weights of llama-bf16 under config.json of this folder: a window shorter than the documents.

A row's documents are kept apart in the two ways that transformers has, which must agree: a mask that is block-diagonal,
and positions that restart, from which it makes that mask itself.
"""
import argparse
import json
import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

WIDTH, WINDOW = 16, 4
ROWS = [[(6, 3), (1, 1), (5, 2), (4, 0)], [(11, 7), (5, 1)]]  # (places, of these given); (4, 0) is padding
MODELS = {"gpt2": "gpt2-f16", "llama": "llama-bf16", "mistral": "llama-bf16"}


def make_rows(vocab):
    draw = lambda: torch.randint(2, vocab, (1,), generator=generator).item()
    generator = torch.Generator().manual_seed(5)
    rows = [[], [], [], []]  # tokens, targets, segments, positions
    for documents in ROWS:
        for row in rows:
            row.append([])
        for number, (places, given) in enumerate(documents):
            padding = given == 0
            ids = [0 if padding else draw() for _ in range(places + 1)]
            learned = [-100 if padding or i + 1 < given else ids[i + 1] for i in range(places)]
            for row, values in zip(rows, (ids[:-1], learned, [number] * places, list(range(places)))):
                row[-1].extend(values)
    return [torch.tensor(row) for row in rows]


def mask_of(segments, window):
    at = torch.arange(WIDTH)
    seen = (segments[:, :, None] == segments[:, None, :]) & (at[None, :] <= at[:, None])
    if window:
        seen &= at[None, :] > at[:, None] - window
    return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None]


def load(name, models, out):
    directory = models / MODELS[name]
    if name != "mistral":
        return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32,
                                                                 attn_implementation="eager")
    config = json.loads((directory / "config.json").read_text())
    config.update(model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=WINDOW, dtype="float32")
    for key in ("attention_bias", "mlp_bias", "pretraining_tp"):
        config.pop(key, None)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    model = transformers.MistralForCausalLM(transformers.MistralConfig(**config, attn_implementation="eager"))
    weights = {k: t.float() for k, t in load_file(directory / "model.safetensors").items()}
    print(model.load_state_dict(weights, strict=True))
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=pathlib.Path, default="tests/data/models")
    parser.add_argument("--out", type=pathlib.Path, default="tests/data/packed")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = None
    for name in MODELS:
        model = load(name, args.models, args.out).eval()
        tokens, targets, segments, positions = make_rows(model.config.vocab_size)
        tensors = tensors or {"tokens": tokens, "targets": targets, "segments": segments}
        window = WINDOW if name == "mistral" else None
        by_mask = model(input_ids=tokens, position_ids=positions, attention_mask=mask_of(segments, window)).logits
        by_position = model(input_ids=tokens, position_ids=positions, use_cache=False).logits
        apart = (by_mask - by_position).abs().max().item()
        assert apart < 1e-5, f"{name}: the two ways differ by {apart}"
        loss = torch.nn.functional.cross_entropy(by_mask.flatten(0, 1), targets.flatten(), ignore_index=-100)
        loss.backward()
        tensors[f"{name}.loss"] = loss.detach()
        tensors.update({f"{name}.grad.{n}": p.grad.contiguous() for n, p in model.named_parameters()})
        print(name, f"loss {loss.item():.4f}, the two ways differ by {apart:.1e}")
    save_file(tensors, args.out / "packed.safetensors")


main()
