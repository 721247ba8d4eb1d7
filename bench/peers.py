#!/usr/bin/python3
"""The workloads of bench/workloads.c in PyTorch, under the same names. bench/run starts it.

usage: peers.py WORKLOAD MODE      a line of JSON after the first step, one when it is warm, then one for every line of input
                                   (the seconds of a step); MODE is words with dashes between, which in_mode() explains
       peers.py check WORKLOAD FILE    compares what `vkgan-bench save` wrote with what PyTorch computes
"""
import json
import os
import re
import resource
import struct
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

BASELINE = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHORTEST, MOST_REPEATS = 0.5, 100  # as bench/main.c
WAY = set()  # the words of MODE


def down(a, b, stride=2, kernel=4, pad=1):
    return nn.Conv2d(a, b, kernel, stride, pad, bias=False)


def up(a, b, kernel=4, stride=2, pad=1):
    return nn.ConvTranspose2d(a, b, kernel, stride, pad, bias=False)


def images(layout, *shape):
    return (torch.rand(*shape, device=DEVICE) * 2 - 1).contiguous(memory_format=layout)


def placed(network, layout):
    network = network.to(DEVICE, memory_format=layout)
    return torch.compile(network) if "compile" in WAY else network


def pyramid(size, channels, width, layout, normalised=True):
    base, levels = size, 0
    while base % 2 == 0 and base >= 8:
        base, levels = base // 2, levels + 1
    c = width << (levels - 1)
    g = [up(100, c, base, 1, 0)]
    for level in range(levels):
        out = c // 2 if level + 1 < levels else channels
        g += [nn.BatchNorm2d(c), nn.ReLU(True), up(c, out)]
        c = out
    d, c = [], channels
    for level in range(levels):
        d += [down(c, width << level)] + ([nn.BatchNorm2d(width << level)] if level and normalised else []) + [nn.LeakyReLU(0.2, True)]
        c = width << level
    return placed(nn.Sequential(*g, nn.Tanh()), layout), placed(nn.Sequential(*d, down(c, 1, 1, base, 0)), layout)


def updater(network):
    capturable = {"capturable": True} if DEVICE == "cuda" else {}
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), **capturable)

    def update(loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return update


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def dcgan(size, channels, width, batch, layout):
    g, d = pyramid(size, channels, width, layout)
    update_g, update_d = updater(g), updater(d)
    real = images(layout, batch, channels, size, size)

    def step():
        fake = g(torch.randn(batch, 100, 1, 1, device=DEVICE))
        update_d(bce(d(real), 1.0) + bce(d(fake.detach()), 0.0))
        d.requires_grad_(False)  # nobody asks for these gradients
        update_g(bce(d(fake), 1.0))
        d.requires_grad_(True)
    return step


def wgan_gp(size, channels, width, batch, layout):
    g, d = pyramid(size, channels, width, layout, normalised=False)
    update_g, update_d = updater(g), updater(d)
    real = images(layout, batch, channels, size, size)

    def step():
        fake = g(torch.randn(batch, 100, 1, 1, device=DEVICE))
        still = fake.detach()
        between = (still + torch.rand(batch, 1, 1, 1, device=DEVICE) * (real - still)).requires_grad_()
        slope, = torch.autograd.grad(d(between).sum(), between, create_graph=True)
        penalty = 10 * ((slope.square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()
        update_d(d(still).mean() - d(real).mean() + penalty)
        d.requires_grad_(False)
        update_g(-d(fake).mean())
        d.requires_grad_(True)
    return step


class UNet(nn.Module):
    def __init__(self, channels, width, levels=8):
        super().__init__()
        wide = [width << min(level, 3) for level in range(levels)]
        self.down = nn.ModuleList(down(wide[i - 1] if i else channels, wide[i]) for i in range(levels))
        self.down_norm = nn.ModuleList(nn.BatchNorm2d(c) if 0 < i < levels - 1 else nn.Identity() for i, c in enumerate(wide))
        self.up = nn.ModuleList(up(wide[i] * (1 if i == levels - 1 else 2), wide[i - 1] if i else channels) for i in range(levels))
        self.up_norm = nn.ModuleList(nn.BatchNorm2d(wide[i - 1]) if i else nn.Identity() for i in range(levels))

    def forward(self, x):
        skip = []
        for i, (layer, norm) in enumerate(zip(self.down, self.down_norm)):
            x = norm(layer(F.leaky_relu(x, 0.2) if i else x))
            skip.append(x)
        for i in reversed(range(len(self.up))):
            x = self.up_norm[i](self.up[i](F.relu(x)))
            if i:
                x = torch.cat((x, skip[i - 1]), 1)
        return torch.tanh(x)


def pix2pix(size, channels, width, batch, layout):
    g, c, layers = placed(UNet(channels, width), layout), 2 * channels, []
    for level in range(4):
        layers += [down(c, width << level, 2 if level < 3 else 1)] + ([nn.BatchNorm2d(width << level)] if level else [])
        layers += [nn.LeakyReLU(0.2, True)]
        c = width << level
    d = placed(nn.Sequential(*layers, down(c, 1, 1)), layout)
    update_g, update_d = updater(g), updater(d)
    source, real = (images(layout, batch, channels, size, size) for _ in range(2))

    def step():
        fake = g(source)
        update_d(0.5 * (bce(d(torch.cat((source, real), 1)), 1.0) + bce(d(torch.cat((source, fake.detach()), 1)), 0.0)))
        d.requires_grad_(False)
        update_g(bce(d(torch.cat((source, fake), 1)), 1.0) + 100 * F.l1_loss(fake, real))
        d.requires_grad_(True)
    return step


# Single layers: a function of operands, in PyTorch's order of axes, that gives the result.
def conv_forward(x, weight):
    return F.conv2d(x, weight, stride=2, padding=1)


def conv_input_gradient(y, weight):
    return F.conv_transpose2d(y, weight, stride=2, padding=1)


def conv_weight_gradient(x, y):
    # the weight alone asks for its gradient; its value does not matter
    return torch.ops.aten.convolution_backward(y, x, x.new_empty(y.shape[1], x.shape[1], 4, 4), None, [2, 2], [1, 1], [1, 1],
                                               False, [0, 0], 1, [False, True, False])[1]


def batch_norm(x, y, weight, bias):
    x = x.detach().requires_grad_()
    normal = F.batch_norm(x, None, None, weight, bias, True)
    return normal.detach(), torch.autograd.grad(normal, x, y)[0]


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1) @ v


def attention_gradients(q, k, v, y):
    q, k, v = (t.detach().requires_grad_() for t in (q, k, v))
    return torch.autograd.grad(attention(q, k, v), (q, k, v), y)


CONV = {"x": (64, 64, 32, 32), "weight": (128, 64, 4, 4), "y": (64, 128, 16, 16)}
WIDE = {"x": (64, 128, 16, 16), "weight": (256, 128, 4, 4), "y": (64, 256, 8, 8)}
LAYERS = {
    "copy": (torch.neg, {"x": (4096, 4096)}),
    "matmul": (torch.matmul, {"x": (1024, 1024), "y": (1024, 1024)}),
    "conv-forward": (conv_forward, {k: CONV[k] for k in ("x", "weight")}),
    "conv-input-gradient": (conv_input_gradient, {k: CONV[k] for k in ("y", "weight")}),
    "conv-weight-gradient": (conv_weight_gradient, {k: CONV[k] for k in ("x", "y")}),
    "conv-forward-256": (conv_forward, {k: WIDE[k] for k in ("x", "weight")}),
    "conv-weight-gradient-256": (conv_weight_gradient, {k: WIDE[k] for k in ("x", "y")}),
    "batch-norm": (batch_norm, {"x": (64, 64, 32, 32), "y": (64, 64, 32, 32), "weight": (64,), "bias": (64,)}),
    "attention-64": (attention, {name: (1, 8, 4096, 64) for name in "qkv"}),
    "attention-64-gradients": (attention_gradients, {name: (1, 8, 4096, 64) for name in "qkvy"}),
}
RESULTS = {"batch-norm": ("normal", "result"), "attention-64-gradients": ("dq", "dk", "dv")}  # what is saved of a layer, where that is more than its "result"
CHECKED = {name: (*shapes, *RESULTS.get(name, ("result",))) for name, (_, shapes) in LAYERS.items()}
CHECKED["adam-10M"] = ("y", "net.p")


def adam():
    step, _ = adam_of(torch.randn(3200, 3200, device=DEVICE))
    return step


def adam_of(y):
    p = nn.Parameter(torch.zeros_like(y))
    p.grad = torch.empty_like(y)
    optimizer = torch.optim.Adam([p], 2e-4, (0.5, 0.999))

    def step():
        torch.add(y, p.detach(), alpha=1000, out=p.grad)
        optimizer.step()
    return step, p


def build(name, layout):
    if name in LAYERS:
        function, shapes = LAYERS[name]
        operands = [torch.randn(s, device=DEVICE) for s in shapes.values()]
        operands = [o.contiguous(memory_format=layout) if o.dim() == 4 else o for o in operands]
        function = torch.compile(function) if "compile" in WAY else function
        return lambda: function(*operands)
    made = re.fullmatch(r"dcgan-(\d+)-(\d+)-w(\d+)-b(\d+)", name)
    if made:
        return dcgan(*map(int, made.groups()), layout)
    return {"wgan-gp-64": lambda: wgan_gp(64, 3, 32, 64, layout), "pix2pix-256": lambda: pix2pix(256, 3, 64, 1, layout),
            "adam-10M": adam}[name]()


PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}  # how names of workloads may end


def precision_of(name):
    """The name without its precision, and that: None for float32."""
    plain, _, last = name.rpartition("-")
    return (plain, PRECISIONS[last]) if last in PRECISIONS else (name, None)


def in_mode(step, precision):
    """eager; compile: networks (or the layer) by torch.compile; graph: the step recorded as a CUDA graph; tf32 lets float32 products
    take TF32, last lays images out as channels_last, passive is for threads that wait asleep and kept for memory that
    the process keeps (bench/run's environments)."""
    if precision:
        plain = step

        def step():
            with torch.autocast(DEVICE, precision):
                return plain()
    if "graph" in WAY:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        return graph.replay
    return step


def modes(precision):
    if DEVICE == "cpu":
        return ["eager", "passive", "kept", "passive-kept"]
    if precision:
        return ["eager", "graph", "graph-last", "compile", "compile-graph", "compile-graph-last"]
    return ["eager", "graph", "graph-tf32", "graph-tf32-last", "compile", "compile-graph", "compile-tf32"]


def blas():
    """The library that does the matrix products, as the process has it mapped."""
    with open("/proc/self/maps") as maps:
        found = sorted({os.path.basename(os.path.realpath(w)) for w in re.findall(r"/\S*(?:blas|mkl)\S*\.so\S*", maps.read())})
    return ", ".join(found) or "built in"


def timed(step, times):
    start = time.perf_counter()
    for _ in range(times):
        step()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / times


def serve(name, mode):
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    WAY.update(mode.split("-"))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = "tf32" in WAY
    torch.backends.cudnn.benchmark = True
    plain, precision = precision_of(name)
    step = in_mode(build(plain, torch.channels_last if "last" in WAY else torch.contiguous_format), precision)
    timed(step, 1)
    print(json.dumps({"first": True}), flush=True)  # who started us knows since when
    seconds = timed(step, 2)
    repeats = max(1, min(MOST_REPEATS, -int(-SHORTEST // seconds)))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = torch.cuda.max_memory_allocated() if DEVICE == "cuda" else rss - BASELINE
    print(json.dumps({"workload": name, "device": torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads",
                      "version": torch.__version__, "blas": blas(), "mode": mode, "modes": modes(precision),
                      "repeats": repeats, "peak_bytes": peak, "peak_rss": rss}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"seconds": timed(step, repeats)}), flush=True)


def check(name, path):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header, blob = json.loads(file.read(length)), file.read()
    saved = {}
    for key, entry in header.items():
        if key in CHECKED[name]:
            start, end = entry["data_offsets"]
            saved[key] = torch.frombuffer(bytearray(blob[start:end]), dtype=torch.float32).reshape(entry["shape"])
    pairs = check_adam(saved) if name == "adam-10M" else check_layer(name, saved)
    error = max(((expected - found).abs().max() / expected.abs().max()).item() for expected, found in pairs)
    print(f"{name}: largest difference {error:.1e} of the largest value")
    return error < 1e-4


def check_adam(saved):
    step, p = adam_of(saved["y"])
    for _ in range(3):  # as many as bench/main.c runs before it saves
        step()
    return [(p.detach(), saved["net.p"])]


def check_layer(name, saved):
    function, shapes = LAYERS[name]

    def torch_order(key):
        t = saved[key]
        if t.dim() == 4 and not name.startswith("attention"):
            kernel = key == "weight" or (key == "result" and "weight-gradient" in name)
            t = t.permute(3, 2, 0, 1) if kernel else t.permute(0, 3, 1, 2)
        return t
    results = function(*(torch_order(k) for k in shapes))
    names = RESULTS.get(name, ("result",))
    return zip(results if len(names) > 1 else [results], map(torch_order, names))


if __name__ == "__main__":
    if sys.argv[1] == "check":
        sys.exit(0 if check(*sys.argv[2:4]) else 1)
    serve(*sys.argv[1:3])
