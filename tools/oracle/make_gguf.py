#!/usr/bin/env python3
"""Writes tests/data/gguf/NAME.gguf and NAME.safetensors: weights of tests/data/models as llama.cpp's own converter writes them, in
F32 and without tokenizers, and what transformers makes of them: ids, logits, greedy ids. Where a file cannot say what the model's
config.json does (activations, Qwen's windows, which of Gemma's layers have them), the model is changed to what is usual.

    python tools/oracle/make_gguf.py LLAMA.CPP [NAME...]

LLAMA.CPP is its source tree, with convert_hf_to_gguf.py; torch, transformers and gguf must be installed."""
import json
import pathlib
import sys
import tempfile

from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/gguf"
MODELS = {
    "gpt2-noprefix": {}, "llama": {}, "llama-gqa-tied": {}, "llama-linear": {}, "llama-llama3": {}, "llama-yarn": {},
    "llama-mqa-biases": {"hidden_act": "silu"},
    "mistral": {"sliding_window": None},
    "qwen2": {"use_sliding_window": False, "layer_types": None},
    "qwen3": {"use_sliding_window": False, "layer_types": None},
    "gemma3": {"query_pre_attn_scalar": 256, "layer_types": None, "sliding_window_pattern": 6, "_sliding_window_pattern": 6,
               "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": None, "attention_bias": False},
    "olmo2": {"attention_bias": False}, "phi3": {},
}


def changed(name, folder):
    """The model with what MODELS says changed, in a folder of its own."""
    source = ROOT / "tests/data/models" / name
    config = json.loads((source / "config.json").read_text()) | MODELS[name]
    config = {k: v for k, v in config.items() if k != "layer_types" or v is not None}
    if "n_positions" in config:
        config["n_ctx"] = config["n_positions"]  # by which its converter calls it
    (folder / "config.json").write_text(json.dumps(config))
    vocab = {str(i): i for i in range(config["vocab_size"])}  # Gemma's converter counts them
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": []}))
    tensors = {k: v for k, v in load_file(source / "model.safetensors").items() if not k.endswith((".attn.bias", ".masked_bias"))}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def convert(name, folder):
    import gguf
    from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

    hparams = ModelBase.load_hparams(folder, False)
    cls = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    bare = type(cls.__name__, (cls,), {"set_vocab": lambda self: self._set_vocab_none(), "model_arch": cls.model_arch})
    bare(folder, gguf.LlamaFileType.ALL_F32, OUT / (name + ".gguf"), model_name=name).write()


def expect(name, folder):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = load_file(ROOT / "tests/data/models" / name / "expected.safetensors")["ids"][:2, :12].contiguous()
    greedy = ids[:, :8]
    while greedy.shape[1] < 14:
        greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], 1)
    save_file({"ids": ids, "logits": model(ids).logits.contiguous(), "greedy": greedy.contiguous()},
              OUT / (name + ".safetensors"))


if __name__ == "__main__":
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
    import torch

    OUT.mkdir(exist_ok=True)
    with torch.inference_mode():
        for name in sys.argv[2:] or MODELS:
            with tempfile.TemporaryDirectory() as folder:
                changed(name, pathlib.Path(folder))
                convert(name, pathlib.Path(folder))
                expect(name, pathlib.Path(folder))
