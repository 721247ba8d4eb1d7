#!/usr/bin/python3
"""Computes data/r3gan.safetensors, see systems.py: R3GAN (Huang et al. 2024) as examples/r3gan.c has it, in PyTorch.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/r3gan.py
"""
import torch
import torch.nn.functional as F

import systems
from systems import fir

BLOCKS, EXPANSION, GROUP_WIDTH = 2, 2, 16
torch.manual_seed(20261125)


class R3GAN(systems.System):
    size, latent, width, batch = 16, 16, 8, 8
    loss, r1, r2 = "relativistic", 0.05, 0.05
    lr_g = lr_d = 2e-4
    betas = (0.0, 0.99)
    stages = 3  # 4, 8, 16

    def convolution(self, p, name, x):
        weight = p[name + ".Layer.weight"]
        return F.conv2d(x, weight, padding=weight.shape[2] // 2, groups=x.shape[1] // weight.shape[1])

    def activation(self, p, name, x):
        return F.leaky_relu(x + p[name + ".Bias"][:, None, None], 0.2)

    def block(self, p, name, x):
        y = self.activation(p, name + "NonLinearity1", self.convolution(p, name + "LinearLayer1", x))
        y = self.activation(p, name + "NonLinearity2", self.convolution(p, name + "LinearLayer2", y))
        return x + self.convolution(p, name + "LinearLayer3", y)

    def generator(self, p, z, labels, random):
        x = z
        for i in range(self.stages):
            name = f"generator.MainLayers.{i}.Layers."
            if i == 0:
                x = F.linear(x, p[name + "0.LinearLayer.weight"])[:, :, None, None] * p[name + "0.Basis.weight"][:, 0]
            else:
                x = fir(self.convolution(p, name + "0.LinearLayer", x), [1, 2, 1], up=2, low=1, high=1, gain=4)
            for k in range(BLOCKS):
                x = self.block(p, f"{name}{k + 1}.", x)
        return self.convolution(p, "generator.AggregationLayer", x), None

    def discriminator(self, p, x, labels):
        x = self.convolution(p, "discriminator.ExtractionLayer", x)
        for i in range(self.stages):
            name = f"discriminator.MainLayers.{i}.Layers."
            for k in range(BLOCKS):
                x = self.block(p, f"{name}{k}.", x)
            name += f"{BLOCKS}."
            if i < self.stages - 1:
                x = self.convolution(p, name + "LinearLayer", fir(x, [1, 2, 1], down=2, low=1))
            else:
                x = F.linear((x * p[name + "Basis.weight"][:, 0]).sum([2, 3]), p[name + "LinearLayer.weight"])
        return x


def start(system):
    p = {}

    def normal(name, *shape, gain=1.0):
        p[name] = gain * torch.randn(*shape).double() / torch.Size(shape[1:]).numel() ** 0.5

    def blocks(name, first, channels):
        inner = EXPANSION * channels
        for k in range(first, first + BLOCKS):
            normal(f"{name}{k}.LinearLayer1.Layer.weight", inner, channels, 1, 1)
            normal(f"{name}{k}.LinearLayer2.Layer.weight", inner, GROUP_WIDTH, 3, 3)
            normal(f"{name}{k}.LinearLayer3.Layer.weight", channels, inner, 1, 1, gain=0.1)
            for i in (1, 2):
                p[f"{name}{k}.NonLinearity{i}.Bias"] = 0.1 * torch.randn(inner).double()

    widths = [system.width * 2 ** i for i in range(system.stages)]  # from the largest size on
    for i, channels in enumerate(reversed(widths)):
        name = f"generator.MainLayers.{i}.Layers."
        if i == 0:
            normal(name + "0.LinearLayer.weight", channels, system.latent)
            p[name + "0.Basis.weight"] = torch.randn(channels, 1, 4, 4).double()
        else:
            normal(name + "0.LinearLayer.Layer.weight", channels, 2 * channels, 1, 1)
        blocks(name, 1, channels)
    normal("generator.AggregationLayer.Layer.weight", 1, system.width, 1, 1)
    normal("discriminator.ExtractionLayer.Layer.weight", system.width, 1, 1, 1)
    for i, channels in enumerate(widths):
        name = f"discriminator.MainLayers.{i}.Layers."
        blocks(name, 0, channels)
        if i < system.stages - 1:
            normal(f"{name}{BLOCKS}.LinearLayer.Layer.weight", 2 * channels, channels, 1, 1)
        else:
            normal(f"{name}{BLOCKS}.Basis.weight", channels, 1, 4, 4)
            normal(f"{name}{BLOCKS}.LinearLayer.weight", 1, channels)
    return p


r3gan = R3GAN()
systems.save("r3gan", r3gan, start(r3gan))
