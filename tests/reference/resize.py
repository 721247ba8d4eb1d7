#!/usr/bin/python3
"""Computes data/resize.safetensors: what PIL makes of pictures of other sizes.

Run by hand after a change, with Debian's python3-pil and python3-numpy: tests/reference/resize.py
"""
import os

import numpy as np
import PIL
from PIL import Image

import safetensors

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
SIZES = [(48, 36), (12, 9), (11, 23), (24, 72), (100, 7), (1, 1)]  # width, height, of 48 × 36

random = np.random.default_rng(20261125)
tensors = {}
image = random.integers(0, 256, (36, 48, 3), np.uint8)
image[:, 20:30] = 255  # edges at the ends of the range, where filters overshoot
image[10:14] = 0
tensors["bytes"] = image
for name, resampling in FILTERS.items():
    for width, height in SIZES:
        resized = Image.fromarray(image).resize((width, height), resampling)
        tensors[f"{name}_{width}x{height}"] = np.asarray(resized)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "resize.safetensors")
safetensors.save(path, {name: np.ascontiguousarray(x) for name, x in tensors.items()}, {"PIL": PIL.__version__})
