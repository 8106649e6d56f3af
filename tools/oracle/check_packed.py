#!/usr/bin/env python3
"""Directories of int4 and int8 that `gradus quantize` writes, against transformers with compressed-tensors:

    tools/oracle/check_packed.py build/gradus MODEL [MODEL...]

Each is loaded by AutoModelForCausalLM, and its logits are compared with those of `gradus dump`: 1e-5 of the largest. Of int8 with
activations rounded by both, a scale a row, 2e-3 and what transformers is apart from itself when last bits of embeddings change: a
row's largest lies between two codes, and where it is negative its last bit decides. The other way round, what compressed-tensors
packs (groups of 32, 64, 128 and of a whole row, scales of f32, f16 and bf16, with zero points and without) is read by gradus, to 1e-5.
GPTQ's layout is taken apart here, by its description, into a model in f32 that transformers runs. Needs torch, transformers,
compressed-tensors, safetensors."""
import json, subprocess, sys, tempfile
from pathlib import Path

import torch
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationScheme
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


def unsteady(path):
    """How far apart are transformers' logits of inputs that differ in the last bit?"""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        base = model(IDS).logits.float()
        model.get_input_embeddings().register_forward_hook(lambda m, i, o: o * (1 + torch.randint(-1, 2, o.shape) * 2.0**-23))
        return max(float((model(IDS).logits.float() - base).abs().max() / base.abs().max()) for _ in range(8))


def ours(gradus, path, work, activations="f32"):
    out = f"{work}/logits.safetensors"
    Path(out).unlink(missing_ok=True)
    ids = ",".join(map(str, IDS[0].tolist()))
    subprocess.run([gradus, "dump", path, "--ids", ids, "--what", "logits", "--activations", activations, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return load_file(out)["logits"]


def compare(name, a, b, bound):
    off = float((a - b).abs().max() / b.abs().max())
    print(f"{name}: {off:.3g} of the largest apart, {bound:g} allowed", flush=True)
    return off > bound


def bits_of(words, bits, n):
    """[.., words] int32: n codes, the first in the lowest bits."""
    stream = (words.to(torch.int64)[..., None] >> torch.arange(32) & 1).reshape(*words.shape[:-1], -1)[..., : n * bits]
    return (stream.reshape(*words.shape[:-1], n, bits) << torch.arange(bits)).sum(-1)


def plain(source, to):
    """A directory of GPTQ's layout as one of f32."""
    config, tensors = json.loads(Path(f"{source}/config.json").read_text()), load_file(f"{source}/model.safetensors")
    said = config.pop("quantization_config")
    out = {k: v for k, v in tensors.items() if k.rsplit(".", 1)[1] not in ("qweight", "qzeros", "scales", "g_idx")}
    for base in (k[: -len("qweight")] for k in tensors if k.endswith(".qweight")):
        q, z, d, g = (tensors[base + end] for end in ("qweight", "qzeros", "scales", "g_idx"))
        k, n, bits = len(g), q.shape[1], said["bits"]
        z = bits_of(z, bits, n) + (said["checkpoint_format"] == "gptq")
        assert not said["sym"] or bool((z == 1 << bits - 1).all())
        out[base + "weight"] = ((bits_of(q.T, bits, k).T - z[g]) * d[g].float()).T.contiguous()
    Path(to).mkdir()
    save_file({k: v.float() for k, v in out.items()}, f"{to}/model.safetensors", metadata={"format": "pt"})
    Path(f"{to}/config.json").write_text(json.dumps({**config, "dtype": "float32"}))


def unpacked(source, to):
    """A directory of compressed-tensors as one of f32, by its own decompress: transformers 5.24 with 0.20 of it makes room for zero points
    as they are before they are packed, and refuses such files, also those that it writes."""
    config, tensors = json.loads(Path(f"{source}/config.json").read_text()), load_file(f"{source}/model.safetensors")
    scheme = QuantizationScheme.model_validate(config.pop("quantization_config")["config_groups"]["group_0"])
    out = {k: v for k, v in tensors.items() if "weight_" not in k}
    for base in (k[: -len("weight_packed")] for k in tensors if k.endswith("weight_packed")):
        state = {k[len(base):]: v.float() if k.endswith("scale") else v for k, v in tensors.items() if k.startswith(base)}
        out[base + "weight"] = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
    Path(to).mkdir()
    save_file({k: v.float().contiguous() for k, v in out.items()}, f"{to}/model.safetensors", metadata={"format": "pt"})
    Path(f"{to}/config.json").write_text(json.dumps({**config, "dtype": "float32"}))


def repack(source, to, group, dtype, symmetric=True):
    """MODEL with its layers packed by compressed-tensors' own function."""
    tensors, out = load_file(f"{source}/model.safetensors"), {}
    for name, w in tensors.items():
        if ".layers." not in name or w.ndim != 2:
            out[name] = w
            continue
        w, base = w.float(), name[: -len("weight")]
        n, k = w.shape
        each = group or k
        parts, zero = w.reshape(n, -1, each), torch.zeros(n, k // each)
        scale = (parts.abs().amax(-1) / 7.5).to(dtype)
        if not symmetric:
            low, high = parts.amin(-1).clamp(max=0), parts.amax(-1).clamp(min=0)
            scale = ((high - low) / 15).to(dtype)
            zero = (-8 - low / scale.float()).round().clamp(-8, 7)
            out[base + "weight_zero_point"] = pack_to_int32(zero.to(torch.int8), 4, packed_dim=0)
        codes = (parts / scale.float()[..., None] + zero[..., None]).round().clamp(-8, 7).to(torch.int8).reshape(n, k)
        out[base + "weight_packed"], out[base + "weight_scale"] = pack_to_int32(codes, 4), scale
        out[base + "weight_shape"] = torch.tensor([n, k])
    Path(to).mkdir()
    save_file(out, f"{to}/model.safetensors", metadata={"format": "pt"})
    config = json.loads(Path(f"{source}/config.json").read_text())
    args = {"num_bits": 4, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel", "group_size": group, "dynamic": False}
    config["quantization_config"] = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
                                     "config_groups": {"group_0": {"targets": ["Linear"], "weights": args}}, "ignore": ["lm_head"]}
    Path(f"{to}/config.json").write_text(json.dumps(config))


def main():
    gradus, bad = sys.argv[1], 0
    for model in sys.argv[2:]:
        with tempfile.TemporaryDirectory() as work:
            for flags in (["int4"], ["int4", "--group", "64"], ["int4", "--group", "32"], ["int4", "--group", "row"], ["int4", "--zero-points"],
                          ["int4", "--zero-points", "--group", "row"], ["int4", "--format", "gptq"],
                          ["int4", "--format", "gptq", "--group", "32", "--zero-points"], ["int8"]):
                out = f"{work}/{'-'.join(flags)}"
                subprocess.run([gradus, "quantize", model, "--to", *flags, "--out", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
                logits = ours(gradus, out, work)
                if "gptq" in flags or "--zero-points" in flags:
                    (plain if "gptq" in flags else unpacked)(out, f"{out}-plain")
                    out += "-plain"
                bad += compare(f"{model} {' '.join(flags)}", logits, theirs(out, rounded=False), 1e-5)
                if flags == ["int8"]:
                    bound = 2e-3 + unsteady(out)
                    bad += compare(f"{model} int8, activations rounded", ours(gradus, out, work, "int8"), theirs(out), bound)
            for group in (32, 64, 128, None):
                for dtype in (torch.float32, torch.float16, torch.bfloat16):
                    for symmetric in (True, False):
                        out = f"{work}/theirs-{group}-{dtype}-{symmetric}"
                        repack(model, out, group, dtype, symmetric)
                        what = f"{model} theirs, groups of {group}, {dtype}" + ("" if symmetric else ", zero points")
                        logits = ours(gradus, out, work)
                        if not symmetric:
                            unpacked(out, f"{out}-plain")
                            out += "-plain"
                        bad += compare(what, logits, theirs(out), 1e-5)
    sys.exit(bad > 0)


main()
