#!/usr/bin/env python3
"""What `gradus dump` writes against transformers: logits, loss, every gradient, and every activation that is the output of a
module (act.NAME by the module's name) of small models of every architecture, in f32, f16 and bf16 files.

    python tools/oracle/check_dump.py build/gradus [NAME...]
    python tools/oracle/check_dump.py --golden tests/data     activations of the first layer of the models in there
"""
import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

from check_saved import CONFIGS, TORCH, VOCAB, fail, make

BOUND = 2e-5


def expected(model, ids):
    """Everything that the dump may hold, by its names there."""
    out, hooks = {}, []
    prefix = model.base_model_prefix + "."

    def keep(name):
        def hook(_, __, output):
            output = output[0] if isinstance(output, tuple) else output
            if torch.is_tensor(output) and output.dtype == torch.float32:
                out["act." + name] = output.detach()
        return hook

    for name, module in model.named_modules():
        hooks.append(module.register_forward_hook(keep(name)))
    logits = model(input_ids=ids, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    loss.backward()
    out.update({"grad." + name: p.grad for name, p in model.named_parameters()})
    out.update({"logits": logits.detach(), "loss": loss.detach()})
    # A block's own output has the block's name, as h.0; transformers' hidden_states are these.
    states = model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    for i, state in enumerate(states[1:-1]):
        block = [n for n, _ in model.named_modules() if n.startswith(prefix) and n.endswith(f".{i}") and n.count(".") == 2][0]
        if not torch.equal(out["act." + block], state):
            fail(block, "hidden_states is something else")
    return out


def check(gradus, name, dtype, folder):
    make(folder / "model", name, dtype, "5GB")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32,
                                                              attn_implementation="eager").eval()
    ids = torch.randint(0, VOCAB, (2, 12), generator=torch.Generator().manual_seed(5))
    rows = ";".join(",".join(map(str, row)) for row in ids.tolist())
    subprocess.run([gradus, "dump", folder / "model", "--ids", rows, "--what", "logits,loss,grads,activations", "--out",
                    folder / "dump.safetensors", "--quiet"], check=True, stderr=subprocess.DEVNULL)
    got, want, count = load_file(folder / "dump.safetensors"), expected(model, ids), {"act": 0, "grad": 0}
    stripped = name.endswith("noprefix")  # the names are those of the model's own files
    for key, value in want.items():
        key = key.replace("transformer.", "") if stripped else key
        kind = key.split(".")[0]
        if key not in got:
            if kind != "act":
                fail(name, f"{key} is missing")
            continue
        if name == "gemma3" and key.endswith("embed_tokens"):
            continue  # ours is the row of the table, theirs is scaled by the root of the width
        if value.dim() == 4 and value.shape != got[key].shape:
            value = value.transpose(1, 2)  # heads before tokens
        value = value.expand_as(got[key]) if kind == "act" else value  # positions are the same for every row
        if got[key].shape != value.shape:
            fail(name, f"{key} is {tuple(got[key].shape)}, not {tuple(value.shape)}")
        scale = max(1.0, value.abs().max().item()) if kind != "grad" else value.abs().max().item() + 1e-6
        worst = (got[key] - value).abs().max().item() / scale
        if not worst <= BOUND:
            fail(name, f"{key} is {worst:.2g} off")
        count[kind] = count.get(kind, 0) + 1
    return count


def golden(data):
    """tests/data/dump.safetensors: MODEL.ids and MODEL.act.NAME, for tests without Python."""
    out = {}
    for name in ("gpt2", "llama"):
        model = transformers.AutoModelForCausalLM.from_pretrained(data / "models" / name, dtype=torch.float32,
                                                                  attn_implementation="eager").eval()
        ids = torch.randint(0, model.config.vocab_size, (2, 5), generator=torch.Generator().manual_seed(5))
        out[name + ".ids"] = ids
        for key, value in expected(model, ids).items():
            inner = key.endswith((".attn", "self_attn", ".mlp", "dropout", "drop", ".act", "act_fn", "lm_head", "rotary_emb",
                                  "transformer", "model"))
            if key.startswith("act.") and ".1" not in key and not inner:
                out[f"{name}.{key}"] = value.expand(2, *value.shape[1:]).clone()
    save_file(out, data / "dump.safetensors")


def main():
    if sys.argv[1] == "--golden":
        return golden(pathlib.Path(sys.argv[2]))
    gradus, names = sys.argv[1], sys.argv[2:] or list(CONFIGS)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    for name in names:
        for dtype in TORCH:
            with tempfile.TemporaryDirectory() as folder:
                count = check(gradus, name, dtype, pathlib.Path(folder))
            print(f"{name} {dtype}: logits, loss, {count['grad']} gradients, {count['act']} activations within {BOUND}",
                  flush=True)


if __name__ == "__main__":
    main()
