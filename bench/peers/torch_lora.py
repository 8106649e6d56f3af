#!/usr/bin/env python3
"""LoRA with peft and PyTorch, a step of it measured: one JSON line on stdout.

    torch_lora.py --make DIR                          a model in SmolLM2-135M's shape: random weights of bf16, tokens are bytes
    torch_lora.py --model DIR --data FILE [--dtype f32|bf16] [--mode eager|compile] [--threads N] [--steps N]

Rank 8 on q_proj and v_proj, AdamW as one fused kernel, clip_grad_norm_(1.0), 2 rows of 512 bytes a step, without dropout.
bf16 keeps the base's weights as they are and computes under autocast; f32 widens them. tokens_per_s is of the median step.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import peft
import tokenizers
import torch
import torch.nn.functional as F
import transformers

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "vocab_size": 49152, "max_position_embeddings": 2048, "rope_theta": 100000.0,
         "rms_norm_eps": 1e-5, "tie_word_embeddings": True}
BATCH, CONTEXT, WARMUP = 2, 512, 1


def make(folder):
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).to(torch.bfloat16).save_pretrained(folder)
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(f"{folder}/tokenizer.json")


def train(model, ids, is_bf16, steps):
    """Seconds of each step after warm-up."""
    trained, seconds = [p for p in model.parameters() if p.requires_grad], []
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
    for step in range(WARMUP + steps):
        begin = time.perf_counter()
        at = torch.randint(0, len(ids) - CONTEXT - 1, (BATCH,)).tolist()
        rows = torch.stack([ids[i:i + CONTEXT + 1] for i in at])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            logits = model(input_ids=rows[:, :-1], use_cache=False).logits
        F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= WARMUP:
            seconds.append(time.perf_counter() - begin)
    return seconds, sum(p.numel() for p in trained)


def measure(o):
    torch.manual_seed(1)
    dtype = torch.bfloat16 if o.dtype == "bf16" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(o.model, dtype=dtype).train()
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, config)
    if o.mode == "compile":
        model = torch.compile(model)
    ids = torch.frombuffer(bytearray(pathlib.Path(o.data).read_bytes()), dtype=torch.uint8).long()
    seconds, parameters = train(model, ids, o.dtype == "bf16", o.steps)
    return {"mode": o.mode, "dtype": o.dtype, "tokens_per_s": BATCH * CONTEXT / statistics.median(seconds), "steps": len(seconds),
            "parameters": parameters, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "peft": peft.__version__, "torch": torch.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", metavar="DIR")
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="bf16")
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--steps", type=int, default=5)
    o = parser.parse_args()
    if o.make:
        return make(o.make)
    if not o.model or not o.data:
        parser.error("--model and --data are needed")
    if o.threads:
        torch.set_num_threads(o.threads)
    print(json.dumps(measure(o)), flush=True)


if __name__ == "__main__":
    main()
