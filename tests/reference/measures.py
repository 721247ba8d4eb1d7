#!/usr/bin/python3
"""Computes data/measures.safetensors: what the measures' published definitions give for fixed arrays.

Run by hand after a change, or after new weights of the classifier, with Debian's python3-scipy and python3-torch:
tests/reference/measures.py
Everything is written down from the papers, in double, with NumPy and SciPy; nothing is shared with src/measures.
"""
import os

import numpy as np
import scipy.linalg
import scipy.ndimage
import torch
import torch.nn.functional as F

import safetensors

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(20261125)
tensors = {}


def store(name, array, dtype=np.float32):
    tensors[name] = np.ascontiguousarray(np.asarray(array, dtype))


def frechet(x, y):
    """Heusel et al. 2017, eq. 6."""
    a, b = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (x, y))
    root = scipy.linalg.sqrtm(a @ b)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root.real)


def kid_block(x, y):
    """Bińkowski et al. 2018, eq. 4, with k(x, y) = (xᵀy/d + 1)³."""
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3
    n, m = len(x), len(y)
    xx, yy = kernel(x, x), kernel(y, y)
    return ((xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1)) -
            2 * kernel(x, y).mean())


def kid(x, y, size=1000):
    size = min(size, len(x), len(y))
    blocks = [kid_block(x[i:i + size], y[i:i + size]) for i in range(0, min(len(x), len(y)) // size * size, size)]
    return np.mean(blocks), np.std(blocks, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.nan


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def radii(x, k):
    return np.sort(distances(x, x), axis=1)[:, k]  # the first is the distance to itself


def neighbours(real, fake):
    """Kynkäänniemi et al. 2019, eq. 1 and 2, k = 3; Naeem et al. 2020, eq. 4 and 5, k = 5."""
    d = distances(real, fake)
    ball = d <= radii(real, 5)[:, None]
    return ((d <= radii(real, 3)[:, None]).any(0).mean(), (d <= radii(fake, 3)[None]).any(1).mean(),
            ball.sum() / (5 * len(fake)), ball.any(1).mean())


def scores(name, real, fake):
    store(name + ".real", real)
    store(name + ".samples", fake)
    real, fake = tensors[name + ".real"].astype(float), tensors[name + ".samples"].astype(float)
    store(name + ".scores", [frechet(real, fake), *kid(real, fake), *neighbours(real, fake)])
    store(name + ".mean", fake.mean(0))
    store(name + ".covariance", np.cov(fake, rowvar=False))
    print(name, tensors[name + ".scores"])


def ssim(a, b, span):
    """Wang et al. 2004, eq. 13, windows within the image; filtered as scikit-image does it."""
    def mean(x):
        return scipy.ndimage.gaussian_filter(x, 1.5, truncate=3.5)
    result = []
    for c in range(a.shape[-1]):
        x, y = a[..., c], b[..., c]
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        s = (2 * mx * my + c1) * (2 * cov + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))
        result.append(s[5:-5, 5:-5].mean())
    return np.mean(result)


def images():
    smooth = scipy.ndimage.gaussian_filter(rng.normal(size=(5, 24, 30, 3)), (0, 2, 2, 0)) * 5
    noise = np.array([0, 0.02, 0.1, 0.3, 1])[:, None, None, None] * rng.normal(size=smooth.shape)
    store("images.a", np.tanh(smooth))
    store("images.b", np.clip(tensors["images.a"] + noise, -1, 1))
    a, b = tensors["images.a"].astype(float), tensors["images.b"].astype(float)
    with np.errstate(divide="ignore"):
        store("images.psnr", 10 * np.log10(4 / ((a - b) ** 2).mean((1, 2, 3))))
    store("images.ssim", [ssim(x, y, 2) for x, y in zip(a, b)])
    print(tensors["images.psnr"], tensors["images.ssim"])


def classifier():
    """The network of src/measures/classifier.c with the weights that come with the library."""
    weights = {k: torch.tensor(v) for k, v in
               safetensors.load(os.path.join(HERE, "../../src/measures/fashion_mnist.safetensors")).items()}
    store("classifier.images", np.tanh(scipy.ndimage.gaussian_filter(rng.normal(size=(3, 28, 28, 1)), (0, 2, 2, 0)) * 5))
    x = torch.tensor(tensors["classifier.images"]).permute(0, 3, 1, 2)
    for i, stride in enumerate((1, 2, 2), 1):
        x = F.conv2d(x, weights[f"conv{i}.weight"], stride=stride, padding=1)
        x = F.relu(F.batch_norm(x, weights[f"bn{i}.running_mean"], weights[f"bn{i}.running_var"], weights[f"bn{i}.weight"],
                                weights[f"bn{i}.bias"]))
    x = F.adaptive_avg_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)  # channels last, as the weights of fc1 expect
    store("classifier.features", F.relu(F.linear(x, weights["fc1.weight"], weights["fc1.bias"])).numpy())


def main():
    mix = rng.normal(size=(12, 12)) / 4
    scores("general", rng.normal(size=(2300, 12)) @ mix + 1, (rng.normal(size=(2100, 12)) * 0.9) @ mix + 1.05)
    # what a collapse looks like: few directions, features that are never active, others that agree
    low = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 20)) / 4
    full = np.maximum(rng.normal(size=(400, 20)) @ rng.normal(size=(20, 20)) / 4, 0)
    full[:, 4] = low[:, 4] = 0
    full[:, 5] = low[:, 5] = 3
    scores("collapsed", full, low)
    scores("equal", full, full[::-1])
    scores("single", rng.normal(size=(40, 1)), rng.normal(size=(30, 1)) + 0.5)
    images()
    classifier()
    safetensors.save(os.path.join(HERE, "data/measures.safetensors"), tensors, {})


main()
