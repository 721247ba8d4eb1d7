"""What the references of whole systems share (pix2pix.py, r3gan.py, sagan.py, srgan.py, stylegan2.py): ten steps of training
as a sample program does them, from the same weights and with the same random numbers.

A reference computes data/NAME.safetensors, which tests/systems_test.c follows with the program's own networks and settings:
the starting weights by vkgan's names, small images of Fashion-MNIST with their labels, which of them each step takes,
"losses" [steps, what is reported], and what the trained generator makes of the sampler's first latents. Training runs in
double, which is the reference, and in float32, which says how far rounding alone takes it.
"""
import gzip
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import safetensors

STEPS, IMAGES, SAMPLES, SEED = 10, 64, 4, 7
HERE = os.path.dirname(os.path.abspath(__file__))


# --- random numbers: Philox 4x32-10, as shaders/random.comp and src/gan/sampler.c use it ---
def philox(counter, key):
    """counter: [N, 4], key: 2 numbers; → [N, 4] of 32 bits each."""
    c, k, mask = [counter[:, i].astype(np.uint64) for i in range(4)], list(key), np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), b & mask, (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), a & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, 1).astype(np.uint32)


def uniform_of(bits):
    return ((bits >> 8).astype(np.float32) + np.float32(0.5)) * np.float32(2.0 ** -24)


def normal_of(bits):
    u = uniform_of(bits).reshape(-1, 2)
    radius, angle = np.sqrt(-2 * np.log(u[:, 0])), np.float32(2 * math.pi) * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(bits.shape)


class Random:
    """The device's random numbers in one step; calls come in the order in which the program builds its graph."""
    def __init__(self, step, dtype):
        self.step, self.stream, self.dtype = step, 0, dtype

    def _draw(self, of, shape):
        count = int(np.prod(shape))
        counter = np.zeros(((count + 3) // 4, 4), np.uint64)
        counter[:, 0], counter[:, 1], counter[:, 2] = np.arange(len(counter)), self.stream, self.step
        self.stream += 1
        return torch.from_numpy(of(philox(counter, (SEED, 0))).reshape(-1)[:count].reshape(shape).copy()).to(self.dtype)

    def normal(self, *shape):
        return self._draw(normal_of, shape)

    def uniform(self, *shape):
        return self._draw(uniform_of, shape)


def sampler_latents(latent, dtype):
    counter = np.zeros((SAMPLES, (latent + 3) // 4, 4), np.uint64)
    counter[..., 0], counter[..., 1] = np.arange(counter.shape[1]), np.arange(SAMPLES)[:, None]
    counter[..., 3] = 0x736d706c
    return torch.from_numpy(normal_of(philox(counter.reshape(-1, 4), (SEED, 0))).reshape(SAMPLES, -1)[:, :latent].copy()).to(dtype)


# --- layers ---
def nchw(x):
    return x.permute(0, 3, 1, 2)


def fir(x, taps, up=1, down=1, low=0, high=0, gain=1.0):
    """Zeros between elements and around them, a filter in both directions, every down-th element."""
    f = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h * up, w * up)
    spread[:, :, ::up, ::up] = x
    kernel = (f[:, None] * f[None] * gain)[None, None].repeat(c, 1, 1, 1)
    return F.conv2d(F.pad(spread, [low, high, low, high]), kernel, stride=down, groups=c)


# --- training ---
class System:
    """generator(p, z, labels, random) → images [N,C,H,W], styles or None; random is None when training is over.
    discriminator(p, x, labels) → logits [N,1]. p: parameters and buffers by name; buffers are replaced in it."""
    channels, classes, batch = 1, 0, 8
    loss, r1, r2, path_length = "non-saturating", 0, 0, 0
    r1_every = path_every = 1  # above 1: an update of its own, so many times as strong
    buffers = ()  # ends of names
    options = ""  # what the program's options are to be, NAME=VALUE with blanks between; "": it has none that matter
    fixed = {}  # tensors for the file that training does not change

    def inputs(self, pixels):
        """What the generator makes images of in place of latents: bytes [N,h,w,c] of images [N,H,W]; None: latents."""
        return None


def discriminator_loss(kind, real, fake):
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if kind == "relativistic":
        return F.softplus(fake - real).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(kind, real, fake):
    if kind == "hinge":
        return -fake.mean()
    if kind == "relativistic":
        return F.softplus(real - fake).mean()
    return F.softplus(-fake).mean()


def squared_gradient(y, x):
    gradient, = torch.autograd.grad(y.sum(), x, create_graph=True)
    return gradient.square().sum([1, 2, 3]).mean()


def path_penalty(p, images, styles, random):
    noise = random.normal(images.shape[0], *images.shape[2:], images.shape[1])
    projection = (images * nchw(noise)).sum() / math.sqrt(images.shape[2] * images.shape[3])
    gradient, = torch.autograd.grad(projection, styles, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    p["path_length.mean"] = p["path_length.mean"] + 0.01 * (lengths.mean().detach() - p["path_length.mean"])
    return (lengths - p["path_length.mean"]).square().mean()


class Training:
    """p: parameters and buffers by name. phases: name → network, learning rate and betas of the Adam that is its own."""
    def __init__(self, system, start, dtype, phases):
        self.p = {k: v.to(dtype).clone() for k, v in start.items()}
        self.adams = {}
        for phase, (network, lr, betas) in phases.items():
            own = [k for k in start if k.startswith(network + ".") and not k.endswith(system.buffers)]
            self.adams[phase] = torch.optim.Adam([self.p[k].requires_grad_() for k in own], lr, betas)

    def update(self, phase, loss, allow_unused=False):
        parameters = self.adams[phase].param_groups[0]["params"]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=allow_unused)
        for value, gradient in zip(parameters, gradients):
            value.grad = torch.zeros_like(value) if gradient is None else gradient
        self.adams[phase].step()


def run(system, start, batches, labels, dtype):
    phases = {}
    for network, lr, every in (("generator", system.lr_g, system.path_every), ("discriminator", system.lr_d, system.r1_every)):
        share = every / (every + 1) if every > 1 else 1  # of the optimiser's updates; StyleGAN2's appendix B
        phases[network] = network, lr * share, [beta ** share for beta in system.betas]
    training = Training(system, start, dtype, phases)
    p, update = training.p, lambda network, loss: training.update(network, loss, allow_unused=True)
    p["path_length.mean"] = torch.zeros(1, dtype=dtype)

    reports = []
    for step in range(STEPS):
        random, real, label, report = Random(step, dtype), batches[step].to(dtype), labels[step], {}
        latents = lambda: random.normal(system.batch, system.latent)
        real.requires_grad_(system.r1 > 0)
        real_logits = system.discriminator(p, real, label)
        fake, _ = system.generator(p, latents(), label, random)
        judged = fake.detach().requires_grad_(system.r2 > 0)
        fake_logits = system.discriminator(p, judged, label)
        total = report["loss_d"] = discriminator_loss(system.loss, real_logits, fake_logits)
        if system.r1 and system.r1_every == 1:
            report["r1"] = squared_gradient(real_logits, real)
            total = total + report["r1"] * system.r1 / 2
        if system.r2:
            report["r2"] = squared_gradient(fake_logits, judged)
            total = total + report["r2"] * system.r2 / 2
        update("discriminator", total)
        if system.r1_every > 1 and step % system.r1_every == 0:
            report["r1"] = squared_gradient(system.discriminator(p, real, label), real)
            update("discriminator", report["r1"] * system.r1 / 2 * system.r1_every)
        fake_logits = system.discriminator(p, fake, label)
        real_logits = system.discriminator(p, real, label) if system.loss == "relativistic" else None
        total = report["loss_g"] = generator_loss(system.loss, real_logits, fake_logits)
        update("generator", total)
        if system.path_length and step % system.path_every == 0:
            images, styles = system.generator(p, latents(), label, random)
            report["path_penalty"] = path_penalty(p, images, styles, random)
            update("generator", report["path_penalty"] * system.path_length * system.path_every)
        reports.append({k: v.item() for k, v in report.items()})
    names = list(reports[0])
    losses = np.array([[report.get(name, math.nan) for name in names] for report in reports])
    labels = torch.arange(SAMPLES) % max(system.classes, 1)
    with torch.no_grad():
        samples, _ = system.generator(p, sampler_latents(system.latent, dtype), labels, None)
    return names, losses, samples.permute(0, 2, 3, 1).float().numpy()


def fashion(size):
    folder = "/usr/share/datasets/fashion-mnist/train-"
    with gzip.open(folder + "images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(16 + IMAGES * 784), np.uint8, offset=16).reshape(IMAGES, 28, 28)
    with gzip.open(folder + "labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + IMAGES), np.uint8, offset=8)
    low = (28 - size) // 2
    return np.ascontiguousarray(pixels[:, low:low + size, low:low + size]), labels.astype(np.int32)


def save(name, system, start, run=run):
    start = {k: v.float().double() for k, v in start.items()}
    pixels, labels = fashion(system.size)
    indices = np.random.RandomState(1).randint(0, IMAGES, (STEPS, system.batch)).astype(np.int32)
    batches = [torch.from_numpy(pixels[i].astype(np.float64))[:, None] / 127.5 - 1 for i in indices]
    step_labels = [torch.from_numpy(labels[i]).long() for i in indices]
    names, truth, samples = run(system, start, batches, step_labels, torch.float64)
    _, rounded, _ = run(system, start, batches, step_labels, torch.float32)
    drift = np.nanmax(np.abs(rounded - truth) / np.maximum(np.abs(truth), np.nanmean(np.abs(truth), 0)))
    tensors = {k: v.float().numpy() for k, v in start.items()}
    tensors.update({"images": pixels, "labels": labels, "indices": indices, "losses": truth.astype(np.float32),
                    "samples": samples})
    tensors.update(system.fixed)
    if system.inputs(pixels) is not None:
        tensors["inputs"] = system.inputs(pixels)
    settings = {k: str(getattr(system, k)) for k in ("size", "channels", "latent", "width", "classes", "batch")}
    if system.options:
        settings["options"] = system.options
    path = os.path.join(HERE, "data", name + ".safetensors")
    safetensors.save(path, tensors, {"reports": ",".join(names), "seed": str(SEED), "float32_drift": f"{drift:.1e}", **settings})
    print(f"{path}: {os.path.getsize(path)} bytes; PyTorch's own float32 is off by {drift:.1e}")
    for row in truth:
        print("  ".join(f"{n} {v:.5f}" for n, v in zip(names, row)))
