#!/usr/bin/env python3
"""PyTorch's side of the training benchmarks: one JSON line a measurement, on stdout.

    torch_train.py --case small|124m [--mode eager|compile] [--dtype f32|bf16] [--threads N] [--steps N]
                   [--config FILE] [--data FILE] [--model own|transformers]

A GPT-2 in plain modules, written to be fast in PyTorch: fused attention, a tied head, no dropout, AdamW as one fused
kernel, clip_grad_norm_(1.0). A step is batch, forward, backward, clip, update, zero; its loss is read, as a loop that
logs does. tokens_per_s is batch * context / the median of the steps after warm-up; best_tokens_per_s the fastest of
them, which a loaded machine disturbs least. peak_rss_bytes is the process's, with Python and PyTorch in it.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SMALL = {"vocab_size": 65, "n_positions": 64, "n_embd": 128, "n_layer": 4, "n_head": 4, "layer_norm_epsilon": 1e-5}
CASES = {"small": {"batch": 12, "context": 64, "warmup": 20, "steps": 200, "lr": 1e-3, "beta2": 0.99},
         "124m": {"batch": 4, "context": 256, "warmup": 2, "steps": 5, "lr": 6e-4, "beta2": 0.95}}


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["n_embd"]
        self.heads = c["n_head"]
        self.ln_1, self.ln_2 = (nn.LayerNorm(width, c["layer_norm_epsilon"]) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = (part.view(batch, tokens, self.heads, -1).transpose(1, 2)
                   for part in self.qkv(self.ln_1(x)).split(width, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        width = c["n_embd"]
        self.wte, self.wpe = nn.Embedding(c["vocab_size"], width), nn.Embedding(c["n_positions"], width)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["n_layer"]))
        self.ln_f = nn.LayerNorm(width, c["layer_norm_epsilon"])
        for p in self.parameters():
            if p.dim() >= 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Transformers(nn.Module):
    """The same model from the transformers library."""

    def __init__(self, c):
        super().__init__()
        import transformers
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        self.model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**(c | off)))

    def forward(self, ids, targets):
        logits = self.model(input_ids=ids, use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def read_ids(path, vocabulary):
    """The text's characters as ids and how many there are, or random ids."""
    if path is None:
        return torch.randint(0, vocabulary, (1 << 20,)), vocabulary
    text = pathlib.Path(path).read_text(encoding="utf-8")
    number = {character: i for i, character in enumerate(sorted(set(text)))}
    return torch.tensor([number[character] for character in text]), len(number)


def optimizer_of(model, case, kind):
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=case["lr"], betas=(0.9, case["beta2"]), fused=kind == "fused",
                             foreach=kind == "foreach")


def train(model, ids, case, dtype, steps, adamw):
    """The seconds of each step after warm-up, and the first and last loss."""
    optimizer, seconds, losses = optimizer_of(model, case, adamw), [], []
    batch, context = case["batch"], case["context"]
    for step in range(case["warmup"] + steps):
        begin = time.perf_counter()
        at = torch.randint(0, len(ids) - context - 1, (batch,)).tolist()
        rows = torch.stack([ids[i:i + context + 1] for i in at])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16"):
            loss = model(rows[:, :-1], rows[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step >= case["warmup"]:
            seconds.append(time.perf_counter() - begin)
    return seconds, losses[0], losses[-1]


def measure(arguments):
    case = CASES[arguments.case]
    config = json.loads(pathlib.Path(arguments.config).read_text()) if arguments.config else SMALL
    torch.manual_seed(arguments.seed)
    ids, characters = read_ids(arguments.data, config["vocab_size"])
    if not arguments.config:
        config = config | {"vocab_size": characters}
    if characters > config["vocab_size"]:
        raise SystemExit(f"{arguments.data}: {characters} characters, but vocab_size is {config['vocab_size']}")
    model = (GPT if arguments.model == "own" else Transformers)(config)
    if arguments.mode == "compile":
        model = torch.compile(model)
    seconds, first, last = train(model, ids, case, arguments.dtype, arguments.steps or case["steps"],
                                 arguments.adamw)
    tokens = case["batch"] * case["context"]
    return {"name": f"train-{arguments.case}", "peer": "pytorch", "mode": arguments.mode, "dtype": arguments.dtype,
            "model": arguments.model, "adamw": arguments.adamw, "tokens_per_s": round(tokens / statistics.median(seconds), 1),
            "best_tokens_per_s": round(tokens / min(seconds), 1), "steps": len(seconds),
            "first_loss": round(first, 4), "last_loss": round(last, 4),
            "parameters": sum(p.numel() for p in model.parameters()),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "threads": torch.get_num_threads(), "torch": torch.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--model", choices=("own", "transformers"), default="own")
    parser.add_argument("--adamw", choices=("fused", "foreach", "plain"), default="fused")
    parser.add_argument("--threads", type=int, help="default: PyTorch's own choice")
    parser.add_argument("--steps", type=int, help="measured steps; warm-up comes on top (small 200, 124m 5)")
    parser.add_argument("--config", help="a GPT-2 config.json; needed for 124m")
    parser.add_argument("--data", help="a text file, taken by characters; default: random ids")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.case == "124m" and not arguments.config:
        parser.error("--case 124m needs --config gpt2-124m.json")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(json.dumps(measure(arguments)), flush=True)


if __name__ == "__main__":
    main()
