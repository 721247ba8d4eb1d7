#!/usr/bin/python3
"""Computes data/layers.safetensors: what layers with parameters, their gradients and the gradients of those are.

Run by hand after a change, with Debian's python3-torch: tests/reference/layers.py
A case has inputs x0, x1, …, parameters "<case>.<name>" (in PyTorch's shapes, as a state file holds them) and results
y0, y1, …: for random v and u, with s = Σ<y_k, v_k>, g = ds/d(each input and parameter) and with t = Σ<g, u>,
h = dt/d(the same). Computed in double, stored as float32; all but the parameters themselves channels last.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors

torch.manual_seed(20261124)
TENSORS, METADATA = {}, {}


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def rounded(x):
    return x.detach().float().double()


def store(name, x):
    TENSORS[name] = x.detach().float().numpy().copy()


def ours(x):
    """A parameter, or what is shaped like it, in vkgan's order of axes."""
    return x.permute(*range(2, x.dim()), 1, 0) if x.dim() > 1 else x


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def case(name, function, inputs, parameters, data=None, order=ours):
    """function(inputs, parameters): the list of results. data: more inputs, without a gradient. order: of a parameter."""
    inputs = [rounded(x).requires_grad_() for x in inputs]
    parameters = {key: rounded(p).requires_grad_() for key, p in parameters.items()}
    keys = [f"x{i}" for i in range(len(inputs))] + list(parameters)
    wrt = inputs + list(parameters.values())
    results = function(inputs, parameters)
    vs = [rounded(torch.randn_like(y)) for y in results]
    us = [rounded(torch.randn_like(x)) for x in wrt]
    s = sum((y * v).sum() for y, v in zip(results, vs))
    first = torch.autograd.grad(s, wrt, create_graph=True)
    t = sum((g * u).sum() for g, u in zip(first, us))
    second = torch.autograd.grad(t, wrt, allow_unused=True) if t.requires_grad else [None] * len(wrt)
    for i, x in enumerate(inputs):
        store(f"{name}/x{i}", x)
    for key, x in (data or {}).items():
        TENSORS[f"{name}/{key}"] = x
    for key, p in parameters.items():
        store(f"{name}.{key}", p)
    for i, (y, v) in enumerate(zip(results, vs)):
        store(f"{name}/y{i}", y)
        store(f"{name}/v{i}", v)
    for key, x, g, u, h in zip(keys, wrt, first, us, second):
        turn = order if key in parameters else (lambda a: a)
        h = torch.zeros_like(x) if h is None else h
        store(f"{name}/u:{key}", turn(u))
        store(f"{name}/g:{key}", turn(g))
        store(f"{name}/h:{key}", turn(h))


# --- recurrent ---
def module_case(name, module, call, inputs, data=None, order=ours):
    """PyTorch's own module, run with our parameters."""
    module = module.double()

    def run(parameters):
        if hasattr(module, "_flat_weights"):
            module._flat_weights = list(parameters.values())
            return module
        return lambda *a: torch.nn.utils.stateless.functional_call(module, parameters, a)
    case(name, lambda x, p: call(run(p), x), inputs, dict(module.named_parameters()), data, order)


def flat(result):
    """(y, h) or (y, (h, c)) as a list."""
    y, state = result
    return [y, *state] if isinstance(state, tuple) else [y, state]


def packed(run, x, lengths, *state):
    sequences = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    y, *rest = flat(run(sequences, *state))
    return [pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0], *rest]


module_case("gru_cell", torch.nn.GRUCell(5, 6), lambda run, x: [run(*x)], [normal(3, 5), normal(3, 6)])
module_case("lstm_cell", torch.nn.LSTMCell(4, 8), lambda run, x: list(run(x[0], (x[1], x[2]))),
            [normal(3, 4), normal(3, 8), normal(3, 8)])
module_case("gru", torch.nn.GRU(5, 6, batch_first=True), lambda run, x: flat(run(x[0])), [normal(3, 7, 5)])
module_case("lstm", torch.nn.LSTM(4, 8, batch_first=True), lambda run, x: flat(run(x[0])), [normal(2, 6, 4)])
LENGTHS = [2, 5, 1, 4]
length_data = {"lengths": np.array(LENGTHS, dtype=np.int32)}
module_case("gru_deep", torch.nn.GRU(4, 5, num_layers=2, bidirectional=True, batch_first=True),
            lambda run, x: packed(run, x[0], LENGTHS, x[1]), [normal(4, 5, 4), normal(4, 4, 5)], length_data)
module_case("lstm_deep", torch.nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True),
            lambda run, x: packed(run, x[0], LENGTHS, (x[1], x[2])),
            [normal(4, 5, 5), normal(4, 4, 4), normal(4, 4, 4)], length_data)


def conv_gru(activation):
    def step(x, h, p):
        both = torch.cat([nchw(x), nchw(h)], 1)
        r, u = torch.sigmoid(F.conv2d(both, p["gates.weight"], p["gates.bias"], padding="same")).chunk(2, 1)
        both = torch.cat([nchw(x), r * nchw(h)], 1)
        c = activation(F.conv2d(both, p["candidate.weight"], p["candidate.bias"], padding="same"))
        return nhwc(u * nchw(h) + (1 - u) * c)
    return step


def conv_gru_parameters(channels, hidden, kernel):
    both = channels + hidden
    return {"gates.weight": 0.3 * normal(2 * hidden, both, kernel, kernel), "gates.bias": normal(2 * hidden),
            "candidate.weight": 0.3 * normal(hidden, both, kernel, kernel), "candidate.bias": normal(hidden)}


case("conv_gru_cell", lambda x, p: [conv_gru(torch.tanh)(x[0], x[1], p)], [normal(2, 5, 4, 3), normal(2, 5, 4, 4)],
     conv_gru_parameters(3, 4, 3))


def two_steps(x, p):
    h = conv_gru(torch.relu)(x[0], torch.zeros(1, 4, 4, 3, dtype=torch.float64), p)
    return [conv_gru(torch.relu)(x[1], h, p)]


case("conv_gru_relu", two_steps, [normal(1, 4, 4, 2), normal(1, 4, 4, 2)], conv_gru_parameters(2, 3, 3))


# --- spectral normalisation: three calls, as three forward passes of the module ---
def spectral_case(name, module, dim):
    module = torch.nn.utils.spectral_norm(module.double(), dim=dim)
    weight = rounded(normal(*module.weight_orig.shape))
    for side in ("u", "v"):
        start = rounded(getattr(module, f"weight_{side}"))
        getattr(module, f"weight_{side}").copy_(start)
        store(f"{name}.weight_{side}", start)
    (hook,) = module._forward_pre_hooks.values()

    def function(_, parameters):
        del module._parameters["weight_orig"]
        module.weight_orig = parameters["weight_orig"]
        results = [ours(hook.compute_weight(module, do_power_iteration=True)) for _ in range(3)]
        return results + [ours(hook.compute_weight(module, do_power_iteration=False))]
    case(name, function, [], {"weight_orig": weight})
    for side in ("u", "v"):
        store(f"{name}/weight_{side}", getattr(module, f"weight_{side}"))


spectral_case("spectral_linear", torch.nn.Linear(7, 5, bias=False), 0)
spectral_case("spectral_conv", torch.nn.Conv2d(4, 6, (3, 2), bias=False), 0)
spectral_case("spectral_transposed", torch.nn.ConvTranspose2d(4, 5, (3, 2), bias=False), 1)

# so many steps that they meet in groups of groups
module_case("gru_long", torch.nn.GRU(2, 3, batch_first=True), lambda run, x: flat(run(x[0])), [normal(2, 70, 2)])

# --- convolutions ---
def conv_case(name, module, shape):
    """shape: x's, channels last."""
    def call(run, x):
        return [run(x[0].movedim(-1, 1)).movedim(1, -1)]
    module_case(name, module, call, [normal(*shape)])


conv_case("conv1d", torch.nn.Conv1d(4, 6, 3, 2, 1, dilation=2, groups=2), (2, 9, 4))
conv_case("conv2d", torch.nn.Conv2d(6, 9, 3, 1, 2, dilation=2, groups=3), (2, 5, 6, 6))
conv_case("conv3d", torch.nn.Conv3d(4, 8, 2, 2, 1, groups=4), (1, 4, 3, 5, 4))
conv_case("conv_transpose1d", torch.nn.ConvTranspose1d(6, 4, 4, 2, 1, groups=2), (2, 5, 6))
conv_case("conv_transpose2d", torch.nn.ConvTranspose2d(6, 9, 3, 2, 1, output_padding=1, groups=3), (2, 4, 3, 6))
conv_case("conv_transpose3d", torch.nn.ConvTranspose3d(4, 2, 3, 2, 1, groups=2, bias=False), (1, 3, 2, 2, 4))
# an output_padding that only the dilation allows: more than a stride
conv_case("conv_padded", torch.nn.ConvTranspose2d(3, 4, 2, 2, 3, output_padding=3, dilation=4), (1, 4, 3, 3))


# --- normalisation, and parameters of channels and classes ---
def channels_case(name, module, shape, order=ours):
    """A module with weight and bias, neither of them all ones or zeros."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 1, 0.3)
    statistics = [key for key, _ in module.named_buffers() if key.startswith("running")]
    for key in statistics:
        store(f"{name}.{key}", getattr(module, key))
    module_case(name, module, lambda run, x: [run(x[0].movedim(-1, 1)).movedim(1, -1)], [normal(*shape)], order=order)
    for key in statistics:
        store(f"{name}/{key}", getattr(module, key))


channels_case("batch_norm", torch.nn.BatchNorm2d(5), (3, 4, 3, 5))
channels_case("group_norm", torch.nn.GroupNorm(2, 6), (2, 4, 3, 6))
channels_case("instance_norm", torch.nn.InstanceNorm2d(4, affine=True), (2, 3, 5, 4))
channels_case("layer_norm", torch.nn.LayerNorm([3, 4, 2]), (2, 4, 2, 3), lambda x: x.movedim(0, -1))
channels_case("prelu_layer", torch.nn.PReLU(7), (2, 3, 7))
norm = torch.nn.LayerNorm(8)
torch.nn.init.normal_(norm.bias)
module_case("channel_norm", norm, lambda run, x: [run(x[0])], [normal(2, 5, 8)])
CLASSES = [3, 0, 5, 3]
module_case("embedding_layer", torch.nn.Embedding(6, 5), lambda run, x: [run(torch.tensor(CLASSES))], [],
            {"lengths": np.array(CLASSES, dtype=np.int32)}, order=lambda x: x)


# --- forms of weights ---
def spectral_layer_case(name, module, shape):
    module = torch.nn.utils.spectral_norm(module.double(), dim=1 if "transpose" in name else 0)
    for side in ("u", "v"):
        start = rounded(getattr(module, f"weight_{side}"))
        getattr(module, f"weight_{side}").copy_(start)
        store(f"{name}.weight_{side}", start)
    module_case(name, module, lambda run, x: [run(x[0].movedim(-1, 1)).movedim(1, -1)], [normal(*shape)])
    for side in ("u", "v"):
        store(f"{name}/weight_{side}", getattr(module, f"weight_{side}"))


spectral_layer_case("spectral_conv2d", torch.nn.Conv2d(3, 4, 3, 2, 1), (2, 5, 6, 3))
spectral_layer_case("spectral_transpose2d", torch.nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), (1, 3, 2, 4))


def equalized(function, multiplier):
    def call(x, p):
        weight = p["weight"]
        scale = multiplier / weight[0].numel() ** 0.5
        return [function(x[0], weight * scale, p["bias"] * multiplier)]
    return call


case("equalized_conv2d", equalized(lambda x, w, b: nhwc(F.conv2d(nchw(x), w, b, 1, 1)), 1), [normal(2, 4, 3, 5)],
     {"weight": normal(4, 5, 3, 3), "bias": normal(4)})
case("equalized_linear", equalized(F.linear, 0.01), [normal(3, 2, 6)], {"weight": 100 * normal(5, 6), "bias": normal(5)})

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "layers.safetensors")
safetensors.save(path, {name: np.ascontiguousarray(x) for name, x in TENSORS.items()}, METADATA)
print(f"{path}: {len(TENSORS)} tensors, {os.path.getsize(path)} bytes, torch {torch.__version__}")
