#!/usr/bin/env python3
"""What `gradus finetune` and `merge` wrote against peft and transformers: small models of every architecture, in f32 and
bf16, are fine-tuned by gradus; PeftModel.from_pretrained on the run's checkpoint must give the logits that gradus has,
and so must AutoModelForCausalLM on the merged directory, and on the checkpoint alone (it finds the base by itself).
Then the whole command against PyTorch: 20 steps of `finetune --order sequential` from the same adapter on the same
batches, with accumulation and clipping, and of `--full`: the losses of metrics.jsonl, step by step.

    python tools/oracle/check_adapters.py build/gradus [NAME...]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

import check_saved

# By base, the flags of a run each: what they train must load in peft.
OPTIONS = {
    "gpt2": [["--lora-rank", "4"], ["--dora", "--lora-bias", "all", "--lora-targets", "c_attn,wte"],
             ["--lora-b-bias", "--lora-bias", "lora_only"]],
    "gpt2-noprefix": [["--lora-targets", "all-linear", "--rslora", "--lora-rank", "6"],
                      ["--modules-to-save", "wte,lm_head,ln_f"], ["--train-tokens", "5,17,250"]],
    "llama": [["--lora-rank", "2", "--lora-alpha", "3", "--lora-dropout", "0.1"],
              ["--dora", "--lora-dropout", "0.1", "--lora-targets", "all-linear"], ["--train-tokens", "7,5"]],
    "llama-tied-biases": [["--lora-targets", "all-linear"], ["--lora-targets", "embed_tokens,lm_head", "--lora-bias", "all"]],
    "mistral": [["--lora-targets", "o_proj,down_proj"], ["--modules-to-save", "embed_tokens,lm_head"]],
    "qwen2": [[], ["--lora-targets", "embed_tokens,q_proj", "--dora", "--lora-bias", "lora_only"]],
    "qwen3": [["--lora-targets", "all-linear", "--rslora"], ["--train-tokens", "42,3", "--modules-to-save", "norm"]],
}
# By base, what peft is asked for where both train along.
CURVES = [dict(target_modules="all-linear"), dict(target_modules="all-linear", use_dora=True, use_rslora=True),
          dict(modules_to_save=["mlp"]), dict(trainable_token_indices=[42, 100, 101])]
IDS = [[5, 17, 99, 3, 42, 250, 7, 7, 130, 11, 64, 200], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
STEPS, CONTEXT, BATCH, ACCUMULATE = 20, 16, 2, 2


def gradus(*words):
    done = subprocess.run([sys.argv[1], *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"FAILED gradus {' '.join(map(str, words))}: {done.stderr}")


def dumped(work, *words):
    """gradus's logits."""
    path = work / "dump.safetensors"
    gradus("dump", *words, "--what", "logits", "--ids", ";".join(",".join(map(str, row)) for row in IDS), "--out", path)
    return load_file(path)["logits"]


def compare(name, have, want, bound):
    apart = (have.double() - want.double()).abs().max().item()
    largest = max(1.0, want.abs().max().item())
    if not apart <= bound * largest:
        check_saved.fail(name, f"{apart:.2e} apart, {bound * largest:.1e} allowed")
    return f"{apart:.1e}"


def logits_of(model):
    with torch.no_grad():
        return model(input_ids=torch.tensor(IDS), use_cache=False).logits.float()


def write_text(path):
    path.write_text("".join(f"{i} green bottles hang on the wall, {i * i % 7} fall.\n" for i in range(60)))


def check(name, dtype, flags, work):
    base, run, merged, text = work / "base", work / "run", work / "merged", work / "text.txt"
    check_saved.make(base, name, dtype, "1GB")
    write_text(text)
    gradus("finetune", base, text, "--out", run, "--steps", 15, "--batch", 2, "--context", 16, "--lr", "0.02", *flags)
    ours = dumped(work, run)
    compare(name, dumped(work, base, "--adapter", run / "latest"), ours, 0)
    gradus("merge", run, "--out", merged)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    changed = (logits_of(model) - ours).abs().max().item()
    if changed < 1e-2:
        check_saved.fail(name, f"training changed the logits by {changed:.1e} only")
    adapted = PeftModel.from_pretrained(model, run / "latest")
    # transformers' own reader of adapters knows LoRA alone
    plain = not {"--dora", "--modules-to-save", "--train-tokens", "--lora-bias", "--lora-b-bias"} & set(flags)
    alone = transformers.AutoModelForCausalLM.from_pretrained(run / "latest", dtype=torch.float32) if plain else None
    whole = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    rounded = {"f32": 2e-5, "bf16": 5e-2}[dtype]  # a merged weight is rounded to its dtype
    by_transformers = ["transformers on the adapter", compare(name, logits_of(alone), ours, 2e-5)] if plain else []
    print(name, dtype, *flags, "peft", compare(name, logits_of(adapted), ours, 2e-5), *by_transformers, "merged",
          compare(name, logits_of(whole), ours, rounded),
          "merged in gradus", compare(name, dumped(work, merged), logits_of(whole), 2e-5), f"changed {changed:.2f}")


# ---- the whole command against PyTorch -----------------------------------------------------------------------------

def torch_losses(model, ids, lr, decay):
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in parameters if p.dim() >= 2], "weight_decay": decay},
              {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=(0.9, 0.999), eps=1e-8)
    losses, rows = [], BATCH * ACCUMULATE
    for step in range(STEPS):
        optimizer.zero_grad()
        starts = [(step * rows + r) * CONTEXT for r in range(rows)]
        block = torch.tensor([ids[s:s + CONTEXT + 1] for s in starts])
        logits = model(input_ids=block[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), block[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        losses.append(loss.item())
    return losses


def check_curve(name, options, work):
    """options: of peft's LoraConfig; None: all weights are trained."""
    full = options is None
    base, run, start, text = work / "base", work / "run", work / "start", work / "text.txt"
    _, tokenizer = check_saved.make(base, name, "f32", "1GB")
    write_text(text)
    ids = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
    if len(ids) <= STEPS * BATCH * ACCUMULATE * CONTEXT:
        check_saved.fail(name, f"only {len(ids)} tokens")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    words = ["--full"] if full else ["--adapter", start]
    if not full:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, **options))
        model.save_pretrained(start)
    lr, decay = (1e-3, 0.1) if full else (1e-2, 0.01)
    gradus("finetune", base, text, "--out", run, "--order", "sequential", "--schedule", "constant", "--warmup", 0, "--clip", 0.5,
           "--steps", STEPS, "--batch", BATCH, "--accumulate", ACCUMULATE, "--context", CONTEXT, "--lr", lr,
           "--weight-decay", decay, *words)
    ours = [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    theirs = torch_losses(model, ids, lr, decay)
    print(name, "full" if full else options, f"losses {theirs[0]:.4f} to {theirs[-1]:.4f}, off by",
          compare(name, torch.tensor(ours), torch.tensor(theirs), 2e-4))


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    for name in sys.argv[2:] or OPTIONS:
        for flags in OPTIONS[name]:
            for dtype in ("f32", "bf16"):
                with tempfile.TemporaryDirectory() as work:
                    check(name, dtype, flags, pathlib.Path(work))
        for options in [None, *CURVES]:
            with tempfile.TemporaryDirectory() as work:
                check_curve(name, options, pathlib.Path(work))


if __name__ == "__main__":
    main()
