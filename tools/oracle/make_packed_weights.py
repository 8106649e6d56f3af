#!/usr/bin/env python3
"""Small LLaMA models in the hub's layouts of few bits, for tests/packed_test.c:

    tools/oracle/make_packed_weights.py tests/data/ints

A directory each: config.json, model.safetensors, and expected.safetensors with ids and the logits that the numbers meant give,
d (q - z), in f64; `rounded` are those where rows of activations are rounded to int8 first, and x, codes and scales rows that are so. Codes are drawn, not rounded, so that every code, group and zero point is there. All is written from the
descriptions of the formats: src/model/files/packed.h draws them. Needs numpy alone; the same bytes each time."""
import json, sys
from pathlib import Path

import numpy as np

WIDTH, FFN, VOCAB, HEADS, KV, THETA, EPS = 64, 96, 64, 4, 2, 10000.0, 1e-5
LINEAR = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64),
          "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64), "mlp.down_proj": (64, 96)}
NAMES = {np.dtype("f4"): "F32", np.dtype("f2"): "F16", np.dtype("i4"): "I32", np.dtype("i8"): "I64", np.dtype("i1"): "I8", np.dtype("u2"): "BF16"}


def save(path, tensors):
    header, data, at = {"__metadata__": {"format": "pt"}}, b"", 0
    for name, a in sorted(tensors.items()):
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [at, at + len(raw)]}
        data, at = data + raw, at + len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


# ---- the model ----

def norm(x, w):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w


def rotate(x):
    t, d = x.shape[0], x.shape[-1]
    angle = np.arange(t)[:, None] * THETA ** (-np.arange(0, d, 2) / d)
    cos, sin = (np.concatenate([f(angle)] * 2, -1)[:, None] for f in (np.cos, np.sin))
    return x * cos + np.concatenate([-x[..., d // 2:], x[..., : d // 2]], -1) * sin


def token(x):
    """Rows as compressed-tensors rounds them, in f32: the largest is 127.5, and where it is negative the last bit of a quotient decides
    between -127 and -128."""
    x = x.astype("f4")
    scale = np.abs(x).max(-1, keepdims=True) / np.float32(127.5)
    return np.clip(np.rint(x / scale), -128, 127), scale


def by_token(x):
    codes, scale = token(x)
    return codes.astype("f8") * scale


def logits(w, ids, rounded=lambda x: x):
    x, t, d = w["model.embed_tokens.weight"][ids], len(ids), WIDTH // HEADS
    lin = {name: w[f"model.layers.0.{name}.weight"] for name in LINEAR}
    h = rounded(norm(x, w["model.layers.0.input_layernorm.weight"]))
    q, k, v = (h @ lin[f"self_attn.{p}_proj"].T for p in "qkv")
    q, k = rotate(q.reshape(t, HEADS, d)), rotate(k.reshape(t, KV, d))
    k, v = np.repeat(k, HEADS // KV, 1), np.repeat(v.reshape(t, KV, d), HEADS // KV, 1)
    a = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(d) + np.triu(np.full((t, t), -np.inf), 1)
    a = np.exp(a - a.max(-1, keepdims=True))
    a = np.einsum("hqk,khd->qhd", a / a.sum(-1, keepdims=True), v).reshape(t, WIDTH)
    x = x + rounded(a) @ lin["self_attn.o_proj"].T
    h = rounded(norm(x, w["model.layers.0.post_attention_layernorm.weight"]))
    gate = h @ lin["mlp.gate_proj"].T
    x = x + rounded(gate / (1 + np.exp(-gate)) * (h @ lin["mlp.up_proj"].T)) @ lin["mlp.down_proj"].T
    return norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T


# ---- integers in words ----

def pack(q, bits):
    """[.., n] to int32 words [.., ceil(n bits / 32)]: a stream of bits, the lowest first."""
    stream = (q[..., None].astype(np.int64) >> np.arange(bits) & 1).reshape(*q.shape[:-1], -1)
    stream = np.pad(stream, [(0, 0)] * (q.ndim - 1) + [(0, -stream.shape[-1] % 32)])
    words = (stream.reshape(*q.shape[:-1], -1, 32) << np.arange(32)).sum(-1)
    return words.astype(np.uint32).view(np.int32)


def awq(q):
    """[n, rows] to words of eight rows: 0 2 4 6 1 3 5 7."""
    return pack(q.reshape(len(q), -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]].reshape(len(q), -1), 4)


def draw(rng, n, k, bits, group, symmetric, first, order, scales):
    """Codes [n, k], scales and zero points [n, groups], and the group of each column."""
    size = group or k
    groups = -(-k // size)
    q = rng.integers(0, 1 << bits, (n, k))
    z = np.full((n, groups), 1 << bits - 1) if symmetric else rng.integers(first, 1 << bits, (n, groups))
    d = rng.uniform(0.5, 1.5, (n, groups)) / (np.sqrt(k) * (1 << bits) / 3.5)
    d = (d.astype("f4").view("u4") >> 16).astype("u2") if scales == "bf16" else d.astype(scales)
    g = np.arange(k) // size
    return q, d, z, rng.permutation(g) if order else g


def value(d):
    return (d.astype("u4") << 16).view("f4").astype("f8") if d.dtype == np.dtype("u2") else d.astype("f8")


def layer(c, name, q, d, z, g):
    kind, bits = c["kind"], c["bits"]
    if kind == "gptq":
        less = 0 if c["config"].get("checkpoint_format") == "gptq_v2" else 1
        return {"qweight": pack(q.T.swapaxes(0, 1), bits).T, "qzeros": pack(z.T - less, bits), "scales": d.T, "g_idx": g.astype("i4")}
    if kind == "awq":
        return {"qweight": awq(q.T), "qzeros": awq(z.T), "scales": d.T}
    middle = 1 << bits - 1
    out = {"weight_scale": d}
    if kind == "bytes":
        out["weight"] = (q - middle).astype("i1")
        if not c["symmetric"]:
            out["weight_zero_point"] = (z - middle).astype("i1")
        return out
    out.update({"weight_packed": pack(q, bits), "weight_shape": np.array(q.shape, "i8")})
    if not c["symmetric"]:
        out["weight_zero_point"] = pack(z.T, bits).T
    if c.get("order"):
        out["weight_g_idx"] = g.astype("i4")
    return out


# ---- cases ----

def gptq(bits, group, **more):
    return {"quant_method": "gptq", "bits": bits, "group_size": group or -1, "desc_act": False, "sym": True, **more}


def tensors(format, *groups, **more):
    return {"quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed", "ignore": ["lm_head"],
            "config_groups": {f"group_{i}": g for i, g in enumerate(groups)}, **more}


def weights(bits, group, symmetric, targets=("Linear",), **more):
    args = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel", "group_size": group or None, **more}
    return {"targets": list(targets), "weights": args}


CASES = {
    "gptq-4": dict(kind="gptq", bits=4, group=32, symmetric=True, config=gptq(4, 32)),
    "gptq-4-order": dict(kind="gptq", bits=4, group=32, symmetric=False, first=1, order=True, config=gptq(4, 32, desc_act=True, sym=False)),
    "gptq-4-v2": dict(kind="gptq", bits=4, group=32, symmetric=False, config=gptq(4, 32, sym=False, checkpoint_format="gptq_v2")),
    "gptq-2-rows": dict(kind="gptq", bits=2, group=0, symmetric=False, first=1, config=gptq(2, 0, sym=False)),
    "gptq-3": dict(kind="gptq", bits=3, group=64, symmetric=True, config=gptq(3, 64)),
    "gptq-8": dict(kind="gptq", bits=8, group=32, symmetric=True, config=gptq(8, 32)),
    "gptq-8-order": dict(kind="gptq", bits=8, group=32, symmetric=True, order=True, config=gptq(8, 32, desc_act=True)),
    "gptq-8-zeros": dict(kind="gptq", bits=8, group=32, symmetric=False, config=gptq(8, 32, sym=False, checkpoint_format="gptq_v2")),
    "gptq-beside": dict(kind="gptq", bits=4, group=128, symmetric=True, beside="quantize_config.json",
                        config={"bits": 4, "group_size": 128, "desc_act": False, "sym": True, "damp_percent": 0.01}),
    "awq": dict(kind="awq", bits=4, group=32, symmetric=False,
                config={"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}),
    "packed-zeros": dict(kind="packed", bits=4, group=32, symmetric=False, scales="bf16", config=tensors("pack-quantized", weights(4, 32, False))),
    "packed-rows": dict(kind="packed", bits=4, group=0, symmetric=True, config=tensors("pack-quantized", weights(4, 0, True))),
    "packed-order": dict(kind="packed", bits=4, group=32, symmetric=True, order=True,
                         config=tensors("pack-quantized", weights(4, 32, True, actorder="group"))),
    "packed-8": dict(kind="packed", bits=8, group=32, symmetric=True, config=tensors("pack-quantized", weights(8, 32, True))),
    "packed-small": dict(kind="packed", bits=4, group=16, symmetric=True, config=tensors("pack-quantized", weights(4, 16, True))),
    "packed-wide": dict(kind="packed", bits=4, group=32, symmetric=False, scales="f4", config=tensors("pack-quantized", weights(4, 32, False))),
    "bytes-zeros": dict(kind="bytes", bits=8, group=0, symmetric=False, config=tensors("int-quantized", weights(8, 0, False))),
    "bytes-rows": dict(kind="bytes", bits=8, group=0, symmetric=True, rounded=True, config=tensors("int-quantized", {**weights(8, 0, True),
                       "input_activations": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}})),
    "bytes-4": dict(kind="bytes", bits=4, group=0, symmetric=True, config=tensors("int-quantized", weights(4, 0, True))),
    "mixed": dict(kind="packed", bits=4, group=32, symmetric=True, other=("mlp.down_proj", "o_proj"),
                  config=tensors("mixed-precision", {**weights(4, 32, True), "format": "pack-quantized"},
                                 {**weights(8, 0, True, ["re:.*(down|o)_proj$"]), "format": "int-quantized"})),
}
OTHER = dict(kind="bytes", bits=8, group=0, symmetric=True)


def make(to, name, c):
    rng = np.random.default_rng(list(name.encode()))
    c = {"scales": "f2", "first": 0, "order": False, "other": (), **c}
    dense = {"model.embed_tokens.weight": (VOCAB, WIDTH), "lm_head.weight": (VOCAB, WIDTH)}
    files = {k: rng.normal(0, 0.5, s).astype("f2") for k, s in dense.items()}
    files |= {k: rng.uniform(0.5, 1.5, WIDTH).astype("f2") for k in
              ("model.norm.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight")}
    w = {k: a.astype("f8") for k, a in files.items()}
    for short, (n, k) in LINEAR.items():
        of = {**c, **OTHER} if short.endswith(c["other"] or "-") else c
        q, d, z, g = draw(rng, n, k, of["bits"], of["group"], of["symmetric"], of["first"], of["order"], of["scales"])
        w[f"model.layers.0.{short}.weight"] = value(d)[:, g] * (q - z[:, g])
        files |= {f"model.layers.0.{short}.{end}": a for end, a in layer(of, short, q, d, z, g).items()}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": FFN, "num_hidden_layers": 1,
              "num_attention_heads": HEADS, "num_key_value_heads": KV, "vocab_size": VOCAB, "max_position_embeddings": 64, "rms_norm_eps": EPS,
              "rope_theta": THETA, "hidden_act": "silu", "tie_word_embeddings": False, "dtype": "float16", "bos_token_id": None, "eos_token_id": None}
    to.mkdir(parents=True, exist_ok=True)
    if c.get("beside"):
        (to / c["beside"]).write_text(json.dumps(c["config"], indent=2) + "\n")
    else:
        config["quantization_config"] = c["config"]
    (to / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save(to / "model.safetensors", files)
    ids = rng.integers(0, VOCAB, 12)
    expected = {"ids": ids.astype("i4"), "logits": logits(w, ids).astype("f4")}
    if c.get("rounded"):
        expected["rounded"] = logits(w, ids, by_token).astype("f4")
        x = rng.normal(0, 1, (64, 96)).astype("f4")
        codes, scales = token(x)
        expected |= {"x": x, "codes": codes.astype("i1"), "scales": scales}
    save(to / "expected.safetensors", expected)


def main():
    for name, case in CASES.items():
        make(Path(sys.argv[1]) / name, name, case)


main()
