"""Sums, extremes and what is made of them, over any axes."""
import torch

from draw import bits, case, product, row

OVER = [((5, 8), [0]), ((5, 8), [1]), ((5, 8), [0, 1]), ((4, 5, 6, 8), [0, 1, 2]), ((4, 5, 6, 3), [0, 1, 2]), ((3, 5, 7), [1]),
        ((3, 5, 8), [0, 2]), ((299, 4), [0]), ((1, 1), [0, 1]), ((2, 700), [1])]


def shape_and_axes(d):
    shape = d.shape()
    return shape, d.axes(len(shape))


def reduction(name, function, draw, parameters=shape_and_axes, special=OVER, size=0.0):
    """size: of what the slopes of one sum are differences"""
    def make(d, shape, axes, keep, *more):
        sums = product(shape) / product(shape[axis] for axis in axes)
        return case([bits(axes), keep, *more], lambda x: function(x, axes, bool(keep), *more), draw(d, *shape), size=size * sums ** 0.5)
    row(name, make, lambda d: parameters(d) + (int(d.flag()),), [p[:2] + (i % 2,) + p[2:] for i, p in enumerate(special)])


def sum_parameters(d):
    """Now and then so long that a kernel must be cut in parts."""
    if d.integer(0, 11):
        return shape_and_axes(d)
    return d.choice([((66000, 1), [0]), ((2, 33001), [1]), ((4099, 3), [0])])


def normal(d, *shape):
    return d.normal(*shape)


reduction("sum", lambda x, axes, keep: x.sum(axes, keepdim=keep), normal, sum_parameters)
reduction("mean", lambda x, axes, keep: x.mean(axes, keepdim=keep), normal)
reduction("logsumexp", lambda x, axes, keep: x.logsumexp(axes, keepdim=keep), lambda d, *s: 3 * d.normal(*s),
          size=0.1)  # see one_axis


def extreme(name, function):
    """Where several are equal they share the gradient."""
    def make(d, shape, axes, keep, equal):
        x = d.ties(*shape) if equal else d.distinct(*shape)
        return case([bits(axes), keep], lambda x: function(x, axes, keepdim=bool(keep)), x, kink=equal)
    row(name, make, lambda d: shape_and_axes(d) + (int(d.flag()), d.integer(0, 3) == 0),
        [p + (i % 2, i % 3 == 1) for i, p in enumerate(OVER)])


extreme("max", torch.amax)
extreme("min", torch.amin)


def var(d, shape, axes, keep, correction):
    count = 1
    for axis in axes:
        count *= shape[axis]
    correction = min(correction, count - 1)
    return case([bits(axes), keep, correction],
                lambda x: ((x - x.mean(axes, keepdim=True)) ** 2).sum(axes, keepdim=bool(keep)) / (count - correction),
                d.normal(*shape))


row("var", var, lambda d: shape_and_axes(d) + (int(d.flag()), d.integer(0, 1)), [p + (i % 2, i // 2 % 2) for i, p in enumerate(OVER)])


def along(d):
    shape = d.shape()
    return shape, d.integer(0, len(shape) - 1)


ALONG = [((1,), 0), ((7,), 0), ((5, 8), 0), ((5, 8), 1), ((2, 3, 4, 8), 3), ((2, 17, 3), 1), ((3, 65), 1), ((3, 1), 1)]


def one_axis(name, function, scale):
    """Where one number of a slice outweighs the others, slopes vanish: they are differences of shares of it, and of those that
    have a length of 0.1 at least."""
    def make(d, shape, axis):
        slices = product(shape) / shape[axis]
        return case([axis], lambda x: function(x, axis), scale * d.normal(*shape), size=0.1 * slices ** 0.5)
    row(name, make, along, ALONG)


one_axis("softmax", torch.softmax, 3)
one_axis("log_softmax", torch.log_softmax, 3)


def cumsum_parameters(d):
    return along(d) if d.integer(0, 5) else d.choice([((1000, 2), 0), ((2, 515), 1), ((2, 300, 3), 1)])


row("cumsum", lambda d, shape, axis: case([axis], lambda x: x.cumsum(axis), d.normal(*shape)), cumsum_parameters,
    ALONG + [((2, 300, 3), 1), ((1000,), 0)])


def argmax(d, shape, axis, keep, equal):
    # of equal ones PyTorch may name any; ours is the first
    def function(x):
        n = shape[axis]
        at = torch.arange(n).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        first = torch.where(x == x.amax(axis, keepdim=True), at, n).amin(axis, keepdim=bool(keep))
        assert equal or torch.equal(first, x.argmax(axis, keepdim=bool(keep)))
        return first.double()
    return case([axis, keep], function, d.ties(*shape) if equal else d.distinct(*shape), kink=equal)


row("argmax", argmax, lambda d: along(d) + (int(d.flag()), d.flag()), [p + (i % 2, i % 3 == 1) for i, p in enumerate(ALONG)])
