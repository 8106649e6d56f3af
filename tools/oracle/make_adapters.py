#!/usr/bin/env python3
"""Makes the golden LoRA adapters in tests/data/adapters with peft and PyTorch, over the models in tests/data/models.

    make_adapters.py [--out tests/data/adapters] [NAME...]

A golden directory is an adapter as peft saved it (adapter_config.json, adapter_model.safetensors), with A and B random
and what stands in place of the base's parameters moved away from them, and two files more.

expected.json: the base (a directory of tests/data/models) and, where there are curves, how they were trained.
expected.safetensors, everything in f32 on the CPU, dropout off:
    ids        i64 [R, T]     the input
    logits     f32 [R, T, V]  of the model with the adapter
    merged     f32 [R, T, V]  after peft's merge_and_unload
    loss       f32 []         mean over the R*(T-1) predictions
    grad.NAME  f32            d loss / d NAME for every tensor of adapter_model.safetensors that is trained
and of training on `stream` for 20 steps of AdamW (decay on tensors of two dims), gradients clipped to a norm, rows of
`context` tokens one after the other as --order sequential reads them, `accumulate` micro-batches of `batch` rows a step:
    stream     i64 [N]
    losses     f32 [20]       each step's before its update; mean over the step's tokens
    norms      f32 [20]       of the gradients before clipping
    final.NAME f32            the adapter after the last step
    full       f32 [20]       the losses when all of the base is trained instead, without an adapter
"""
import argparse
import json
import pathlib

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

SEED, ROWS, TOKENS, STREAM, STEPS = 5, 2, 16, 331, 20
TRAINING = {"lr": 5e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "clip": 1.0, "context": 16, "batch": 2}

# Every way in which peft may name layers, ranks and scales, and all that it trains beside them; `accumulate` asks for curves.
ADAPTERS = {
    "llama-names": ("llama", 1, dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "gpt2-names": ("gpt2", 2, dict(r=3, lora_alpha=5, target_modules=["c_attn", "mlp.c_proj"], use_rslora=True)),
    "llama-regex": ("llama-gqa-tied", 0, dict(
        r=2, lora_alpha=6, target_modules=r".*layers\.[01]\.(self_attn\.(q|o)_proj|mlp\.(down|gate)_proj)",
        rank_pattern={"down_proj": 5, r"^model\.layers\.1\..*q_proj": 3, "q_proj": 1},
        alpha_pattern={"layers.0.self_attn.o_proj": 17}, use_rslora=True)),
    "gpt2-all": ("gpt2-noprefix", 0, dict(r=2, lora_alpha=3, target_modules="all-linear", exclude_modules=["attn.c_proj"])),
    "gpt2-layers": ("gpt2", 0, dict(
        r=2, lora_alpha=3, target_modules=["c_fc", "transformer.h.0.attn.c_attn"], layers_to_transform=[1], layers_pattern="h")),
    "llama-dora": ("llama", 1, dict(r=2, lora_alpha=6, target_modules=["v_proj", "down_proj"], use_dora=True, use_rslora=True)),
    "gpt2-dora-embedding": ("gpt2-noprefix", 2, dict(
        r=2, lora_alpha=3, target_modules=["c_attn", "wte"], rank_pattern={"wte": 3}, use_dora=True, bias="all")),
    "gpt2-biases": ("gpt2", 1, dict(r=2, lora_alpha=3, target_modules=["c_attn", "c_fc"], bias="lora_only", lora_bias=True)),
    "qwen2-embedding": ("qwen2", 1, dict(r=2, lora_alpha=5, target_modules=["embed_tokens", "q_proj"])),
    "llama-tied-head": ("llama-gqa-tied", 1, dict(r=2, lora_alpha=5, target_modules=["lm_head", "o_proj"])),
    "phi3-saved": ("phi3", 1, dict(
        r=2, lora_alpha=5, target_modules=["qkv_proj"], modules_to_save=["embed_tokens", "lm_head", "norm"])),
    "gpt2-saved": ("gpt2", 1, dict(r=2, lora_alpha=5, target_modules=["c_attn"], modules_to_save=["wte", "h.1.mlp"])),
    "gemma3-tokens": ("gemma3", 1, dict(r=2, lora_alpha=5, target_modules=["q_proj"], trainable_token_indices=[30, 3, 0])),
    "olmo2-tokens": ("olmo2", 1, dict(r=2, lora_alpha=5, target_modules=["o_proj"],
                                      trainable_token_indices={"embed_tokens": [3, 30], "lm_head": [7]})),
    "llama-ties": ("llama-gqa-tied", 0, dict(
        r=2, lora_alpha=5, target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
}

# A bias of keys changes no softmax: its gradient is noise, of which Adam makes steps unless eps is larger.
EPS = {"gpt2-dora-embedding": 1e-4, "gpt2-biases": 1e-4}

# So much are A and B, and so much are other trained parameters away from the base's.
SPREAD = 0.2


def rows_of(stream, first, n, context):
    starts = [(first + i) * context % len(stream) for i in range(n)]
    at = torch.tensor([[(s + t) % len(stream) for t in range(context + 1)] for s in starts])
    return stream[at[:, :-1]], stream[at[:, 1:]]


def loss_of(model, tokens, targets, reduction):
    logits = model(input_ids=tokens, use_cache=False).logits
    flat = logits.reshape(-1, logits.shape[-1])
    return logits, torch.nn.functional.cross_entropy(flat, targets.reshape(-1), reduction=reduction)


def train(model, stream, accumulate, eps):
    """Losses and norms of the steps; trains what requires a gradient."""
    t = TRAINING | {"eps": eps}
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": t["weight_decay"]},
              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=t["lr"], betas=tuple(t["betas"]), eps=t["eps"])
    losses, norms, rows = [], [], t["batch"] * accumulate
    for step in range(STEPS):
        tokens, targets = rows_of(stream, step * rows, rows, t["context"])
        optimizer.zero_grad()
        _, loss = loss_of(model, tokens, targets, "mean")
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, t["clip"]).detach())
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), torch.stack(norms)


def base_model(base, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation="eager").eval()


def adapted(base, directory, dtype=torch.float32, trainable=False):
    model = PeftModel.from_pretrained(base_model(base, dtype), directory, is_trainable=trainable)
    return model.to(dtype).eval()


def in_file(name):
    """A trained parameter's name in adapter_model.safetensors."""
    for part, without in ((".modules_to_save.default.", "."), (".lora_magnitude_vector.default.weight", ".lora_magnitude_vector"),
                          (".default.", "."), (".default", "")):
        name = name.replace(part, without)
    return name


def expected_of(base, directory, ids, stream, accumulate, eps, dtype):
    out = {"ids": ids}
    model = adapted(base, directory, dtype, trainable=True)
    logits = model(input_ids=ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].reshape(-1))
    loss.backward()
    out["logits"], out["loss"] = logits.detach(), loss.detach()
    out |= {"grad." + in_file(n): p.grad for n, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        out["merged"] = adapted(base, directory, dtype).merge_and_unload()(input_ids=ids, use_cache=False).logits
    if (out["merged"] - out["logits"]).abs().max() > 1e-3:
        # A weight that embedding and head share: peft merges what is for one of them into both. Right is what was adapted.
        out["merged"] = out["logits"].clone()
    if accumulate:
        out["stream"] = stream
        model = adapted(base, directory, dtype, trainable=True)
        out["losses"], out["norms"] = train(model, stream, accumulate, eps)
        out |= {"final." + in_file(n): p.detach() for n, p in model.named_parameters() if p.grad is not None}
        full = base_model(base, dtype).requires_grad_(True)
        out["full"], _ = train(full, stream, accumulate, eps)
    return {name: t.contiguous().clone() for name, t in out.items()}


def difference(a, b):
    kinds = {}
    for name in b:
        kind = name.split(".")[0]
        kinds[kind] = max(kinds.get(kind, 0.0), (a[name].double() - b[name].double()).abs().max().item())
    return " ".join(f"{kind} {value:.1e}" for kind, value in kinds.items() if kind not in ("ids", "stream"))


def make(name, models, directory):
    base_name, accumulate, options = ADAPTERS[name]
    base = models / base_name
    torch.manual_seed(SEED)
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **options)
    model = get_peft_model(base_model(base, torch.float32), config)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(SPREAD * torch.randn(p.shape) + (0 if ".lora_A." in n or ".lora_B." in n else p))
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(0 if "trainable_token_indices" in options else 2, model.config.vocab_size, (ROWS, TOKENS), generator=generator)
    stream = torch.randint(2, 12, (STREAM,), generator=generator)  # few tokens: there is something to learn
    eps = EPS.get(name, TRAINING["eps"])
    f32 = expected_of(base, directory, ids, stream, accumulate, eps, torch.float32)
    f64 = expected_of(base, directory, ids, stream, accumulate, eps, torch.float64)
    save_file(f32, directory / "expected.safetensors")
    training = {"training": TRAINING | {"eps": eps, "accumulate": accumulate, "steps": STEPS}} if accumulate else {}
    (directory / "expected.json").write_text(json.dumps({"base": base_name} | training, indent=2) + "\n")
    print(directory, sum(f.stat().st_size for f in directory.iterdir()), "bytes; f32 against f64:", difference(f32, f64))
    if accumulate:
        print("    losses", f32["losses"][[0, 9, 19]].tolist(), "full", f32["full"][[0, 9, 19]].tolist())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/data/adapters"))
    parser.add_argument("--models", type=pathlib.Path, default=pathlib.Path("tests/data/models"))
    parser.add_argument("names", nargs="*", help="adapters to write (default: all)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names or ADAPTERS:
        make(name, arguments.models, arguments.out / name)


if __name__ == "__main__":
    main()
