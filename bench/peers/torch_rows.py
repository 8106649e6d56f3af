"""Attention, layer norm and cross-entropy with PyTorch at the shapes of bench/rows_bench.c: microseconds a call,
median and best.

python bench/peers/torch_rows.py [threads]
"""
import statistics
import sys
import time

import torch
import torch.nn.functional as F

if len(sys.argv) > 1 and int(sys.argv[1]) > 0:
    torch.set_num_threads(int(sys.argv[1]))


def measure(name, call):
    """Prints the median of 9 timings, each of as many calls as the clock needs."""
    call()
    start = time.perf_counter()
    call()
    calls = max(1, int(0.02 / (time.perf_counter() - start)))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    print(f"{name:<34} {statistics.median(times) * 1e6:10.1f} us  best {min(times) * 1e6:10.1f} us")


def attention(name, b, t, h, g, d, s):
    q = torch.randn(b, t, h, d).transpose(1, 2).requires_grad_(t > 1)
    k, v = (torch.randn(b, s, g, d).transpose(1, 2).requires_grad_(t > 1) for _ in range(2))
    options = dict(is_causal=t == s, enable_gqa=g != h)
    with torch.no_grad():
        measure(f"attention {name}", lambda: F.scaled_dot_product_attention(q, k, v, **options))
    if t == 1:
        return
    o = F.scaled_dot_product_attention(q, k, v, **options)
    d_out = torch.randn_like(o)
    measure(f"  grad    {name}", lambda: torch.autograd.grad(o, (q, k, v), d_out, retain_graph=True))


def norm(rows, n):
    x = torch.randn(rows, n, requires_grad=True)
    w, b = (torch.randn(n, requires_grad=True) for _ in range(2))
    with torch.no_grad():
        measure(f"layer_norm [{rows},{n}]", lambda: F.layer_norm(x, (n,), w, b))
    y, d = F.layer_norm(x, (n,), w, b), torch.randn(rows, n)
    measure(f"  grad [{rows},{n}]", lambda: torch.autograd.grad(y, (x, w, b), d, retain_graph=True))


def loss(rows, n):
    x = torch.randn(rows, n, requires_grad=True)
    target = torch.zeros(rows, dtype=torch.int64)
    with torch.no_grad():
        measure(f"cross_entropy [{rows},{n}]", lambda: F.cross_entropy(x, target))
        measure(f"softmax [{rows},{n}]", lambda: F.softmax(x, -1))
    y = F.cross_entropy(x, target)
    measure(f"  grad [{rows},{n}]", lambda: torch.autograd.grad(y, x, retain_graph=True))


attention("gpt2 124m B4 T256 H12 D64", 4, 256, 12, 12, 64, 256)
attention("small B12 T64 H4 D32", 12, 64, 4, 4, 32, 64)
attention("grouped B1 T512 H32 G4 D64", 1, 512, 32, 4, 64, 512)
attention("long B1 T1024 H12 D64", 1, 1024, 12, 12, 64, 1024)
attention("wide B1 T512 H16 D128", 1, 512, 16, 16, 128, 512)
attention("decode S2000 H12 D64", 1, 1, 12, 12, 64, 2000)
attention("decode S2000 H32 G4 D64", 1, 1, 32, 4, 64, 2000)
norm(1024, 768)
norm(768, 128)
loss(1024, 50257)
loss(768, 65)
