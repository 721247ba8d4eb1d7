#!/usr/bin/python3
"""The peer of `dcgan bench`: the same training step in PyTorch (Debian's python3-torch), on the processor.

usage: dcgan_pytorch.py [SIZE CHANNELS WIDTH BATCH STEPS]      (default 28 1 64 64 15)
"""
import os
import sys
import time

import torch
import torch.nn as nn

size, channels, width, batch, steps = (int(a) for a in (sys.argv[1:] + ["28", "1", "64", "64", "15"][len(sys.argv) - 1:]))
base, levels = size, 0
while base % 2 == 0 and base >= 8:
    base, levels = base // 2, levels + 1

torch.set_num_threads(os.cpu_count())
torch.manual_seed(0)
layers, c = [nn.ConvTranspose2d(100, width << (levels - 1), base, 1, 0, bias=False)], width << (levels - 1)
for level in range(levels):
    out = c // 2 if level + 1 < levels else channels
    layers += [nn.BatchNorm2d(c), nn.ReLU(True), nn.ConvTranspose2d(c, out, 4, 2, 1, bias=False)]
    c = out
generator = nn.Sequential(*layers, nn.Tanh())
layers, c = [], channels
for level in range(levels):
    layers += [nn.Conv2d(c, width << level, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width << level)] if level else []
    layers += [nn.LeakyReLU(0.2, True)]
    c = width << level
discriminator = nn.Sequential(*layers, nn.Conv2d(c, 1, base, 1, 0, bias=False))

adam_g = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
adam_d = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
bce, real = nn.BCEWithLogitsLoss(), torch.rand(batch, channels, size, size) * 2 - 1
ones, zeros = torch.ones(batch), torch.zeros(batch)


def step():
    adam_d.zero_grad()
    bce(discriminator(real).view(-1), ones).backward()
    fake = generator(torch.randn(batch, 100, 1, 1))
    bce(discriminator(fake.detach()).view(-1), zeros).backward()
    adam_d.step()
    adam_g.zero_grad()
    bce(discriminator(fake).view(-1), ones).backward()
    adam_g.step()


times = []
for i in range(steps + 2):
    start = time.perf_counter()
    step()
    times.append(time.perf_counter() - start)
median = sorted(times[2:])[steps // 2]
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads: {size}x{size}x{channels}, width {width}, batch {batch}: "
      f"{median * 1e3:.1f} ms a step, {batch / median:.0f} images/s")
