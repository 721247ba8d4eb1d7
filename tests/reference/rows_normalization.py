"""Normalisations, and StyleGAN's parts."""
import torch
import torch.nn.functional as F

from draw import bits, case, channels_first, channels_last, product, row, rounded
from rows_product import convolve, geometry, output_size


def normalized(x, axes, epsilon):
    mean = x.mean(axes, keepdim=True)
    var = ((x - mean) ** 2).mean(axes, keepdim=True)
    return (x - mean) / torch.sqrt(var + epsilon)


def spread_out(d, *shape):
    return rounded(2 * d.normal(*shape) + 0.5)


# Statistics over two numbers bend hard: differences need the softer epsilon.
EPSILONS = [1e-5, 1e-3, 0.1]


def batch_normalization(d, shape, epsilon):
    def function(x, weight, bias):
        return F.batch_norm(x.reshape(-1, shape[-1]), None, None, weight, bias, True, 0.0, epsilon).reshape(shape)
    return case([epsilon], function, spread_out(d, *shape), d.normal(shape[-1]), d.normal(shape[-1]))


row("batch_normalization", batch_normalization, lambda d: (d.fit((d.choice([5, 8, 17]),) + d.shape(1, 3, 500)), d.choice(EPSILONS)),
    [(s, 1e-5) for s in [(6, 5), (4, 3, 3, 8), (2, 5, 4, 3), (3, 2, 2, 1), (8, 33), (64, 7, 7, 4)]])


def normalize(d, shape, axes, epsilon):
    return case([bits(axes), epsilon], lambda x: normalized(x, axes, epsilon), spread_out(d, *shape))


def normalize_parameters(d):
    while True:
        shape = d.shape(1, 4, 3000)
        axes = d.axes(len(shape))
        count = 1
        for a in axes:
            count *= shape[a]
        if count >= 4:
            return shape, axes, d.choice(EPSILONS)


OVER = [((7,), [0]), ((5, 8), [0]), ((5, 8), [1]), ((2, 3, 4, 8), [1, 2]), ((2, 3, 4, 3), [1, 2, 3]), ((3, 65), [1])]
row("normalize", normalize, normalize_parameters, [o + (1e-3,) for o in OVER])


# --- with weight and bias: absent, both, or one; what is there comes after x ---
def affine_case(d, attributes, function, x, size, which):
    parts = [d.normal(*size) for bit in (1, 2) if which & bit]
    def whole(x, *parts):
        parts = list(parts)
        weight = parts.pop(0) if which & 1 else None
        return function(x, weight, parts.pop(0) if which & 2 else None)
    return case(attributes + [which], whole, x, *parts)


def scaled(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def layer_normalization(d, shape, axes, epsilon, which):
    size = tuple(n if i in axes else 1 for i, n in enumerate(shape))[min(axes):]
    return affine_case(d, [bits(axes), epsilon], lambda x, w, b: scaled(normalized(x, axes, epsilon), w, b),
                       spread_out(d, *shape), size, which)


row("layer_normalization", layer_normalization, lambda d: normalize_parameters(d) + (d.choice([0, 1, 2, 3, 3]),),
    [o + (1e-5, which) for o, which in zip(OVER, (0, 1, 2, 3, 3, 3))])


def group_normalization(d, shape, groups, epsilon, which):
    return affine_case(d, [groups, epsilon], lambda x, w, b: scaled(channels_last(
        F.group_norm(channels_first(x), groups, eps=epsilon)), w, b), spread_out(d, *shape), (shape[-1],), which)


def group_parameters(d):
    while True:
        *shape, c = d.shape(3, 4, 1200)
        groups = d.choice([g for g in range(1, c + 1) if c % g == 0])
        count = c // groups
        for n in shape[1:]:
            count *= n
        if count >= 4:
            return (*shape, c), groups, d.choice(EPSILONS), d.integer(0, 3)


row("group_normalization", group_normalization, group_parameters,
    [((2, 3, 3, 8), 4, 1e-5, 3), ((1, 4, 5, 3), 1, 1e-5, 1), ((3, 4, 4, 6), 6, 1e-5, 2), ((2, 5, 4), 2, 1e-5, 0),
     ((2, 2, 2, 3, 12), 3, 1e-5, 3)])


def instance_normalization(d, shape, epsilon, which):
    axes = list(range(1, len(shape) - 1))
    return affine_case(d, [epsilon], lambda x, w, b: scaled(normalized(x, axes, epsilon), w, b), spread_out(d, *shape),
                       (shape[-1],), which)


def instance_parameters(d):
    while True:
        shape = d.image(d.integer(1, 3), 2)
        if product(shape[1:-1]) >= 4:
            return shape, d.choice(EPSILONS[1:]), d.integer(0, 3)


row("instance_normalization", instance_normalization, instance_parameters,
    [((2, 3, 3, 8), 1e-5, 3), ((1, 4, 5, 3), 1e-5, 0), ((2, 7, 1), 1e-5, 3), ((1, 2, 3, 4, 5), 1e-5, 1), ((3, 16, 17, 1), 1e-5, 2)])


def adain(d, shape, epsilon):
    axes = list(range(1, len(shape) - 1))
    size = [shape[0]] + [1] * len(axes) + [shape[-1]]
    return case([epsilon], lambda x, w, b: normalized(x, axes, epsilon) * w.reshape(size) + b.reshape(size),
                spread_out(d, *shape), d.normal(shape[0], shape[-1]), d.normal(shape[0], shape[-1]))


row("adain", adain, lambda d: (d.image(2, 2), d.choice(EPSILONS[1:])),
    [((2, 3, 3, 8), 1e-5), ((1, 4, 5, 3), 1e-5), ((3, 16, 17, 1), 1e-5)])


def pixel_normalization(d, shape, epsilon):
    return case([epsilon], lambda x: x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon), spread_out(d, *shape))


row("pixel_normalization", pixel_normalization, lambda d: (d.shape(1, 3, 100) + (d.choice([4, 5, 8, 17, 33, 64]),), d.choice(EPSILONS[1:])),
    [((2, 8), 1e-3), ((2, 3, 4, 3), 1e-3), ((1, 5, 65), 1e-3), ((4, 1), 0.1)])


def modulated_convolution(d, n, size, ci, co, kernel, g, demodulate):
    def function(x, w, style):
        results = []
        for i in range(n):
            own = w * style[i][:, None]
            if demodulate:
                own = own / torch.sqrt((own ** 2).sum([0, 1, 2], keepdim=True) + 1e-8)
            results.append(convolve(x[i:i + 1], own, g))
        return torch.cat(results)
    return case(geometry(g) + [demodulate], function, d.normal(n, *size, ci), d.normal(*kernel, ci, co),
                d.uniform(0.5, 1.5, n, ci))


def modulated_parameters(d):
    while True:
        n, h, w, ci = d.image(2, channels=17, most=1500)
        k, stride, pad = d.choice([1, 3, 3, 4]), d.choice([1, 1, 2]), d.integer(0, 1)
        g = ((stride, stride), (pad, pad), (1, 1), 1)
        if min(output_size((h, w), (k, k), g)) > 0:
            # demodulation makes one channel's style cancel out: what is left of its gradient is rounding alone
            return n, (h, w), ci, d.channels(17), (k, k), g, int(d.flag() and ci > 1)


PLAIN = ((1, 1), (1, 1), (1, 1), 1)
row("modulated_convolution", modulated_convolution, modulated_parameters,
    [(2, (4, 5), 3, 8, (3, 3), PLAIN, 1), (2, (4, 5), 3, 8, (3, 3), PLAIN, 0), (1, (6, 6), 8, 4, (1, 1), ((1, 1), (0, 0), (1, 1), 1), 1),
     (3, (7, 6), 5, 5, (3, 3), ((2, 2), (1, 1), (1, 1), 1), 1)])


def minibatch_stddev(d, shape, group, channels):
    n, h, w, c = shape

    def function(x):
        y = x.reshape(group, n // group, h, w, channels, c // channels)
        y = torch.sqrt(((y - y.mean(0, keepdim=True)) ** 2).mean(0) + 1e-8).mean([1, 2, 4])
        return torch.cat([x, y.reshape(n // group, 1, 1, channels).repeat(group, h, w, 1)], 3)
    # A deviation bends hard where it is small, so the samples of a group stand apart. Of two it is half of |a - b|, whose
    # second gradient vanishes.
    apart = torch.arange(group).reshape(group, 1, 1, 1, 1) - 0.3 * torch.rand(group, n // group, h, w, c, generator=d.torch)
    order = torch.argsort(torch.rand(group, n // group, h, w, c, generator=d.torch), 0)
    x = rounded(torch.gather(apart.double(), 0, order).reshape(shape) - group / 2)
    return case([group, channels], function, x, size=1.0 if group == 2 else 0.0)


def stddev_parameters(d):
    group, channels = d.choice([2, 3, 4]), d.choice([1, 1, 2, 3])
    return (group * d.integer(1, 3), d.size(9), d.size(9), channels * d.choice([1, 2, 3, 8])), group, channels


row("minibatch_stddev", minibatch_stddev, stddev_parameters,
    [((4, 3, 3, 8), 4, 1), ((4, 3, 5, 6), 2, 2), ((3, 1, 1, 3), 3, 3), ((8, 4, 4, 5), 4, 1)])
