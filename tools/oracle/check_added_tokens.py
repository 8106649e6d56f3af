#!/usr/bin/env python3
"""Tokens that a base model does not have, added by `gradus finetune --add-tokens`, against peft and transformers: bases whose
tables have no free row, with a tied head and with one of their own, in f32 and bf16, learn chats by an adapter that trains the
new rows alone, by one that saves whole tables, and by all weights. PeftModel on the resized base, and AutoPeftModelForCausalLM
by itself, must give the logits that gradus has, new tokens included; so must AutoModelForCausalLM on the merged directory.
And the reverse: gradus on an adapter that peft saved of a resized base.

    python tools/oracle/check_added_tokens.py build/gradus [NAME...]
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model

import check_adapters
import check_saved

BASES = {"gpt2": ["--modules-to-save", "wte,lm_head"], "gpt2-untied": ["--modules-to-save", "wte,lm_head"],
         "llama": ["--modules-to-save", "embed_tokens,lm_head"], "qwen2": ["--modules-to-save", "embed_tokens,lm_head"], "phi3": [],
         "gemma3": []}
NEW = ["<|im_start|>", "<|im_end|>"]
VOCAB = check_saved.VOCAB
check_adapters.IDS[0][3:5] = [VOCAB, VOCAB + 1]
check_adapters.IDS[1][-2:] = [VOCAB + 1, VOCAB]


def write_chats(path):
    with open(path, "w", encoding="utf-8") as f:
        for i in range(40):
            f.write(json.dumps({"messages": [{"role": "user", "content": f"{i}?"},
                                             {"role": "assistant", "content": f"{i * i % 7}!"}]}) + "\n")


def base_of(path):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)


def expect(name, tokenizer, model):
    ids = tokenizer.convert_tokens_to_ids(NEW)
    if ids != [VOCAB, VOCAB + 1] or model.config.vocab_size != VOCAB + 2 or len(tokenizer) != VOCAB + 2:
        check_saved.fail(name, f"{ids}, {model.config.vocab_size} rows, {len(tokenizer)} tokens")


def check_adapter(name, dtype, flags, work):
    base, run, merged, chats = work / "base", work / "run", work / "merged", work / "chats.jsonl"
    check_saved.make(base, name, dtype, "1GB")
    write_chats(chats)
    check_adapters.gradus("finetune", base, chats, "--out", run, "--steps", 15, "--batch", 2, "--context", 48, "--lr", "0.02",
                          "--chat-template", "chatml", "--add-tokens", *flags)
    ours = check_adapters.dumped(work, run)
    check_adapters.gradus("merge", run, "--out", merged)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "latest")
    model = base_of(base)
    model.resize_token_embeddings(len(tokenizer))
    adapted = PeftModel.from_pretrained(model, run / "latest")
    alone = AutoPeftModelForCausalLM.from_pretrained(run / "latest", dtype=torch.float32)
    whole = base_of(merged)
    expect(name, tokenizer, adapted)
    expect(name, transformers.AutoTokenizer.from_pretrained(merged), whole)
    by = [check_adapters.compare(name, check_adapters.logits_of(m), ours, bound)
          for m, bound in ((adapted, 2e-5), (alone, 2e-5), (whole, {"f32": 2e-5, "bf16": 5e-2}[dtype]))]
    print(name, dtype, *flags, "peft", by[0], "AutoPeft", by[1], "merged in transformers", by[2], "merged in gradus",
          check_adapters.compare(name, check_adapters.dumped(work, merged), check_adapters.logits_of(whole), 2e-5))


def check_full(name, work):
    base, run, chats = work / "base", work / "run", work / "chats.jsonl"
    check_saved.make(base, name, "f32", "1GB")
    write_chats(chats)
    check_adapters.gradus("finetune", base, chats, "--out", run, "--steps", 4, "--batch", 2, "--context", 48, "--full", "--lr", 0,
                          "--min-lr", 0, "--chat-template", "chatml", "--add-tokens")
    model = base_of(run / "latest")
    expect(name, transformers.AutoTokenizer.from_pretrained(run / "latest"), model)
    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
    apart = max((t[VOCAB:] - t[:VOCAB].mean(0)).abs().max().item() for t in tables)
    if not apart < 1e-6:
        check_saved.fail(name, f"new rows are {apart:.1e} from the mean")
    print(name, "--full", check_adapters.compare(name, check_adapters.dumped(work, run / "latest"),
                                                 check_adapters.logits_of(model), 2e-5), f"rows from the mean {apart:.1e}")


def check_reverse(name, work):
    """peft saves the whole resized tables beside the adapter."""
    base, adapter = work / "base", work / "adapter"
    check_saved.make(base, name, "f32", "1GB")
    model = base_of(base)
    model.resize_token_embeddings(VOCAB + 2)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    model.save_pretrained(adapter)
    print(name, "peft's own", check_adapters.compare(name, check_adapters.dumped(work, base, "--adapter", adapter),
                                                     check_adapters.logits_of(model), 2e-5))


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    for name in sys.argv[2:] or BASES:
        for flags in [[], BASES[name]] if BASES[name] else [[]]:
            for dtype in ("f32", "bf16"):
                with tempfile.TemporaryDirectory() as work:
                    check_adapter(name, dtype, flags, pathlib.Path(work))
        for check in (check_full, check_reverse):
            with tempfile.TemporaryDirectory() as work:
                check(name, pathlib.Path(work))


if __name__ == "__main__":
    main()
