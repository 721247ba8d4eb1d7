#!/usr/bin/python3
"""Trains PyTorch's DCGAN on Fashion-MNIST as examples/dcgan does (the same layers, start, losses and Adam; batches of 64) and
saves samples, uint8 [N, 28, 28, 1]. usage: train_dcgan.py FILE.npy STEPS WIDTH SEED SAMPLES; tools/compare-training runs it."""
import gzip
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from peers import pyramid

BATCH, LATENT = 64, 100


def start(network):
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


def batches(images):
    while True:
        order = torch.randperm(len(images))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            yield images[order[first:first + BATCH]]


def main(path, steps, width, seed, samples):
    torch.manual_seed(seed)
    data = gzip.open("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz").read()
    images = torch.from_numpy(np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32) / 127.5 - 1)
    g, d = pyramid(28, 1, width)
    start(g), start(d)
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))
    stream = batches(images)
    for _ in range(steps):
        fake = g(torch.randn(BATCH, LATENT, 1, 1))
        d_adam.zero_grad(set_to_none=True)
        (F.softplus(-d(next(stream))).mean() + F.softplus(d(fake.detach())).mean()).backward()
        d_adam.step()
        g_adam.zero_grad(set_to_none=True)
        F.softplus(-d(fake)).mean().backward()
        g_adam.step()
    g.eval()
    with torch.no_grad():
        drawn = torch.cat([g(torch.randn(min(256, samples - first), LATENT, 1, 1)) for first in range(0, samples, 256)])
    np.save(path, ((drawn + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:6]))
