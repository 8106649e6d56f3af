#!/usr/bin/env python3
"""Random configurations against transformers: logits, loss, every gradient and greedy ids of the command `gradus`.

    sweep_models.py [--gradus build/gradus] [--count 200] [--seed 1] [--only llama,qwen3] [--device cpu] [--bin] [--keep DIR]

Every configuration is one of the supported model types with switches drawn at random: widths, heads, biases, norms, ties,
activations, windows, kinds of rotary positions, old and new keys; and of its files: names behind foreign prefixes, tensors
too many, f64, heads that differ from the embedding they are tied to, shards, torch's zip files (--bin: all of them). A
difference is one of more than 2e-5 (of logits and loss; of gradients relative to each tensor's largest), or another greedy id. Where PyTorch in f32 is itself that far from
f64, three times its own distance is allowed, and counted as noise; so are errors below 1e-6 of the model's largest gradient
where all of a tensor's are a thousand times smaller than that (queries of attention that has made up its mind). Not part of any test: it takes a second each.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file

import make_models
import make_torch

VOCAB = 61
ACTIVATIONS = [
    "gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh", "gelu_pytorch_tanh",
    "hardswish", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6", "sigmoid", "silu",
    "sqrtsoftplus", "swish", "tanh"]


# ---- drawing a configuration ---------------------------------------------------------------------------------------

def rope(r, context, dim, kinds=("default", "linear", "dynamic", "llama3", "yarn", "longrope")):
    kind = r.choice(kinds)
    out = {"rope_type": kind, "rope_theta": r.choice([1e4, 5e5, 100.0, 1234.5])}
    if kind in ("linear", "dynamic", "llama3", "yarn"):
        out["factor"] = r.choice([1.0, 1.5, 2.0, 3.7, 8.0])
    if kind == "llama3":
        low = r.choice([0.5, 1.0, 2.0])
        out |= {"low_freq_factor": low, "high_freq_factor": low * r.choice([2.0, 4.0])}
    if kind in ("llama3", "yarn", "longrope"):
        out["original_max_position_embeddings"] = r.choice([max(context // 2, 2), 8, context])
    if kind == "yarn":
        for key, values in {"attention_factor": [0.8, 1.2], "beta_fast": [8.0, 40], "beta_slow": [0.5, 2], "mscale": [0.7, 1.0],
                            "mscale_all_dim": [0.5, 1.0], "truncate": [True, False]}.items():
            if r.random() < 0.35:
                out[key] = r.choice(values)
    if kind == "longrope":
        pairs = (dim + 1) // 2
        out |= {key: [round(r.uniform(1, most), 3) for _ in range(pairs)]
                for key, most in (("short_factor", 1.5), ("long_factor", 6))}
        if r.random() < 0.4:
            out["attention_factor"] = 1.15
        if r.random() < 0.4:
            out["factor"] = 2.0
    return out


def common(r):
    heads = r.choice([1, 2, 3, 4, 6])
    head_dim = r.choice([4, 6, 8, 16])
    width = heads * r.choice([4, 8, 10])
    context = r.choice([16, 24, 40])
    return {
        "vocab_size": VOCAB, "hidden_size": width, "num_hidden_layers": r.choice([1, 2, 3]), "num_attention_heads": heads,
        "num_key_value_heads": r.choice([k for k in range(1, heads + 1) if heads % k == 0]), "head_dim": head_dim,
        "intermediate_size": r.choice([12, 20, 33]), "max_position_embeddings": context,
        "rms_norm_eps": r.choice([1e-6, 1e-5, 1e-3]), "hidden_act": r.choice(ACTIVATIONS),
        "tie_word_embeddings": r.random() < 0.5, "rope_parameters": rope(r, context, head_dim),
        "pad_token_id": r.choice([None, None, 0, 3, VOCAB - 1]), "bos_token_id": None, "eos_token_id": None}


def windows(r, c):
    """Qwen's switches."""
    c |= {"use_sliding_window": r.random() < 0.7, "sliding_window": r.choice([2, 3, 7, None]),
          "max_window_layers": r.choice([0, 1, 2, 28])}
    if c["use_sliding_window"] and c["sliding_window"] and r.random() < 0.4:
        c["layer_types"] = [r.choice(["full_attention", "sliding_attention"]) for _ in range(c["num_hidden_layers"])]
    return c


def gpt2(r):
    heads = r.choice([1, 2, 3, 4])
    return transformers.GPT2Config(
        vocab_size=VOCAB, n_positions=r.choice([24, 40]), n_embd=heads * r.choice([4, 8, 10]), n_layer=r.choice([1, 2, 3]),
        n_head=heads, n_inner=r.choice([None, 12, 33]), activation_function=r.choice(ACTIVATIONS), resid_pdrop=0.1,
        layer_norm_epsilon=r.choice([1e-5, 1e-3]), scale_attn_weights=r.random() < 0.5,
        scale_attn_by_inverse_layer_idx=r.random() < 0.5, reorder_and_upcast_attn=r.random() < 0.3,
        tie_word_embeddings=r.random() < 0.7, bos_token_id=None, eos_token_id=None)


def llama(r):
    return transformers.LlamaConfig(**common(r), attention_bias=r.random() < 0.5, mlp_bias=r.random() < 0.5)


def mistral(r):
    return transformers.MistralConfig(**common(r), sliding_window=r.choice([None, 2, 4, 9, 100]))


def qwen2(r):
    c = windows(r, common(r))
    if r.random() < 0.5:  # it has no head_dim of its own, but takes one
        c["head_dim"] = c["hidden_size"] // c["num_attention_heads"]
        if c["head_dim"] % 2 or "short_factor" in c["rope_parameters"] or c["head_dim"] <= 2:
            c["hidden_size"] = c["num_attention_heads"] * 8
            c["head_dim"] = 8
            c["rope_parameters"] = rope(r, c["max_position_embeddings"], 8)
    return transformers.Qwen2Config(**c)


def qwen3(r):
    return transformers.Qwen3Config(**windows(r, common(r)), attention_bias=r.random() < 0.5)


def gemma3(r):
    c = common(r)
    c["hidden_activation"] = c.pop("hidden_act")
    del c["rope_parameters"]
    c["pad_token_id"] = r.choice([None, 0, 5])
    if r.random() < 0.7:
        c["rope_parameters"] = {kind: rope(r, c["max_position_embeddings"], c["head_dim"])
                                for kind in ("full_attention", "sliding_attention")}
        for one in c["rope_parameters"].values():
            one.pop("truncate", None)
    if r.random() < 0.4:
        c["layer_types"] = [r.choice(["full_attention", "sliding_attention"]) for _ in range(c["num_hidden_layers"])]
    return transformers.Gemma3TextConfig(
        **c, attention_bias=r.random() < 0.3, query_pre_attn_scalar=r.choice([4, 8, 25]), sliding_window=r.choice([2, 5, 30]),
        final_logit_softcapping=r.choice([None, 5.0]), sliding_window_pattern=r.choice([1, 2, 3, 6]))


def olmo2(r):
    return transformers.Olmo2Config(**common(r), attention_bias=r.random() < 0.3)


def phi3(r):
    c = common(r)
    heads = c["num_attention_heads"]
    share, dim = r.choice([(1.0, 8), (0.5, 8), (0.75, 8), (0.75, 16), (0.4, 10)])
    c["head_dim"], c["hidden_size"] = dim, heads * dim
    turning = int(dim * share)
    parameters = rope(r, c["max_position_embeddings"], turning, ("default", "longrope"))
    original = parameters.pop("original_max_position_embeddings", 4096)
    c["rope_parameters"] = parameters | {"partial_rotary_factor": share}
    return transformers.Phi3Config(**c, original_max_position_embeddings=original, sliding_window=r.choice([None, None, 3, 9]))


FAMILIES = {"gpt2": gpt2, "llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "gemma3_text": gemma3, "olmo2": olmo2,
            "phi3": phi3}


# ---- what the hub's files look like ----------------------------------------------------------------------------------

def old_keys(r, config):
    """The keys of before transformers 5: rope_theta beside rope_scaling, its kind under "type" or "rope_type"."""
    parameters = config.get("rope_parameters")
    if not parameters or "rope_type" not in parameters:
        return
    if r.random() < 0.5:
        return
    del config["rope_parameters"]
    config["rope_theta"] = parameters.pop("rope_theta")
    kind = parameters.pop("rope_type")
    if kind == "default":
        config["rope_scaling"] = r.choice([None, {"type": "default"}])
    else:
        config["rope_scaling"] = {r.choice(["type", "rope_type"]): kind} | parameters


def rename_sizes(r, config):
    if config["model_type"] == "gpt2" and r.random() < 0.3:
        for new, old in (("hidden_size", "n_embd"), ("num_attention_heads", "n_head"), ("num_hidden_layers", "n_layer"),
                         ("max_position_embeddings", "n_positions")):
            config[new] = config.pop(old)


PREFIXES = ["_orig_mod.", "module.", "module._orig_mod.", "base_model.model.", "language_model.", "policy."]


def rename_all(r, weights, body):
    """Names of compiled and wrapped models, and of models that were part of another one; `body` is what they begin with."""
    kind = r.randrange(3)
    if kind == 0:
        prefix = r.choice(PREFIXES)
        return {prefix + name: tensor for name, tensor in weights.items()}
    if kind == 1:  # each layer compiled
        out = {}
        for name, tensor in weights.items():
            parts = name.split(".")
            if len(parts) > 3 and parts[2].isdigit():
                parts.insert(3, "_orig_mod")
            out[".".join(parts)] = tensor
        return out
    inner = r.choice(["language_model.", "_orig_mod.", "text_model."])  # the body alone, the head beside it
    return {name.replace(body, body + inner, 1) if name.startswith(body) else name: tensor for name, tensor in weights.items()}


def add_tensors(r, weights, body):
    extra = {"v_head.summary.weight": torch.randn(1, 8), "v_head.summary.bias": torch.zeros(1), "score.weight": torch.randn(2, 8),
             "step": torch.tensor([7]), body + "position_ids": torch.arange(4), "mask": torch.ones(3, 3, dtype=torch.bool)}
    for name, tensor in list(weights.items()):
        parts = name.split(".")
        if len(parts) > 3 and parts[2] == "0":
            extra[".".join([*parts[:2], "77", *parts[3:]])] = tensor.clone()
    for name in r.sample(sorted(extra), r.randint(1, len(extra))):
        weights[name] = extra[name]


def save_weights(r, weights, directory):
    shards = r.choice([1, 1, 2, 3])
    binary = r.random() < 0.3
    stem, end = ("pytorch_model", ".bin") if binary else ("model", ".safetensors")
    def save(part, path):
        if binary:
            torch.save(part, path)
        else:
            save_file(part, path, metadata={"format": "pt"})
    if shards == 1:
        save(weights, directory / (stem + end))
        return
    names, index = sorted(weights), {}
    for k in range(shards):
        file = f"{stem}-{k + 1:05}-of-{shards:05}{end}"
        part = {name: weights[name] for name in names[k::shards]}
        index |= dict.fromkeys(part, file)
        save(part, directory / file)
    (directory / f"{stem}{end}.index.json").write_text(json.dumps({"metadata": {"total_size": 0}, "weight_map": index}))


def as_found(r, config, directory):
    """The same model in a directory as people have them; transformers reads the first."""
    path = directory / "model.safetensors"
    weights = load_file(path)
    body = "transformer." if config.model_type == "gpt2" else "model."
    embedding = body + ("wte.weight" if config.model_type == "gpt2" else "embed_tokens.weight")
    if config.tie_word_embeddings and r.random() < 0.4:
        weights["lm_head.weight"] = weights[embedding] * r.choice([0.5, -1.0, 1.25]) + 0.01
        save_file(weights, path, metadata={"format": "pt"})
    found = directory / "found"
    found.mkdir()
    shutil.copy(directory / "config.json", found)
    if r.random() < 0.3:
        some = [name for name in weights if r.random() < r.choice([0.3, 1.0])]
        weights |= {name: weights[name].double() for name in some}
    if r.random() < 0.4:
        add_tensors(r, weights, body)
    if r.random() < 0.5:
        weights = rename_all(r, weights, body)
    save_weights(r, {name: tensor.contiguous() for name, tensor in weights.items()}, found)
    return found


def write(r, config, directory):
    torch.manual_seed(r.randrange(1 << 30))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    make_models.randomize(model)
    model.save_pretrained(directory)
    path = directory / "config.json"
    stored = json.loads(path.read_text())
    old_keys(r, stored)
    rename_sizes(r, stored)
    path.write_text(json.dumps(stored, indent=2))


def as_torch_files(r, directory):
    """The same weights as pytorch_model.bin, whole or in shards; some of them as views that are not contiguous."""
    state = {}
    for path in directory.glob("model*.safetensors"):
        state |= load_file(path)
        path.unlink()
    (directory / "model.safetensors.index.json").unlink(missing_ok=True)
    for name, t in state.items():
        if t.dim() == 2 and r.random() < 0.3:
            state[name] = t.t().contiguous().t()
        if r.random() < 0.3:
            state[name] = torch.nn.Parameter(state[name], requires_grad=t.dim() == 2 and t.is_floating_point())
    if r.random() < 0.5:
        make_torch.save_shards(state, directory, min(r.choice([2, 3]), len(state)))
    else:
        torch.save(collections.OrderedDict(state), directory / "pytorch_model.bin")


# ---- both sides ------------------------------------------------------------------------------------------------------

def reference(directory, ids, dtype):
    model, rename = make_models.load(directory, dtype)
    model.eval()
    logits, loss = make_models.loss_of(model, ids)
    loss.backward()
    out = {"logits": logits.detach(), "loss": loss.detach()}
    out |= {"grad." + rename(name): p.grad if p.grad is not None else torch.zeros_like(p)
            for name, p in model.named_parameters()}
    return model, out


def distance(name, a, b):
    worst = (a.double() - b.double()).abs().max().item() if a.numel() else 0.0
    return worst / max(b.abs().max().item(), 1e-12) if name.startswith("grad.") else worst


def command(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip()}")
    if "not looked at" in done.stderr:
        raise RuntimeError("remark: " + done.stderr.strip())
    return done.stdout


def compare_numbers(options, directory, found, ids):
    """The number of tensors compared, of those within noise only, and what differs."""
    text = ";".join(",".join(str(i) for i in row) for row in ids.tolist())
    out = directory / "ours.safetensors"
    command([options.gradus, "dump", str(found), "--ids", text, "--what", "logits,loss,grads", "--out", str(out), "--quiet",
             "--device", options.device])
    ours, (model, want) = load_file(out), reference(directory, ids, torch.float32)
    if ours.keys() != want.keys():
        return model, 0, 0, [f"names differ: {sorted(ours.keys() ^ want.keys())}"]
    far = {name: d for name in want if not (d := distance(name, ours[name], want[name])) <= 2e-5}
    noise, wrong = 0, []
    if far:
        _, exact = reference(directory, ids, torch.float64)
        steep = max(g.abs().max().item() for name, g in exact.items() if name.startswith("grad."))
        for name, d in far.items():
            own = distance(name, want[name], exact[name])
            mine = distance(name, ours[name], exact[name])
            largest = exact[name].abs().max().item()
            faint = name.startswith("grad.") and largest < 1e-3 * steep and mine * largest < 1e-6 * steep
            if mine <= max(2e-5, 3 * own) or faint:
                noise += 1
            else:
                wrong.append(f"{name} off by {d:.1e}; from f64: ours {mine:.1e}, PyTorch's {own:.1e}")
    return model, len(want), noise, wrong


def by_length(config):
    """The length behind which frequencies depend on it."""
    parameters = getattr(config, "rope_parameters", None) or {}
    if "full_attention" in parameters:
        return min(limit_of(config, one) for one in parameters.values())
    return limit_of(config, parameters)


def limit_of(config, parameters):
    limits = {"dynamic": config.max_position_embeddings, "longrope": parameters.get("original_max_position_embeddings")}
    return limits.get(parameters.get("rope_type"), float("inf"))


def continuation(model, prompt, new):
    """Greedy, without a cache; where that is not what caching gives, transformers' generation with its cache."""
    if prompt.shape[1] + new > by_length(model.config):
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=new,
                              use_cache=True, pad_token_id=0, eos_token_id=None)[0, prompt.shape[1]:].tolist()
    out = prompt
    for _ in range(new):
        out = torch.cat([out, model(input_ids=out, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    return out[0, prompt.shape[1]:].tolist()


def compare_greedy(options, found, model, ids, new):
    prompt = ids[:1]
    with torch.no_grad():
        want = continuation(model, prompt, new)
    line = command([options.gradus, "generate", str(found), "--ids", ",".join(map(str, prompt[0].tolist())), "-n", str(new),
                    "--temperature", "0", "--ignore-eos", "--json", "--quiet", "--device", options.device])
    have = json.loads(line)["ids"]
    if have == want:
        return 0, []
    at = next((i for i, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
    if len(have) == len(want):
        with torch.no_grad():
            row = torch.cat([prompt, torch.tensor([want[:at]], dtype=torch.int64)], 1)
            best = model(input_ids=row, use_cache=False).logits[0, -1]
        if abs(best[have[at]] - best[want[at]]) < 1e-4:
            return 1, []
    return 0, [f"greedy ids differ at {at}: {have} {want}"]


def one(options, seed, directory):
    r = random.Random(seed)
    family = r.choice(options.only)
    config = FAMILIES[family](r)
    write(r, config, directory)
    found = as_found(random.Random(f"files {seed}"), config, directory)
    if options.bin and list(found.glob("model*.safetensors")):
        as_torch_files(random.Random(seed), found)
    context = config.max_position_embeddings
    longest = context if family == "gpt2" or r.random() < 0.6 else 2 * context
    rows, length = r.choice([1, 2, 3]), r.randint(2, longest)
    ids = torch.randint(0, VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))
    model, tensors, noise, wrong = compare_numbers(options, directory, found, ids)
    tie = tokens = 0
    limit = options.beyond * context if family != "gpt2" else context
    if family == "phi3":  # transformers reads everything anew where its frequencies change
        limit = min(limit, by_length(config))
    if length < limit:
        tokens = min(12, int(limit) - length)
        tie, differs = compare_greedy(options, found, model, ids, tokens)
        wrong += differs
    return family, tensors, noise, tokens, tie, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradus", default="build/gradus")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(FAMILIES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--beyond", type=float, default=1, help="generate up to so many contexts")
    parser.add_argument("--bin", action="store_true", help="weights in torch's files, whole or in shards")
    parser.add_argument("--keep", type=pathlib.Path, help="where directories that differ are copied to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    total, differing = collections.Counter(), 0
    for seed in range(options.seed, options.seed + options.count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                family, tensors, noise, tokens, tie, wrong = one(options, seed, pathlib.Path(folder))
            except RuntimeError as error:
                family, tensors, noise, tokens, tie, wrong = "?", 0, 0, 0, 0, [str(error)]
            total.update({family: 1, "tensors": tensors, "noise": noise, "tokens": tokens, "ties": tie})
            if wrong:
                differing += 1
                print(f"seed {seed} {family}:", *wrong[:4], sep="\n    ", flush=True)
                if options.keep:
                    shutil.copytree(folder, options.keep / str(seed), dirs_exist_ok=True)
    families = ", ".join(f"{name} {total[name]}" for name in [*FAMILIES, "?"] if total[name])
    print(f"{options.count} configurations ({families}), {total['tensors']} tensors, {total['tokens']} greedy ids: "
          f"{differing} differ; {total['noise']} tensors within noise only, {total['ties']} ties")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
