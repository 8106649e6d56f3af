#!/usr/bin/env python3
"""Every key of config.json that Gradus knows, in a config.json of every architecture: does transformers heed it?

    check_keys.py [--gradus build/gradus] [--only llama,qwen3] [--keys sliding_window,...] [--all]

A tiny model of each architecture gets each key, one at a time and at several values. Where transformers' logits change,
Gradus must give the same ones or refuse the key by name; where they do not, Gradus must run and give the same ones, with or
without a remark. What transformers itself refuses counts for nothing. --all prints every verdict, not only wrong ones. Not
part of any test: it takes minutes.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

import make_models

SOURCES = pathlib.Path(__file__).resolve().parent.parent.parent / "src" / "model"
SIZES = {"vocab_size": 43, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "head_dim": 8, "intermediate_size": 40, "max_position_embeddings": 32, "pad_token_id": None, "bos_token_id": None,
         "eos_token_id": None}
CONFIGS = {"gpt2": transformers.GPT2Config, "llama": transformers.LlamaConfig, "mistral": transformers.MistralConfig,
           "qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config, "gemma3_text": transformers.Gemma3TextConfig,
           "olmo2": transformers.Olmo2Config, "phi3": transformers.Phi3Config}
# What a key of this name holds where it is used; others are tried with these three.
USUAL = [True, 2, 0.5]
VALUES = {
    "sliding_window": [3], "layer_types": [["sliding_attention", "full_attention"], ["full_attention", "full_attention"]],
    "attention_chunk_size": [4], "rope_parameters": [{"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}],
    "rope_scaling": [{"rope_type": "linear", "factor": 2.0}], "no_rope_layers": [[0, 1]], "mrope_section": [[1, 1, 2]],
    "pruned_heads": [{"0": [1]}], "vision_config": [{"hidden_size": 8}], "audio_config": [{"hidden_size": 8}],
    "text_config": [{"hidden_size": 32}], "hidden_act": ["relu"], "hidden_activation": ["relu"], "activation_function": ["relu"],
    "is_causal": [False], "scale_attn_weights": [False], "tie_word_embeddings": [True, False], "n_inner": [40],
    "bos_token_id": [1], "eos_token_id": [2, [2, 3]], "pad_token_id": [0, 5], "max_window_layers": [1], "torch_dtype": ["float32"],
    "dtype": ["float32"], "quantization_config": [], "quantization": [], "model_type": [], "architectures": [],
    "transformers_version": ["4.30.0"], "n_embd": [32], "n_head": [4, 2], "n_layer": [2, 1], "n_positions": [32], "n_ctx": [32],
    "id2label": [{"0": "a"}], "label2id": [{"a": 0}], "task_specific_params": [{"a": {}}], "auto_map": [{"AutoModel": "a.B"}],
    "tokenizer_class": ["LlamaTokenizer"], "partial_rotary_factor": [0.5, 1],
    "attention_bias": [True], "mlp_bias": [True], "sliding_window_pattern": [2, 3],
    "rope_local_base_freq": [100.0], "attn_logit_softcapping": [0.5, 30.0],
}


def known_keys():
    keys = []
    for name in ("keys.c", "gpt2.c", "llama.c", "mistral.c", "qwen2.c", "qwen3.c", "gemma3.c", "olmo2.c", "phi3.c"):
        text = (SOURCES / name).read_text()
        for body in re.findall(r"static const char \w+\[\] =\s*((?:\"[^\"]*\"\s*)+);|const char gr_llama_\w+\[\] =\s*((?:\"[^\"]*\"\s*)+);", text):
            keys += "".join(re.findall(r'"([^"]*)"', body[0] or body[1])).split()
    return sorted(set(keys))


def make(family, directory):
    sizes = dict(SIZES)
    if family == "gpt2":
        for key in ("num_key_value_heads", "head_dim"):
            del sizes[key]
        sizes["n_inner"] = sizes.pop("intermediate_size")
    if family == "qwen2":
        sizes.pop("head_dim")
    config = CONFIGS[family](**sizes)
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    make_models.randomize(model)
    model.save_pretrained(directory)


def logits_of(directory, ids):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits


def theirs(directory, ids):
    try:
        return logits_of(directory, ids)
    except Exception:
        return None


def ours(options, directory, ids):
    out = directory / "ours.safetensors"
    text = ",".join(str(i) for i in ids[0].tolist())
    done = subprocess.run([options.gradus, "dump", str(directory), "--ids", text, "--what", "logits", "--out", str(out),
                           "--device", "cpu"],
                          capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if line.startswith("warning")]
    return (load_file(out)["logits"] if done.returncode == 0 else None), said, done.stderr.strip()


def far(a, b):
    return a.shape != b.shape or (a - b).abs().max().item() > 1e-4 * b.abs().max().item()


def judge(options, family, key, value, base, plain, ids):
    """(verdict, wrong): what happens, and whether it should not."""
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder) / "model"
        shutil.copytree(base, directory)
        path = directory / "config.json"
        config = json.loads(path.read_text())
        if config.get(key) == value and key in config:
            return "is so already", False
        config[key] = value
        path.write_text(json.dumps(config))
        want = theirs(directory, ids)
        if want is None:
            return "transformers refuses it", False
        have, said, error = ours(options, directory, ids)
        changes = far(want, plain)
        what = "changes logits" if changes else "changes nothing"
        if have is None and " missing" in error:  # transformers makes up biases that the file has not
            return f"{what}; asks for tensors that are not there", False
        if have is None:
            return f"{what}; refused: {error.splitlines()[-2:]}", not changes
        if far(have, want):
            return f"{what}; other logits", True
        return f"{what}; same logits" + (", with a remark" if said else ""), False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradus", default="build/gradus")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(CONFIGS))
    parser.add_argument("--keys", type=lambda text: text.split(","), default=known_keys())
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    ids = torch.tensor([[1, 5, 9, 13, 2, 7, 40, 11, 3, 29]])
    tried = wrong = 0
    for family in options.only:
        with tempfile.TemporaryDirectory() as folder:
            base = pathlib.Path(folder) / "model"
            make(family, base)
            plain = logits_of(base, ids)
            for key in options.keys:
                for value in VALUES.get(key, USUAL):
                    verdict, is_wrong = judge(options, family, key, value, base, plain, ids)
                    tried += 1
                    wrong += is_wrong
                    if options.all or is_wrong:
                        print(f"{'WRONG ' if is_wrong else ''}{family} {key}={json.dumps(value)}: {verdict}", flush=True)
    print(f"{len(options.keys)} keys, {tried} configurations: {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
