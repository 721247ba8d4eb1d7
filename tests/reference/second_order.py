#!/usr/bin/python3
"""Computes data/{ring,critic,style}.safetensors: 50 steps of trainings that need the gradient of a gradient.

Run by hand after a change, with Debian's python3-torch and dataset-fashion-mnist: tests/reference/second_order.py
ring: WGAN-GP (Gulrajani et al. 2017) on eight Gaussians in a ring. critic: the same on Fashion-MNIST, convolutional.
style: a small StyleGAN2 (Karras et al. 2020) on 16×16 pixels of Fashion-MNIST with R1 and path-length regularisation.
Every training runs in double, which is the reference, and in float32, which says how far rounding alone takes it. A
file holds the starting weights by vkgan's names, "in/<name>" the inputs of all steps, and "losses" [steps, losses].
"""
import gzip
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

STEPS = 50
HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(20261124)


def normal(*shape):
    return torch.randn(*shape).double()


def fashion(count):
    with gzip.open("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(16 + count * 784), np.uint8, offset=16).reshape(count, 28, 28)


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def linear(p, name, x):
    return x @ p[name + ".weight"].t() + p[name + ".bias"]


def norm_of_gradient(y, x, axes):
    gradient, = torch.autograd.grad(y.sum(), x, create_graph=True)
    return gradient.square().sum(axes).sqrt()


def run(start, inputs, networks, step, settings, dtype):
    """step(p, inputs of the step, update): a list of losses; update(network, loss) makes an Adam step."""
    p = {key: value.to(dtype).clone().requires_grad_(not key.startswith("buffer.")) for key, value in start.items()}
    adams = {n: torch.optim.Adam([v for k, v in p.items() if k.startswith(n + ".")], *settings) for n in networks}

    def update(network, loss):
        own = [v for k, v in p.items() if k.startswith(network + ".")]
        for value, gradient in zip(own, torch.autograd.grad(loss, own)):
            value.grad = gradient
        adams[network].step()

    cast = lambda a: a.to(dtype) if a.dtype == torch.float64 else a
    losses = [step(p, {k: cast(v[i]) for k, v in inputs.items()}, update, i) for i in range(STEPS)]
    return np.array(losses, dtype=np.float64)


def save(name, start, inputs, networks, step, settings, extra=None):
    start = {key: value.float().double() for key, value in start.items()}
    inputs = {key: value.float().double() if value.dtype == torch.float64 else value for key, value in inputs.items()}
    truth = run(start, inputs, networks, step, settings, torch.float64)
    drift = run(start, inputs, networks, step, settings, torch.float32)
    size = np.maximum(np.abs(truth), np.nanmean(np.abs(truth), 0))
    drift = np.nanmax(np.abs(drift - truth) / size)
    tensors = {key: value.float().numpy() for key, value in start.items()}
    tensors.update({"in/" + k: v.float().numpy() if v.dtype == torch.float64 else v.int().numpy()
                    for k, v in inputs.items()})
    tensors.update(extra or {})
    tensors["losses"] = truth.astype(np.float32)
    path = os.path.join(HERE, "data", name + ".safetensors")
    safetensors.save(path, tensors, {"float32_drift": f"{drift:.1e}"})
    print(f"{path}: PyTorch's own float32 is off by {drift:.1e}; last losses {truth[-1]}")


def wgan_step(generator, critic):
    """Two updates of the critic, one of the generator."""
    def step(p, x, update, _):
        losses = []
        for k in range(2):
            real, fake = x[f"real{k}"], generator(p, x[f"z{k}"]).detach()
            epsilon = x[f"epsilon{k}"].reshape(-1, *[1] * (real.dim() - 1))
            between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
            norm = norm_of_gradient(critic(p, between), between, list(range(1, real.dim())))
            penalty = 10 * (norm - 1).square().mean()
            loss = critic(p, fake).mean() - critic(p, real).mean() + penalty
            update("critic", loss)
            losses += [loss.item(), penalty.item()]
        loss = -critic(p, generator(p, x["z2"])).mean()
        update("generator", loss)
        return losses + [loss.item()]
    return step


# --- eight Gaussians ---
def ring():
    batch, width = 64, 64
    start = {}
    for network, sizes in (("generator", (2, width, width, 2)), ("critic", (2, width, width, 1))):
        for i in range(3):
            start[f"{network}.fc{i}.weight"] = normal(sizes[i + 1], sizes[i]) / math.sqrt(sizes[i])
            start[f"{network}.fc{i}.bias"] = 0.1 * normal(sizes[i + 1])

    def perceptron(network, activation):
        def forward(p, x):
            x = activation(linear(p, network + ".fc0", x))
            return linear(p, network + ".fc2", activation(linear(p, network + ".fc1", x)))
        return forward

    angle = 2 * math.pi / 8 * torch.randint(0, 8, (2, STEPS, batch)).double()
    points = 2 * torch.stack([angle.cos(), angle.sin()], -1) + 0.02 * normal(2, STEPS, batch, 2)
    inputs = {f"z{k}": normal(STEPS, batch, 2) for k in range(3)}
    inputs.update({f"real{k}": points[k] for k in range(2)})
    inputs.update({f"epsilon{k}": torch.rand(STEPS, batch, 1).double() for k in range(2)})
    save("ring", start, inputs, ("generator", "critic"),
         wgan_step(perceptron("generator", F.relu), perceptron("critic", lambda x: F.leaky_relu(x, 0.2))),
         (1e-4, (0.0, 0.9)))


# --- Fashion-MNIST ---
def critic():
    batch, width, latent, images = 16, 8, 16, 96
    start = {"generator.fc.weight": normal(49 * 2 * width, latent) / 4, "generator.fc.bias": 0.1 * normal(98 * width),
             "generator.deconv1.weight": 0.1 * normal(2 * width, width, 4, 4), "generator.deconv1.bias": 0.1 * normal(width),
             "generator.deconv2.weight": 0.1 * normal(width, 1, 4, 4), "generator.deconv2.bias": 0.1 * normal(1),
             "critic.conv1.weight": 0.2 * normal(width, 1, 4, 4), "critic.conv1.bias": 0.1 * normal(width),
             "critic.conv2.weight": 0.1 * normal(2 * width, width, 4, 4), "critic.conv2.bias": 0.1 * normal(2 * width),
             "critic.norm.weight": 1 + 0.1 * normal(2 * width, 7, 7), "critic.norm.bias": 0.1 * normal(2 * width, 7, 7),
             "critic.conv3.weight": 0.05 * normal(1, 2 * width, 7, 7)}

    def generate(p, z):
        x = F.relu(nchw(linear(p, "generator.fc", z).reshape(-1, 7, 7, 2 * width)))
        x = F.relu(F.conv_transpose2d(x, p["generator.deconv1.weight"], p["generator.deconv1.bias"], 2, 1))
        return torch.tanh(F.conv_transpose2d(x, p["generator.deconv2.weight"], p["generator.deconv2.bias"], 2, 1))

    def judge(p, x):
        x = F.leaky_relu(F.conv2d(x, p["critic.conv1.weight"], p["critic.conv1.bias"], 2, 1), 0.2)
        x = F.conv2d(x, p["critic.conv2.weight"], p["critic.conv2.bias"], 2, 1)
        x = F.leaky_relu(F.layer_norm(x, x.shape[1:], p["critic.norm.weight"], p["critic.norm.bias"]), 0.2)
        return F.conv2d(x, p["critic.conv3.weight"]).flatten()

    pixels = fashion(images)
    reals = torch.from_numpy(pixels.astype(np.float64)) / 127.5 - 1
    plain = wgan_step(generate, judge)

    def step(p, x, update, i):
        x = dict(x)
        for k in range(2):
            x[f"real{k}"] = reals[x.pop(f"index{k}")].reshape(batch, 1, 28, 28).to(p["critic.conv1.bias"].dtype)
        return plain(p, x, update, i)

    inputs = {f"z{k}": normal(STEPS, batch, latent) for k in range(3)}
    inputs.update({f"index{k}": torch.randint(0, images, (STEPS, batch)) for k in range(2)})
    inputs.update({f"epsilon{k}": torch.rand(STEPS, batch, 1).double() for k in range(2)})
    save("critic", start, inputs, ("generator", "critic"), step, (1e-4, (0.0, 0.9)), {"images": pixels.copy()})


# --- a small StyleGAN2 ---
def fir(x, up, down, low, high, gain):
    f = torch.tensor([1, 3, 3, 1], dtype=x.dtype) / 8
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    kernel = (f[:, None] * f[None] * gain)[None, None].repeat(c, 1, 1, 1)
    return F.conv2d(F.pad(spread, [low, high, low, high]), kernel, stride=down, groups=c)


def equal_linear(p, name, x, multiplier=1.0):
    weight = p[name + ".weight"]
    return x @ weight.t() * (multiplier / math.sqrt(weight.shape[1])) + p[name + ".bias"] * multiplier


def equal_conv(p, name, x, stride=1, pad=0, bias=True):
    weight = p[name + ".weight"]
    scale = 1 / math.sqrt(weight[0].numel())
    return F.conv2d(x, weight * scale, p[name + ".bias"] if bias else None, stride, pad)


def lrelu(x):
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def modulated(p, name, x, w, demodulate):
    """The weight [k,k,in,out] of a sample is multiplied by its style, as the paper has it."""
    style = equal_linear(p, name + ".style", w)
    weight = p[name + ".weight"]
    weight = weight[None] / math.sqrt(weight[..., 0].numel()) * style[:, None, None, :, None]
    if demodulate:
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    n, k, _, i, o = weight.shape
    kernels = weight.permute(0, 4, 3, 1, 2).reshape(n * o, i, k, k)
    y = F.conv2d(x.reshape(1, n * i, *x.shape[2:]), kernels, padding=k // 2, groups=n)
    return y.reshape(n, o, *x.shape[2:])


def style():
    batch, width, latent, images, lazy = 8, 8, 8, 96, 4
    start = {"generator.const": normal(1, 4, 4, width)}
    for i in range(2):
        start[f"generator.map{i}.weight"] = normal(latent, latent) / 0.1
        start[f"generator.map{i}.bias"] = 0.1 * normal(latent)
    for name, size, out in (("conv4", 3, width), ("conv8", 3, width), ("conv16", 3, width), ("rgb4", 1, 1), ("rgb8", 1, 1),
                            ("rgb16", 1, 1)):
        start[f"generator.{name}.weight"] = normal(size, size, width, out)
        start[f"generator.{name}.bias"] = 0.1 * normal(out)
        start[f"generator.{name}.style.weight"] = normal(width, latent)
        start[f"generator.{name}.style.bias"] = 1 + 0.1 * normal(width)
        if size == 3:
            start[f"generator.{name}.strength"] = 0.1 * normal(1)
    for name, i, o, size in (("rgb", 1, width, 1), ("b16.conv0", width, width, 3), ("b16.conv1", width, width, 3),
                             ("b16.skip", width, width, 1), ("b8.conv0", width, width, 3), ("b8.conv1", width, width, 3),
                             ("b8.skip", width, width, 1), ("conv", width + 1, width, 3)):
        start[f"discriminator.{name}.weight"] = normal(o, i, size, size)
        if "skip" not in name:
            start[f"discriminator.{name}.bias"] = 0.1 * normal(o)
    for name, i, o in (("fc", 16 * width, width), ("out", width, 1)):
        start[f"discriminator.{name}.weight"] = normal(o, i)
        start[f"discriminator.{name}.bias"] = 0.1 * normal(o)
    start["buffer.path_mean"] = torch.zeros(1).double()

    def mapping(p, z):
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(2):
            x = lrelu(equal_linear(p, f"generator.map{i}", x, 0.1))
        return x

    def synthesis(p, w, noise):
        x, rgb = nchw(p["generator.const"]).repeat(len(w), 1, 1, 1), None
        for size in (4, 8, 16):
            if size > 4:
                x = fir(x, 2, 1, 2, 1, 4)
            name = f"generator.conv{size}"
            x = modulated(p, name, x, w, True) + nchw(noise[size]) * p[name + ".strength"]
            x = lrelu(x + p[name + ".bias"][:, None, None])
            name = f"generator.rgb{size}"
            y = modulated(p, name, x, w, False) + p[name + ".bias"][:, None, None]
            rgb = y if rgb is None else fir(rgb, 2, 1, 2, 1, 4) + y
        return rgb

    def judge(p, x):
        x = lrelu(equal_conv(p, "discriminator.rgb", x))
        for size in (16, 8):
            name = f"discriminator.b{size}."
            skip = equal_conv(p, name + "skip", fir(x, 1, 2, 1, 1, 1), bias=False)
            x = lrelu(equal_conv(p, name + "conv0", x, pad=1))
            x = lrelu(equal_conv(p, name + "conv1", fir(x, 1, 1, 2, 2, 1), 2, 0))
            x = (x + skip) / math.sqrt(2)
        y = x.reshape(4, -1, 1, width, 4, 4)
        y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean([2, 3, 4]).reshape(-1, 1, 1, 1).repeat(4, 1, 4, 4)
        x = lrelu(equal_conv(p, "discriminator.conv", torch.cat([x, y], 1), pad=1))
        x = lrelu(equal_linear(p, "discriminator.fc", nhwc(x).flatten(1)))
        return equal_linear(p, "discriminator.out", x)

    pixels = np.ascontiguousarray(fashion(images)[:, 6:22, 6:22])
    reals = torch.from_numpy(pixels.astype(np.float64)).reshape(images, 1, 16, 16) / 127.5 - 1

    def step(p, x, update, i):
        real = reals[x["index"]].to(p["generator.const"].dtype)
        noises = [{size: x[f"noise{k}_{size}"] for size in (4, 8, 16)} for k in range(3)]
        fake = synthesis(p, mapping(p, x["z0"]), noises[0]).detach()
        r1, path = math.nan, math.nan
        real.requires_grad_(i % lazy == 0)
        logits = judge(p, real)
        loss_d = F.softplus(judge(p, fake)).mean() + F.softplus(-logits).mean()
        total = loss_d
        if i % lazy == 0:
            penalty = norm_of_gradient(logits, real, [1, 2, 3]).square().mean()
            r1, total = penalty.item(), loss_d + penalty * (1.0 / 2 * lazy)
        update("discriminator", total)
        loss_g = F.softplus(-judge(p, synthesis(p, mapping(p, x["z1"]), noises[1]))).mean()
        total = loss_g
        if i % lazy == 0:
            w = mapping(p, x["z2"])
            image = synthesis(p, w, noises[2])
            lengths = norm_of_gradient((image * nchw(x["y"]) / 16).sum(), w, [1])
            with torch.no_grad():
                p["buffer.path_mean"].copy_(p["buffer.path_mean"] + 0.01 * (lengths.mean() - p["buffer.path_mean"]))
            penalty = (lengths - p["buffer.path_mean"].detach()).square().mean()
            path, total = penalty.item(), loss_g + penalty * (2.0 * lazy)
        update("generator", total)
        return [loss_d.item(), r1, loss_g.item(), path]

    inputs = {f"z{k}": normal(STEPS, batch, latent) for k in range(3)}
    inputs.update({f"noise{k}_{size}": normal(STEPS, 1, size, size, 1) for k in range(3) for size in (4, 8, 16)})
    inputs.update({"y": normal(STEPS, batch, 16, 16, 1), "index": torch.randint(0, images, (STEPS, batch))})
    save("style", start, inputs, ("generator", "discriminator"), step, (2e-3, (0.0, 0.99)), {"images": pixels})


ring()
critic()
style()
