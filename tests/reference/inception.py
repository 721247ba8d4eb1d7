#!/usr/bin/python3
"""Random weights for Inception v3, and what PyTorch makes of them: the network of pytorch-fid, written down again.

usage: inception.py WEIGHTS.safetensors CASE.safetensors
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

torch.manual_seed(20261125)
weights = {}


def unit(x, name, out, kernel=1, stride=1, padding=0):
    """BasicConv2d; its weights are drawn when it is first called."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    fan = x.shape[1] * kernel[0] * kernel[1]
    w = torch.randn(out, x.shape[1], *kernel) * (2 / fan) ** 0.5
    x = F.conv2d(x, w, stride=stride, padding=padding)
    mean, var = torch.randn(out) * 0.2, torch.rand(out) + 0.5
    scale, bias = torch.rand(out) + 0.5, torch.randn(out) * 0.2
    for key, value in (("conv.weight", w), ("bn.weight", scale), ("bn.bias", bias), ("bn.running_mean", mean),
                       ("bn.running_var", var)):
        weights[f"{name}.{key}"] = value.numpy()
    return F.relu(F.batch_norm(x, mean, var, scale, bias, eps=0.001))


def average(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def inception_a(x, n, pool):
    five = unit(unit(x, n + "branch5x5_1", 48), n + "branch5x5_2", 64, 5, padding=2)
    three = unit(unit(x, n + "branch3x3dbl_1", 64), n + "branch3x3dbl_2", 96, 3, padding=1)
    three = unit(three, n + "branch3x3dbl_3", 96, 3, padding=1)
    return torch.cat([unit(x, n + "branch1x1", 64), five, three, unit(average(x), n + "branch_pool", pool)], 1)


def inception_b(x, n):
    twice = unit(unit(x, n + "branch3x3dbl_1", 64), n + "branch3x3dbl_2", 96, 3, padding=1)
    return torch.cat([unit(x, n + "branch3x3", 384, 3, 2), unit(twice, n + "branch3x3dbl_3", 96, 3, 2), F.max_pool2d(x, 3, 2)], 1)


def inception_c(x, n, c):
    seven = unit(unit(x, n + "branch7x7_1", c), n + "branch7x7_2", c, (1, 7), padding=(0, 3))
    seven = unit(seven, n + "branch7x7_3", 192, (7, 1), padding=(3, 0))
    twice = unit(unit(x, n + "branch7x7dbl_1", c), n + "branch7x7dbl_2", c, (7, 1), padding=(3, 0))
    twice = unit(twice, n + "branch7x7dbl_3", c, (1, 7), padding=(0, 3))
    twice = unit(twice, n + "branch7x7dbl_4", c, (7, 1), padding=(3, 0))
    twice = unit(twice, n + "branch7x7dbl_5", 192, (1, 7), padding=(0, 3))
    return torch.cat([unit(x, n + "branch1x1", 192), seven, twice, unit(average(x), n + "branch_pool", 192)], 1)


def inception_d(x, n):
    seven = unit(unit(x, n + "branch7x7x3_1", 192), n + "branch7x7x3_2", 192, (1, 7), padding=(0, 3))
    seven = unit(seven, n + "branch7x7x3_3", 192, (7, 1), padding=(3, 0))
    three = unit(unit(x, n + "branch3x3_1", 192), n + "branch3x3_2", 320, 3, 2)
    return torch.cat([three, unit(seven, n + "branch7x7x3_4", 192, 3, 2), F.max_pool2d(x, 3, 2)], 1)


def inception_e(x, n, pooled):
    def cross(y, name, row, column):
        return torch.cat([unit(y, name + row, 384, (1, 3), padding=(0, 1)), unit(y, name + column, 384, (3, 1), padding=(1, 0))], 1)
    three = cross(unit(x, n + "branch3x3_1", 384), n + "branch3x3_", "2a", "2b")
    twice = unit(unit(x, n + "branch3x3dbl_1", 448), n + "branch3x3dbl_2", 384, 3, padding=1)
    twice = cross(twice, n + "branch3x3dbl_", "3a", "3b")
    return torch.cat([unit(x, n + "branch1x1", 320), three, twice, unit(pooled, n + "branch_pool", 192)], 1)


def network(x):
    x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    x = 2 * x - 1
    x = unit(unit(x, "Conv2d_1a_3x3", 32, 3, 2), "Conv2d_2a_3x3", 32, 3)
    x = F.max_pool2d(unit(x, "Conv2d_2b_3x3", 64, 3, padding=1), 3, 2)
    x = F.max_pool2d(unit(unit(x, "Conv2d_3b_1x1", 80), "Conv2d_4a_3x3", 192, 3), 3, 2)
    for name, pool in (("5b", 32), ("5c", 64), ("5d", 64)):
        x = inception_a(x, f"Mixed_{name}.", pool)
    x = inception_b(x, "Mixed_6a.")
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        x = inception_c(x, f"Mixed_{name}.", c)
    x = inception_d(x, "Mixed_7a.")
    x = inception_e(x, "Mixed_7b.", average(x))
    x = inception_e(x, "Mixed_7c.", F.max_pool2d(x, 3, 1, 1))
    return x.mean((2, 3))


with torch.no_grad():
    images = torch.rand(2, 3, 40, 52)  # in [0, 1], as pytorch-fid takes them
    features = network(images)
safetensors.save(sys.argv[1], weights, {})
safetensors.save(sys.argv[2], {"images": np.ascontiguousarray((2 * images - 1).permute(0, 2, 3, 1).numpy()),
                               "features": features.numpy()}, {})
