#!/usr/bin/python3
"""Computes data/srgan.safetensors and srgan-vgg.safetensors, see systems.py: SRGAN (Ledig et al. 2017) as examples/srgan.c has
it, in PyTorch: five steps of the generator alone, five against the discriminator; once with the discriminator's features and a
residual to the bicubic enlargement, once with the paper's batch normalisation and a small VGG of random weights.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/srgan.py
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

import systems

PRETRAIN, SCALE = 5, 1 / 12.75 ** 2
torch.manual_seed(20261125)


class SRGAN(systems.System):
    size, width, latent, batch, factor, blocks, ends = 24, 4, 1, 8, 4, 2, 5
    adversarial, vgg, plain = 0.01, None, False
    buffers = ("running_mean", "running_var")

    def inputs(self, pixels):
        n, h, w = pixels.shape
        sums = pixels.astype(np.int64).reshape(n, h // self.factor, self.factor, w // self.factor, self.factor).sum((2, 4))
        area = self.factor ** 2
        return ((sums + area // 2) // area).astype(np.uint8)[..., None]

    def of_images(self, real):
        pixels = torch.round((real[:, 0] + 1) * 127.5).numpy().astype(np.uint8)
        return torch.from_numpy(self.inputs(pixels)[..., 0].astype(np.float64))[:, None] / 127.5 - 1

    def normalized(self, p, conv, norm, x, training):
        x = F.conv2d(x, p[conv + ".weight"], p.get(conv + ".bias"), padding=1)
        return x if self.plain else batch_norm(p, norm, x, training)

    def generator(self, p, small, training):
        g = "generator."
        first = F.conv2d(small, p[g + "conv1.weight"], p[g + "conv1.bias"], padding=self.ends // 2)
        x = first = F.prelu(first, p[g + "prelu1.weight"])
        for i in range(self.blocks):
            b = f"{g}trunk.{i}."
            y = F.prelu(self.normalized(p, b + "conv1", b + "bn1", x, training), p[b + "prelu.weight"])
            x = x + self.normalized(p, b + "conv2", b + "bn2", y, training)
        x = first + self.normalized(p, g + "conv2", g + "bn2", x, training)
        for i in range(int(math.log2(self.factor))):
            u = f"{g}upsampling.{i}."
            x = F.pixel_shuffle(F.conv2d(x, p[u + "conv.weight"], p[u + "conv.bias"], padding=1), 2)
            x = F.prelu(x, p[u + "prelu.weight"])
        x = F.conv2d(x, p[g + "conv3.weight"], p[g + "conv3.bias"], padding=self.ends // 2)[:, :self.channels]
        if self.plain:
            x = x + F.interpolate(small, scale_factor=self.factor, mode="bicubic")
        return x

    def discriminator(self, p, x):
        for i in range(8):
            f = f"discriminator.features.{i}."
            x = F.conv2d(x, p[f + "conv.weight"], p.get(f + "conv.bias"), stride=1 + i % 2, padding=1)
            if i > 0:
                x = batch_norm(p, f + "bn", x, True)
            x = F.leaky_relu(x, 0.2)
            if i == 5:
                features = x
        x = x.permute(0, 2, 3, 1).flatten(1)
        x = F.leaky_relu(F.linear(x, p["discriminator.fc1.weight"], p["discriminator.fc1.bias"]), 0.2)
        return F.linear(x, p["discriminator.fc2.weight"], p["discriminator.fc2.bias"]), features

    def perceptual(self, x):
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=x.dtype)[:, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225], dtype=x.dtype)[:, None, None]
        x = ((x + 1) / 2 - mean) / deviation
        for number, pool in ((0, False), (2, False), (5, True)):
            weight, bias = (torch.from_numpy(self.vgg[f"features.{number}.{what}"]).to(x.dtype) for what in ("weight", "bias"))
            x = F.relu(F.conv2d(F.max_pool2d(x, 2) if pool else x, weight, bias, padding=1))
        return x


def batch_norm(p, name, x, training):
    mean, var = p[name + ".running_mean"].clone(), p[name + ".running_var"].clone()
    y = F.batch_norm(x, mean, var, p[name + ".weight"], p[name + ".bias"], training=training)
    p[name + ".running_mean"], p[name + ".running_var"] = mean, var
    return y


def run(system, start, batches, labels, dtype):
    phases = {"pretrain": "generator", "generator": "generator", "discriminator": "discriminator"}
    training = systems.Training(system, start, dtype, {k: (network, 1e-4, (0.9, 0.999)) for k, network in phases.items()})
    p, update = training.p, training.update

    reports = []
    for step in range(systems.STEPS):
        real, small = batches[step].to(dtype), system.of_images(batches[step]).to(dtype)
        fake = system.generator(p, small, True)
        report = {"mse": F.mse_loss(fake, real)}
        if step < PRETRAIN:
            update("pretrain", report["mse"])
        else:
            real_logits, fake_logits = system.discriminator(p, real)[0], system.discriminator(p, fake.detach())[0]
            report["loss_d"] = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
            update("discriminator", report["loss_d"])
            logits, features = system.discriminator(p, fake)
            report["loss_g"] = F.softplus(-logits).mean()
            if system.vgg:
                report["content"] = SCALE * F.mse_loss(system.perceptual(fake), system.perceptual(real))
            else:
                report["content"] = SCALE * F.mse_loss(features, system.discriminator(p, real)[1].detach())
            loss = report["content"] + system.adversarial * report["loss_g"]
            update("generator", loss if system.vgg else loss + report["mse"])
        reports.append({k: v.item() for k, v in report.items()})
    names = list(reports[-1])
    losses = np.array([[report.get(name, math.nan) for name in names] for report in reports])
    pixels, _ = systems.fashion(system.size)
    small = torch.from_numpy(system.inputs(pixels[:systems.SAMPLES])[..., 0].astype(np.float64))[:, None] / 127.5 - 1
    with torch.no_grad():
        samples = system.generator(p, small.to(dtype), False)
    return names, losses, samples.permute(0, 2, 3, 1).float().numpy()


def start(system):
    p, w = {}, system.width

    def conv(name, out, channels, k, bias=True):
        p[name + ".weight"] = torch.randn(out, channels, k, k).double() / (channels * k * k) ** 0.5
        if bias:
            p[name + ".bias"] = 0.1 * torch.randn(out).double()

    def norm(name, channels):
        p[name + ".weight"] = 1 + 0.1 * torch.randn(channels).double()
        p[name + ".bias"] = 0.1 * torch.randn(channels).double()
        p[name + ".running_mean"] = torch.zeros(channels).double()
        p[name + ".running_var"] = torch.ones(channels).double()

    def prelu(name):
        p[name + ".weight"] = 0.25 + 0.1 * torch.randn(w).double()

    def normalized(conv_name, norm_name):
        conv(conv_name, w, w, 3, system.plain)
        if not system.plain:
            norm(norm_name, w)

    g = "generator."
    conv(g + "conv1", w, system.channels, system.ends)
    prelu(g + "prelu1")
    for i in range(system.blocks):
        b = f"{g}trunk.{i}."
        normalized(b + "conv1", b + "bn1")
        prelu(b + "prelu")
        normalized(b + "conv2", b + "bn2")
    normalized(g + "conv2", g + "bn2")
    for i in range(int(math.log2(system.factor))):
        conv(f"{g}upsampling.{i}.conv", 4 * w, w, 3)
        prelu(f"{g}upsampling.{i}.prelu")
    conv(g + "conv3", 4, w, system.ends)
    channels = system.channels
    for i in range(8):
        f = f"discriminator.features.{i}."
        conv(f + "conv", w << i // 2, channels, 3, i == 0)
        if i > 0:
            norm(f + "bn", w << i // 2)
        channels = w << i // 2
    inside = channels * math.ceil(system.size / 16) ** 2
    for name, out, size in (("fc1", 16 * w, inside), ("fc2", 1, 16 * w)):
        p[f"discriminator.{name}.weight"] = torch.randn(out, size).double() / size ** 0.5
        p[f"discriminator.{name}.bias"] = 0.1 * torch.randn(out).double()
    return p


def small_vgg():
    tensors = {}
    for number, out, channels in ((0, 4, 3), (2, 4, 4), (5, 8, 4)):
        tensors[f"features.{number}.weight"] = (torch.randn(out, channels, 3, 3) * (2 / (9 * channels)) ** 0.5).numpy()
        tensors[f"features.{number}.bias"] = (0.1 * torch.randn(out)).numpy()
    return tensors


def options(system):
    return (f"factor={system.factor} blocks={system.blocks} ends={system.ends} pretrain={PRETRAIN} "
            f"adversarial={system.adversarial} plain={int(system.plain)} skip={int(system.plain)}" + (" vgg=" if system.vgg else ""))


of_features, of_vgg = SRGAN(), SRGAN()
of_features.plain = True
of_vgg.vgg = of_vgg.fixed = small_vgg()
for name, system in (("srgan", of_features), ("srgan-vgg", of_vgg)):
    system.options = options(system)
    systems.save(name, system, start(system), run)
