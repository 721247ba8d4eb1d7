#!/usr/bin/python3
"""Computes data/dcgan.safetensors: 100 steps of a small DCGAN on Fashion-MNIST, for training to be compared with.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/dcgan.py
The step is that of PyTorch's DCGAN example (real and fake images in separate batches, the fakes used again for the
generator's update). It runs in double: the reference, and in float32: how far rounding alone takes a run away.
"""
import gzip
import os

import numpy as np
import torch
import torch.nn as nn

import safetensors

WIDTH, LATENT, BATCH, STEPS, IMAGES = 8, 16, 16, 100, 160
SNAPSHOTS = (1, 10, 20)


def networks():
    g = nn.Sequential()
    g.main = nn.Sequential(
        nn.ConvTranspose2d(LATENT, WIDTH * 2, 7, 1, 0, bias=False), nn.BatchNorm2d(WIDTH * 2), nn.ReLU(),
        nn.ConvTranspose2d(WIDTH * 2, WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh())
    d = nn.Sequential()
    d.main = nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, WIDTH * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH * 2), nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH * 2, 1, 7, 1, 0, bias=False))
    for module in list(g.modules()) + list(d.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return g, d


def weights(g, d):
    state = {"generator." + k: v for k, v in g.state_dict().items()}
    state.update({"discriminator." + k: v for k, v in d.state_dict().items()})
    return {k: v.detach().float().numpy().copy() for k, v in state.items() if "num_batches" not in k}


def train(g, d, batches, latents, dtype):
    g, d = g.to(dtype), d.to(dtype)
    make = lambda net: torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999))
    g_adam, d_adam, bce = make(g), make(d), nn.BCEWithLogitsLoss()
    losses, snapshots = [], {}
    for step in range(STEPS):
        real, z = batches[step].to(dtype), latents[step].to(dtype)
        d_adam.zero_grad()
        real_logits = d(real)
        loss_real = bce(real_logits, torch.ones_like(real_logits))
        loss_real.backward()
        fake = g(z)
        fake_logits = d(fake.detach())
        loss_fake = bce(fake_logits, torch.zeros_like(fake_logits))
        loss_fake.backward()
        d_adam.step()
        g_adam.zero_grad()
        logits = d(fake)
        loss_g = bce(logits, torch.ones_like(logits))
        loss_g.backward()
        g_adam.step()
        losses.append([float(loss_real + loss_fake), float(loss_g), float(torch.sigmoid(real_logits).mean()),
                       float(torch.sigmoid(fake_logits).mean())])
        if step + 1 in SNAPSHOTS:
            snapshots[step + 1] = weights(g, d)
    return np.array(losses), snapshots


def main():
    torch.manual_seed(20261123)
    with gzip.open("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(16 + IMAGES * 784), np.uint8, offset=16).reshape(IMAGES, 28, 28).copy()
    indices = np.random.RandomState(1).randint(0, IMAGES, (STEPS, BATCH)).astype(np.int32)
    latents = torch.randn(STEPS, BATCH, LATENT, 1, 1)
    batches = [torch.from_numpy(images[i].astype(np.float32) / 127.5 - 1)[:, None] for i in indices]
    g, d = networks()
    start = weights(g, d)
    reference, snapshots = train(*map(copy_of, (g, d)), batches, latents, torch.float64)
    rounded, _ = train(*map(copy_of, (g, d)), batches, latents, torch.float32)
    drift = np.abs(rounded - reference)[:, :2].max(1) / np.abs(reference[:, :2]).min(1)
    for step in (1, 10, 20, 50, 100):
        print(f"step {step}: loss_d {reference[step - 1][0]:.6f} loss_g {reference[step - 1][1]:.6f}, "
              f"PyTorch's own float32 run is off by {drift[step - 1]:.1e}")
    tensors = {"images": images, "indices": indices, "latents": latents.numpy()[..., 0, 0].astype(np.float32),
               "losses": reference.astype(np.float32)}
    tensors.update(start)
    for step, state in snapshots.items():
        tensors.update({f"step{step}/{name}": value for name, value in state.items()})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "dcgan.safetensors")
    safetensors.save(path, tensors, {"torch": torch.__version__, "float32_drift_at_100": f"{drift[-1]:.1e}"})
    print(path, os.path.getsize(path), "bytes")


def copy_of(network):
    import copy
    return copy.deepcopy(network)


main()
