#!/usr/bin/env python3
"""Makes tests/data/torch: files as torch.save writes them, and what torch reads out of them.

    make_torch.py [--out tests/data/torch]

NAME.bin beside NAME.safetensors: a state_dict, and its tensors as torch.load(NAME.bin, weights_only=True) gives them (False for
pickle protocols that it does not know).
NAME.bin alone: what is refused, or read and told. Directories are tiny models, with logits.safetensors ("ids", and the
"logits" that transformers computes from the directory as it is).
"""
import argparse
import collections
import json
import os
import pathlib
import warnings
import zipfile

import torch
import transformers
from safetensors.torch import save_file

import make_models

VOCAB = 24


def numbers(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + len(shape))).to(dtype)


def put(out, name, value, **options):
    torch.save(value, out / f"{name}.bin", **options)


def expect(out, name):
    """What torch itself reads, contiguous and on its own."""
    read = torch.load(out / f"{name}.bin", weights_only=not name.startswith("protocol"))
    save_file({key: t.detach().contiguous().clone() for key, t in read.items() if isinstance(t, torch.Tensor)
               and t.dtype not in (torch.complex128,) and t.dim() <= 6}, out / f"{name}.safetensors")


# ---- state_dicts -----------------------------------------------------------------------------------------------------

def dtypes():
    out = {str(d).split(".")[1]: numbers(3, 5, dtype=d) for d in
           (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)}
    out |= {str(d).split(".")[1]: (numbers(4) * 50).to(torch.int64).abs().to(d) for d in
            (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.uint32)}
    return out | {"scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4), "complex64": torch.complex(numbers(3), numbers(3))}


def views():
    big = numbers(6, 8)
    return {"transposed": big.t(), "column": big[:, 3], "every_second": big[::2, 1::3], "turned": numbers(2, 3, 4).permute(2, 0, 1),
            "expanded": numbers(5, 1).expand(5, 3), "f16": numbers(4, 3, dtype=torch.float16).t(),
            "bytes": torch.arange(12, dtype=torch.uint8).reshape(3, 4).t(), "one_row": numbers(7)[None].expand(1, 7),
            "f64": numbers(3, 2, dtype=torch.float64).t()}


def shared():
    embed = numbers(6, 4)
    return {"embed": embed, "head": embed, "row2": embed[2:], "tail": embed.flatten()[7:], "turned": embed.t()}


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        self.norm = torch.nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.ones(2, 2, dtype=torch.bool).tril())


def parameters():
    extra, plain = torch.nn.Parameter(numbers(2, 2)), numbers(3)
    extra.note, plain.tag = "read by nobody", 7
    return {"plain": torch.nn.Parameter(numbers(2, 3)), "turned": torch.nn.Parameter(numbers(2, 3).t()), "extra": extra,
            "tagged": plain, "frozen": torch.nn.Parameter(numbers(2), requires_grad=False)}


def others():
    return collections.OrderedDict(
        weight=numbers(2, 2), step=5, real=0.5, text="a", none=None, flag=True, huge=2**70, list=[1, [2, 3]], tuple=(1, "a"),
        dict={"lr": 0.1}, size=torch.Size([2, 3]), device=torch.device("cpu"), dtype=torch.float16, bytes=b"ab\xff",
        complex=numbers(2, dtype=torch.complex128), seven=numbers(1, 1, 1, 1, 1, 1, 2), set={1, 2})


# ---- files that torch does not write itself --------------------------------------------------------------------------

def repack(source, target, change=lambda name, data: data, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for info in old.infolist():
            data = change(info.filename.split("/", 1)[1], old.read(info))
            if data is not None:
                new.writestr(zipfile.ZipInfo(info.filename), data, method)


def big_endian(out):
    """As a machine of the other byte order writes it: torch.load turns the bytes round."""
    state = {"f32": numbers(3, 4), "f16": numbers(2, 3, dtype=torch.float16), "i64": torch.arange(-2, 3), "turned": numbers(3, 2).t(),
             "u8": torch.arange(5, dtype=torch.uint8), "complex": torch.complex(numbers(2), numbers(2))}
    put(out, "big-endian", state)
    sizes = {str(i): t.element_size() // (2 if t.is_complex() else 1) for i, t in enumerate(state.values())}

    def change(name, data):
        if name.startswith("data/"):
            n = sizes[name[5:]]
            return b"".join(data[i:i + n][::-1] for i in range(0, len(data), n))
        return b"big" if name == "byteorder" else data

    repack(out / "big-endian.bin", out / "other.bin", change)
    os.replace(out / "other.bin", out / "big-endian.bin")


class Runs:
    def __reduce__(self):
        return os.system, ("echo this file was run",)


def refused(out):
    put(out, "runs", {"a": numbers(2), "b": Runs()})
    put(out, "object", torch.nn.Linear(2, 2))
    put(out, "sparse", {"a": numbers(3).to_sparse()})
    put(out, "legacy", {"a": numbers(2)}, _use_new_zipfile_serialization=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), out / "script.bin")
    put(out, "nested", {"model": {"a": numbers(2), "b": numbers(3)}, "optimizer": {"state": {0: {"exp_avg": numbers(2)}}},
                        "best": torch.tensor(0.5), "iter_num": 7})
    put(out, "tensor", numbers(2))
    put(out, "list", [numbers(2)])
    put(out, "numbers", {"lr": 0.1, "epoch": 3})
    put(out, "empty", {})
    put(out, "expanded", {"mask": numbers(1).expand(400, 400)})
    put(out, "packed", {"a": numbers(40, 3), "b": numbers(2)})
    repack(out / "packed.bin", out / "deflated.bin", method=zipfile.ZIP_DEFLATED)


def state_dicts(out):
    for make in (dtypes, views, shared, parameters, others):
        put(out, make.__name__, make())
    torch.manual_seed(1)
    put(out, "module", Block().state_dict())  # an OrderedDict with versions in its _metadata
    for protocol in (3, 4, 5):
        put(out, f"protocol{protocol}", others() if protocol == 4 else parameters(), pickle_protocol=protocol)
    torch.serialization.set_crc32_options(False)
    put(out, "without-crc", shared())
    torch.serialization.set_crc32_options(True)
    put(out, "cut-storage", {"tail": numbers(50)[40:].clone(), "part": numbers(9)[2:5]})
    big_endian(out)
    refused(out)
    repack(out / "packed.bin", out / "other.bin")  # by another program: not aligned, without descriptors
    os.replace(out / "other.bin", out / "packed.bin")
    for name in ("dtypes", "views", "shared", "parameters", "others", "module", "protocol3", "protocol4", "protocol5",
                 "without-crc", "cut-storage", "big-endian", "packed"):
        expect(out, name)


# ---- models ----------------------------------------------------------------------------------------------------------

def gpt2(**more):
    return transformers.GPT2Config(vocab_size=VOCAB, n_positions=16, n_embd=8, n_layer=1, n_head=2, bos_token_id=None,
                                   eos_token_id=None, **more)


def llama(**more):
    return transformers.LlamaConfig(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                                    num_key_value_heads=1, intermediate_size=12, max_position_embeddings=16,
                                    bos_token_id=None, eos_token_id=None, **more)


def make_model(config, seed):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    make_models.randomize(model)
    return model


def save_shards(state, folder, count):
    """As transformers wrote them up to version 4."""
    names = list(state)
    each, shards, where = -(-len(names) // count), {}, {}
    for i in range(count):
        file = f"pytorch_model-{i + 1:05d}-of-{count:05d}.bin"
        part = names[i * each:(i + 1) * each]
        torch.save({name: state[name].clone() for name in part}, folder / file)
        where |= dict.fromkeys(part, file)
    total = sum(t.numel() * t.element_size() for t in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2))


def save_logits(folder):
    """Of the directory as it is."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(0, VOCAB, (2, 9), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        save_file({"ids": ids, "logits": model(input_ids=ids).logits.contiguous()}, folder / "logits.safetensors")


def models(out):
    def folder(name, config):
        path = out / name
        path.mkdir(exist_ok=True)
        config.save_pretrained(path)
        return path

    model = make_model(gpt2(), 1)
    path = folder("gpt2", model.config)
    old = {"transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}  # as files of 2019 have them
    torch.save(model.state_dict() | old, path / "pytorch_model.bin")
    model = make_model(llama(tie_word_embeddings=False), 2)
    save_shards(model.state_dict(), folder("llama-shards", model.config), 2)
    model = make_model(gpt2(tie_word_embeddings=True), 3).half()  # head and embedding share a storage
    torch.save(model.state_dict(), folder("gpt2-tied-f16", model.config) / "pytorch_model.bin")
    model = make_model(llama(tie_word_embeddings=True), 4)
    turned = {k: torch.nn.Parameter(t.t().contiguous().t()) if t.dim() == 2 else t for k, t in model.state_dict().items()}
    torch.save(turned, folder("llama-transposed", model.config) / "pytorch_model.bin")
    model, wrong = make_model(llama(), 5), make_model(llama(), 6)
    path = folder("both", model.config)
    model.save_pretrained(path)  # safetensors win
    torch.save(wrong.state_dict(), path / "pytorch_model.bin")
    for name in ("gpt2", "llama-shards", "gpt2-tied-f16", "llama-transposed", "both"):
        (out / name / "generation_config.json").unlink(missing_ok=True)
        save_logits(out / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("tests/data/torch"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    state_dicts(options.out)
    models(options.out)


if __name__ == "__main__":
    main()
