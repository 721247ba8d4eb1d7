#!/usr/bin/python3
"""Computes data/ops.safetensors: what every operation, its gradient and the gradient of that are.

Run by hand after a change, with Debian's python3-torch: tests/reference/ops.py
For a case with inputs x0, x1, …: y = f(x); for random v and u, g_i = d<y,v>/dx_i and, with s = Σ<g_i, u_i>,
h_i = ds/dx_i and hv = ds/dv. Computed in double, stored as float32, channels last as in vkgan.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

torch.manual_seed(20261123)
CASES = []  # (op, attributes, function, inputs)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def away_from_zero(*shape):
    x = normal(*shape)
    return x + 0.1 * torch.sign(x)


def positive(*shape):
    return 0.2 + 2 * torch.rand(*shape, dtype=torch.float64)


def case(op, attributes, function, *inputs):
    CASES.append((op, attributes, function, inputs))


# --- pointwise ---
SHAPES = [(1,), (7,), (64,), (3, 5), (2, 3, 4, 8), (1, 7, 5, 3), (5, 1, 33), (17, 12)]
UNARY = {
    "neg": (torch.neg, normal), "abs": (torch.abs, away_from_zero), "square": (torch.square, normal),
    "sqrt": (torch.sqrt, positive), "rsqrt": (torch.rsqrt, positive), "exp": (torch.exp, normal),
    "ln": (torch.log, positive), "relu": (torch.relu, away_from_zero), "tanh": (torch.tanh, normal),
    "sigmoid": (torch.sigmoid, normal), "softplus": (F.softplus, lambda *s: 4 * normal(*s)),
}
for name, (function, draw) in UNARY.items():
    for shape in SHAPES[:6]:
        case(name, [], function, draw(*shape))
for shape in SHAPES[:4]:
    case("leaky_relu", [0.2], lambda x: F.leaky_relu(x, 0.2), away_from_zero(*shape))
    case("affine", [-1.5, 0.25], lambda x: x * -1.5 + 0.25, normal(*shape))
case("tanh", [], torch.tanh, 12 * normal(9, 4))
case("tanh", [], torch.tanh, 0.01 * normal(9, 4))
case("softplus", [], F.softplus, 60 * normal(9, 4).sign() + normal(9, 4))
PAIRS = [((1,), (1,)), ((5, 8), (5, 8)), ((5, 8), (8,)), ((2, 3, 5), (3, 1)), ((4, 1, 12), (3, 12)), ((6, 7), (1, 1)),
         ((2, 3, 4, 8), (8,)), ((2, 3, 4, 3), (3,)), ((3, 1, 1, 4), (3, 5, 2, 4))]
for a, b in PAIRS:
    case("add", [], torch.add, normal(*a), normal(*b))
    case("sub", [], torch.sub, normal(*a), normal(*b))
    case("mul", [], torch.mul, normal(*a), normal(*b))
    case("div", [], torch.div, normal(*a), away_from_zero(*b) + 0.3)

# --- shape and sums ---
case("broadcast", [3, 4, 5], lambda x: x.expand(3, 4, 5), normal(4, 1))
case("broadcast", [6, 8], lambda x: x.expand(6, 8), normal(8))
case("reshape", [4, 6], lambda x: x.reshape(4, 6), normal(2, 3, 4))
for shape, axes in [((5, 8), [0]), ((5, 8), [1]), ((5, 8), [0, 1]), ((4, 5, 6, 8), [0, 1, 2]), ((4, 5, 6, 3), [0, 1, 2]),
                    ((3, 5, 7), [1]), ((3, 5, 8), [0, 2]), ((300, 4), [0]), ((1, 1), [0, 1]), ((2, 700), [1])]:
    mask = sum(1 << axis for axis in axes)
    case("sum", [mask, 0], lambda x, axes=axes: x.sum(axes), normal(*shape))
    case("mean", [mask, 1], lambda x, axes=axes: x.mean(axes, keepdim=True), normal(*shape))
case("sum_to", [5, 1], lambda x: x.sum(0).sum(1, keepdim=True), normal(3, 5, 4))

# --- products ---
for m, k, n in [(1, 1, 1), (5, 7, 3), (8, 16, 12), (33, 20, 64), (2, 100, 1)]:
    case("matmul", [0, 0], torch.matmul, normal(m, k), normal(k, n))
    case("matmul", [1, 0], lambda a, b: a.t() @ b, normal(k, m), normal(k, n))
    case("matmul", [0, 1], lambda a, b: a @ b.t(), normal(m, k), normal(n, k))


# batches, which one of the two may lack
for a, b, m, k, n in [((3,), (3,), 5, 4, 8), ((2, 3), (2, 3), 7, 5, 3), ((1,), (1,), 1, 8, 1), ((4,), (4,), 16, 12, 20),
                      ((3,), (), 4, 8, 5), ((), (2,), 6, 3, 8), ((2, 1, 3), (), 2, 5, 3)]:
    for turn_a, turn_b in [(0, 0), (1, 0), (0, 1), (1, 1)]:
        x, y = normal(*a, *((k, m) if turn_a else (m, k))), normal(*b, *((n, k) if turn_b else (k, n)))
        case("matmul", [turn_a, turn_b],
             lambda x, y, ta=turn_a, tb=turn_b: torch.matmul(x.mT if ta else x, y.mT if tb else y), x, y)
for m, k, n in [(1, 1, 1), (6, 8, 5)]:
    case("matmul", [1, 1], lambda a, b: a.t() @ b.t(), normal(k, m), normal(n, k))


def first(x):
    return x.movedim(-1, 1).contiguous()


def last(x):
    return x.movedim(1, -1).contiguous()


def torch_weight(w):
    return w.permute(w.dim() - 1, w.dim() - 2, *range(w.dim() - 2)).contiguous()


CONV = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
CONV_TRANSPOSE = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}


def conv(x, w, s, p, d, g):
    return last(CONV[x.dim()](first(x), torch_weight(w), stride=s, padding=p, dilation=d, groups=g))


def conv_input_gradient(y, w, s, p, d, g, size):
    least = [(o - 1) * s - 2 * p + d * (k - 1) + 1 for o, s, p, d, k in zip(y.shape[1:-1], s, p, d, w.shape)]
    return last(CONV_TRANSPOSE[y.dim()](first(y), torch_weight(w), stride=s, padding=p, dilation=d, groups=g,
                                        output_padding=[n - m for n, m in zip(size, least)]))


def conv_weight_gradient(x, y, s, p, d, g, kernel):
    w = torch.zeros(y.shape[-1], x.shape[-1] // g, *kernel, dtype=torch.float64, requires_grad=True)
    out = CONV[x.dim()](first(x), w, stride=s, padding=p, dilation=d, groups=g)
    return torch.autograd.grad(out, w, first(y), create_graph=True)[0].permute(*range(2, w.dim()), 1, 0)


# n, size, ci, co, kernel, stride, padding, dilation, groups
CONVOLUTIONS = [
    (1, (5, 5), 1, 1, (3, 3), (1, 1), (0, 0), (1, 1), 1),
    (2, (8, 8), 3, 8, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    (3, (7, 7), 8, 1, (7, 7), (1, 1), (0, 0), (1, 1), 1),
    (2, (1, 1), 8, 12, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, (9, 6), 5, 7, (3, 2), (2, 3), (1, 0), (1, 1), 1),
    (2, (7, 8), 4, 20, (3, 3), (1, 1), (2, 2), (2, 2), 1),
    (17, (6, 6), 16, 33, (4, 4), (2, 2), (1, 1), (1, 1), 1),
    (2, (10, 3), 12, 4, (5, 1), (3, 1), (2, 0), (1, 1), 1),
    # groups: even, odd, channels that vec4s cannot take, depthwise
    (2, (6, 6), 8, 16, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (1, (5, 7), 9, 6, (3, 2), (2, 1), (1, 0), (1, 2), 3),
    (3, (6, 5), 5, 5, (3, 3), (1, 1), (1, 1), (1, 1), 5),
    (2, (8, 8), 8, 16, (4, 4), (2, 2), (1, 1), (1, 1), 8),
    # sequences
    (2, (11,), 3, 8, (4,), (2,), (1,), (1,), 1),
    (3, (9,), 8, 12, (3,), (1,), (2,), (2,), 4),
    (1, (7,), 1, 1, (7,), (1,), (0,), (1,), 1),
    # volumes
    (2, (4, 5, 6), 3, 8, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    (1, (6, 4, 5), 4, 6, (4, 2, 3), (2, 1, 2), (1, 0, 1), (1, 1, 1), 1),
    (2, (5, 4, 4), 8, 4, (2, 3, 1), (1, 2, 1), (1, 1, 0), (2, 1, 1), 2),
    (1, (3, 4, 4), 3, 3, (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1), 3),
    (1, (5, 3, 3), 2, 5, (1, 2, 2), (2, 1, 1), (0, 0, 0), (1, 1, 1), 1),
    (1, (7, 2, 2), 6, 4, (3, 2, 2), (3, 1, 1), (2, 0, 0), (2, 1, 1), 2),
]
for n, size, ci, co, kernel, s, p, d, g in CONVOLUTIONS:
    x, weight = normal(n, *size, ci), normal(*kernel, ci // g, co)
    y = torch.randn_like(conv(x, weight, s, p, d, g))
    geometry = [g, *s, *p, *d]
    case("convolution", geometry, lambda a, b, s=s, p=p, d=d, g=g: conv(a, b, s, p, d, g), x, weight)
    case("convolution_input_gradient", geometry + list(size),
         lambda a, b, s=s, p=p, d=d, g=g, size=size: conv_input_gradient(a, b, s, p, d, g, size), y, weight)
    case("convolution_weight_gradient", geometry + list(kernel),
         lambda a, b, s=s, p=p, d=d, g=g, k=kernel: conv_weight_gradient(a, b, s, p, d, g, k), x, y)


# --- normalisation and losses ---
def batch_norm(x, weight, bias):
    flat = x.reshape(-1, x.shape[-1])
    return F.batch_norm(flat, None, None, weight, bias, True, 0.0, 1e-5).reshape(x.shape)


for shape in [(6, 5), (4, 3, 3, 8), (2, 5, 4, 3), (3, 2, 2, 1), (8, 33), (64, 7, 7, 4)]:
    c = shape[-1]
    case("batch_normalization", [1e-5], batch_norm, 2 * normal(*shape) + 0.5, normal(c), normal(c))
for target in (0.0, 1.0, 0.9):
    case("bce_with_logits", [target],
         lambda x, t=target: F.binary_cross_entropy_with_logits(x, torch.full_like(x, t)), 3 * normal(16, 1))


def zeros_for_none(gradients, inputs):
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs)]


def compute(function, inputs):
    # round first, so that both sides start from the same numbers
    inputs = [x.float().double().detach().requires_grad_() for x in inputs]
    y = function(*inputs)
    v = torch.randn_like(y).float().double().detach().requires_grad_()
    us = [torch.randn_like(x).float().double() for x in inputs]
    gradients = zeros_for_none(torch.autograd.grad((y * v).sum(), inputs, create_graph=True, allow_unused=True), inputs)
    s = sum((g * u).sum() for g, u in zip(gradients, us))
    second = zeros_for_none(torch.autograd.grad(s, inputs + [v], allow_unused=True), inputs + [v])
    result = {"y": y, "v": v, "hv": second[-1]}
    for i, x in enumerate(inputs):
        result.update({f"x{i}": x, f"g{i}": gradients[i], f"u{i}": us[i], f"h{i}": second[i]})
    return {name: t.detach().float().numpy().copy() for name, t in result.items()}


def main():
    tensors, metadata = {}, {"count": str(len(CASES))}
    for i, (op, attributes, function, inputs) in enumerate(CASES):
        metadata[f"case{i}"] = " ".join([op] + [repr(float(a)) for a in attributes])
        for name, array in compute(function, inputs).items():
            tensors[f"{i}/{name}"] = array.astype(np.float32)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "ops.safetensors")
    safetensors.save(path, tensors, metadata)
    print(f"{path}: {len(CASES)} cases, torch {torch.__version__}")


main()
