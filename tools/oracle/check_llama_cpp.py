#!/usr/bin/env python3
"""GGUF files against llama.cpp, which reads what Gradus writes, in one process of its C API (bench/peers/llama_cpp.py):

    python tools/oracle/check_llama_cpp.py build/gradus MODEL... [--tokens 8 2000] [--greedy 16] [--as-is] [--prompts 20] [--lib libllama.so]

Each MODEL is written as a GGUF file in f32 and read by both. For prompts of so many tokens (or the model's context, if that is
shorter): the largest difference of a logit at any position, as a share of the largest logit, at most 1e-4; and the greedy ids that
follow, which must be equal where llama.cpp's two best are not closer than that.
MODEL `usual`: a small model of each architecture, made by transformers with 3,000 positions. llama.cpp's gelu is a table of f16, so
of gpt2 and gemma3 the bound is 1e-3. What it does not read, or computes in another way, is not compared and told: a window in a
file of the architecture llama, yarn's settings other than the factor, longrope in that architecture.
With --as-is MODEL is a GGUF file with quantized weights, and both compute with 8-bit activations: the distance of each from f32
activations, which is Gradus' own, as the root mean square over all logits of some prompts. Ours must be at most theirs, to 2 %:
where both round in blocks of 32 they differ by chance.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/peers"))
import llama_cpp  # noqa: E402

failures = 0


def command(*arguments):
    run = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: {run.stderr}")
    return run.stdout


def logits(gradus, path, ids, folder, activations):
    out = pathlib.Path(folder) / "logits.safetensors"
    out.unlink(missing_ok=True)
    command(gradus, "dump", path, "--ids", ",".join(map(str, ids)), "--what", "logits", "--activations", activations, "--out", out)
    return load_file(out)["logits"][0].astype(numpy.float64)


def greedy(gradus, path, ids, count):
    out = command(gradus, "generate", path, "--ids", ",".join(map(str, ids)), "--tokens", count, "--temperature", 0, "--ignore-eos", "--json")
    return json.loads(out)["ids"]


def info(gradus, path):
    return json.loads(command(gradus, "info", path, "--json"))["model"]


def usual(folder):
    """One model after the other."""
    import torch
    import transformers as t

    small = dict(vocab_size=512, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=160, max_position_embeddings=3000,
                 initializer_range=0.1, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    grouped = dict(small, num_key_value_heads=2)
    yarn = dict(rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 750})
    llama3 = dict(rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                   "original_max_position_embeddings": 400})
    for name, config in {
            "gpt2": t.GPT2Config(vocab_size=512, n_embd=64, n_layer=3, n_head=4, n_positions=3000, initializer_range=0.1, bos_token_id=1, eos_token_id=2),
            "llama": t.LlamaConfig(**grouped), "llama-yarn": t.LlamaConfig(**grouped, **yarn), "llama-llama3": t.LlamaConfig(**grouped, **llama3),
            "mistral": t.MistralConfig(**grouped, sliding_window=None), "qwen2": t.Qwen2Config(**grouped), "qwen3": t.Qwen3Config(**grouped, head_dim=32),
            "phi3": t.Phi3Config(**small, original_max_position_embeddings=3000), "olmo2": t.Olmo2Config(**grouped),
            "gemma3": t.Gemma3TextConfig(**dict(grouped, num_hidden_layers=7), head_dim=32, query_pre_attn_scalar=32, sliding_window=512)}.items():
        torch.manual_seed(1)
        model = t.AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder / name)
        yield folder / name


def check_same(o, name, path, context, vocab, folder):
    global failures
    for tokens in o.tokens:
        n = min(tokens, context - o.greedy)
        ids = numpy.random.default_rng(n).integers(3, vocab, n).tolist()
        model = llama_cpp.Model(o.lib, path, 2, context, cache="f32", flash=0, all_logits=True)
        theirs = model.decode(ids).astype(numpy.float64)
        ours = logits(o.gradus, path, ids, folder, "f32")
        off = float(numpy.abs(ours - theirs).max() / numpy.abs(theirs).max())
        model.clear()
        model.all_logits = False
        must = model.greedy(ids, o.greedy)
        model.close()
        is_ = greedy(o.gradus, path, ids, o.greedy)
        wrong = off > (1e-3 if "gpt2" in name or "gemma3" in name else 1e-4) or must != is_
        failures += wrong
        print(f"{name}: {n} tokens: logits {off:.1e} of the largest apart, {sum(a == b for a, b in zip(must, is_))} of {o.greedy} greedy ids equal{' FAIL' if wrong else ''}", flush=True)


def check_int8(o, name, path, context, vocab, folder):
    global failures
    n, squares = min(o.tokens[-1], context), numpy.zeros(2)
    model = llama_cpp.Model(o.lib, path, 2, context, cache="f32", flash=0, all_logits=True)
    for seed in range(o.prompts):
        ids = numpy.random.default_rng(seed).integers(3, vocab, n).tolist()
        theirs = model.decode(ids).astype(numpy.float64)
        model.clear()
        exact = logits(o.gradus, path, ids, folder, "f32")
        squares += [numpy.mean((x - exact) ** 2) for x in (logits(o.gradus, path, ids, folder, "int8"), theirs)]
    model.close()
    a, b = numpy.sqrt(squares / o.prompts)
    wrong = a > 1.02 * b
    failures += wrong
    print(f"{name}: {o.prompts} x {n} tokens: 8-bit activations are {a:.3e} off, llama.cpp's {b:.3e}: {a / b:.3f}{' FAIL' if wrong else ''}", flush=True)


def check(o, path, folder):
    about, name, file = info(o.gradus, path), path.name if path.is_dir() else path.parent.name, path
    if not o.as_is:
        file = folder / "model.gguf"
        file.unlink(missing_ok=True)
        made = subprocess.run([o.gradus, "convert", path, "--to", "gguf", "--dtype", "f32", "--out", file], capture_output=True, text=True)
        if made.returncode:
            print(f"{name}: not compared:{made.stderr.splitlines()[1].partition(': a GGUF file')[2]}")
            return
    (check_int8 if o.as_is else check_same)(o, name, file, about["context"], about["vocab"], folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gradus")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, nargs="+", default=[8, 2000])
    parser.add_argument("--greedy", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=20, help="with --as-is")
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--lib")
    o = parser.parse_args()
    o.lib = llama_cpp.library(o.lib)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for path in o.models:
            for model in usual(folder) if str(path) == "usual" else [path]:
                check(o, model, folder)
    sys.exit(failures > 0)


main()
