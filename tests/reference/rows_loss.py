"""Attention and losses."""
import math

import torch
import torch.nn.functional as F

from draw import case, row


def attention(d, batch, length, keys, e, f, scale, mask, elements):
    """mask: None, or its shape"""
    m = d.normal(*mask) if mask is not None else None
    if m is not None:  # some are shut off, but never all of a query's: float32 does not tell -1e4 and a score apart
        m = torch.where(m > 1.2, -1e4, m)
        m[..., 0] = m[..., 0].clamp(min=-4)

    def function(q, k, v):
        scores = q @ k.transpose(-1, -2) * (scale or 1 / math.sqrt(e))
        return torch.softmax(scores if m is None else scores + m, -1) @ v
    return case([scale, elements], function, d.normal(*batch, length, e), d.normal(*batch, keys, e), d.normal(*batch, keys, f),
                consts=[] if m is None else [m])


def attention_parameters(batched):
    def parameters(d):
        batch = tuple(d.choice([1, 2, 3]) for _ in range(d.integer(1, 2))) if batched else ()
        length, keys, e, f = d.size(33), d.size(33), d.size(17), d.size(17)
        mask = d.choice([None, (length, keys), (1, keys)])
        if mask and batched and d.flag():
            mask = batch + mask
        return batch, length, keys, e, f, d.choice([0.0, 0.0, 0.5]), mask, d.choice([0, 0, keys * 5, 1])
    return parameters


row("scaled_dot_product_attention", attention, attention_parameters(False),
    [((), 1, 1, 1, 1, 0.0, None, 0), ((), 5, 7, 8, 3, 0.0, None, 0), ((), 5, 7, 8, 3, 0.3, (5, 7), 14), ((), 17, 4, 4, 4, 0.0, (1, 4), 20)])
row("scaled_dot_product_attention_batched", attention, attention_parameters(True),
    [((2,), 5, 7, 8, 3, 0.0, None, 0), ((2, 3), 4, 4, 4, 4, 0.0, (4, 4), 0), ((2, 2), 6, 5, 3, 8, 0.5, (2, 1, 6, 5), 40),
     ((1,), 17, 33, 4, 1, 0.0, (1, 1, 33), 100)])

# --- losses ---


def logits(d, *shape):
    return d.wide(3, *shape)


def mean_shape(d):
    return d.shape(1, 4, 2000)


SHAPES = [(1,), (16, 1), (5, 8), (2, 3, 4, 3)]
row("bce_with_logits", lambda d, shape, target: case([target], lambda x: F.binary_cross_entropy_with_logits(
    x, torch.full_like(x, target)), logits(d, *shape)), lambda d: (mean_shape(d), d.real(0, 1)),
    [((16, 1), t) for t in (0.0, 1.0, 0.9)])
row("bce_with_logits_to", lambda d, shape: case([], F.binary_cross_entropy_with_logits, logits(d, *shape), d.uniform(0, 1, *shape)),
    lambda d: (mean_shape(d),), [(s,) for s in SHAPES])


def apart(d, shape, kinks, low=0.1):
    """Numbers at least `low` away from every kink."""
    x = d.normal(*shape)
    for kink in kinks:
        x = torch.where((x - kink).abs() < low + 0.01, x + 2.5 * low, x)
    return x.float().double()


def hinge(sign):
    return lambda d, shape: case([], lambda x: torch.relu(1 + sign * x).mean(), apart(d, shape, [-sign]))


row("hinge_loss_real", hinge(-1), lambda d: (mean_shape(d),), [(s,) for s in SHAPES])
row("hinge_loss_fake", hinge(1), lambda d: (mean_shape(d),), [(s,) for s in SHAPES])
row("wasserstein_loss", lambda d, a, b: case([], lambda a, b: b.mean() - a.mean(), d.normal(*a), d.normal(*b)),
    lambda d: (mean_shape(d), mean_shape(d)), [((16, 1), (16, 1)), ((1,), (7,)), ((5, 8), (3, 1))])


def cross_entropy(d, n, classes):
    labels = d.indices(classes, n)
    # the size as in rows_reduce.py's one_axis, and of a mean
    return case([], lambda x: F.cross_entropy(x, labels), logits(d, n, classes), ints=[labels], size=0.1 / n ** 0.5)


row("cross_entropy", cross_entropy, lambda d: d.fit((d.size(), d.size()), 2000), [(1, 1), (5, 10), (16, 3), (3, 65)])
row("mse_loss", lambda d, shape: case([], F.mse_loss, d.normal(*shape), d.normal(*shape)), lambda d: (mean_shape(d),),
    [(s,) for s in SHAPES])


def difference_loss(function, kinks):
    def make(d, shape, *more):
        b = d.normal(*shape)
        a = (b + apart(d, shape, kinks(*more))).float().double()
        return case(more, lambda a, b: function(a, b, *more), a, b)
    return make


row("l1_loss", difference_loss(F.l1_loss, lambda: [0]), lambda d: (mean_shape(d),), [(s,) for s in SHAPES])
row("smooth_l1_loss", difference_loss(lambda a, b, beta: F.smooth_l1_loss(a, b, beta=beta), lambda beta: [-beta, beta]),
    lambda d: (mean_shape(d), d.real(0.4, 1.5)), [(s, 1.0) for s in SHAPES])
# it vanishes at (0, 0), where 1 has been taken away from 1
row("gaussian_kl", lambda d, shape: case([], lambda m, lv: ((lv.exp() + m ** 2 - 1 - lv) / 2).sum(-1).mean(), d.normal(*shape),
                                         d.normal(*shape), size=1.0), lambda d: (mean_shape(d),), [(s,) for s in SHAPES])


def cosine_similarity(d, shape, axis, epsilon):
    def function(a, b):
        sizes = torch.sqrt((a * a).sum(axis)).clamp(min=epsilon) * torch.sqrt((b * b).sum(axis)).clamp(min=epsilon)
        return (a * b).sum(axis) / sizes
    a, b = d.away(*shape), d.away(*shape)
    assert torch.allclose(function(a, b), F.cosine_similarity(a, b, axis, epsilon), atol=1e-6)
    return case([axis, epsilon], function, a, b)


def cosine_parameters(d):
    while True:
        shape = d.shape(1, 4, 1500)
        axis = d.integer(0, len(shape) - 1)
        if shape[axis] > 2:
            return shape, axis, 1e-6


row("cosine_similarity", cosine_similarity, cosine_parameters, [((5, 8), 1, 1e-6), ((8, 3), 0, 1e-6), ((2, 7, 4), 1, 1e-6), ((65,), 0, 1e-6)])


def total_variation(d, n, h, w, c):
    return case([], lambda x: (x[:, 1:] - x[:, :-1]).abs().mean() + (x[:, :, 1:] - x[:, :, :-1]).abs().mean(), d.distinct(n, h, w, c))


row("total_variation", total_variation, lambda d: d.image(2, 2, 1500), [(1, 2, 2, 1), (2, 5, 4, 3), (1, 17, 16, 8)])
