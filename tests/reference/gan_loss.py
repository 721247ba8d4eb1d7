#!/usr/bin/python3
"""Computes data/gan_loss.safetensors: 20 steps of tiny trainings, one for every loss and every regulariser.

Run by hand after a change, with Debian's python3-torch: tests/reference/gan_loss.py
All begin with the same weights. Those of `phases` are what vkg_gan_phases builds, with latents that never change; in the
others a batch brings its noise with it. Every training runs in double, which is the reference, and in float32, which
says how far rounding alone takes it. "losses/NAME" is [steps, values].
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

STEPS, BATCH, LATENT, STYLE, WIDTH, IMAGE = 20, 8, 6, 8, 16, (5, 4, 2)
PIXELS = IMAGE[0] * IMAGE[1]
HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(20261125)


def linear(p, name, x):
    return x @ p[name + ".weight"].t() + p[name + ".bias"]


def mapping(p, z):
    return F.silu(linear(p, "generator.map", z))


def synthesis(p, w):
    x = torch.tanh(linear(p, "generator.fc1", F.silu(linear(p, "generator.fc0", w))))
    return x.reshape(-1, *IMAGE)


def generate(p, z):
    return synthesis(p, mapping(p, z))


def judge(p, x):
    return linear(p, "discriminator.fc1", F.silu(linear(p, "discriminator.fc0", x.flatten(1))))


# --- losses: (of the discriminator, of the generator) from logits x of real and y of generated samples ---
def discriminator_loss(kind, x, y):
    if kind in ("non-saturating", "minimax"):
        return (F.binary_cross_entropy_with_logits(x, torch.ones_like(x))
                + F.binary_cross_entropy_with_logits(y, torch.zeros_like(y)))
    if kind == "least-squares":
        return 0.5 * F.mse_loss(x, torch.ones_like(x)) + 0.5 * F.mse_loss(y, torch.zeros_like(y))
    if kind == "wasserstein":
        return y.mean() - x.mean()
    if kind == "hinge":
        return F.relu(1 - x).mean() + F.relu(1 + y).mean()
    return F.softplus(-(x - y)).mean()


def generator_loss(kind, x, y):
    if kind == "non-saturating":
        return F.binary_cross_entropy_with_logits(y, torch.ones_like(y))
    if kind == "minimax":
        return torch.log(1 - torch.sigmoid(y)).mean()
    if kind == "least-squares":
        return 0.5 * F.mse_loss(y, torch.ones_like(y))
    if kind in ("wasserstein", "hinge"):
        return -y.mean()
    return F.softplus(-(y - x)).mean()


# --- regularisers ---
def gradients(p, samples):
    samples = samples.detach().requires_grad_()
    gradient, = torch.autograd.grad(judge(p, samples).sum(), samples, create_graph=True)
    return gradient.flatten(1)


def squared_gradient(p, samples):
    return gradients(p, samples).square().sum(1).mean()


def gradient_penalty(p, samples, one_sided=False):
    excess = gradients(p, samples).norm(dim=1) - 1
    return (excess.clamp(min=0) if one_sided else excess).square().mean()


# --- trainings ---
def run(start, step, batches, dtype, pace=1.0):
    """pace: of the discriminator's optimiser, k/(k + 1) where it is regularised every k steps."""
    p = {key: value.to(dtype).clone().requires_grad_(not key.startswith("buffer.")) for key, value in start.items()}
    adams = {n: torch.optim.Adam([v for k, v in p.items() if k.startswith(n + ".")], 5e-3 * c, (0.0, 0.9 ** c))
             for n, c in (("discriminator", pace), ("generator", 1.0))}

    def update(network, loss):
        own = [v for k, v in p.items() if k.startswith(network + ".")]
        for value, gradient in zip(own, torch.autograd.grad(loss, own, allow_unused=True)):
            value.grad = torch.zeros_like(value) if gradient is None else gradient
        adams[network].step()

    return np.array([step(p, batches[i].to(dtype), update, i) for i in range(STEPS)], dtype=np.float64)


def phases(kind, latents, r1=0.0, r2=0.0):
    def step(p, batch, update, _):
        real, fake = batch[..., :2], generate(p, latents.to(batch.dtype))
        loss_d = discriminator_loss(kind, judge(p, real), judge(p, fake.detach()))
        values = [loss_d.item()]
        penalties = [squared_gradient(p, real), squared_gradient(p, fake)]
        update("discriminator", loss_d + r1 / 2 * penalties[0] + r2 / 2 * penalties[1] if r1 else loss_d)
        loss_g = generator_loss(kind, judge(p, real), judge(p, fake))
        update("generator", loss_g)
        return values + [loss_g.item()] + ([q.item() for q in penalties] if r1 else [])
    return step


LAZY = 4


def lazy(kind, latents, r1, r2):
    """Regularised every LAZY steps, by updates of their own."""
    def step(p, batch, update, i):
        real, fake = batch[..., :2], generate(p, latents.to(batch.dtype))
        loss_d = discriminator_loss(kind, judge(p, real), judge(p, fake.detach()))
        update("discriminator", loss_d)
        values = [math.nan, math.nan]
        if i % LAZY == 0:
            penalties = [squared_gradient(p, real), squared_gradient(p, fake)]
            update("discriminator", LAZY * (r1 / 2 * penalties[0] + r2 / 2 * penalties[1]))
            values = [q.item() for q in penalties]
        loss_g = generator_loss(kind, judge(p, real), judge(p, fake))
        update("generator", loss_g)
        return [loss_d.item(), loss_g.item()] + values
    return step


def with_noise(kind, penalize_d=None, penalize_g=None):
    """A batch [N, H, W, 5]: real images, noise of their shape, and a channel of latents, more latents and epsilon."""
    def step(p, batch, update, _):
        real, noise, rest = batch[..., :2], batch[..., 2:4], batch[..., 4].flatten(1)
        z, z1, epsilon = rest[:, :LATENT], rest[:, LATENT:2 * LATENT], rest[:, -1].reshape(-1, 1, 1, 1)
        fake = generate(p, z)
        loss_d = discriminator_loss(kind, judge(p, real), judge(p, fake.detach()))
        penalty, total = None, loss_d
        if penalize_d:
            weight, penalty = penalize_d(p, real, fake.detach(), noise, epsilon)
            total = loss_d + weight * penalty
        update("discriminator", total)
        loss_g = generator_loss(kind, judge(p, real), judge(p, fake))
        total = loss_g
        if penalize_g:
            weight, penalty = penalize_g(p, z1, noise)
            total = loss_g + weight * penalty
        update("generator", total)
        return [loss_d.item(), loss_g.item(), penalty.item()]
    return step


def path_length(p, z, noise):
    w = mapping(p, z)
    gradient, = torch.autograd.grad((synthesis(p, w) * noise).sum() / PIXELS ** 0.5, w, create_graph=True)
    lengths = gradient.norm(dim=1)
    with torch.no_grad():
        p["buffer.path_mean"].copy_(p["buffer.path_mean"].lerp(lengths.mean(), 0.01))
    return 2.0, (lengths - p["buffer.path_mean"].detach()).square().mean()


def main():
    start = {"buffer.path_mean": torch.zeros(1).double()}
    for name, i, o in (("generator.map", LATENT, STYLE), ("generator.fc0", STYLE, WIDTH),
                       ("generator.fc1", WIDTH, PIXELS * 2), ("discriminator.fc0", PIXELS * 2, WIDTH),
                       ("discriminator.fc1", WIDTH, 1)):
        start[name + ".weight"] = torch.randn(o, i).double() * 1.5 / i ** 0.5
        start[name + ".bias"] = 0.1 * torch.randn(o).double()
    pattern = torch.randn(*IMAGE)
    real = torch.tanh(pattern + 0.3 * torch.randn(STEPS, BATCH, *IMAGE))
    rest = torch.randn(STEPS, BATCH, *IMAGE[:2], 1)
    rest[..., -1, -1, 0] = torch.rand(STEPS, BATCH)
    batches = torch.cat([real, torch.randn(STEPS, BATCH, *IMAGE), rest], -1).double()
    latents = torch.randn(BATCH, LATENT).double()
    single = lambda a: a.float().double()
    start, batches, latents = {k: single(v) for k, v in start.items()}, single(batches), single(latents)

    losses = ("non-saturating", "minimax", "least-squares", "wasserstein", "hinge", "relativistic")
    steps = {kind: phases(kind, latents) for kind in losses}
    steps["r3gan"] = phases("relativistic", latents, 2.0, 3.0)
    steps["lazy"] = lazy("relativistic", latents, 2.0, 3.0)
    steps["gradient_penalty"] = with_noise("wasserstein", lambda p, real, fake, noise, epsilon: (
        10.0, gradient_penalty(p, epsilon * real + (1 - epsilon) * fake)))
    steps["one_sided"] = with_noise("wasserstein", lambda p, real, fake, noise, epsilon: (
        10.0, gradient_penalty(p, epsilon * real + (1 - epsilon) * fake, True)))
    steps["dragan"] = with_noise("non-saturating", lambda p, real, fake, noise, epsilon: (
        10.0, gradient_penalty(p, real + epsilon * 0.5 * real.std(unbiased=False) * noise)))
    steps["consistency"] = with_noise("hinge", lambda p, real, fake, noise, epsilon: (
        10.0, (judge(p, real) - judge(p, real + 0.1 * noise)).square().mean()))
    steps["path_length"] = with_noise("non-saturating", None, path_length)

    tensors = {key: value.float().numpy() for key, value in start.items()}
    tensors.update({"batches": batches.float().numpy(), "latents": latents.float().numpy()})
    worst = 0.0
    for name, step in steps.items():
        pace = LAZY / (LAZY + 1) if name == "lazy" else 1.0
        truth, drift = (run(start, step, batches, dtype, pace) for dtype in (torch.float64, torch.float32))
        off = np.nanmax(np.abs(drift - truth) / np.maximum(np.abs(truth), np.nanmean(np.abs(truth), 0)))
        worst = max(worst, off)
        tensors["losses/" + name] = truth.astype(np.float32)
        print(f"{name}: from {truth[0]} to {truth[-1]}; PyTorch's own float32 is off by {off:.1e}")
    safetensors.save(os.path.join(HERE, "data", "gan_loss.safetensors"), tensors, {"float32_drift": f"{worst:.1e}"})


main()
