#!/usr/bin/env python3
"""The goldens of adamw8bit (tests/data/ops.safetensors, by make_ops.py) against a step that bitsandbytes itself takes.

    tools/oracle/check_adamw8bit.py [tests/data/ops.safetensors]

bitsandbytes has no 8-bit optimizer that a CPU runs, but one in plain PyTorch beside its GPU kernels: that is given the state
and gradient of each case, and what comes out is compared with what tests/op_golden_test.c holds Gradus to. At least 99.9 % of
codes must be equal and parameters within 1e-6. Needs torch, triton (for the import alone), safetensors and bitsandbytes."""
import json
import os
import pathlib
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # as it is written, not compiled
import bitsandbytes.functional
import safetensors
from bitsandbytes.backends.triton.kernels_optim import optimizer_update_8bit_blockwise_pytorch

FILE = pathlib.Path(__file__).resolve().parents[2] / "tests/data/ops.safetensors"


def step(c, a):
    """The case's parameter, codes and largest values after the step."""
    p, grad = c["in0"].clone(), c["grad0"]
    state = {name: c[f"{name}_before"].clone() for name in ("state1", "state2", "absmax1", "absmax2")}
    maps = [bitsandbytes.functional.create_dynamic_map(signed=signed) for signed in (True, False)]
    optimizer_update_8bit_blockwise_pytorch(
        p, grad, state["state1"], state["state2"], a["beta1"], a["beta2"], 0, 0, a["eps"], a["step"], a["lr"], *maps,
        state["absmax1"], state["absmax2"], a["weight_decay"], a["grad_scale"], False, optimizer_name="adam")
    return {"out": p, **state}


def main():
    with safetensors.safe_open(sys.argv[1] if len(sys.argv) > 1 else FILE, "pt") as file:
        cases = {n: a for n, a in json.loads(file.metadata()["cases"]).items() if n.startswith("adamw8bit.")}
        tensors = {n: {k[len(n) + 1:]: file.get_tensor(k) for k in file.keys() if k.startswith(n + ".")} for n in cases}
    good = bool(cases)
    for name, arguments in cases.items():
        expected, theirs = tensors[name], step(tensors[name], arguments)
        for what, values in theirs.items():
            is_code = what.startswith("state")
            if is_code:
                equal = (values == expected[what]).float().mean().item()
                print(f"{name} {what}: {100 * equal:.2f} % of {values.numel()} codes are equal")
            else:
                off = (values - expected[what]).abs().max().item()
                print(f"{name} {what}: within {off:.1e}")
            good = good and (equal >= 0.999 if is_code else off <= 1e-6)
    sys.exit(not good)


if __name__ == "__main__":
    main()
