#!/usr/bin/env python3
"""Makes tests/data/amp.safetensors: what PyTorch's mixed precision does.

    make_amp.py [--out tests/data/amp.safetensors]

The model is tests/data/models/llama, trained for 20 AdamW steps on its own ids (make_models.py has loss and optimizer),
in f32 and under torch.autocast("cpu", bfloat16):
    losses.f32, losses.bf16   f32 [20]  before each step
    grad.f32.NAME, grad.bf16.NAME       of the first step
torch.amp.GradScaler over 300 steps of which five overflow, once with its defaults and once growing every 40 clean steps:
    scaler.interval           i64 [2]
    scaler.overflows          i64 [300] 1 where a gradient was made infinite
    scaler.scale, .growth     f32, i64 [2, 300]  after each step
    scaler.skipped            i64 [2, 300] 1 where the optimizer did not move the weight
How far bf16 is from f32 in PyTorch itself is printed: the measure of what can be asked for.
"""
import argparse
import pathlib

import torch
import transformers
from safetensors.torch import load_file, save_file

from make_models import loss_of, optimizer_of

HERE = pathlib.Path(__file__).resolve().parents[2] / "tests/data"
STEPS, SCALER_STEPS, OVERFLOWS, INTERVALS = 20, 300, (0, 41, 42, 150, 299), (2000, 40)


def train(dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(HERE / "models/llama", dtype=torch.float32).train()
    ids = load_file(HERE / "models/llama/expected.safetensors")["ids"]
    optimizer, losses, first = optimizer_of(model), [], None
    for _ in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = loss_of(model, ids)[1]
        loss.backward()
        losses.append(loss.item())
        first = first or {n: p.grad.clone() for n, p in model.named_parameters()}
        optimizer.step()
    return torch.tensor(losses), first


def scale(interval):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", growth_interval=interval)
    scales, growths, skipped = [], [], []
    for step in range(SCALER_STEPS):
        optimizer.zero_grad()
        before = weight.detach().clone()
        scaler.scale(weight.sum()).backward()
        if step in OVERFLOWS:
            weight.grad[1] = float("inf")
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
        growths.append(scaler._get_growth_tracker())
        skipped.append(int(torch.equal(before, weight.detach())))
    return scales, growths, skipped


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "amp.safetensors")
    out = {}
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        out["losses." + name], grads = train(dtype)
        out.update({f"grad.{name}.{n}": g.contiguous() for n, g in grads.items()})
    traces = [scale(i) for i in INTERVALS]
    out["scaler.interval"] = torch.tensor(INTERVALS)
    out["scaler.overflows"] = torch.tensor([int(i in OVERFLOWS) for i in range(SCALER_STEPS)])
    out["scaler.scale"] = torch.tensor([t[0] for t in traces], dtype=torch.float32)
    out["scaler.growth"] = torch.tensor([t[1] for t in traces])
    out["scaler.skipped"] = torch.tensor([t[2] for t in traces])
    save_file(out, parser.parse_args().out, metadata={"torch": torch.__version__, "transformers": transformers.__version__})
    names = [n[len("grad.f32."):] for n in out if n.startswith("grad.f32.")]
    off = max(((out["grad.f32." + n] - out["grad.bf16." + n]).abs().max() / out["grad.f32." + n].abs().max()).item()
              for n in names)
    print("bf16 from f32: losses", (out["losses.f32"] - out["losses.bf16"]).abs().max().item(), "gradients", off)


if __name__ == "__main__":
    main()
