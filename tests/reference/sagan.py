#!/usr/bin/python3
"""Computes data/sagan.safetensors, see systems.py: SAGAN (Zhang et al. 2019) as examples/sagan.c has it, in PyTorch.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/sagan.py
"""
import torch
import torch.nn.functional as F

import systems

torch.manual_seed(20261125)


def unit(x):
    return F.normalize(x, dim=0, eps=1e-12)


def spectral(p, name, training):
    """The weight over its greatest singular value, after one power iteration."""
    weight = p[name + ".weight_orig"]
    matrix = weight.flatten(1)
    if training:
        with torch.no_grad():
            p[name + ".weight_v"] = unit(matrix.t() @ p[name + ".weight_u"])
            p[name + ".weight_u"] = unit(matrix @ p[name + ".weight_v"])
    return weight / (p[name + ".weight_u"] @ matrix @ p[name + ".weight_v"])


def convolution(p, name, x, training):
    weight = spectral(p, name, training)
    return F.conv2d(x, weight, p[name + ".bias"], padding=weight.shape[2] // 2)


def linear(p, name, x, training):
    return F.linear(x, spectral(p, name, training), p[name + ".bias"])


def batch_norm(p, name, x, scale, bias, training):
    mean, var = p[name + ".running_mean"].clone(), p[name + ".running_var"].clone()
    y = F.batch_norm(x, mean, var, training=training)
    p[name + ".running_mean"], p[name + ".running_var"] = mean, var
    return y * scale + bias


def of_class(p, name, x, labels, training):
    gain, bias = (p[f"{name}.{what}.weight"][labels][:, :, None, None] for what in ("gain", "bias"))
    return batch_norm(p, name, x, gain, bias, training)


def twice(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def attend(p, name, x, training):
    n, c, h, w = x.shape
    theta = convolution(p, name + "theta", x, training).flatten(2)
    phi = F.max_pool2d(convolution(p, name + "phi", x, training), 2).flatten(2)
    values = F.max_pool2d(convolution(p, name + "g", x, training), 2).flatten(2)
    shares = torch.softmax(theta.transpose(1, 2) @ phi, 2)
    y = (values @ shares.transpose(1, 2)).reshape(n, c // 2, h, w)
    return x + p[name + "gamma"] * convolution(p, name + "o", y, training)


class SAGAN(systems.System):
    size, latent, width, classes, batch = 16, 16, 8, 10, 8
    loss = "hinge"
    lr_g, lr_d = 1e-4, 4e-4
    betas = (0.0, 0.9)
    buffers = ("weight_u", "weight_v", "running_mean", "running_var")

    def generator(self, p, z, labels, random):
        training, x = random is not None, linear(p, "generator.linear", z, random is not None)
        x = x.reshape(len(z), 4, 4, -1).permute(0, 3, 1, 2)
        for i in range(2):
            name = f"generator.blocks.{i}."
            y = F.relu(of_class(p, name + "bn1", x, labels, training))
            y = convolution(p, name + "conv1", twice(y), training)
            y = convolution(p, name + "conv2", F.relu(of_class(p, name + "bn2", y, labels, training)), training)
            x = y + twice(convolution(p, name + "conv_sc", x, training))
            if x.shape[2] == 8:
                x = attend(p, "generator.attention.", x, training)
        name = "generator.output_bn"
        scale, bias = p[name + ".weight"][:, None, None], p[name + ".bias"][:, None, None]
        x = F.relu(batch_norm(p, name, x, scale, bias, training))
        return torch.tanh(convolution(p, "generator.output", x, training)), None

    def discriminator(self, p, x, labels):
        for i in range(3):
            name, down = f"discriminator.blocks.{i}.", i < 2
            y = convolution(p, name + "conv1", x if i == 0 else F.relu(x), True)
            y = convolution(p, name + "conv2", F.relu(y), True)
            if down:
                x = F.avg_pool2d(y, 2) + convolution(p, name + "conv_sc", F.avg_pool2d(x, 2), True)
            else:
                x = y + convolution(p, name + "conv_sc", x, True)
            if down and x.shape[2] == 8:
                x = attend(p, "discriminator.attention.", x, True)
        h = F.relu(x).sum([2, 3])
        y = linear(p, "discriminator.linear", h, True)
        return y + (h * spectral(p, "discriminator.embed", True)[labels]).sum(1, keepdim=True)


def start(system):
    p = {}

    def weight(name, *shape):
        p[name + ".weight_orig"] = torch.randn(*shape).double() / torch.Size(shape[1:]).numel() ** 0.5
        p[name + ".weight_u"] = unit(torch.randn(shape[0]).double())
        p[name + ".weight_v"] = unit(torch.randn(torch.Size(shape[1:]).numel()).double())

    def layer(name, *shape):
        weight(name, *shape)
        p[name + ".bias"] = 0.1 * torch.randn(shape[0]).double()

    def statistics(name, channels):
        p[name + ".running_mean"] = torch.zeros(channels).double()
        p[name + ".running_var"] = torch.ones(channels).double()

    def norm_of_class(name, channels):
        p[name + ".gain.weight"] = 1 + 0.1 * torch.randn(system.classes, channels).double()
        p[name + ".bias.weight"] = 0.1 * torch.randn(system.classes, channels).double()
        statistics(name, channels)

    def attention(name, c):
        for what, out, channels in (("theta", c // 8, c), ("phi", c // 8, c), ("g", c // 2, c), ("o", c, c // 2)):
            layer(name + what, out, channels, 1, 1)
        p[name + "gamma"] = torch.tensor(0.5).double()

    w = system.width
    layer("generator.linear", 16 * 4 * w, system.latent)
    for i, (before, channels) in enumerate(((4 * w, 2 * w), (2 * w, w))):
        name = f"generator.blocks.{i}."
        norm_of_class(name + "bn1", before)
        norm_of_class(name + "bn2", channels)
        layer(name + "conv1", channels, before, 3, 3)
        layer(name + "conv2", channels, channels, 3, 3)
        layer(name + "conv_sc", channels, before, 1, 1)
    attention("generator.attention.", 2 * w)
    p["generator.output_bn.weight"] = 1 + 0.1 * torch.randn(w).double()
    p["generator.output_bn.bias"] = 0.1 * torch.randn(w).double()
    statistics("generator.output_bn", w)
    layer("generator.output", 1, w, 3, 3)
    for i, (before, channels) in enumerate(((1, w), (w, 2 * w), (2 * w, 4 * w))):
        name = f"discriminator.blocks.{i}."
        layer(name + "conv1", channels, before, 3, 3)
        layer(name + "conv2", channels, channels, 3, 3)
        layer(name + "conv_sc", channels, before, 1, 1)
    attention("discriminator.attention.", w)
    layer("discriminator.linear", 1, 4 * w)
    weight("discriminator.embed", system.classes, 4 * w)
    return p


sagan = SAGAN()
systems.save("sagan", sagan, start(sagan))
