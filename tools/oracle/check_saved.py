#!/usr/bin/env python3
"""What `gradus convert` wrote against what transformers had: makes small models of every architecture with transformers,
converts them in every dtype, in one file and in shards, loads the results with AutoModelForCausalLM and AutoTokenizer,
and asks for equal weights, logits, configurations, generation settings and token ids. Then there and back again:
transformers -> gradus -> transformers -> gradus.

    python tools/oracle/check_saved.py build/gradus [NAME...]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

TEXTS = ["The quick brown fox", "  def f(x):\n\treturn x**2\r\n", "naïve café, 漢字 🎉", "<|endoftext|>x<|user|>", ""]
TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
VOCAB = 300

SMALL = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None, "initializer_range": 0.2}
GPT2 = {**SMALL, "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 48}
LLAMA = {**SMALL, "num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 40, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 48}
CONFIGS = {
    "gpt2": ("gpt2", GPT2),
    "gpt2-untied": ("gpt2", {**GPT2, "tie_word_embeddings": False}),
    "gpt2-noprefix": ("gpt2", GPT2),
    "llama": ("llama", LLAMA),
    "llama-tied-biases": ("llama", {**LLAMA, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    "llama-head-dim": ("llama", {**LLAMA, "head_dim": 6, "num_key_value_heads": 1}),
    "mistral": ("mistral", {**LLAMA, "sliding_window": 5}),
    "qwen2": ("qwen2", {**LLAMA, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", {**LLAMA, "head_dim": 8}),
    "gemma3": ("gemma3_text", {**LLAMA, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6,
                               "layer_types": ["sliding_attention", "full_attention"]}),
    "olmo2": ("olmo2", LLAMA),
    "phi3": ("phi3", {**LLAMA, "pad_token_id": 0, "original_max_position_embeddings": 48}),
    "llama3-rope": ("llama", {**LLAMA, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}}),
    "qwen2-yarn": ("qwen2", {**LLAMA, "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 12}}),
}


def fail(name, why):
    raise SystemExit(f"FAILED {name}: {why}")


def save_tokenizer(path):
    """A byte-level BPE with special tokens, a chat template and a post-processor of its own."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<|endoftext|>", "<|user|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator([pathlib.Path(__file__).read_text()], trainer)
    t.post_processor = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<|endoftext|>", eos_token="<|endoftext|>",
                                                additional_special_tokens=["<|user|>"])
    fast.chat_template = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}"
    fast.save_pretrained(path)
    return fast


def make(path, name, dtype, shard_size):
    """A random model as transformers saves it; norms and biases are random too."""
    model_type, keys = CONFIGS[name]
    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(model_type, **keys)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=TORCH[dtype]).eval()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p += 0.1 * torch.randn_like(p)
    model.generation_config.update(do_sample=True, temperature=0.7, top_p=0.9, max_new_tokens=9)
    model.save_pretrained(path, max_shard_size=shard_size)
    if name.endswith("noprefix"):
        tensors = load_file(path / "model.safetensors")
        save_file({k.removeprefix("transformer."): v for k, v in tensors.items()}, path / "model.safetensors",
                  metadata={"format": "pt"})
    return model, save_tokenizer(path)


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def load(name, path, dtype):
    """As a user would, and nothing may be missing, left over or newly made."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(path, dtype="auto", output_loading_info=True)
    if any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        fail(name, f"transformers loads it with {info}")
    if model.dtype != dtype:
        fail(name, f"transformers loads it as {model.dtype}")
    return model.eval()


def same_but_dtype(a, b):
    a, b = [{k: v for k, v in c.to_dict().items() if k not in ("dtype", "torch_dtype", "_name_or_path", "architectures")}
            for c in (a, b)]
    return a == b


def compare(name, source, tokenizer, path, dtype):
    """The directory's model is `source` rounded to dtype; logits are compared in f32, where both compute alike."""
    saved = load(name, path, dtype)
    must, have = source.state_dict(), saved.state_dict()
    if must.keys() != have.keys():
        fail(name, f"names differ: {must.keys() ^ have.keys()}")
    for key, value in must.items():
        if not torch.equal(value.to(dtype), have[key]):
            fail(name, f"{key} differs")
    ids = torch.randint(0, VOCAB, (2, 16), generator=torch.Generator().manual_seed(3))
    rounded = source.to(torch.float32)
    for p in rounded.parameters():  # not what is computed from the configuration, as RoPE's frequencies
        p.data = p.data.to(dtype).to(torch.float32)
    if not torch.equal(logits_of(rounded, ids), logits_of(saved.to(torch.float32), ids)):
        fail(name, "logits differ")
    if not same_but_dtype(source.config, saved.config):
        fail(name, "config.json differs")
    generation = [m.generation_config.to_diff_dict() for m in (source, saved)]
    if any(generation[0].get(k) != generation[1].get(k) for k in ("temperature", "top_p", "max_new_tokens", "eos_token_id")):
        fail(name, f"generation settings differ: {generation}")
    other = transformers.AutoTokenizer.from_pretrained(path)
    for text in TEXTS:
        for special in (False, True):
            if tokenizer.encode(text, add_special_tokens=special) != other.encode(text, add_special_tokens=special):
                fail(name, f"token ids of {text!r} differ")
    chat = [{"role": "user", "content": "hello"}]
    if tokenizer.apply_chat_template(chat, tokenize=False) != other.apply_chat_template(chat, tokenize=False):
        fail(name, "chat templates differ")


def run(gradus, *words):
    done = subprocess.run([gradus, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        fail(" ".join(map(str, words)), done.stderr)
    return done.stdout


def dump(gradus, model, out):
    run(gradus, "dump", model, "--ids", "1,2,3,4,5,6,7,8;290,280,270,260,250,240,230,220", "--what", "logits", "--out", out)
    return load_file(out)["logits"]


def check(gradus, name, source_dtype, folder):
    """All conversions of one model; how many there were."""
    count, source_path = 0, folder / "source"
    shard_size = "5GB" if name.endswith("noprefix") else "20KB"
    make(source_path, name, source_dtype, shard_size)
    for dtype in ("keep", "f32", "f16", "bf16"):
        for size in ("5G", "20k", "1"):
            # Every time anew: comparing rounds the model.
            source = load(name, source_path, TORCH[source_dtype])
            tokenizer = transformers.AutoTokenizer.from_pretrained(source_path)
            path = folder / f"{dtype}-{size}"
            report = json.loads(run(gradus, "convert", source_path, "--to", "hf", "--dtype", dtype, "--shard-size", size,
                                    "--out", path, "--json"))
            if report["compared"]["token_ids"] == 0 or (report["weight_files"] > 1) != (size != "5G"):
                fail(path, report)
            compare(f"{name} {source_dtype} {path.name}", source, tokenizer, path,
                    TORCH[source_dtype if dtype == "keep" else dtype])
            count += 1
    # There and back: transformers -> gradus -> transformers -> gradus.
    kept, again = folder / "keep-20k", folder / "again"
    load(name, kept, TORCH[source_dtype]).save_pretrained(again)
    back = folder / "back"
    run(gradus, "convert", again, "--to", "hf", "--out", back)
    first = dump(gradus, source_path, folder / "first.safetensors")
    for other in (kept, again, back):
        if not torch.equal(first, dump(gradus, other, folder / "other.safetensors")):
            fail(other, "gradus computes other logits")
    return count + 1


def main():
    gradus, names, total = sys.argv[1], sys.argv[2:] or list(CONFIGS), 0
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in names:
        for dtype in ("f32", "bf16"):
            with tempfile.TemporaryDirectory() as folder:
                total += check(gradus, name, dtype, pathlib.Path(folder))
        print(f"{name}: equal", flush=True)
    print(f"{total} directories that gradus wrote, {len(names)} models in f32 and bf16: transformers loads all of them "
          "with equal weights, logits, settings and token ids")


if __name__ == "__main__":
    main()
