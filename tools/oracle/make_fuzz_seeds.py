#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets for safetensors, GGUF, the hub's codes, moments, torch's files, indexes of shards, config.json, checkpoints, training data and what a hub says:
fuzz/corpus/TARGET/KIND, one file for every kind of hostile input, and a few good ones. Plain Python; run from the repository's root."""
import base64
import hashlib
import json
import os
import struct
import zipfile

from charsmap import charsmap

CORPUS = os.path.join(os.path.dirname(__file__), "..", "..", "fuzz", "corpus")


def put(target, kind, data):
    folder = os.path.join(CORPUS, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, kind), "wb") as f:
        f.write(data)


def file_of(header, data=b"", length=None):
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def xxh64(data):
    """XXH64 with seed 0 (doc/xxhash_spec.md), as checksums.json has it."""
    p1, p2, p3, p4, p5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
                          0x27D4EB2F165667C5)
    mask = 2**64 - 1
    rotate = lambda x, n: (x << n | x >> (64 - n)) & mask
    turn = lambda acc, lane: rotate((acc + lane * p2) & mask, 31) * p1 & mask
    at = 0
    if len(data) >= 32:
        v = [(p1 + p2) & mask, p2, 0, -p1 & mask]
        while at + 32 <= len(data):
            v = [turn(a, lane) for a, lane in zip(v, struct.unpack_from("<4Q", data, at))]
            at += 32
        h = sum(rotate(a, n) for a, n in zip(v, (1, 7, 12, 18))) & mask
        for a in v:
            h = ((h ^ turn(0, a)) * p1 + p4) & mask
    else:
        h = p5
    h = (h + len(data)) & mask
    while at + 8 <= len(data):
        h = (rotate(h ^ turn(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= len(data):
        h = (rotate(h ^ struct.unpack_from("<I", data, at)[0] * p1 & mask, 23) * p2 + p3) & mask
        at += 4
    for byte in data[at:]:
        h = rotate(h ^ byte * p5 & mask, 11) * p1 & mask
    h = (h ^ h >> 33) * p2 & mask
    h = (h ^ h >> 29) * p3 & mask
    return "%016x" % (h ^ h >> 32)


GOOD = file_of({"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 3], 0, 24), "b": tensor("BF16", [1], 24, 26),
                "e": tensor("I64", [0, 4], 26, 26), "s": tensor("F64", [], 26, 34)}, bytes(range(34)))


def safetensors():
    one = tensor("U8", [1], 0, 1)
    kinds = {
        "good": GOOD,
        "empty_file": b"",
        "seven_bytes": b"\2\0\0\0\0\0\0",
        "header_length_0": file_of(b"{}", length=0),
        "header_length_1": file_of(b"{}", length=1),
        "header_over_100mb": file_of(b"{}", length=100_000_001),
        "header_length_negative": file_of(b"{}", length=2**64 - 1),
        "header_past_end": file_of(b"{}", length=3),
        "not_utf8": file_of(b'{"\xff":1}'),
        "duplicate_key": file_of(b'{"a":%s,"a":%s}' % ((json.dumps(one).encode(),) * 2), b"x"),
        "nested_depth": file_of(b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"),
        "overlap": file_of({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"xyz"),
        "gap": file_of({"a": one, "b": tensor("U8", [1], 2, 3)}, b"xyz"),
        "reversed": file_of({"a": tensor("U8", [1], 1, 0)}, b"x"),
        "beyond": file_of({"a": tensor("U8", [2], 0, 2)}, b"x"),
        "size_disagrees": file_of({"a": tensor("F32", [2], 0, 4)}, b"xxxx"),
        "product_overflow": file_of({"a": tensor("F32", [2**32, 2**32], 0, 4)}, b"xxxx"),
        "overflow_hidden_by_0": file_of({"a": tensor("F32", [2**32, 2**32, 0], 0, 0)}),
        "dim_past_64_bits": file_of({"a": tensor("U8", [2**64 + 1], 0, 1)}, b"x"),
        "trailing_bytes": file_of({"a": one}, b"xPK\3\4"),
        "metadata_no_text": file_of({"__metadata__": {"a": 1}, "a": one}, b"x"),
        "metadata_no_object": file_of({"__metadata__": [], "a": one}, b"x"),
        "unknown_dtype": file_of({"a": tensor("F8_E4M3", [1], 0, 1)}, b"x"),
        "seven_dims": file_of({"a": tensor("U8", [1] * 7, 0, 1)}, b"x"),
    }
    for kind, data in kinds.items():
        put("fuzz_safetensors", kind, data)


def index():
    """Shard x holds a and b, shard y holds c."""
    x = file_of({"a": tensor("U8", [2], 0, 2), "b": tensor("BF16", [1], 2, 4)}, b"abcd")
    y = file_of({"c": tensor("F32", [2], 0, 8)}, b"01234567")
    good = {"a": "x.safetensors", "b": "x.safetensors", "c": "y.safetensors"}

    def seed(index, x=x, y=y):
        if not isinstance(index, bytes):
            index = json.dumps({"metadata": {"total_size": 12}, "weight_map": index}).encode()
        return struct.pack("<HH", len(index), len(x)) + index + x + y

    kinds = {
        "good": seed(good),
        "empty": seed(b""),
        "no_map": seed(b"{}"),
        "map_is_list": seed([]),
        "map_is_empty": seed({}),
        "parent_path": seed(dict(good, a="../x.safetensors")),
        "absolute_path": seed(dict(good, a="/dev/shm/x.safetensors")),
        "backslash": seed(dict(good, a="..\\x.safetensors")),
        "hidden": seed(dict(good, a=".safetensors")),
        "no_safetensors": seed(dict(good, a="/etc/passwd")),
        "lists_itself": seed(dict(good, a="model.safetensors.index.json")),
        "nul_in_path": seed(dict(good, a="x.safetensors\0")),
        "number": seed(dict(good, a=1)),
        "shard_missing": seed(dict(good, a="z.safetensors")),
        "not_listed": seed({"a": "x.safetensors", "c": "y.safetensors"}),
        "not_held": seed(dict(good, d="y.safetensors")),
        "in_another": seed(dict(good, b="y.safetensors")),
        "twice_in_index": seed(b'{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}'),
        "twice_in_shards": seed(good, y=x),
        "shard_empty": seed(good, y=b""),
        "shard_cut": seed(good, y=y[:-1]),
        "shard_trailing": seed(good, y=y + b"PK\3\4"),
        "shard_overlap": seed(good, x=file_of({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"xyz")),
        "depth": seed(b'{"weight_map":' + b"[" * 200 + b"]" * 200 + b"}"),
        "not_utf8": seed(b'{"weight_map":{"\xff":"x.safetensors"}}'),
        "cut": seed(json.dumps({"weight_map": good}).encode()[:-9]),
    }
    for kind, data in kinds.items():
        put("fuzz_index", kind, data)


def config():
    gpt2 = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 32, "vocab_size": 96, "n_positions": 64,
            "layer_norm_epsilon": 1e-05, "activation_function": "gelu_new", "tie_word_embeddings": True}
    llama = {"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
             "hidden_size": 32, "intermediate_size": 64, "vocab_size": 96, "rms_norm_eps": 1e-6, "head_dim": None,
             "rope_scaling": {"rope_type": "llama3", "factor": 8.0}, "eos_token_id": [1, 2]}
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    qwen = dict(llama, model_type="qwen2", rope_scaling=yarn, use_sliding_window=True, sliding_window=8,
                max_window_layers=1)
    kinds = {
        "mistral": json.dumps(dict(llama, model_type="mistral", sliding_window=4)).encode(),
        "qwen2_yarn": json.dumps(qwen).encode(),
        "qwen3": json.dumps(dict(llama, model_type="qwen3", rope_parameters={"rope_type": "default", "rope_theta": 1e4},
                                 layer_types=["full_attention", "sliding_attention"])).encode(),
        "layer_types_short": json.dumps(dict(qwen, model_type="qwen3", layer_types=["full_attention"])).encode(),
        "layer_types_unknown": json.dumps(dict(qwen, model_type="qwen3", layer_types=["full", 3])).encode(),
        "window_0": json.dumps(dict(qwen, sliding_window=0)).encode(),
        "window_negative": json.dumps(dict(qwen, model_type="mistral", sliding_window=-1)).encode(),
        "rope_unknown": json.dumps(dict(llama, rope_scaling={"rope_type": "spiral"})).encode(),
        "rope_factor_0": json.dumps(dict(llama, rope_scaling=dict(yarn, factor=0))).encode(),
        "rope_factor_text": json.dumps(dict(llama, rope_scaling=dict(yarn, factor="4"))).encode(),
        "rope_theta_negative": json.dumps(dict(llama, rope_theta=-1.0)).encode(),
        "rope_theta_huge": json.dumps(dict(llama, rope_theta=1e300)).encode(),
        "rope_list": json.dumps(dict(llama, rope_scaling=[1])).encode(),
        "n_kv_0": json.dumps(dict(llama, num_key_value_heads=0)).encode(),
        "head_dim_odd": json.dumps(dict(llama, head_dim=7)).encode(),
        "head_dim_huge": json.dumps(dict(llama, head_dim=2**40)).encode(),
        "no_model_type": b'{"n_layer": 2}',
        "unknown_model_type": b'{"model_type": "mamba"}',
        "unknown_activation": json.dumps(dict(gpt2, activation_function="snake")).encode(),
        "quantized": json.dumps(dict(llama, quantization_config={"quant_method": "gptq", "bits": 4})).encode(),
        "eos_negative": json.dumps(dict(llama, eos_token_id=[-1, "x", 2**40])).encode(),
        "gpt2": json.dumps(gpt2, indent=2).encode(),
        "llama": json.dumps(llama, indent=2).encode(),
        "empty": b"",
        "depth": b"[" * 3000,
        "duplicate": b'{"n_head": 1, "n_head": 2}',
        "nan": b'{"layer_norm_epsilon": NaN}',
        "huge_exponent": b'{"layer_norm_epsilon": 1e99999}',
        "huge_integer": b'{"model_max_length": 1000000000000000019884624838656}',
        "not_utf8": b'{"model_type": "\xff\xfe"}',
        "lone_surrogate": b'{"model_type": "\\ud800"}',
        "nul": b'{"model_type": "a\\u0000b"}',
        "nul_in_key": b'{"a\\u0000b": 1}',
        "cut": b'{"model_type": "gpt2", "n_layer": ',
        "n_head_0": json.dumps(dict(gpt2, n_head=0)).encode(),
        "n_head_text": json.dumps(dict(gpt2, n_head="4")).encode(),
        "n_layer_2_31": json.dumps(dict(gpt2, n_layer=2**31)).encode(),
        "n_head_mod_n_kv": json.dumps(dict(llama, num_key_value_heads=3)).encode(),
        "llama_head_dim_0": json.dumps(dict(llama, hidden_size=3)).encode(),
        "vocab_negative": json.dumps(dict(llama, vocab_size=-1)).encode(),
        "numbers": b'{"a": [0.1, -0.0, 1e-320, 1.7976931348623157e308, 9223372036854775807, 123456789.0, 1E2]}',
    }
    for kind, data in kinds.items():
        put("fuzz_config", kind, data)


def checkpoint():
    def seed(sums, state, model):
        sums, state = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in (sums, state)]
        return struct.pack("<HH", len(sums), len(state)) + sums + state + model

    state = {"step": 3, "rng": "0000000000000001", "position": 12}
    text, data = json.dumps(state).encode(), GOOD[-34:]
    plain = {"size": len(text), "xxh64": xxh64(text)}
    parts = {"a": data[:24], "b": data[24:26], "e": b"", "s": data[26:]}
    model = {"header": xxh64(GOOD[:-34]), "tensors": {name: xxh64(part) for name, part in parts.items()}}
    good = {"format": 1, "files": {"training.json": plain, "model.safetensors": model}}
    wrong = {"format": 1, "files": {"training.json": dict(plain, xxh64="0" * 16), "model.safetensors": model}}
    kinds = {
        "good": seed(good, state, GOOD),
        "wrong_checksum": seed(wrong, state, GOOD),
        "model_cut": seed(good, state, GOOD[:-1]),
        "state_cut": seed(good, b'{"step": ', GOOD),
        "sums_empty": seed(b"", state, GOOD),
        "sums_cut": seed(json.dumps(good).encode()[:-2], state, GOOD),
        "format_2": seed(dict(good, format=2), state, GOOD),
        "parent_path": seed({"format": 1, "files": {"../training.json": plain}}, state, GOOD),
        "absolute_path": seed({"format": 1, "files": {"/etc/passwd": plain}}, state, GOOD),
        "dot_dot": seed({"format": 1, "files": {"..": plain}}, state, GOOD),
        "missing_file": seed({"format": 1, "files": {"config.json": plain}}, state, GOOD),
        "no_tensors": seed({"format": 1, "files": {"model.safetensors": {"header": "0", "tensors": {}}}}, state, GOOD),
        "entry_is_text": seed({"format": 1, "files": {"training.json": "x"}}, state, GOOD),
        "lists_itself": seed({"format": 1, "files": {"checksums.json": plain}}, state, GOOD),
        "negative_size": seed({"format": 1, "files": {"training.json": dict(plain, size=-1)}}, state, GOOD),
    }
    for kind, data in kinds.items():
        put("fuzz_checkpoint", kind, data)


def data():
    kinds = {
        "texts": b'{"text": "one"}\n\n{"text": "two", "id": 2}\r\n',
        "pairs": b'\xef\xbb\xbf{"prompt": "a", "completion": "b"}\n{"completion": "d", "prompt": "", "text": null}\n',
        "nul": b'{"text": "a\\u0000b"}\n{"text": "a\0b"}',
        "empty": b'{"text": ""}\n{"prompt": "a", "completion": ""}\n',
        "half": b'{"prompt": "a"}\n',
        "both": b'{"text": "a", "prompt": "b", "completion": "c"}\n',
        "messages": b'{"messages": [{"role": "user", "content": "hi"}]}\n',
        "no_string": b'{"prompt": ["a"], "completion": 5}\n',
        "twice": b'{"text": "a", "text": "b"}\n',
        "surrogate": b'{"text": "\\ud800"}\n',
        "depth": b'{"text": ' + b"[" * 5000,
        "cut": b'{"text": "a',
        "lengths": bytes(range(8, 136)),
    }
    for kind, bytes_of in kinds.items():
        put("fuzz_data", kind, bytes_of)


def pickles():
    """Archives of torch.save, and pickles for archives that the target makes itself (storages 0, 1, 2 of 24, 4, 0 bytes)."""
    torch_files = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "data", "torch")
    for name in ("shared", "packed", "big-endian", "deflated", "script"):
        with open(os.path.join(torch_files, name + ".bin"), "rb") as f:
            put("fuzz_pickle", "file_" + name, f.read())
    for name in ("dtypes", "views", "parameters", "others", "module", "protocol4", "protocol5", "nested", "runs"):
        with zipfile.ZipFile(os.path.join(torch_files, name + ".bin")) as z:
            put("fuzz_pickle", name, z.read(name + "/data.pkl"))

    text = lambda t: b"X" + struct.pack("<I", len(t)) + t
    storage = lambda kind=b"FloatStorage", key=b"0", n=b"K\6": (
        b"((" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(b"cpu") + n + b"tQ")
    tensor = lambda *parts: b"ctorch._utils\n_rebuild_tensor_v2\n" + b"".join(parts) + b"\x89}tR"
    named = lambda value: b"\x80\2}" + text(b"a") + value + b"s."
    large = b"\x8a\x08\0\0\0\0\0\0\0\x40"
    shape, steps = b"K\2K\3\x86", b"K\3K\1\x86"
    kinds = {
        "good": named(tensor(storage(), b"K\0", shape, steps)),
        "turned": named(tensor(storage(), b"K\0", b"K\3K\2\x86", b"K\1K\3\x86")),
        "system": named(b"cos\nsystem\n" + text(b"id") + b"\x85R"),
        "stack_global": b"\x80\4\x8c\x08builtins\x8c\4eval\x93.",
        "memo_2_31": b"\x80\2}r\xff\xff\xff\x7f.",
        "depth": b"]" * 3000 + b"a" * 2999 + b".",
        "marks": b"(" * 3000,
        "doubling": b"](]q\0" + b"](h\0h\0eq\0" * 60 + b"e.",
        "in_itself": b"\x80\2}q\0" + text(b"a") + b"h\0s.",
        "id_of_program": named(tensor(b"((" + text(b"program") + b"K\1tQ", b"K\0", shape, steps)),
        "key_out": named(tensor(storage(key=b"../0"), b"K\0", shape, steps)),
        "key_gone": named(tensor(storage(key=b"9"), b"K\0", shape, steps)),
        "short": named(tensor(storage(key=b"1", n=b"K\1"), b"K\0", shape, steps)),
        "numel": named(tensor(storage(n=large), b"K\0", shape, steps)),
        "offset": named(tensor(storage(), large, shape, steps)),
        "size": named(tensor(storage(), b"K\0", large + b"K\3\x86", steps)),
        "stride": named(tensor(storage(), b"K\0", b"K\7K\3\x86", large + b"K\1\x86")),
        "expanded": named(tensor(storage(), b"K\0", b"M\xff\xffM\xff\xff\x86", b"K\0K\0\x86")),
        "negative": named(tensor(storage(), b"J\xff\xff\xff\xff", shape, steps)),
        "list": named(tensor(storage(), b"K\0", b"](K\2K\3e", steps)),
    }
    for kind, bytes_of in kinds.items():
        put("fuzz_pickle", kind, bytes_of)


def charsmaps():
    table = charsmap({"a": "x", "e\u0301": "é", "\r": " ", "\u00ad": "", "か": "ga"})
    size, text = len(table), "bae\u0301\r\n\u00adか\u3099z".encode()
    units = lambda *values: struct.pack(f"<I{len(values)}I", 4 * len(values), *values)
    kinds = {
        "good": table,
        "empty": b"",
        "no_trie": struct.pack("<I", 0) + b"x\0",
        "cut": table[:size // 2],
        "trie_longer_than_file": struct.pack("<I", 2**32 - 4) + table[4:],
        "odd_trie_size": struct.pack("<I", 1023) + table[4:],
        "offset_out_of_range": units(0x3FFFFF << 10 | 1 << 9) + b"x\0",
        "value_out_of_range": units(1 << 10, *[0] * 95, 1 << 8 | 0x61 | 1 << 10, 2**31 | 10**6) + b"x\0",
        "root_leads_to_itself": units(0, *[0x61] * 255) + b"x\0",
        "no_nul_at_the_end": table.rstrip(b"\0"),
        "not_utf8": table + b"\xff\0",
    }
    for kind, data in kinds.items():
        put("fuzz_charsmap", kind, struct.pack("<H", len(data)) + data + text)


def tekken():
    bytes_ = [{"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode(), "token_str": None} for i in range(256)]
    more = [{"rank": 256, "token_bytes": base64.b64encode(b"ab").decode(), "token_str": "ab"}]
    special = [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(["<unk>", "<s>", "</s>"])]
    config = {"pattern": r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+", "num_vocab_tokens": 257, "default_vocab_size": 262,
              "default_num_special_tokens": 5, "version": "v3"}
    good = {"config": config, "vocab": bytes_ + more, "special_tokens": special}
    kinds = {
        "good": good,
        "usual_special": {"config": dict(config, default_num_special_tokens=21, default_vocab_size=278), "vocab": bytes_ + more},
        "no_special_v11": {"config": dict(config, version="v11"), "vocab": bytes_ + more},
        "ranks_with_gap": dict(good, vocab=bytes_ + [dict(more[0], rank=257)]),
        "special_twice": dict(good, special_tokens=special + [dict(special[0], rank=3)]),
        "special_is_filler": dict(good, special_tokens=special + [dict(special[0], rank=3, token_str="<SPECIAL_4>")]),
        "special_rank_twice": dict(good, special_tokens=special + [dict(special[0], token_str="x")]),
        "bytes_out_of_order": dict(good, vocab=[bytes_[1], bytes_[0]] + bytes_[2:]),
        "vocab_size_too_large": dict(good, config=dict(config, default_vocab_size=2**31 - 1)),
        "many_special": dict(good, config=dict(config, default_num_special_tokens=2**31)),
        "bad_pattern": dict(good, config=dict(config, pattern="(")),
        "bad_base64": dict(good, vocab=bytes_ + [dict(more[0], token_bytes="a$==")]),
        "token_twice": dict(good, vocab=bytes_ + more + [dict(more[0], rank=257)], config=dict(config, default_vocab_size=263)),
    }
    for kind, data in kinds.items():
        put("fuzz_tekken", kind, b"t" + json.dumps(data, separators=(",", ":")).encode())
    lines = [base64.b64encode(bytes([i])) + b" %d" % i for i in range(256)]
    texts = {
        "lines": lines + [b"YWI= 256"],
        "lines_rank_twice": [b"YQ== 0", b"Yg== 0"],
        "lines_token_twice": [b"YQ== 0", b"YQ== 1"],
        "lines_gap": [b"YQ== 0", b"Yg== 70000", b"YWI= 70001"],
        "lines_far": [b"YQ== 0", b"Yg== 2147483646"],
        "lines_rank_2_31": [b"YQ== 2147483648"],
        "lines_no_rank": [b"YQ=="],
        "lines_garbage": [b"Y$== 0"],
        "lines_crlf": [b"YQ== 0\r", b"\r", b"Yg==\t1\r"],
    }
    for kind, rows in texts.items():
        put("fuzz_tekken", kind, b"l" + b"\n".join(rows) + b"\n")
    put("fuzz_tekken", "words", b"v[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\r\n a \n\na\n\xe3\x80\x80")
    put("fuzz_tekken", "words_not_utf8", b"v[UNK]\na\xff\n")


class Gguf:
    """A GGUF file, key by key and tensor by tensor."""

    def __init__(self, version=3, alignment=32):
        self.version, self.alignment, self.keys, self.infos, self.data, self.n = version, alignment, b"", b"", b"", [0, 0]

    @staticmethod
    def text(x):
        x = x if isinstance(x, bytes) else x.encode()
        return struct.pack("<Q", len(x)) + x

    def raw(self, name, kind, value):
        self.keys += self.text(name) + struct.pack("<I", kind) + value
        self.n[1] += 1
        return self

    def u32(self, name, x):
        return self.raw(name, 4, struct.pack("<I", x))

    def f32(self, name, x):
        return self.raw(name, 6, struct.pack("<f", x))

    def string(self, name, x):
        return self.raw(name, 8, self.text(x))

    def list(self, name, kind, values, count=None):
        pack = {8: self.text, 5: lambda x: struct.pack("<i", x), 6: lambda x: struct.pack("<f", x)}[kind]
        head = struct.pack("<IQ", kind, len(values) if count is None else count)
        return self.raw(name, 9, head + b"".join(map(pack, values)))

    def tensor(self, name, dims, kind=0, offset=None, size=None):
        self.data += bytes(-len(self.data) % max(self.alignment, 1))
        at = len(self.data) if offset is None else offset
        self.infos += self.text(name) + struct.pack("<I", len(dims))
        self.infos += b"".join(struct.pack("<Q", d % 2**64) for d in dims) + struct.pack("<IQ", kind % 2**32, at)
        total = 4
        for d in dims:
            total *= d
        self.data += bytes(min(total if size is None else size, 4096))
        self.n[0] += 1
        return self

    def bytes(self, counts=None):
        head = b"GGUF" + struct.pack("<IQQ", self.version, *(counts or self.n)) + self.keys + self.infos
        return head + bytes(-len(head) % max(self.alignment, 1)) + self.data


def gguf_model(**other):
    """A LLaMA of one layer, one head of two values, with a tokenizer of eight tokens."""
    sizes = {"context_length": 8, "embedding_length": 2, "block_count": 1, "feed_forward_length": 2,
             "attention.head_count": 1, "attention.head_count_kv": 1}
    f = Gguf().string("general.architecture", other.pop("arch", "llama"))
    for key, value in (sizes | {k.replace("__", "."): v for k, v in other.items()}).items():
        f.u32("llama." + key, value)
    f.f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    for name, dims in [("token_embd", (2, 8)), ("output_norm", (2,)), ("blk.0.attn_norm", (2,)), ("blk.0.ffn_norm", (2,)),
                       ("blk.0.attn_q", (2, 2)), ("blk.0.attn_k", (2, 2)), ("blk.0.attn_v", (2, 2)),
                       ("blk.0.attn_output", (2, 2)), ("blk.0.ffn_gate", (2, 2)), ("blk.0.ffn_up", (2, 2)),
                       ("blk.0.ffn_down", (2, 2))]:
        f.tensor(name + ".weight", dims)
    return f


def gguf_tokens(f, kind, tokens=None, types=None):
    tokens = tokens or ["<unk>", "<s>", "</s>", "a", "b", "\u2581", "ab", "<0x0A>"]
    f.string("tokenizer.ggml.model", kind).list("tokenizer.ggml.tokens", 8, tokens)
    f.list("tokenizer.ggml.token_type", 5, types or [2, 3, 3, 1, 1, 1, 1, 6])
    f.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2)
    return f


def gguf():
    plain = lambda: Gguf().u32("a", 1).list("t", 8, ["x", "yz"]).tensor("a", (2,)).tensor("b", (2,))
    spm = lambda **other: gguf_tokens(gguf_model(**other), "llama").list("tokenizer.ggml.scores", 6, [0.0, 0, 0, -1, -2, -3, -1.5, 0])
    bpe = lambda pre: gguf_tokens(gguf_model(), "gpt2").string("tokenizer.ggml.pre", pre).list("tokenizer.ggml.merges", 8, ["a b"])
    kinds = {
        "good": plain().bytes(),
        "good_v2": (lambda f: (setattr(f, "version", 2), f.bytes())[1])(plain()),
        "good_spm": spm().bytes(),
        "good_bpe": bpe("gpt-2").bytes(),
        "good_unigram": gguf_tokens(gguf_model(), "t5").list("tokenizer.ggml.scores", 6, [0.0] * 8).bytes(),
        "good_rope": spm().tensor("rope_freqs.weight", (1,)).bytes(),
        "empty": b"",
        "magic": b"GGML" + plain().bytes()[4:],
        "big_endian": b"GGUF" + struct.pack(">IQQ", 3, 2, 2),
        "version": Gguf(version=9).bytes(),
        "counts": plain().bytes((2**63, 2)),
        "counts_keys": plain().bytes((2, 2**64 - 1)),
        "key_size": plain().raw("", 4, bytes(4)).bytes(),
        "key_twice": plain().u32("a", 2).bytes(),
        "value_type": plain().raw("x", 2**32 - 1, b"").bytes(),
        "value_size": plain().raw("x", 8, struct.pack("<Q", 2**32)).bytes(),
        "array_length": plain().list("x", 6, [], 2**61).bytes(),
        "array_of_arrays": plain().raw("x", 9, struct.pack("<IQ", 9, 1)).bytes(),
        "alignment_0": plain().u32("general.alignment", 0).bytes(),
        "alignment_3": plain().u32("general.alignment", 3).bytes(),
        "alignment_other": plain().u32("general.alignment", 64).bytes(),
        "name_size": plain().tensor("n" * 65, (2,)).bytes(),
        "name_twice": plain().tensor("a", (2,)).bytes(),
        "n_dims": plain().tensor("c", (1, 1, 1, 1, 1)).bytes(),
        "shape_negative": plain().tensor("c", (-1,), size=0).bytes(),
        "shape_overflow": plain().tensor("c", (2**40, 2**40, 2**40), size=0).bytes(),
        "type": plain().tensor("c", (2,), kind=99).bytes(),
        "type_removed": plain().tensor("c", (2,), kind=4).bytes(),
        "offset": plain().tensor("c", (2,), offset=7).bytes(),
        "short_data": plain().bytes()[:-1],
        "layers": spm(block_count=2**31).bytes(),
        "heads_0": spm(attention__head_count=0).bytes(),
        "heads_kv": spm(attention__head_count=2, attention__head_count_kv=3).bytes(),
        "rope": spm(rope__dimension_count=3).bytes(),
        "experts": spm(expert_count=8).bytes(),
        "arch": spm(arch="mamba").bytes(),
        "vocabulary": gguf_tokens(gguf_model(), "llama", ["a"] * 9).bytes(),
        "types": gguf_tokens(gguf_model(), "llama", types=[1]).bytes(),
        "bytes": gguf_tokens(gguf_model(), "llama", ["<unk>", "<s>", "</s>", "a", "<0x-1>", "<0xZZ>", "b", "<0x0A>"]).bytes(),
        "pre": bpe("none").bytes(),
        "merges": gguf_tokens(gguf_model(), "gpt2").string("tokenizer.ggml.pre", "gpt-2").list("tokenizer.ggml.merges", 8, ["x y", "z"]).bytes(),
    }
    for kind, data in kinds.items():
        put("fuzz_gguf", kind, data)


OID, SHA = "a9993e364706816aba3e25717850c26c9cd0d89d", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def hub_file(path, size=3, **more):
    return {"type": "file", "path": path, "size": size, "oid": OID, **more}


def hub_lfs(path, size=9):
    return hub_file(path, size, lfs={"oid": SHA, "size": size, "pointerSize": 134}, xetHash=SHA)


def hub_trees():
    split = [hub_lfs(f"model-0000{i}-of-00002.safetensors") for i in (1, 2)]
    small = [hub_file(p) for p in ("config.json", "tokenizer.json", "model.safetensors.index.json", "LICENSE", "additional_chat_templates/x.jinja")]
    kinds = {
        "commit": {"sha": OID, "siblings": []},
        "model": [{"type": "directory", "path": "onnx"}, *split, *small, hub_lfs("pytorch_model.bin")],
        "gguf-several": [hub_lfs(p) for p in ("m-Q4_K_M.gguf", "m-Q8_0.gguf", "BF16/m-00001-of-00002.gguf", "BF16/m-00002-of-00002.gguf")],
        "data": [hub_file("data/train.jsonl"), hub_file("x.parquet")],
        "case": [hub_file("Config.json"), hub_file("config.json")],
        "file-and-directory": [hub_file("a"), hub_file("a/b")],
        "size-negative": [hub_file("a", -1)],
        "size-huge": [hub_file("a", 2**62)],
        "no-oid": [{"type": "file", "path": "a", "size": 1}],
        "lfs-null": [hub_file("a", lfs=None)],
        "shard-numbers": [hub_lfs(p) for p in ("m-99999-of-99999.gguf", "m-00000-of-00000.gguf", "m--0001-of-00002.gguf")],
    }
    paths = {"parent": "../x", "absolute": "/etc/passwd", "inside": "a/../../x", "empty-part": "a//b", "backslash": "a\\..\\b",
             "nul": "a\0b", "newline": "a\nb", "device": "CON", "git": ".git/hooks/x", "dot": "a/.", "long": "a" * 300,
             "overlong-dots": "\u202e../x"}
    for kind, path in paths.items():
        kinds["path-" + kind] = [hub_file(path)]
    for kind, value in kinds.items():
        put("fuzz_hub_tree", kind, json.dumps(value).encode())
    oid = OID.encode()
    put("fuzz_hub_tree", "size-float", b'[{"type":"file","path":"a","size":1e300,"oid":"x"}]')
    put("fuzz_hub_tree", "path-surrogate", b'[{"type":"file","path":"\\ud800","size":1,"oid":"' + oid + b'"}]')
    put("fuzz_hub_tree", "path-not-utf8", b'[{"type":"file","path":"\xff/x","size":1,"oid":"' + oid + b'"}]')
    put("fuzz_hub_tree", "deep", b"[" * 200)


def hub_heads():
    kinds = {
        "file": f'HTTP/1.1 302 Found\r\nX-Repo-Commit: {OID}\r\nX-Linked-Etag: "{SHA}"\r\nX-Linked-Size: 10\r\nLocation: https://cdn/x?sig=1\r\n',
        "range": "HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n",
        "limits": 'HTTP/1.1 429 x\r\nRateLimit: "api";r=0;t=55\r\nRetry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n',
        "limits-wrong": "HTTP/1.1 429 x\r\nRateLimit: r=0;t=99999999999999999999\r\nRetry-After: -5, 99 Zzz 99999 99:99:99 GMT\r\n",
        "link": 'HTTP/1.1 200 x\r\nLink: <https://h/p>; rel="prev", <https://h/n?a,b>; rel="next"\r\n',
        "link-open": 'HTTP/1.1 200 x\r\nLink: <https://h/p\r\nLink: >;rel="next"<\r\n',
        "etags": f'HTTP/1.1 200 x\r\nETag: W/"{OID}"\r\nETag: "\r\nETag: W/\r\nX-Linked-Etag: {SHA}\r\n',
        "error": f"HTTP/1.1 403 x\r\nX-Error-Code: GatedRepo\r\nX-Error-Message: \x1b[2J{'y' * 500}\r\n",
        "no-status": "x: y\r\n:\r\n\r\nHTTP/\r\nHTTP/9 99999999999999999999 x\r\nHTTP/2 200",
        "nul": "HTTP/1.1 200 x\r\nLocation: /a\0b\r\n",
    }
    ranges = ["bytes 9-5/10", "bytes 0-9/*", "bytes -1-9/10", "bytes 99999999999999999999-5/10",
              "bytes 0-9223372036854775807/9223372036854775807", "bytes", "bytes 0-"]
    for i, text in enumerate(ranges):
        kinds[f"range-{i}"] = f"HTTP/1.1 206 x\r\nContent-Range: {text}\r\n"
    locations = ["//evil/x", "http://hub/x", "HTTPS://HUB:443/", "https://a@hub/", "?q", "#f", "", "x y", "ftp://x", "https://hub:99999/",
                 "http://[::1]:80/x", "../../x", "https://hub\\@evil/", "/\tx"]
    for i, text in enumerate(locations):
        kinds[f"location-{i}"] = f"HTTP/1.1 302 x\r\nLocation: {text}\r\n"
    for kind, text in kinds.items():
        put("fuzz_hub_head", kind, text.encode())


def hub_parts():
    data = bytes(i * 7 % 251 for i in range(3000))
    line = lambda a, b: b"%d %d %s\n" % (a, b - a, hashlib.sha256(data[:b]).hexdigest()[:16].encode())
    first = line(0, 1000)
    kinds = {
        "good": first + line(1000, 2500),
        "gap": first + line(1500, 2000),
        "overlap": first + line(500, 800),
        "wrong-sum": b"0 1000 0123456789abcdef\n",
        "past-end": first + b"1000 4000 0123456789abcdef\n",
        "half-line": first + b"1000 10",
        "negative": b"-1 5 0123456789abcdef\n",
        "huge": b"0 99999999999999999999 0123456789abcdef\n",
        "zero": b"0 0 e3b0c44298fc1c14\n" * 50,
        "upper": first.upper(),
        "nul": b"0\x001000 0\n",
    }
    for kind, lines in kinds.items():
        put("fuzz_hub_part", kind, struct.pack("<H", len(lines)) + lines + data)
    put("fuzz_hub_part", "empty", struct.pack("<H", 0))


def packed_layer(parts, method, drop="", rename=("", ""), **said):
    """config.json, a NUL, and of a layer [32, 64] the parts: name, dtype, shape, bytes."""
    header, data = {}, b""
    for name, dtype, shape, bytes_ in parts:
        if name != drop:
            header[f"model.layers.0.mlp.up_proj.{name}".replace(*rename)] = tensor(dtype, shape, len(data), len(data) + len(bytes_))
            data += bytes_
    return json.dumps({"quantization_config": {"quant_method": method, **said}}).encode() + b"\0" + file_of(header, data)


def packed():
    halves, codes = struct.pack("<64e", *([0.25, 0.5] * 32)), bytes(range(256)) * 4
    order = lambda columns: struct.pack("<64i", *columns)
    columns = lambda scales=halves, zeros=b"\x77" * 32, g=order([k // 32 for k in range(64)]), shape=(8, 32): [
        ("qweight", "I32", list(shape), codes), ("scales", "F16", [2, 32], scales), ("qzeros", "I32", [2, 4], zeros), ("g_idx", "I32", [64], g)]
    gptq = lambda parts=None, **said: packed_layer(parts or columns(), "gptq", **{"bits": 4, "group_size": 32, "desc_act": True, **said})
    rows = lambda scales=halves, zeros=b"\x88" * 32, says=(32, 64): [
        ("weight_packed", "I32", [32, 8], codes), ("weight_scale", "F16", [32, 2], scales), ("weight_zero_point", "I32", [4, 2], zeros),
        ("weight_shape", "I64", [2], struct.pack("<2q", *says))]
    args = {"num_bits": 4, "type": "int", "symmetric": False, "strategy": "group", "group_size": 32}
    groups = lambda **more: {"a": {"targets": ["Linear"], "weights": {**args, **more}}}
    tensors = lambda parts=None, config_groups=None, **said: packed_layer(
        parts or rows(), "compressed-tensors", format="pack-quantized", config_groups=config_groups or groups(), **said)
    awq = lambda **said: packed_layer([("qweight", "I32", [64, 4], codes), ("scales", "F16", [2, 32], halves), ("qzeros", "I32", [2, 4], bytes(32))],
                                      "awq", **{"bits": 4, "group_size": 32, "zero_point": True, "version": "gemm", **said})
    kinds = {
        "good_gptq": gptq(),
        "good_gptq_order": gptq(columns(zeros=b"\x35" * 32, g=order([k % 2 for k in range(64)]))),
        "good_gptq_8": packed_layer([("qweight", "I32", [16, 16], codes), ("scales", "F16", [2, 16], halves[:64]), ("qzeros", "I32", [2, 4], b"\x7f" * 32)],
                                    "gptq", bits=8, group_size=32),
        "good_awq": awq(),
        "good_packed": tensors(),
        "good_bytes": packed_layer([("weight", "I8", [16, 64], codes), ("weight_scale", "F16", [16, 1], halves[:32])], "compressed-tensors",
                                   format="int-quantized", config_groups=groups(num_bits=8, symmetric=True, strategy="channel", group_size=None)),
        "bits": gptq(bits=8),
        "bits_5": gptq(bits=5),
        "group": gptq(group_size=64),
        "group_0": gptq(group_size=0),
        "symmetric": gptq(sym=True, checkpoint_format="gptq_v2"),
        "order_said": gptq(columns(g=order([k % 2 for k in range(64)])), desc_act=False),
        "order_range": gptq(columns(g=order([7] * 64))),
        "order_negative": gptq(columns(g=order([-1] * 64))),
        "order_covers": gptq(columns(g=order([0] * 64))),
        "zeros_last": gptq(columns(zeros=b"\xff" * 32)),
        "scale_nan": gptq(columns(scales=b"\0\x7e" * 64)),
        "scale_infinite": gptq(columns(scales=b"\0\x7c" * 64)),
        "scale_0": gptq(columns(scales=bytes(128))),
        "shape": gptq(columns(shape=(32, 8))),
        "no_scales": packed_layer(columns(), "gptq", drop="scales", bits=4, group_size=32),
        "no_zeros": packed_layer(columns(), "gptq", drop="qzeros", bits=4, group_size=32),
        "no_order": packed_layer(columns(), "gptq", drop="g_idx", bits=4, group_size=32, desc_act=True),
        "shape_lies": tensors(rows(says=(32, 2**62))),
        "shape_negative": tensors(rows(says=(-32, -64))),
        "no_group": tensors(config_groups={"a": {"targets": ["re:.*down_proj"], "weights": args}}),
        "two_groups": tensors(config_groups={**groups(), "b": {"targets": ["Linear"], "weights": args}}),
        "unused_group": tensors(config_groups={**groups(), "b": {"targets": ["re:never"], "weights": args}}),
        "regex": tensors(config_groups={"a": {"targets": ["re:(((a*)*)*)*$"], "weights": args}}),
        "ignored": tensors(ignore=["re:.*up_proj"]),
        "awq_bits": awq(bits=3),
        "awq_gemv": awq(version="gemv"),
        "method": packed_layer(columns(), "bitsandbytes"),
        "other_method": packed_layer(rows(), "gptq", bits=4, group_size=32),
    }
    for kind, data in kinds.items():
        put("fuzz_packed", kind, data)


def imatrix():
    """Of fuzz_imatrix.c's model: every matrix of its layer."""
    widths = {"attn_q": 32, "attn_k": 32, "attn_v": 32, "attn_output": 32, "ffn_gate": 32, "ffn_up": 32, "ffn_down": 64}

    def moments(count=8.0, value=2.0, **other):
        f = Gguf().string("general.type", "imatrix")
        for name, width in widths.items():
            n = other.get(name, width)
            f.tensor(f"blk.0.{name}.weight.in_sum2", (n,)).tensor(f"blk.0.{name}.weight.counts", (1,))
        data = f.bytes()
        body = b"".join(x + bytes(-len(x) % 32) for name, width in widths.items()
                        for x in (struct.pack("<f", value) * other.get(name, width), struct.pack("<f", count)))
        return data[: len(data) - len(f.data)] + body[: len(f.data)]

    kinds = {
        "good": moments(),
        "empty": b"",
        "nothing": Gguf().tensor("a", (2,)).bytes(),
        "width": moments(attn_q=64),
        "count_0": moments(count=0.0),
        "count_nan": moments(count=float("nan")),
        "negative": moments(value=-1.0),
        "infinite": moments(value=float("inf")),
        "short": moments()[:-40],
    }
    for kind, data in kinds.items():
        put("fuzz_imatrix", kind, data)


if __name__ == "__main__":
    gguf()
    packed()
    imatrix()
    charsmaps()
    tekken()
    data()
    pickles()
    safetensors()
    index()
    config()
    checkpoint()
    hub_trees()
    hub_heads()
    hub_parts()
