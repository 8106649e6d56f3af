#!/usr/bin/env python3
"""Makes tests/data/ops.safetensors: what PyTorch computes in f64 for single ops, forward and backward.

Tensors of a case are named OP.CASE.: in0, in1, ... (inputs in the order of the gr_ function's tensor arguments; one that
is left out or is an option has another name, such as q_pos), out (out0, out1, ... where there are several), dout (the
gradient that comes in; none for a scalar out, where it is 1) and din0, din1, ... (d sum(out * dout) / d input).
Effects (the optimizers) run `steps` times: in0 is the parameter and out what it is afterwards; grad0, grad1, ... and the
moments stand beside it. Everything is f64, ids and positions i64.
The file's metadata has one entry, "cases": JSON, {"OP.CASE": {argument: value}}. (One: safetensors shuffles several.)

Where PyTorch has the op it is called; the others (rope, attention, the gated units) are written out as formulas here.
Semantics: include/gradus.h.
"""
import json
import math
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

tensors, about = {}, {}
generator = torch.Generator().manual_seed(20240607)


def normal(*shape, scale=1.0):
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale


def integers(low, high, *shape):
    return torch.randint(low, high, shape, generator=generator)


def record(case, function, *inputs, **arguments):
    """Calls function(*inputs) and stores inputs, output and the gradients of those inputs that are f64."""
    leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in inputs]
    out = function(*leaves)
    seed = normal(*out.shape) if out.dim() else torch.ones((), dtype=torch.float64)
    out.backward(seed)
    put(case, out=out, **({"dout": seed} if out.dim() else {}))
    for i, x in enumerate(leaves):
        put(case, **{f"in{i}": x})
        if x.is_floating_point():
            put(case, **{f"din{i}": x.grad})
    about[case] = arguments


def put(case, **values):
    for name, x in values.items():
        x = x.detach().clone().contiguous()
        if x.is_floating_point() and not x.isfinite().all():
            raise SystemExit(f"{case}.{name} has a value that is not finite")
        tensors[f"{case}.{name}"] = x


# ---- element-wise, norms, losses -----------------------------------------------------------------------------------

def elementwise():
    wide = torch.cat([torch.linspace(-12, 12, 49, dtype=torch.float64), normal(14)]).reshape(7, 9)
    record("gelu.wide", F.gelu, wide)
    record("gelu_tanh.wide", lambda x: F.gelu(x, approximate="tanh"), wide)
    record("silu.wide", F.silu, wide)
    record("swiglu.wide", lambda gate, up: F.silu(gate) * up, wide, normal(7, 9))
    record("geglu.wide", lambda gate, up: F.gelu(gate, approximate="tanh") * up, wide, normal(7, 9))


def norms():
    def layer_norm(x, weight, bias=None):
        return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-5)

    def rms_norm(x, weight):
        return F.rms_norm(x, x.shape[-1:], weight, 1e-6)

    for case, shape in {"odd": (2, 3, 13), "one": (4, 1), "wide": (3, 130)}.items():
        x, weight, bias = normal(*shape) + 0.5, 1 + normal(shape[-1], scale=0.3), normal(shape[-1], scale=0.3)
        record(f"layer_norm.{case}", layer_norm, x, weight, bias, eps=1e-5)
        record(f"rms_norm.{case}", rms_norm, x, weight, eps=1e-6)
    record("layer_norm.no_bias", layer_norm, normal(5, 8), 1 + normal(8, scale=0.3), eps=1e-5)
    # A mean 1000 times the deviation: E[x^2] - E[x]^2 loses all digits in f32.
    record("layer_norm.offset", layer_norm, normal(3, 17) + 1000, 1 + normal(17, scale=0.3), normal(17), eps=1e-5)
    record("rms_norm.tiny", rms_norm, normal(3, 17, scale=1e-4), 1 + normal(17, scale=0.3), eps=1e-6)  # eps counts


def softmaxes():
    for case, x in {"odd": normal(2, 3, 11, scale=2), "one": normal(3, 1), "large": normal(4, 37, scale=30) + 500}.items():
        record(f"softmax.{case}", lambda x: x.softmax(-1), x)
        record(f"log_softmax.{case}", lambda x: x.log_softmax(-1), x)


def losses():
    def mean(logits, targets):
        return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100)

    def rows(logits, targets):
        return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100,
                               reduction="none").reshape(targets.shape)

    targets = integers(0, 19, 2, 5)
    holes = targets.clone()
    holes[0, 1] = holes[1, 4] = -100
    for case, scale, which in (("all", 1, targets), ("ignored", 2, holes), ("large", 60, holes)):
        logits = normal(2, 5, 19, scale=scale)
        record(f"cross_entropy.{case}", mean, logits, which, ignore_index=-100)
        record(f"cross_entropy_rows.{case}", rows, logits, which, ignore_index=-100)
    # An ignore_index that is an id of the vocabulary: padding by a token.
    record("cross_entropy.pad_token", lambda x, t: F.cross_entropy(x, t, ignore_index=3), normal(6, 5),
           torch.tensor([3, 1, 3, 0, 4, 2]), ignore_index=3)
    record("mse.odd", F.mse_loss, normal(3, 7), normal(3, 7))
    logits = torch.cat([normal(19, scale=3), torch.tensor([-90.0, 90.0], dtype=torch.float64)]).reshape(3, 7)
    target = torch.rand(3, 7, generator=generator, dtype=torch.float64)
    target[0, :3], target[2, 5:] = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0])
    record("bce.soft", F.binary_cross_entropy_with_logits, logits, target)


# ---- rope and attention, written out -------------------------------------------------------------------------------

def rope(x, positions, inv_freq, interleaved, scale):
    rotated = 2 * inv_freq.shape[0]
    angle = (positions.double()[..., None] * inv_freq)[..., None, :]  # [(B,) T, 1, R]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    head, rest = x[..., :rotated], x[..., rotated:]
    if interleaved:
        a, b = head[..., 0::2], head[..., 1::2]
        turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    else:
        a, b = head.chunk(2, -1)
        turned = torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
    return torch.cat([turned, rest], -1)


def rope_case(case, shape, positions, pairs, interleaved, scale):
    # inv_freq is f32 in the API: rounded here, so that both sides turn by the same angles.
    inv_freq = (10000.0 ** (-torch.arange(pairs, dtype=torch.float64) / pairs)).float().double()
    x = normal(*shape)
    seed = normal(*shape)
    leaf = x.clone().requires_grad_()
    out = rope(leaf, positions, inv_freq, interleaved, scale)
    out.backward(seed)
    put(f"rope.{case}", in0=x, in1=positions, in2=inv_freq, out=out, dout=seed, din0=leaf.grad)
    about[f"rope.{case}"] = {"interleaved": interleaved, "scale": scale}


def ropes():
    rows = torch.stack([torch.arange(5) + 100, torch.tensor([7, 0, 3, 2, 900])])
    for name, interleaved in (("half", False), ("interleaved", True)):
        rope_case(name, (2, 5, 3, 8), torch.arange(5), 4, interleaved, 1.0)
        rope_case(name + "_partial", (2, 5, 3, 10), rows, 3, interleaved, 1.25)  # 6 of 10 dims; a position each


def attention(q, k, v, causal, window, scale, q_pos, k_pos, segment):
    tokens, keys, heads, groups = q.shape[1], k.shape[1], q.shape[2], k.shape[2]
    k, v = (x.repeat_interleave(heads // groups, 2) for x in (k, v))
    scores = torch.einsum("bthd,bshd->bhts", q, k) * (scale or 1 / math.sqrt(q.shape[-1]))
    q_pos = torch.arange(keys - tokens, keys)[None] if q_pos is None else q_pos
    k_pos = torch.arange(keys)[None] if k_pos is None else k_pos
    seen = (k_pos >= 0)[:, None, :].expand(q.shape[0], tokens, keys).clone()
    if causal:
        seen &= k_pos[:, None, :] <= q_pos[:, :, None]
    if window:
        seen &= k_pos[:, None, :] > q_pos[:, :, None] - window
    if segment is not None:
        seen &= segment[:, :, None] == segment[:, None, :]
    seen = seen[:, None]
    # A row that sees nothing is 0, not softmax's NaN; -1e300 keeps the gradient finite too.
    weights = torch.where(seen, scores, -1e300).softmax(-1) * seen
    return torch.einsum("bhts,bshd->bthd", weights, v)


def attention_case(case, b, t, s, h, g, d, causal=True, window=0, scale=0.0, q_pos=None, k_pos=None, segment=None):
    inputs = normal(b, t, h, d), normal(b, s, g, d), normal(b, s, g, d)
    record(f"attention.{case}", lambda q, k, v: attention(q, k, v, causal, window, scale, q_pos, k_pos, segment),
           *inputs, causal=causal, window=window, scale=scale)
    options = {"q_pos": q_pos, "k_pos": k_pos, "segment": segment}
    put(f"attention.{case}", **{name: x for name, x in options.items() if x is not None})


def attentions():
    attention_case("full", 2, 5, 5, 2, 2, 4, causal=False)
    attention_case("cross", 1, 3, 7, 2, 2, 4, causal=False, scale=0.4)
    attention_case("causal", 2, 9, 9, 2, 2, 8)
    attention_case("gqa", 2, 7, 7, 6, 2, 4)
    attention_case("mqa", 1, 6, 6, 3, 1, 5, scale=0.7)
    attention_case("window", 1, 11, 11, 2, 1, 4, window=3)
    attention_case("window_one", 1, 5, 5, 2, 2, 4, window=1)  # each token sees itself alone
    attention_case("segments", 2, 9, 9, 2, 1, 4,
                   segment=torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2], [5, 5, 5, 5, 5, 5, 3, 3, 3]]))
    attention_case("segments_window", 1, 9, 9, 2, 2, 4, window=2, segment=torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]]))
    attention_case("newest", 2, 2, 8, 4, 2, 4)  # a cache: two queries at the end of eight keys
    attention_case("cache", 2, 2, 6, 4, 2, 4, q_pos=torch.tensor([[4, 5], [2, 3]]),
                   k_pos=torch.tensor([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, -1, -1]]))
    attention_case("ring", 1, 1, 6, 2, 1, 4, window=4, q_pos=torch.tensor([[8]]),
                   k_pos=torch.tensor([[6, 7, 8, 3, 4, 5]]))  # the keys of a cache that wraps
    attention_case("blind", 1, 3, 3, 2, 2, 4, q_pos=torch.tensor([[0, 1, 2]]), k_pos=torch.tensor([[-1, 1, 2]]))
    attention_case("long", 1, 70, 70, 1, 1, 4)  # more keys than a tile is likely to have


# ---- optimizers ----------------------------------------------------------------------------------------------------

def optimizer_case(case, make, state, steps, scale, shape=(5, 7), spread=10.0, **arguments):
    """The parameter, its gradients and its state after `steps` steps; gradients are multiplied by grad_scale first."""
    start = normal(*shape)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make([parameter])
    put(case, in0=start)
    for step in range(steps):
        grad = normal(*shape, scale=spread ** -step)
        put(case, **{f"grad{step}": grad})
        parameter.grad = grad * scale
        optimizer.step()
    put(case, out=parameter, **{ours: optimizer.state[parameter][theirs] for ours, theirs in state.items()})
    about[case] = arguments | {"steps": steps, "grad_scale": scale}


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023; torch has none."""

    def __init__(self, params, **arguments):
        super().__init__(params, arguments)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                update = (group["beta1"] * m + (1 - group["beta1"]) * p.grad).sign()
                p -= group["lr"] * (update + group["weight_decay"] * p)
                m.mul_(group["beta2"]).add_(p.grad, alpha=1 - group["beta2"])


class AdamW8bit(torch.optim.Optimizer):
    """bitsandbytes' step with its maps, in f32: of its CUDA kernel, since on a CPU it has none. There a code is the nearest's
    (its quantize_blockwise for CPUs looks up in a coarser table: 3 % of v's codes are a neighbour's), and a number below 0
    does not become 0."""

    def __init__(self, params, **arguments):
        super().__init__(params, arguments)

    @torch.no_grad()
    def step(self):
        import bitsandbytes.functional as B
        maps = [B.create_dynamic_map(signed=True), B.create_dynamic_map(signed=False)]
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                if not s:
                    s["step"] = 0
                    for k in range(2):
                        s[f"state{k + 1}"] = torch.zeros_like(p, dtype=torch.uint8)
                        s[f"absmax{k + 1}"] = torch.zeros(-(-p.numel() // 256))
                s["step"] += 1
                g, value = p.grad.float().flatten(), p.float().flatten()
                wide = []
                for k, new in enumerate((g, g * g)):
                    largest = s[f"absmax{k + 1}"].repeat_interleave(256)[:p.numel()]
                    beta = group[f"beta{k + 1}"]
                    wide.append(maps[k][s[f"state{k + 1}"].flatten().long()] * largest * beta + (1 - beta) * new)
                correct1, correct2 = 1 - group["beta1"] ** s["step"], math.sqrt(1 - group["beta2"] ** s["step"])
                value *= 1 - group["lr"] * group["weight_decay"]
                value -= group["lr"] * correct2 / correct1 * wide[0] / (wide[1].sqrt() + correct2 * group["eps"])
                p.copy_(value.reshape(p.shape))
                for k in range(2):
                    largest = torch.stack([part.abs().max() for part in wide[k].split(256)])
                    x = wide[k] / largest.repeat_interleave(256)[:p.numel()]
                    codes = torch.searchsorted((maps[k][1:] + maps[k][:-1]) / 2, x).to(torch.uint8)
                    codes -= ((wide[k] < 0) & (maps[k][codes.long()] >= 0)).to(torch.uint8)
                    s[f"state{k + 1}"], s[f"absmax{k + 1}"] = codes.reshape(p.shape), largest


def adamw8bit(case, shape, steps):
    """The step behind `steps` others, from the moments that they left. f32 throughout; codes are those of bitsandbytes."""
    arguments = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
    names = [f"{kind}{k}" for k in (1, 2) for kind in ("state", "absmax")]
    parameter = torch.nn.Parameter(normal(*shape).float())
    optimizer = AdamW8bit([parameter], **arguments)
    for step in range(steps + 1):
        grad = normal(*shape, scale=1.5 ** -step).float()
        parameter.grad = grad * 0.5
        if step == steps:
            put(case, in0=parameter, grad0=grad, **{f"{name}_before": optimizer.state[parameter][name] for name in names})
        optimizer.step()
    put(case, out=parameter, **{name: optimizer.state[parameter][name] for name in names})
    about[case] = arguments | {"step": steps + 1, "grad_scale": 0.5}


def optimizers():
    moments = {"m": "exp_avg", "v": "exp_avg_sq"}
    for case, decay, scale in (("decay", 0.1, 1.0), ("plain", 0.0, 0.25)):
        adamw = {"lr": 3e-3, "eps": 1e-8, "weight_decay": decay}
        optimizer_case(f"adamw.{case}", lambda p: torch.optim.AdamW(p, betas=(0.9, 0.95), **adamw), moments, 3, scale,
                       beta1=0.9, beta2=0.95, **adamw)
    sgd = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
    optimizer_case("sgd.momentum", lambda p: torch.optim.SGD(p, **sgd), {"velocity": "momentum_buffer"}, 3, 0.5, **sgd)
    sgd = {"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0}
    optimizer_case("sgd.plain", lambda p: torch.optim.SGD(p, **sgd), {}, 2, 1.0, **sgd)
    lion = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
    optimizer_case("lion.decay", lambda p: Lion(p, **lion), {"m": "exp_avg"}, 4, 0.5, spread=2.0, **lion)
    factored = {"row": "row_var", "column": "col_var"}
    for case, shape, states, lr in (("matrix", (5, 7), factored, 0.01), ("stack", (2, 3, 5), factored, 0.5),
                                    ("vector", (11,), {"row": "variance"}, 0.01)):
        ada = {"lr": lr, "weight_decay": 0.1}
        optimizer_case(f"adafactor.{case}", lambda p: torch.optim.Adafactor(p, **ada), states, 10, 0.5, shape,
                       spread=1.5, **ada)
    # Its iteration is in bf16, where a sum's last bit decides how a value is rounded.
    for case, shape, adjust in (("wide", (5, 12), "match_rms_adamw"), ("tall", (12, 5), "match_rms_adamw"),
                                ("published", (9, 4), "original")):
        muon = {"lr": 1e-3, "momentum": 0.95, "weight_decay": 0.1}
        ratio = 0.2 * math.sqrt(max(shape)) if adjust == "match_rms_adamw" else math.sqrt(max(1, shape[0] / shape[1]))
        optimizer_case(f"muon.{case}", lambda p: torch.optim.Muon(p, adjust_lr_fn=adjust, **muon),
                       {"m": "momentum_buffer"}, 10, 0.5, shape, spread=1.2, adjust=ratio, tolerance=1e-5, **muon)
    adamw8bit("adamw8bit.blocks", (21, 63), 4)


def main():
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/ops.safetensors")
    torch.set_num_threads(1)
    for make in (elementwise, norms, softmaxes, losses, ropes, attentions, optimizers):
        make()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"cases": json.dumps(about, sort_keys=True)})
    path.chmod(0o644)
    print(f"{path}: {len(about)} cases, {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
