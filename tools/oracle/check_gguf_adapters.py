"""Adapters as GGUF files: gradus convert --to gguf against llama.cpp's convert_lora_to_gguf.py, byte for byte.

    python tools/oracle/check_gguf_adapters.py build/gradus path/to/llama.cpp

Needs gguf, torch, transformers and safetensors. Adapters of peft are those of tests/data/adapters that have one scale for all layers and
nothing but LoRA.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
# Of GPT-2 that converter turns A and B as it turns the weights, so those are not compared.
ADAPTERS = ["llama-names"]


def convert(gradus, llama, name, folder):
    adapter = ROOT / "tests/data/adapters" / name
    base = ROOT / "tests/data/models" / json.load(open(adapter / "expected.json"))["base"]
    own, other = folder / f"{name}.gguf", folder / f"{name}.llama.gguf"
    subprocess.run([gradus, "convert", base, "--adapter", adapter, "--to", "gguf", "--out", own], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([sys.executable, llama / "convert_lora_to_gguf.py", "--base", base, "--outtype", "f32", "--outfile",
                    other, adapter], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return gguf.GGUFReader(own), gguf.GGUFReader(other)


def compare(name, own, other):
    a, b = ({t.name: t for t in r.tensors} for r in (own, other))
    assert sorted(a) == sorted(b), (name, set(a) ^ set(b))
    for key in a:
        same = list(a[key].shape) == list(b[key].shape) and np.array_equal(a[key].data, b[key].data)
        assert same, f"{name}: {key} is another"
    for key in ("general.type", "general.architecture", "adapter.type", "adapter.lora.alpha"):
        assert own.fields[key].contents() == other.fields[key].contents(), (name, key)
    print(f"{name}: {len(a)} tensors equal")


def main():
    gradus, llama = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        for name in ADAPTERS:
            compare(name, *convert(gradus, llama, name, pathlib.Path(folder)))


main()
