#!/usr/bin/python3
"""Computes data/stylegan2.safetensors, see systems.py: StyleGAN2 (Karras et al. 2020) as examples/stylegan2.c has it, in
PyTorch.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/stylegan2.py
"""
import math

import torch
import torch.nn.functional as F

import systems
from systems import fir, nchw

MAPPING_LAYERS, RATE, MIXING, TAPS = 8, 0.01, 0.9, [1, 3, 3, 1]
torch.manual_seed(5)


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def linear(p, name, x, rate=1.0):
    weight = p[name + ".weight"]
    return F.linear(x, weight * rate / math.sqrt(weight.shape[1]), p[name + ".bias"] * rate)


def convolution(p, name, x, stride=1, pad=0):
    weight = p[name + ".weight"]
    return F.conv2d(x, weight / math.sqrt(weight[0].numel()), p.get(name + ".bias"), stride, pad)


def modulated(p, name, x, w, demodulate, up):
    """Every sample has weights of its own: one convolution in groups of samples."""
    style, weight = linear(p, name + ".affine", w), p[name + ".weight"]
    weight = weight[None] / math.sqrt(weight[0].numel()) * style[:, None, :, None, None]
    if demodulate:
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    n, o, i, k, _ = weight.shape
    x = x.reshape(1, n * i, *x.shape[2:])
    if up:
        y = F.conv_transpose2d(x, weight.transpose(1, 2).reshape(n * i, o, k, k), stride=2, groups=n)
    else:
        y = F.conv2d(x, weight.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return y.reshape(n, o, *y.shape[2:])


class StyleGAN2(systems.System):
    size, latent, width, batch = 16, 16, 8, 8
    r1, path_length, r1_every, path_every = 10.0, 2.0, 16, 8
    lr_g = lr_d = 2.5e-3
    betas = (0.0, 0.99)
    buffers = ("w_avg", "noise_const")
    sizes = (4, 8, 16)
    styles = 2 * len(sizes)

    def mapping(self, p, z):
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(MAPPING_LAYERS):
            w = lrelu(linear(p, f"generator.mapping.fc{i}", w, RATE))
        return w

    def mixed(self, p, z, random):
        other = random.normal(*z.shape)
        w, other = self.mapping(p, z), self.mapping(p, other)
        average = p["generator.mapping.w_avg"]
        p["generator.mapping.w_avg"] = 0.995 * average + 0.005 * w.mean(0).detach()
        crossover = (random.uniform(len(z), 1) * ((self.styles - 1) / MIXING) + 1).floor()
        return torch.stack([torch.where(i < crossover, w, other) for i in range(self.styles)], 1)

    def layer(self, p, name, x, w, up, random):
        x = modulated(p, name, x, w, True, up)
        if up:
            x = fir(x, TAPS, low=1, high=1, gain=4)
        size = x.shape[2]
        noise = nchw(random.normal(len(x), size, size, 1)) if random else p[name + ".noise_const"]
        return lrelu(x + noise * p[name + ".noise_strength"] + p[name + ".bias"][:, None, None])

    def generator(self, p, z, labels, random):
        if random:
            styles = self.mixed(p, z, random)
        else:
            styles = self.mapping(p, z)[:, None].repeat(1, self.styles, 1)
        x, picture, next_style = None, None, 0
        for size in self.sizes:
            name = f"generator.synthesis.b{size}."
            if x is None:
                x = p[name + "const"].permute(2, 0, 1)[None].repeat(len(z), 1, 1, 1)
            else:
                x = self.layer(p, name + "conv0", x, styles[:, next_style], True, random)
                next_style += 1
            x = self.layer(p, name + "conv1", x, styles[:, next_style], False, random)
            next_style += 1
            y = modulated(p, name + "torgb", x, styles[:, next_style], False, False) + p[name + "torgb.bias"][:, None, None]
            picture = y if picture is None else fir(picture, TAPS, up=2, low=2, high=1, gain=4) + y
        return picture, styles

    def discriminator(self, p, x, labels):
        name = "discriminator.b%d." % self.size
        x = lrelu(convolution(p, name + "fromrgb", x))
        for size in reversed(self.sizes[1:]):
            name = f"discriminator.b{size}."
            y = lrelu(convolution(p, name + "conv0", x, pad=1))
            y = lrelu(convolution(p, name + "conv1", fir(y, TAPS, low=2, high=2), stride=2))
            x = (y + convolution(p, name + "skip", fir(x, TAPS, down=2, low=1, high=1))) / math.sqrt(2)
        n, c, h, w = x.shape
        groups = x.reshape(4, -1, c, h, w)
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean([1, 2, 3])
        x = torch.cat([x, spread.repeat(4).reshape(n, 1, 1, 1).repeat(1, 1, h, w)], 1)
        x = lrelu(convolution(p, "discriminator.b4.conv", x, pad=1))
        return linear(p, "discriminator.b4.out", lrelu(linear(p, "discriminator.b4.fc", x.flatten(1))))


def start(system):
    p = {}

    def normal(name, *shape, scale=1.0):
        p[name] = scale * torch.randn(*shape).double()

    def layer(name, out, channels, kernel):
        normal(name + ".weight", out, channels, kernel, kernel)
        normal(name + ".bias", out, scale=0.1)
        normal(name + ".affine.weight", channels, system.latent)
        p[name + ".affine.bias"] = 1 + 0.1 * torch.randn(channels).double()

    for i in range(MAPPING_LAYERS):
        normal(f"generator.mapping.fc{i}.weight", system.latent, system.latent, scale=1 / RATE)
        normal(f"generator.mapping.fc{i}.bias", system.latent, scale=0.1 / RATE)
    normal("generator.mapping.w_avg", system.latent, scale=0.1)
    widths = {size: system.width * system.size // size for size in system.sizes}
    for size in system.sizes:
        name, channels = f"generator.synthesis.b{size}.", widths[size]
        convs = (("conv1", channels),) if size == 4 else (("conv0", 2 * channels), ("conv1", channels))
        if size == 4:
            normal(name + "const", size, size, channels)
        for conv, before in convs:
            layer(name + conv, channels, before, 3)
            p[name + conv + ".noise_strength"] = torch.tensor(0.1).double()
            normal(name + conv + ".noise_const", size, size)
        layer(name + "torgb", system.channels, channels, 1)
    normal("discriminator.b16.fromrgb.weight", system.width, 1, 1, 1)
    normal("discriminator.b16.fromrgb.bias", system.width, scale=0.1)
    for size in reversed(system.sizes[1:]):
        name, channels = f"discriminator.b{size}.", widths[size]
        for conv, out, kernel in (("conv0", channels, 3), ("conv1", 2 * channels, 3), ("skip", 2 * channels, 1)):
            normal(name + conv + ".weight", out, channels, kernel, kernel)
            if conv != "skip":
                normal(name + conv + ".bias", out, scale=0.1)
    channels = widths[4]
    for name, shape in (("conv", (channels, channels + 1, 3, 3)), ("fc", (channels, 16 * channels)), ("out", (1, channels))):
        normal(f"discriminator.b4.{name}.weight", *shape)
        normal(f"discriminator.b4.{name}.bias", shape[0], scale=0.1)
    return p


stylegan2 = StyleGAN2()
systems.save("stylegan2", stylegan2, start(stylegan2))
