#!/usr/bin/python3
"""Computes data/pix2pix.safetensors and data/pix2pix-batch.safetensors, see systems.py: Pix2Pix (Isola et al. 2017) as
examples/pix2pix.c has it, in PyTorch, with instance and with batch normalisation.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/pix2pix.py
"""
import numpy as np
import torch
import torch.nn.functional as F

import systems

torch.manual_seed(20261125)
LEVELS, LAYERS, DROPOUT = 4, 2, 0.5


class Pix2Pix(systems.System):
    size, latent, width, batch = 16, 1, 4, 4
    buffers = ("running_mean", "running_var")

    def __init__(self, norm):
        self.norm = norm
        self.options = f"d-layers={LAYERS} norm={int(norm == 'batch')} batch={self.batch}"

    def inputs(self, pixels):
        """The same picture the other way round, dark and light exchanged."""
        return np.ascontiguousarray(255 - pixels[:, :, ::-1])[..., None]

    def width_at(self, level):
        return self.width * min(2 ** level, 8)

    def normalize(self, p, name, x, training):
        if self.norm == "instance":
            return F.instance_norm(x)
        mean, var = p[name + ".running_mean"].clone(), p[name + ".running_var"].clone()
        y = F.batch_norm(x, mean, var, p[name + ".weight"], p[name + ".bias"], training=training)
        p[name + ".running_mean"], p[name + ".running_var"] = mean, var
        return y

    def level(self, p, name, x, number, random, training):
        outermost, innermost, place = number == 0, number == LEVELS - 1, iter(range(9))
        next_name = lambda: f"{name}.model.{next(place)}"
        y = x
        if not outermost:
            y = F.leaky_relu(y, 0.2)
            next_name()
        conv = next_name()
        y = F.conv2d(y, p[conv + ".weight"], p.get(conv + ".bias"), stride=2, padding=1)
        if not outermost and not innermost:
            y = self.normalize(p, next_name(), y, training)
        if not innermost:
            y = self.level(p, next_name(), y, number + 1, random, training)
        next_name()
        conv = next_name()
        y = F.conv_transpose2d(F.relu(y), p[conv + ".weight"], p.get(conv + ".bias"), stride=2, padding=1)
        if outermost:
            return torch.tanh(y)
        y = self.normalize(p, next_name(), y, training)
        if not innermost and (number >= 4 or number + 2 == LEVELS):
            n, c, h, w = y.shape
            kept = (systems.nchw(random.uniform(n, h, w, c)) <= 1 - DROPOUT).to(y.dtype)
            y = y * kept / (1 - DROPOUT)
        return torch.cat([x, y], 1)

    def generator(self, p, x, random, training):
        return self.level(p, "generator.model", x, 0, random, training)

    def discriminator(self, p, x):
        place = 0
        for i in range(LAYERS + 1):
            name = f"discriminator.model.{place}"
            x = F.conv2d(x, p[name + ".weight"], p.get(name + ".bias"), stride=2 if i < LAYERS else 1, padding=1)
            if i > 0:
                x = self.normalize(p, f"discriminator.model.{place + 1}", x, True)
            x = F.leaky_relu(x, 0.2)
            place += 3 if i > 0 else 2
        name = f"discriminator.model.{place}"
        return F.conv2d(x, p[name + ".weight"], p[name + ".bias"], padding=1)


def start(system):
    p, instance = {}, system.norm == "instance"

    def convolution(name, *shape, bias, out=None):
        p[name + ".weight"] = torch.randn(*shape).double() / (shape[1] * 16) ** 0.5
        if bias:
            p[name + ".bias"] = 0.1 * torch.randn(out or shape[0]).double()

    def norm(name, channels):
        if not instance:
            p[name + ".weight"] = 1 + 0.1 * torch.randn(channels).double()
            p[name + ".bias"] = 0.1 * torch.randn(channels).double()
            p[name + ".running_mean"] = torch.zeros(channels).double()
            p[name + ".running_var"] = torch.ones(channels).double()

    def level(name, number):
        outermost, innermost, place = number == 0, number == LEVELS - 1, int(number > 0)
        before = 1 if outermost else system.width_at(number - 1)
        width = system.width_at(number)
        convolution(f"{name}.model.{place}", width, before, 4, 4, bias=instance)
        place += 1
        if not outermost and not innermost:
            norm(f"{name}.model.{place}", width)
            place += 1
        if not innermost:
            level(f"{name}.model.{place}", number + 1)
            place += 1
        up = f"{name}.model.{place + 1}"
        convolution(up, width if innermost else 2 * width, before, 4, 4, bias=outermost or instance, out=before)
        if not outermost:
            norm(f"{name}.model.{place + 2}", before)

    level("generator.model", 0)
    before, place = 2, 0
    for i in range(LAYERS + 1):
        convolution(f"discriminator.model.{place}", system.width_at(i), before, 4, 4, bias=i == 0 or instance)
        if i > 0:
            norm(f"discriminator.model.{place + 1}", system.width_at(i))
        before = system.width_at(i)
        place += 3 if i > 0 else 2
    convolution(f"discriminator.model.{place}", 1, before, 4, 4, bias=True)
    return p


def run(system, start, batches, labels, dtype):
    training = systems.Training(system, start, dtype, {network: (network, 2e-4, (0.5, 0.999))
                                                       for network in ("generator", "discriminator")})
    p, update = training.p, training.update

    reports = []
    for step in range(systems.STEPS):
        real = batches[step].to(dtype)
        given = -real.flip(3)
        judge = lambda x: system.discriminator(p, torch.cat([given, x], 1))
        real_logits = judge(real)
        fake = system.generator(p, given, systems.Random(step, dtype), True)
        report = {"loss_d": systems.discriminator_loss("non-saturating", real_logits, judge(fake.detach()))}
        update("discriminator", report["loss_d"])
        report["loss_g"] = systems.generator_loss("non-saturating", None, judge(fake))
        report["l1"] = (fake - real).abs().mean()
        update("generator", report["loss_g"] + 100 * report["l1"])
        reports.append({k: v.item() for k, v in report.items()})
    pixels, _ = systems.fashion(system.size)
    given = torch.from_numpy(system.inputs(pixels[:systems.SAMPLES])[..., 0].astype(np.float64))[:, None] / 127.5 - 1
    with torch.no_grad():
        samples = system.generator(p, given.to(dtype), systems.Random(0, dtype), False)
    names = list(reports[0])
    return names, np.array([list(r.values()) for r in reports]), samples.permute(0, 2, 3, 1).float().numpy()


for name, kind in (("pix2pix", "instance"), ("pix2pix-batch", "batch")):
    system = Pix2Pix(kind)
    systems.save(name, system, start(system), run)
