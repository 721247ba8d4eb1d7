#!/usr/bin/python3
"""Computes data/optimizers.safetensors: 20 steps of a tiny regression by every optimiser, with every setting.

Run by hand after a change, with Debian's python3-torch: tests/reference/optimizers.py
All begin with the same weights, and see the same batches: "batches" [count, BATCH, INPUTS + 1], the last column is what
the network is to say. "NAME/PARAMETER" are the weights behind the last step, "NAME/ema/PARAMETER" their average, "NAME/losses"
and "NAME/lrs" one a step. All in double; the metadata say how far float32 ends from it.
"""
import os

import numpy as np
import torch
from torch.optim import lr_scheduler as schedulers

import safetensors

STEPS, BATCH, INPUTS, WIDTH, ACCUMULATE = 20, 8, 6, 16, 4
HERE = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(20261125)
START = {"net.w1": torch.randn(INPUTS, WIDTH, dtype=torch.double) * 0.5,
         "net.b1": torch.randn(WIDTH, dtype=torch.double) * 0.1,
         "net.w2": torch.randn(WIDTH, 1, dtype=torch.double) * 0.5}
START = {name: p.float().double() for name, p in START.items()}
x = torch.randn(STEPS * ACCUMULATE, BATCH, INPUTS)
BATCHES = torch.cat([x, torch.sin(2 * x[..., :1]) + 0.5 * x[..., 1:2] * x[..., 2:3]], 2)


def loss_of(p, batch):
    batch = batch.to(p["net.w1"].dtype)
    y = torch.tanh(batch[:, :INPUTS] @ p["net.w1"] + p["net.b1"]) @ p["net.w2"]
    return (y - batch[:, INPUTS:]).square().mean()


def penalty_of(p):
    return sum(w.square().sum() for w in p.values())


def optimizer(kind, **settings):
    return lambda parameters: getattr(torch.optim, kind)(parameters, **settings)


def warm_up(steps):
    return lambda o: schedulers.LambdaLR(o, lambda t: min(1, (t + 1) / steps))


def behind(steps, first, second):
    return lambda o: schedulers.SequentialLR(o, [first(o), second(o)], [steps])


def lr_of(kind, **settings):
    return lambda o: getattr(schedulers, kind)(o, **settings)


ADAM = {"lr": 0.01, "betas": (0.5, 0.9)}
LAZY = 4 / 5  # a penalty every fourth step
CASES = {
    "adam": {"optimizer": optimizer("Adam", **ADAM), "ema": lambda step: 0 if step == 0 else 0.8},
    "adam-decay": {"optimizer": optimizer("Adam", **ADAM, weight_decay=0.1)},
    "adamw": {"optimizer": optimizer("AdamW", **ADAM)},
    "adamw-decay": {"optimizer": optimizer("AdamW", **ADAM, weight_decay=0.5)},
    "rmsprop": {"optimizer": optimizer("RMSprop", lr=0.01)},
    "rmsprop-momentum": {"optimizer": optimizer("RMSprop", lr=0.005, alpha=0.9, momentum=0.5, weight_decay=0.1)},
    "sgd": {"optimizer": optimizer("SGD", lr=0.1)},
    "sgd-momentum": {"optimizer": optimizer("SGD", lr=0.05, momentum=0.8, weight_decay=0.1)},
    "clip-norm": {"optimizer": optimizer("SGD", lr=0.1),
                  "clip": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5)},
    "clip-value": {"optimizer": optimizer("Adam", **ADAM),
                   "clip": lambda p: torch.nn.utils.clip_grad_value_(p, 0.05)},
    "clip-both": {"optimizer": optimizer("SGD", lr=0.1), "clip": lambda p: (
        torch.nn.utils.clip_grad_norm_(p, 0.5), torch.nn.utils.clip_grad_value_(p, 0.05))},
    "clip-parameters": {"optimizer": optimizer("RMSprop", lr=0.01), "clip_parameters": 0.3},
    "linear": {"optimizer": optimizer("Adam", **ADAM),
               "schedule": lr_of("LinearLR", start_factor=1, end_factor=0.25, total_iters=15)},
    "cosine": {"optimizer": optimizer("AdamW", **ADAM),
               "schedule": behind(8, warm_up(5), lr_of("CosineAnnealingLR", T_max=12, eta_min=0.001)),
               "ema": lambda step: 0 if step == 0 else 0.5 ** (BATCH / min(200, 0.25 * BATCH * step))},
    "step": {"optimizer": optimizer("SGD", lr=0.1, momentum=0.5),
             "schedule": lr_of("StepLR", step_size=6, gamma=0.3)},
    "accumulate": {"optimizer": optimizer("Adam", **ADAM), "accumulate": ACCUMULATE,
                   "clip": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5)},
    "lazy": {"optimizer": optimizer("Adam", lr=0.01 * LAZY, betas=(0.5 ** LAZY, 0.9 ** LAZY)), "penalty_every": 4},
}


def train(case, dtype):
    p = {name: torch.nn.Parameter(w.to(dtype).clone()) for name, w in START.items()}
    weights = list(p.values())
    o = case["optimizer"](weights)
    schedule = case["schedule"](o) if "schedule" in case else None
    shadow, losses, lrs = {}, [], []
    for step in range(STEPS):
        count = case.get("accumulate", 1)
        o.zero_grad()
        for i in range(count):
            loss = loss_of(p, BATCHES[step * count + i])
            (loss / count).backward()
        if "clip" in case:
            case["clip"](weights)
        lrs.append(o.param_groups[0]["lr"])
        o.step()
        losses.append(loss.item())
        if step % case.get("penalty_every", STEPS + 1) == 0 and "penalty_every" in case:
            o.zero_grad()
            (0.01 * penalty_of(p)).backward()
            o.step()
        if "clip_parameters" in case:
            for w in weights:
                w.data.clamp_(-case["clip_parameters"], case["clip_parameters"])
        if schedule:
            schedule.step()
        if "ema" in case:
            beta = case["ema"](step)
            for name, w in p.items():
                shadow[name] = w.detach() + beta * (shadow.get(name, 0) - w.detach())
    return p, shadow, losses, lrs


def main():
    worst = 0
    out = {"batches": BATCHES.numpy(), **{name: w.float().numpy() for name, w in START.items()}}
    for name, case in CASES.items():
        p, shadow, losses, lrs = train(case, torch.double)
        rough = train(case, torch.float)[0]
        out[name + "/losses"] = np.array(losses, np.float32)
        out[name + "/lrs"] = np.array(lrs, np.float32)
        for key, w in p.items():
            out[f"{name}/{key}"] = w.detach().float().numpy()
        for key, w in shadow.items():
            out[f"{name}/ema/{key}"] = w.float().numpy()
        drift = max(((rough[k].double() - w).norm() / w.norm()).item() for k, w in p.items())
        worst = max(worst, drift)
        print(f"{name}: loss {losses[0]:.4f} → {losses[-1]:.4f}, float32 drifts by {drift:.1e}")
    safetensors.save(os.path.join(HERE, "data", "optimizers.safetensors"), out, {"float32_drift": f"{worst:.1e}"})


if __name__ == "__main__":
    main()
