"""llama.cpp by its C API, from a library that has it: the package xllamacpp (prebuilt), or libllama.so of llama-cpp-python.

The records are those of llama.h of autumn 2026; what their defaults are is looked at first, since another version lays them out
in another way.
"""
import argparse
import ctypes as C
import importlib.util
import json
import pathlib
import statistics
import sys
import time

import numpy as np

i32, u32, i64, f32, ptr, boolean = C.c_int32, C.c_uint32, C.c_int64, C.c_float, C.c_void_p, C.c_bool


class ModelParams(C.Structure):
    _fields_ = [("devices", ptr), ("buft_overrides", ptr), ("n_gpu_layers", i32), ("split_mode", i32), ("load_mode", i32), ("lazy_mode", i32),
                ("main_gpu", i32), ("tensor_split", ptr), ("progress_callback", ptr), ("progress_user", ptr), ("kv_overrides", ptr),
                *[(name, boolean) for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")]]


class ContextParams(C.Structure):
    _fields_ = [*[(name, u32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max", "n_outputs_max_per_seq")],
                *[(name, i32) for name in ("n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type", "pooling_type", "attention_type", "flash_attn_type")],
                *[(name, f32) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow")],
                ("yarn_orig_ctx", u32), ("defrag_thold", f32), ("cb_eval", ptr), ("cb_eval_user", ptr), ("type_k", i32), ("type_v", i32),
                ("abort_callback", ptr), ("abort_user", ptr), ("unknown", ptr),
                *[(name, boolean) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")],
                ("samplers", ptr), ("n_samplers", C.c_size_t), ("ctx_other", ptr)]


class Batch(C.Structure):
    _fields_ = [("n_tokens", i32), ("token", ptr), ("embd", ptr), ("pos", ptr), ("n_seq_id", ptr), ("seq_id", ptr), ("logits", ptr)]


def library(path=None):
    """The library at `path`, or the installed package's."""
    if path is None:
        spec = importlib.util.find_spec("xllamacpp")
        if not spec:
            raise SystemExit("no llama.cpp: pip install xllamacpp, or --lib path/to/libllama.so")
        path = next(pathlib.Path(spec.origin).parent.glob("xllamacpp*.so"))
    lib = C.CDLL(str(path))
    for name, result, *arguments in (
            ("llama_model_default_params", ModelParams), ("llama_context_default_params", ContextParams),
            ("llama_model_load_from_file", ptr, C.c_char_p, ModelParams), ("llama_init_from_model", ptr, ptr, ContextParams),
            ("llama_decode", i32, ptr, Batch), ("llama_get_logits", C.POINTER(f32), ptr), ("llama_get_memory", ptr, ptr),
            ("llama_memory_clear", None, ptr, boolean), ("llama_model_get_vocab", ptr, ptr), ("llama_vocab_n_tokens", i32, ptr),
            ("llama_free", None, ptr), ("llama_model_free", None, ptr), ("llama_log_set", None, ptr, ptr), ("llama_backend_init", None),
            ("llama_print_system_info", C.c_char_p),
            ("ggml_quantize_chunk", C.c_size_t, i32, ptr, ptr, i64, i64, i64, ptr)):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.quiet = C.CFUNCTYPE(None, i32, C.c_char_p, ptr)(lambda level, text, _: print(text.decode(), end="", file=sys.stderr) if level == 4 else None)  # errors
    lib.llama_log_set(C.cast(lib.quiet, ptr), None)
    lib.llama_backend_init()
    p = lib.llama_context_default_params()
    if (p.n_ctx, p.n_batch, p.n_ubatch, p.type_k, p.type_v, p.flash_attn_type) != (512, 2048, 512, 1, 1, -1) or not p.offload_kqv or not lib.llama_model_default_params().use_extra_bufts:
        raise SystemExit(f"{path} lays its records out in another way than this script knows")
    return lib


class Model:
    def __init__(self, lib, path, threads, context, cache="f16", flash=-1, all_logits=False):
        self.lib, self.all_logits = lib, all_logits
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        p = lib.llama_context_default_params()
        p.n_ctx = p.n_batch = context
        p.n_threads = p.n_threads_batch = threads
        p.type_k = p.type_v = {"f32": 0, "f16": 1}[cache]
        p.flash_attn_type, p.no_perf = flash, True
        self.context = lib.llama_init_from_model(self.model, p)
        self.vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.clear()

    def clear(self):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        self.at = 0

    def decode(self, ids):
        """Reads ids where the last ones ended; logits of the last, or of all."""
        n = len(ids)
        token = (i32 * n)(*ids)
        pos = (i32 * n)(*range(self.at, self.at + n))
        one, zero = (i32 * n)(*[1] * n), (i32 * 1)(0)
        seq = (ptr * n)(*[C.cast(zero, ptr)] * n)
        wanted = (C.c_int8 * n)(*[1 if self.all_logits else 0] * (n - 1), 1)
        batch = Batch(n, *[C.cast(x, ptr) if x is not None else None for x in (token, None, pos, one, seq, wanted)])
        if self.lib.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        self.at += n
        rows = n if self.all_logits else 1
        return np.ctypeslib.as_array(self.lib.llama_get_logits(self.context), (rows, self.vocab))

    def greedy(self, ids, count):
        out, logits = [], self.decode(ids)[-1]
        for _ in range(count):
            out.append(int(logits.argmax()))
            if len(out) < count:
                logits = self.decode(out[-1:])[-1]
        return out

    def close(self):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)


def measure(lib, path, what, threads, prompt, tokens, seconds):
    """Median tokens/s of reading `prompt` ids, or of making one behind them."""
    m = Model(lib, path, threads, prompt + tokens)
    ids, rates, begun = [7 + i * 31 % (m.vocab - 8) for i in range(prompt)], [], time.time()
    while len(rates) < 3 or time.time() - begun < seconds:
        m.clear()
        t = time.time()
        m.decode(ids)
        if what == "prefill":
            rates.append(prompt / (time.time() - t))
            continue
        for i in range(tokens):
            t = time.time()
            m.decode(ids[i:i + 1])
            rates.append(1 / (time.time() - t))
    m.close()
    return statistics.median(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--what", choices=["prefill", "decode"], required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--lib")
    o = parser.parse_args()
    lib = library(o.lib)
    print(json.dumps({"tokens_per_s": measure(lib, o.model, o.what, o.threads, o.prompt, o.tokens, o.seconds),
                      "built_for": lib.llama_print_system_info().decode().strip(" |")}))


if __name__ == "__main__":
    main()
