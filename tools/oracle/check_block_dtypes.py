#!/usr/bin/env python3
"""The block dtypes of the library against the gguf package, through the public API:

    python tools/oracle/check_block_dtypes.py build/libgradus.so [NAME...] [--blocks 1000000] [--ggml libggml-base.so]
    python tools/oracle/check_block_dtypes.py build/libgradus.so --golden tests/data/blocks.safetensors

Of every dtype that ggml has: random bytes as blocks are cast to f32, and every bit must be the package's (a NaN a NaN).
Of those that the package writes: rows of values cast to the dtype must be the package's bytes. With --ggml, a build of
ggml's own library, what only it knows is compared with it: the values of q1_0, and the squared error of K-quants and
iq4, on Gaussian values and on such as weights are (heavy tails, scales by column, few outliers), at most 1.01 times its.

The golden: for each dtype `NAME.blocks`, u8 [4, bytes of a block], and `NAME.values`, f32 [4, values]; for those that are
written `NAME.from`, f32, and `NAME.to`, u8, where the package defines the bytes.
"""
import argparse
import ctypes
import pathlib
import sys

import numpy
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type

F32 = 1
RANDOM = numpy.random.default_rng(7)
CHUNK = 20000  # blocks
EXACT = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "bf16", "mxfp4", "tq1_0", "tq2_0"]
SEARCHED = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"]
failures = 0


def fail(text):
    global failures
    failures += 1
    print("FAIL", text)


class Bound(ctypes.Structure):
    """gr_given and gr_wanted"""
    _fields_ = [("name", ctypes.c_char_p), ("dtype", ctypes.c_int), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Library:
    """Casts by a program of one op."""

    def __init__(self, path):
        self.c = ctypes.CDLL(str(path))
        pointer, int64 = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
        for name, result, arguments in [
            ("gr_dtype_name", ctypes.c_char_p, [ctypes.c_int]), ("gr_error", ctypes.c_char_p, []),
            ("gr_device_open", pointer, [ctypes.c_char_p, ctypes.c_int]), ("gr_graph_new", pointer, []),
            ("gr_graph_free", None, [pointer]), ("gr_program_free", None, [pointer]),
            ("gr_input", pointer, [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, int64]),
            ("gr_cast", pointer, [pointer, ctypes.c_int]),
            ("gr_compile", pointer, [pointer, ctypes.POINTER(pointer), ctypes.c_int, pointer, pointer]),
            ("gr_run", ctypes.c_int, [pointer, pointer, ctypes.c_int, pointer, ctypes.c_int])]:
            getattr(self.c, name).restype = result
            getattr(self.c, name).argtypes = arguments
        self.device = self.c.gr_device_open(b"cpu", 2)
        self.dtypes, number = {}, 0
        while self.c.gr_dtype_name(number):
            self.dtypes[self.c.gr_dtype_name(number).decode()] = number
            number += 1

    def checked(self, made):
        if not made:
            sys.exit(self.c.gr_error().decode())
        return made

    def cast(self, data, source, target, rows, columns, out):
        graph, shape = self.c.gr_graph_new(), (ctypes.c_int64 * 2)(rows, columns)
        x = self.checked(self.c.gr_input(graph, b"x", source, 2, shape))
        y = self.checked(self.c.gr_cast(x, target))
        program = self.checked(self.c.gr_compile(graph, ctypes.byref(ctypes.c_void_p(y)), 1, self.device, None))
        given = Bound(b"input 0", source, data.ctypes.data, data.nbytes)
        wanted = Bound(b"output 0", target, out.ctypes.data, out.nbytes)
        if self.c.gr_run(program, ctypes.byref(given), 1, ctypes.byref(wanted), 1):
            sys.exit(self.c.gr_error().decode())
        self.c.gr_program_free(program)
        self.c.gr_graph_free(graph)
        return out

    def read(self, name, blocks):
        values = GGML_QUANT_SIZES[Type[name.upper()]][0]
        out = numpy.empty((len(blocks), values), dtype=numpy.float32)
        return self.cast(blocks, self.dtypes[name], F32, len(blocks), values, out)

    def write(self, name, values):
        block, size = GGML_QUANT_SIZES[Type[name.upper()]]
        out = numpy.empty((len(values), values.shape[1] // block * size), dtype=numpy.uint8)
        return self.cast(values, F32, self.dtypes[name], len(values), values.shape[1], out)


def same_values(a, b):
    """How many are not equal to the bit; of NaNs any is as good as another."""
    nan = numpy.isnan(a) & numpy.isnan(b)
    return int(((a.view(numpy.uint32) != b.view(numpy.uint32)) & ~nan).sum())


def ggml_read(ggml, name, blocks):
    values = GGML_QUANT_SIZES[Type[name.upper()]][0]
    out = numpy.empty((len(blocks), values), dtype=numpy.float32)
    function = getattr(ggml, f"dequantize_row_{name.replace('_k', '_K')}")
    function(ctypes.c_void_p(blocks.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(out.size))
    return out


def ggml_write(ggml, name, values):
    size = GGML_QUANT_SIZES[Type[name.upper()]]
    out = numpy.empty((len(values), values.shape[1] // size[0] * size[1]), dtype=numpy.uint8)
    function = getattr(ggml, f"quantize_{name.replace('_k', '_K')}")
    function.restype = ctypes.c_size_t
    function(ctypes.c_void_p(values.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(len(values)),
             ctypes.c_int64(values.shape[1]), None)
    return out


def expected_values(ggml, name, blocks):
    kind = Type[name.upper()]
    if kind in quants._type_traits or kind == Type.F16:
        with numpy.errstate(all="ignore"):
            return quants.dequantize(blocks, kind)
    return ggml_read(ggml, name, blocks) if ggml else None


def check_read(library, ggml, name, count):
    size = GGML_QUANT_SIZES[Type[name.upper()]][1]
    wrong = done = 0
    for at in range(0, count, CHUNK):
        blocks = RANDOM.integers(0, 256, (min(CHUNK, count - at), size), dtype=numpy.uint8)
        values = expected_values(ggml, name, blocks)
        if values is None:
            print(f"{name:8} not compared: the package does not read it, and no --ggml was given")
            return
        wrong += same_values(library.read(name, blocks), values)
        done += len(blocks)
    print(f"{name:8} {done} random blocks read: {wrong} values differ")
    if wrong:
        fail(name)


def rows_of_values(kind, rows, columns):
    x = RANDOM.standard_normal((rows, columns)).astype(numpy.float32) * numpy.float32(0.02)
    if kind == "weights":
        x *= numpy.exp(RANDOM.standard_normal((1, columns)) * 0.4) * numpy.exp(RANDOM.standard_normal((rows, 1)) * 0.3)
        x *= numpy.sqrt(6 / RANDOM.chisquare(6, x.shape))
        x[RANDOM.random(x.shape) < 0.0005] *= 8
    return x.astype(numpy.float32)


def check_bytes(library, name):
    wrong = done = 0
    for kind in ("gaussian", "weights"):
        for scale in (1, 1e-6, 3000):
            x = rows_of_values(kind, 512, 2048) * numpy.float32(scale)
            x[3] = 0
            with numpy.errstate(all="ignore"):
                wanted = quants.quantize(x, Type[name.upper()])
            wrong += int((library.write(name, x) != wanted).sum())
            done += wanted.size
    print(f"{name:8} {done} bytes written: {wrong} differ")
    if wrong:
        fail(name)


def error(x, values):
    return float(numpy.sqrt(numpy.mean((values.reshape(x.shape).astype(numpy.float64) - x) ** 2)))


def check_error(library, ggml, name):
    size = GGML_QUANT_SIZES[Type[name.upper()]][1]
    for kind in ("gaussian", "weights"):
        x = rows_of_values(kind, 256, 2048)
        ours = error(x, library.read(name, library.write(name, x).reshape(-1, size)))
        theirs = error(x, library.read(name, ggml_write(ggml, name, x).reshape(-1, size)))
        print(f"{name:8} error on {kind}: {ours:.6e}, ggml's {theirs:.6e}: {ours / theirs:.4f}")
        if ours > 1.01 * theirs:
            fail(name)


def write_golden(library, path):
    from safetensors.numpy import save_file
    tensors = {}
    for name in library.dtypes:
        if name.upper() not in Type.__members__ or Type[name.upper()] not in quants._type_traits:
            continue
        block, size = GGML_QUANT_SIZES[Type[name.upper()]]
        blocks = RANDOM.integers(0, 256, (4, size), dtype=numpy.uint8)
        with numpy.errstate(all="ignore"):
            tensors[name + ".blocks"] = blocks
            tensors[name + ".values"] = quants.dequantize(blocks, Type[name.upper()])
            if name in EXACT and block > 1:
                tensors[name + ".from"] = rows_of_values("weights", 2, 2 * block)
                tensors[name + ".to"] = quants.quantize(tensors[name + ".from"], Type[name.upper()])
    save_file(tensors, path, {"made by": "tools/oracle/check_block_dtypes.py"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--blocks", type=int, default=1000000)
    parser.add_argument("--ggml", type=pathlib.Path)
    parser.add_argument("--golden", type=pathlib.Path)
    args = parser.parse_args()
    library = Library(args.library.resolve())
    ggml = ctypes.CDLL(str(args.ggml.resolve())) if args.ggml else None
    if args.golden:
        return write_golden(library, args.golden)
    for name in library.dtypes:
        if name.upper() not in Type.__members__ or (args.names and name not in args.names):
            continue
        if name not in ("f32", "f64", "i32", "i64"):
            check_read(library, ggml, name, args.blocks)
        if name in EXACT:
            check_bytes(library, name)
        if name in SEARCHED and ggml:
            check_error(library, ggml, name)
    sys.exit(failures > 0)


main()
