#!/usr/bin/env python3
"""GPTQ of `gradus quantize` against one in numpy, f64: the share of codes that are the same.

    tools/oracle/check_gptq.py build/gradus MODEL TEXT [TYPE] [TOKENS]

MODEL is a LLaMA in Hugging Face's files, TEXT what it is calibrated by, TYPE q4_0, q5_0 or q8_0. The reference reads inputs of every
linear layer from transformers in f64, where the layers before have the weights that gradus has given them, and rounds column
after column, in the order of falling second moments, with the scales that stand in the file: what is compared is the choice of codes.
Needs torch, transformers and gguf."""
import subprocess, sys, tempfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW, DAMPING = 512, 0.01
LEAST = {"q4_0": (-8, 7), "q5_0": (-16, 15), "q8_0": (-128, 127)}
NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
GROUPS = [list(NAMES)[:3], list(NAMES)[3:4], list(NAMES)[4:6], list(NAMES)[6:]]


def gptq(w, h, scales, least, most):
    """Codes of w [rows, K], given the second moments h of its inputs and a scale for 32 columns."""
    k = w.shape[1]
    order = np.argsort(-np.diag(h), kind="stable")
    h = h[np.ix_(order, order)] + DAMPING * np.mean(np.diag(h)) * np.eye(k)
    u = np.linalg.cholesky(np.linalg.inv(h)).T  # h^-1 = u^T u, u upper
    w, codes = w[:, order].copy(), np.zeros(w.shape, int)
    for i in range(k):
        d = scales[:, order[i] // 32]
        code = np.clip(np.rint(np.divide(w[:, i], d, out=np.zeros_like(d), where=d != 0)), least, most)
        w[:, i:] -= np.outer((w[:, i] - d * code) / u[i, i], u[i, i:])
        codes[:, order[i]] = code
    return codes


def unpermute(x, heads):
    """Rows of q and k as transformers has them."""
    return x.reshape(heads, x.shape[0] // heads // 2, 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


def windows(ids, most, context):
    """The tokens that gradus reads of a text: the last tenth is held back, windows are from all over the rest."""
    ids = ids[: len(ids) - len(ids) // 10]
    n, wanted, length = len(ids) // WINDOW, most // WINDOW, min(WINDOW, context)
    at = [i * n // wanted for i in range(wanted)] if n > wanted else range(n)
    rows = np.concatenate([ids[i * WINDOW : (i + 1) * WINDOW] for i in at]).reshape(-1, length)
    return rows[: len(rows) - len(rows) % min(1024 // length, len(rows))]


def main():
    gradus, path, text, kind, tokens = (sys.argv[1:] + ["q4_0", "8192"])[:5] if len(sys.argv) < 6 else sys.argv[1:6]
    tokens = int(tokens)
    with tempfile.TemporaryDirectory() as work:
        out = f"{work}/m.gguf"
        subprocess.run([gradus, "quantize", path, "--to", kind, "--method", "gptq", "--calibrate", text, "--calibration-tokens",
                        str(tokens), "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        file = {t.name: t for t in GGUFReader(out).tensors}
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval()
        tokenizer = AutoTokenizer.from_pretrained(path)
        c = model.config
        ids = tokenizer(Path(text).read_text(), add_special_tokens=False)["input_ids"]
        ids = torch.tensor(windows(ids, tokens, c.max_position_embeddings))
        same = total = 0

        def stored(name):
            return dequantize(file[name].data, file[name].tensor_type).astype(np.float64)

        model.model.embed_tokens.weight.data = torch.tensor(stored("token_embd.weight"))
        for i, layer in enumerate(model.model.layers):
            for group in GROUPS:
                seen = []
                hook = layer.get_submodule(group[0]).register_forward_pre_hook(lambda m, x: seen.append(x[0].detach()))
                with torch.no_grad():
                    for row in ids:
                        model.model(row[None])
                hook.remove()
                x = torch.cat(seen).reshape(-1, seen[0].shape[-1]).numpy()
                h = x.T @ x / len(x)
                for module in group:
                    t = file[f"blk.{i}.{NAMES[module]}.weight"]
                    w = layer.get_submodule(module).weight.data.numpy()
                    theirs = stored(t.name)
                    blocks = t.data.reshape(w.shape[0], w.shape[1] // 32, -1)
                    d = blocks[:, :, :2].copy().view(np.float16)[:, :, 0].astype(np.float64)
                    if module.endswith(("q_proj", "k_proj")):
                        heads = c.num_attention_heads if "q_proj" in module else c.num_key_value_heads
                        theirs, d = unpermute(theirs, heads), unpermute(d, heads)
                    steps = np.repeat(d, 32, axis=1)
                    codes = np.rint(np.divide(theirs, steps, out=np.zeros_like(theirs), where=steps != 0)).astype(int)
                    same += (gptq(w, h, d, *LEAST[kind]) == codes).sum()
                    total += codes.size
                    layer.get_submodule(module).weight.data = torch.tensor(theirs)
            print(f"layer {i}: {same} of {total} codes are the same, {same / total:.5%}", flush=True)
        sys.exit(0 if same / total >= 0.999 else 1)


main()
