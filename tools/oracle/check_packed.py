#!/usr/bin/env python3
"""Directories of int4 and int8 that `gradus quantize` writes, against transformers with compressed-tensors:

    tools/oracle/check_packed.py build/gradus MODEL [MODEL...]

Each is loaded by AutoModelForCausalLM, and its logits are compared with those of `gradus dump`: 1e-5 of the largest for int4; for int8
2e-3, and where transformers rounds activations, which gradus does not in a dump, 2e-2. The other way round, what compressed-tensors
packs (groups of 32, 64, 128 and of a whole row, scales of f32, f16 and bf16) is read by gradus, to 1e-5. Needs torch, transformers,
compressed-tensors, safetensors."""
import json, subprocess, sys, tempfile
from pathlib import Path

import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

IDS = torch.arange(3, 35)[None]


def theirs(path, rounded=True):
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    if not rounded:
        for module in model.modules():
            if getattr(module, "quantization_scheme", None):
                module.quantization_scheme.input_activations = None
    with torch.no_grad():
        return model(IDS).logits.float()


def ours(gradus, path, work):
    out = f"{work}/logits.safetensors"
    Path(out).unlink(missing_ok=True)
    ids = ",".join(map(str, IDS[0].tolist()))
    subprocess.run([gradus, "dump", path, "--ids", ids, "--what", "logits", "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return load_file(out)["logits"]


def compare(name, a, b, bound):
    off = float((a - b).abs().max() / b.abs().max())
    print(f"{name}: {off:.3g} of the largest apart, {bound:g} allowed", flush=True)
    return off > bound


def repack(source, to, group, dtype):
    """MODEL with its layers packed by compressed-tensors' own function."""
    tensors, out = load_file(f"{source}/model.safetensors"), {}
    for name, w in tensors.items():
        if ".layers." not in name or w.ndim != 2:
            out[name] = w
            continue
        w, base = w.float(), name[: -len("weight")]
        n, k = w.shape
        each = group or k
        scale = (w.reshape(n, -1, each).abs().amax(-1) / 7.5).to(dtype)
        codes = (w.reshape(n, -1, each) / scale.float()[..., None]).round().clamp(-8, 7).to(torch.int8).reshape(n, k)
        out[base + "weight_packed"], out[base + "weight_scale"] = pack_to_int32(codes, 4), scale
        out[base + "weight_shape"] = torch.tensor([n, k])
    Path(to).mkdir()
    save_file(out, f"{to}/model.safetensors", metadata={"format": "pt"})
    config = json.loads(Path(f"{source}/config.json").read_text())
    args = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group" if group else "channel", "group_size": group, "dynamic": False}
    config["quantization_config"] = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
                                     "config_groups": {"group_0": {"targets": ["Linear"], "weights": args}}, "ignore": ["lm_head"]}
    Path(f"{to}/config.json").write_text(json.dumps(config))


def main():
    gradus, bad = sys.argv[1], 0
    for model in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as work:
            for flags in (["int4"], ["int4", "--group", "64"], ["int4", "--group", "32"], ["int8"]):
                out = f"{work}/{'-'.join(flags)}"
                subprocess.run([gradus, "quantize", model, "--to", *flags, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
                logits = ours(gradus, out, work)
                bad += compare(f"{model} {' '.join(flags)}", logits, theirs(out, rounded=False), 1e-5)
                if flags == ["int8"]:
                    bad += compare(f"{model} int8, activations rounded", logits, theirs(out), 2e-2)
            for group in (32, 64, 128, None):
                for dtype in (torch.float32, torch.float16, torch.bfloat16):
                    out = f"{work}/theirs-{group}-{dtype}"
                    repack(model, out, group, dtype)
                    bad += compare(f"{model} theirs, groups of {group}, {dtype}", ours(gradus, out, work), theirs(out), 1e-5)
    sys.exit(bad > 0)


main()
