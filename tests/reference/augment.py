#!/usr/bin/python3
"""Computes data/augment.safetensors: augmented images, from given random numbers, and what gradients pass.

Run by hand after a change, with Debian's python3-torch: tests/reference/augment.py
For "CASE": images, p, uniform, normal, dy (a gradient of the result), result, gradient (with respect to the images), and
second, which is the gradient of Σ gradient² with respect to dy. Matrices are multiplied here as the papers have them.
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(20261126)
COLOR, TRANSLATION, CUTOUT, BLIT, GEOMETRY = 1, 2, 4, 8, 16


def below(u, n):
    """Uniform in (0, 1] → 0 … n − 1."""
    return (torch.ceil(u * n) - 1).long()


# --- DiffAugment, an image at a time ---
def shifted(image, rows, columns):
    h, w, _ = image.shape
    padded = F.pad(image, (0, 0, w, w, h, h))
    return padded[h + rows:2 * h + rows, w + columns:2 * w + columns]


def shifts(u, size):
    most = [int(s * 0.125 + 0.5) for s in size]
    return [int(below(u[i], 2 * most[i] + 1)) - most[i] for i in range(2)]


def diff_augment(images, changes, u, *_):
    results = []
    for i, x in enumerate(images):
        h, w, c = x.shape
        if changes & COLOR:
            x = x + (u[i, 0] - 0.5)
            mean = x.mean(2, keepdim=True)
            x = mean + (x - mean) * 2 * u[i, 1]
            x = x.mean() + (x - x.mean()) * (u[i, 2] + 0.5)
        if changes & TRANSLATION:
            x = shifted(x, *shifts(u[i, 3:], (h, w)))
        if changes & CUTOUT:
            mask = torch.ones(h, w, 1).double()
            sizes = [int(s * 0.5 + 0.5) for s in (h, w)]
            middle = [int(below(u[i, 5 + a], s + 1 - sizes[a] % 2)) for a, s in enumerate((h, w))]
            first = [m - s // 2 for m, s in zip(middle, sizes)]
            mask[max(first[0], 0):first[0] + sizes[0], max(first[1], 0):first[1] + sizes[1]] = 0
            x = x * mask
        results.append(x)
    return torch.stack(results)


def mirror_and_shift(images, changes, u, *_):
    return torch.stack([shifted(x.flip(1) if u[i, 0] > 0.5 else x, *shifts(u[i, 1:], x.shape[:2]))
                        for i, x in enumerate(images)])


# --- ADA ---
def matrix(*rows):
    return torch.tensor(rows).double()


def scale(x, y):
    return matrix([x, 0, 0], [0, y, 0], [0, 0, 1])


def turn(angle):
    c, s = math.cos(angle), math.sin(angle)
    return matrix([c, -s, 0], [s, c, 0], [0, 0, 1])


def move(x, y):
    return matrix([1, 0, x], [0, 1, y], [0, 0, 1])


def motion(changes, p, u, n, h, w):
    """From where a pixel lies in the result to where it comes from: the inverse of all movements, in their order."""
    m = torch.eye(3).double()
    if changes & BLIT:
        if u[0] <= p:
            m = m @ scale(1 - 2 * int(below(u[1], 2)), 1)
        if u[2] <= p:
            m = m @ turn(math.pi / 2 * int(below(u[3], 4)))
        if u[4] <= p:
            x, y = ((2 * float(v) - 1) * 0.125 for v in u[5:7])
            m = m @ move(-math.floor(x * w + 0.5), -math.floor(y * h + 0.5))
    if changes & GEOMETRY:
        rotated = 1 - math.sqrt(1 - p)
        if u[7] <= p:
            m = m @ scale(2 ** (-0.2 * float(n[0])), 2 ** (-0.2 * float(n[0])))
        if u[8] <= rotated:
            m = m @ turn((2 * float(u[9]) - 1) * math.pi)
        if u[10] <= p:
            m = m @ scale(2 ** (-0.2 * float(n[1])), 2 ** (0.2 * float(n[1])))
        if u[11] <= rotated:
            m = m @ turn((2 * float(u[12]) - 1) * math.pi)
        if u[13] <= p:
            m = m @ move(-0.125 * w * float(n[2]), -0.125 * h * float(n[3]))
    return m


def colors(p, u, n, channels):
    """A matrix and what is added to the channels."""
    axis = torch.ones(channels, 1).double() / math.sqrt(channels)
    grey, identity = axis @ axis.t(), torch.eye(channels).double()
    m, add = identity, torch.zeros(channels).double()
    steps = []
    if u[14] <= p:
        add = add + 0.2 * n[4]
    if u[15] <= p:
        steps.append(identity * 2 ** (0.5 * n[5]))
    if u[16] <= p:
        steps.append(identity - 2 * grey * below(u[17], 2))
    if u[18] <= p and channels == 3:
        angle = (2 * float(u[19]) - 1) * math.pi
        a = float(axis[0])
        cross = matrix([0, -a, a], [a, 0, -a], [-a, a, 0])
        steps.append(identity * math.cos(angle) + cross * math.sin(angle) + grey * (1 - math.cos(angle)))
    if u[20] <= p and channels > 1:
        steps.append(grey + (identity - grey) * 2 ** n[6])
    for step in steps:
        m, add = step @ m, step @ add
    return m, add


def mirrored(place, size):
    """As torch's grid_sample reflects, with align_corners false: about the image's edges."""
    place = torch.remainder(place + 0.5, 2 * size)
    return torch.where(place > size, 2 * size - place, place) - 0.5


def ada(images, changes, u, n, p):
    _, h, w, c = images.shape
    results = []
    y, x = torch.meshgrid(torch.arange(h).double() - (h - 1) / 2, torch.arange(w).double() - (w - 1) / 2, indexing="ij")
    for i, image in enumerate(images):
        if changes & (BLIT | GEOMETRY):
            m = motion(changes, p, u[i], n[i], h, w)
            columns = mirrored(m[0, 0] * x + m[0, 1] * y + m[0, 2] + (w - 1) / 2, w).clamp(0, w - 1)
            rows = mirrored(m[1, 0] * x + m[1, 1] * y + m[1, 2] + (h - 1) / 2, h).clamp(0, h - 1)
            left, top = columns.floor().clamp(max=max(w - 2, 0)), rows.floor().clamp(max=max(h - 2, 0))
            a, b = (columns - left)[..., None], (rows - top)[..., None]
            at = lambda r, k: image[(top.long() + r).clamp(max=h - 1), (left.long() + k).clamp(max=w - 1)]
            image = (at(0, 0) * (1 - a) + at(0, 1) * a) * (1 - b) + (at(1, 0) * (1 - a) + at(1, 1) * a) * b
        if changes & COLOR:
            m, add = colors(p, u[i], n[i], c)
            image = image @ m.t() + add
        results.append(image)
    return torch.stack(results)


def case(tensors, name, shape, function, changes, p=0.0):
    single = lambda a: a.float().double()
    images, dy = single(torch.rand(shape) * 2 - 1).requires_grad_(), single(torch.randn(shape))
    u, n = single(1 - torch.rand(shape[0], 21)), single(torch.randn(shape[0], 7))
    result = function(images, changes, u, n, p)
    gradient, = torch.autograd.grad((result * dy).sum(), images)
    zeros = function(torch.zeros(shape).double(), changes, u, n, p)
    second = 2 * (function(gradient, changes, u, n, p) - zeros)
    for key, value in (("images", images), ("uniform", u), ("normal", n), ("dy", dy), ("result", result),
                       ("gradient", gradient), ("second", second)):
        tensors[f"{name}/{key}"] = value.detach().float().numpy()
    tensors[f"{name}/p"] = np.array([p], dtype=np.float32)


def main():
    tensors = {}
    for size, shape in (("grey", (5, 9, 7, 1)), ("color", (6, 8, 8, 3)), ("one", (1, 5, 6, 3)), ("two", (3, 6, 11, 2))):
        case(tensors, f"diff_{size}", shape, diff_augment, COLOR | TRANSLATION | CUTOUT)
        case(tensors, f"mirror_{size}", shape, mirror_and_shift, 0)
        case(tensors, f"ada_{size}", shape, ada, BLIT | GEOMETRY | COLOR, 1.0)
        case(tensors, f"some_{size}", shape, ada, BLIT | GEOMETRY | COLOR, 0.5)
        case(tensors, f"none_{size}", shape, ada, BLIT | GEOMETRY | COLOR, 0.0)
        case(tensors, f"blit_{size}", shape, ada, BLIT, 0.8)
        case(tensors, f"geometry_{size}", shape, ada, GEOMETRY, 0.8)
        case(tensors, f"paint_{size}", shape, ada, COLOR, 0.8)
    safetensors.save(os.path.join(HERE, "data", "augment.safetensors"), tensors, {})


main()
