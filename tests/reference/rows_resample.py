"""Linear maps along an axis, resizing, pooling, sampling at computed places."""
import itertools
import math

import torch
import torch.nn.functional as F

from draw import case, channels_first, channels_last, row, three


# --- linear maps: the table goes to the other side as numbers ---
def apply_linear_map(d, shape, axis, out, most):
    lengths = [d.integer(0, most) for _ in range(out)]
    index, weight = d.indices(shape[axis], sum(lengths)), d.normal(sum(lengths))
    matrix = torch.zeros(out, shape[axis], dtype=torch.float64)
    rows = torch.arange(out).repeat_interleave(torch.tensor(lengths))
    matrix.index_put_((rows, index), weight, accumulate=True)
    return case([axis, out] + lengths + index.tolist() + weight.tolist(),
                lambda x: torch.tensordot(matrix, x, ([1], [axis])).movedim(0, axis), d.normal(*shape))


def map_parameters(d):
    shape = d.shape(1, 4, 1500)
    return shape, d.integer(0, len(shape) - 1), d.size(17), d.integer(1, 5)


row("apply_linear_map", apply_linear_map, map_parameters,
    [((6, 5), 0, 9, 3), ((6, 5), 1, 3, 4), ((3, 7, 8), 1, 12, 3), ((2, 3, 4, 5), 2, 6, 2), ((40,), 0, 1, 30), ((2, 3, 4, 8), 3, 5, 3)])

# --- resizing ---
MODES = [{1: "nearest", 2: "nearest", 3: "nearest"}, {1: "linear", 2: "bilinear", 3: "trilinear"}, {2: "bicubic"}]
INTERPOLATIONS = [(n, mode, align, antialias) for n in (1, 2, 3) for mode in range(3) for align in (0, 1) for antialias in (0, 1)
                  if n in MODES[mode] and not (mode == 0 and align + antialias) and not (antialias and n != 2)]


def interpolate(d, shape, size, mode, align, antialias):
    options = {} if mode == 0 else {"align_corners": bool(align), "antialias": bool(antialias)}
    return case(three(size) + [mode, align, antialias], lambda x: channels_last(
        F.interpolate(channels_first(x), size=tuple(size), mode=MODES[mode][len(size)], **options)), d.normal(*shape))


def interpolate_parameters(d):
    n, mode, align, antialias = d.choice(INTERPOLATIONS)
    size = d.fit([d.size(33) for _ in range(n)], 300)
    return d.image(n, most=600), size, mode, align, antialias


SIZES = {1: [((2, 5, 3), (9,)), ((2, 9, 4), (5,))], 2: [((2, 4, 6, 3), (8, 3)), ((1, 7, 5, 4), (3, 10)), ((1, 5, 1, 2), (1, 4))],
         3: [((1, 3, 4, 5, 2), (5, 2, 7))]}
row("interpolate", interpolate, interpolate_parameters,
    [sizes + mode[1:] for mode in INTERPOLATIONS for sizes in SIZES[mode[0]]] + [((1, 11, 29, 1), (17, 23), 0, 0, 0)])


def upfirdn2d(d, shape, up, down, low, high, gain, taps):
    n, h, w, c = shape
    f = torch.tensor(taps, dtype=torch.float64).flip(0)

    def function(x):
        spread = torch.zeros(n, h, up, w, up, c, dtype=torch.float64)
        spread[:, :, 0, :, 0, :] = 1
        spread = (spread * x[:, :, None, :, None, :]).reshape(n, h * up, w * up, c)
        padded = F.pad(channels_first(spread), [low, high, low, high]).reshape(n * c, 1, -1, w * up + low + high)
        y = F.conv2d(padded, f.outer(f)[None, None] * gain)[:, :, ::down, ::down]
        return channels_last(y.reshape(n, c, *y.shape[2:]))
    return case([up, down, low, high, gain] + list(taps), function, d.normal(*shape))


def fir_parameters(d):
    while True:
        shape, taps = d.image(2, most=600), [d.real(-1, 3) for _ in range(d.integer(1, 6))]
        up, down, low, high = d.integer(1, 3), d.integer(1, 3), d.integer(-1, 4), d.integer(-1, 4)
        if min(shape[1], shape[2]) * up + low + high >= len(taps) and min(shape[1], shape[2]) * up + min(low, 0) + min(high, 0) > 0:
            return shape, up, down, low, high, d.choice([1.0, 4.0, 0.5]), taps


row("upfirdn2d", upfirdn2d, fir_parameters,
    [((2, 4, 5, 3), 2, 1, 2, 1, 4.0, [1, 3, 3, 1]), ((1, 8, 6, 4), 1, 2, 1, 1, 1.0, [1, 2.5, 3, 1]),
     ((1, 5, 4, 2), 3, 2, 2, 4, 0.5, [1, 2, 3, 4, 5]), ((1, 6, 6, 1), 1, 1, -1, 2, 1.0, [1, -2, 0.5]), ((1, 6, 7, 1), 2, 3, 0, -1, 1.0, [2])])


def pixel_shuffle(d, shape, f):
    return case([f], lambda x: channels_last(F.pixel_shuffle(channels_first(x), f)), d.normal(*shape))


def pixel_unshuffle(d, shape, f):
    return case([f], lambda x: channels_last(F.pixel_unshuffle(channels_first(x), f)), d.normal(*shape))


def shuffle_parameters(d):
    f = d.integer(1, 3)
    n, h, w, c = d.image(2, most=400)
    return (n, h, w, c * f * f), f


def unshuffle_parameters(d):
    f = d.integer(1, 3)
    n, h, w, c = d.image(2, most=400)
    return (n, h * f, w * f, c), f


row("pixel_shuffle", pixel_shuffle, shuffle_parameters, [((2, 3, 4, 8), 2), ((1, 2, 2, 18), 3), ((1, 1, 1, 4), 2)])
row("pixel_unshuffle", pixel_unshuffle, unshuffle_parameters, [((2, 4, 6, 3), 2), ((1, 3, 6, 4), 3), ((1, 2, 2, 1), 2)])

# --- pooling ---
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
ADAPTIVE = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
WINDOWS = [((2, 9, 3), (3,), (2,), (1,)), ((2, 6, 8, 4), (2, 2), (2, 2), (0, 0)), ((2, 7, 6, 3), (3, 3), (2, 1), (1, 1)),
           ((1, 5, 9, 4), (4, 5), (1, 3), (2, 0)), ((1, 5, 4, 6, 2), (2, 3, 3), (2, 1, 3), (1, 1, 0))]


def avg_pool(d, shape, kernel, stride, padding, exclude):
    return case(three(kernel) + three(stride) + three(padding) + [exclude], lambda x: channels_last(AVG[len(kernel)](
        channels_first(x), kernel, stride, padding, count_include_pad=not exclude)), d.normal(*shape))


def max_pool(d, shape, kernel, stride, padding, equal):
    x = d.ties(*shape) if equal else d.distinct(*shape)
    return case(three(kernel) + three(stride) + three(padding) + [0], lambda x: channels_last(MAX[len(kernel)](
        channels_first(x), kernel, stride, padding)), x, kink=bool(equal))


def pool_parameters(d):
    while True:
        shape = d.image(d.integer(1, 3), most=1200)
        kernel = tuple(d.integer(1, 4) for _ in shape[1:-1])
        padding = tuple(d.integer(0, k // 2) for k in kernel)
        if all(n >= k for n, k in zip(shape[1:], kernel)):
            return shape, kernel, tuple(d.integer(1, 3) for _ in kernel), padding, int(d.flag())


row("avg_pool", avg_pool, pool_parameters, [w + (e,) for w in WINDOWS for e in (0, 1)])
row("max_pool", max_pool, pool_parameters, [w + (e,) for w in WINDOWS for e in (0, 1)])


def adaptive_avg_pool(d, shape, size):
    return case(three(size), lambda x: channels_last(ADAPTIVE[len(size)](channels_first(x), size)), d.normal(*shape))


def adaptive_parameters(d):
    n = d.integer(1, 3)
    return d.image(n, most=1200), tuple(d.integer(1, 7) for _ in range(n))


row("adaptive_avg_pool", adaptive_avg_pool, adaptive_parameters,
    [((2, 7, 3), (3,)), ((2, 6, 5, 4), (3, 5)), ((2, 4, 5, 3), (1, 1)), ((1, 3, 4, 2), (5, 7)), ((1, 4, 6, 5, 2), (2, 4, 3))])


# --- sampling ---
def sampled(x, grid, mode, border, align):
    """Of indexing, since PyTorch's own has no second gradient; `agree` holds it against that."""
    axes = grid.shape[-1]
    sizes = list(x.shape[1:-1])[::-1]
    images = torch.arange(x.shape[0]).reshape([-1] + [1] * axes)
    places = [grid[..., k] * (s - 1) / 2 + (s - 1) / 2 if align else (grid[..., k] * s + s - 1) / 2 for k, s in enumerate(sizes)]
    if border:
        # as of clamp, but that at the ends themselves there is no slope either
        places = [torch.where((p > 0) & (p < s - 1), p, p.detach().clamp(0, s - 1)) for p, s in zip(places, sizes)]
    result = 0
    for corner in itertools.product((0, 1), repeat=axes):
        if mode == 0 and any(corner):
            continue
        weight, indices, inside = 1, [], True
        for p, s, side in zip(places, sizes, corner):
            index = torch.round(p.detach()) if mode == 0 else torch.floor(p.detach()) + side
            if mode == 1:
                weight = weight * (1 - (p - index).abs())
            inside = inside & (index >= 0) & (index < s)
            indices.append(index.clamp(0, s - 1).long())
        value = x[(images, *indices[::-1])] * inside[..., None]
        result = result + (value * weight[..., None] if mode == 1 else value)
    return result


def theirs(x, grid, mode, border, align):
    return channels_last(F.grid_sample(channels_first(x), grid, ("nearest", "bilinear")[mode], ("zeros", "border")[border], bool(align)))


def agree(x, grid, *how):
    results = []
    for function in (sampled, theirs):
        inputs = [x.clone().requires_grad_(), grid.clone().requires_grad_()]
        y = function(*inputs, *how)
        v = torch.arange(y.numel(), dtype=torch.float64).reshape(y.shape).sin()
        gradients = torch.autograd.grad((y * v).sum(), inputs, allow_unused=True)
        results.append([y.detach(), gradients[0]] + ([gradients[1]] if how[0] else []))
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(*results)), (x.shape, how)


def places(d, sizes, shape, align):
    """Places of a grid, whose distance to the nearest kink (whole and half elements) is at least an eighth of one, so
    that differences may be taken where the image has few elements."""
    lines = []
    for n in sizes:
        at = (d.indices(2 * n + 3, *shape) - 2).double() / 2 + d.uniform(0.125, 0.375, *shape)
        lines.append(at / max(n - 1, 1) * 2 - 1 if align else (at * 2 + 1) / n - 1)
    return torch.stack(lines, -1).float().double()


def least_size(count):
    """Of `count` results that are means of normal numbers, each with a tenth at least: beside a kink nothing is shaken (ops.py) to see
    what terms that cancel out were made of."""
    return 0.1 * count ** 0.5


def grid_sample(d, shape, out, mode, border, align):
    x, grid = d.normal(*shape), places(d, shape[-2:0:-1], (shape[0], *out), align)
    agree(x, grid, mode, border, align)
    # a step of 0.02 is 0.01·n elements
    return case([mode, border, align], lambda a, b: sampled(a, b, mode, border, align), x, grid, kink=max(shape[1:-1]) > 9,
                size=least_size(shape[0] * math.prod(out) * shape[-1]))


def halves(d):
    grid = (torch.arange(-10, 11, dtype=torch.float64) / 8).reshape(1, 21, 1, 1).expand(1, 21, 2, 2).clone()
    x = d.normal(1, 5, 5, 2)
    agree(x, grid, 0, 0, 1)
    return case([0, 0, 1], lambda a, b: sampled(a, b, 0, 0, 1), x, grid, kink=True)


def rims(d):
    """Places at the outermost elements themselves, and beyond."""
    steps = torch.tensor([-2, -1, -0.75, 0, 0.75, 1, 2], dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)[None].clone()
    x = d.normal(1, 4, 4, 2)
    for align in (0, 1):
        agree(x, grid, 1, 1, align)
    return case([1, 1, 0], lambda a, b: sampled(a, b, 1, 1, 0), x, grid, kink=True)


def sample_parameters(d):
    n = d.choice([2, 2, 3])
    return d.image(n, most=500), tuple(d.integer(1, 5) for _ in range(n)), d.choice([0, 1, 1]), d.integer(0, 1), d.integer(0, 1)


row("grid_sample", lambda d, *p: p[0](d) if len(p) == 1 else grid_sample(d, *p), sample_parameters,
    [(x, out) + how for x, out in [((2, 4, 5, 3), (3, 6)), ((1, 7, 3, 4), (5, 2)), ((1, 1, 6, 2), (4, 4)), ((2, 3, 4, 5, 2), (2, 3, 2))]
     for how in itertools.product((0, 1), repeat=3)] + [(rims,), (halves,)])


def affine_grid(d, n, size, align):
    lines = [torch.linspace(-1, 1, s, dtype=torch.float64) if align and s > 1 else
             torch.zeros(1, dtype=torch.float64) if align else (2 * torch.arange(s, dtype=torch.float64) + 1) / s - 1 for s in size]
    base = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1] + (torch.ones(*size, dtype=torch.float64),), -1)
    theta = d.normal(n, len(size), len(size) + 1)

    def function(t):
        return torch.einsum("nij,...j->n...i", t, base)
    # PyTorch means something else, and warns, where a size is 1 and corners are aligned
    assert align and 1 in size or torch.allclose(function(theta), F.affine_grid(theta, [n, 1, *size], align_corners=bool(align)))
    return case(three(size) + [align], function, theta)


row("affine_grid", affine_grid, lambda d: (d.integer(1, 3), tuple(d.size(17) for _ in range(2)) if d.flag() else
                                           tuple(d.size(5) for _ in range(3)), d.integer(0, 1)),
    [(n, size, align) for n, size in [(2, (4, 5)), (1, (1, 3)), (2, (3, 2, 4))] for align in (0, 1)])


def aligned_regions(x, boxes, height, width, scale, samples, aligned):
    """As torchvision documents it, point by point; boxes have a gradient too."""
    def interpolated(image, y, x_place):
        if y < -1 or y > image.shape[0] or x_place < -1 or x_place > image.shape[1]:
            return torch.zeros(image.shape[2], dtype=torch.float64)
        cell = []
        for place, size in ((y, image.shape[0]), (x_place, image.shape[1])):
            place = place.clamp(min=0)
            low = int(place)
            cell.append((size - 1, size - 1, place.detach() * 0) if low >= size - 1 else (low, low + 1, place - low))
        (y0, y1, ly), (x0, x1, lx) = cell
        return (image[y0, x0] * (1 - ly) * (1 - lx) + image[y0, x1] * (1 - ly) * lx + image[y1, x0] * ly * (1 - lx) +
                image[y1, x1] * ly * lx)

    offset, results = (0.5 if aligned else 0.0), []
    for box in boxes:
        x1, y1, x2, y2 = [b * scale - offset for b in box[1:]]
        w, h = x2 - x1, y2 - y1
        if not aligned:
            w, h = w.clamp(min=1), h.clamp(min=1)
        bin_w, bin_h = w / width, h / height
        for i, j in itertools.product(range(height), range(width)):
            points = [interpolated(x[int(box[0])], y1 + i * bin_h + (a + 0.5) * bin_h / samples,
                                   x1 + j * bin_w + (b + 0.5) * bin_w / samples)
                      for a, b in itertools.product(range(samples), repeat=2)]
            results.append(sum(points) / samples ** 2)
    return torch.stack(results).reshape(len(boxes), height, width, -1)


# within, partly outside, smaller than an element, far outside
BOXES = torch.tensor([[0, 1.3, 0.7, 9.1, 6.2], [1, -3.2, 2.1, 4.4, 20.3], [1, 5.1, 5.2, 5.3, 5.6], [0, -9.2, -8.1, -7.7, 3.3]],
                     dtype=torch.float64).float().double()


def roi_align(d, shape, boxes, height, width, scale, samples, aligned):
    if boxes is None:
        n, h, w, _ = shape
        count = d.integer(1, 3)
        corner = d.uniform(-1, 1, count, 2) + torch.tensor([w, h]) * 0.3
        far = corner + d.uniform(0.5, 1, count, 2) * torch.tensor([w, h])
        boxes = torch.cat([d.indices(n, count, 1).double(), corner / scale, far / scale], 1).float().double()
    # points cross elements' borders within any step: the gradient jumps there
    return case([height, width, scale, samples, aligned],
                lambda x, b: aligned_regions(x, b, height, width, scale, samples, aligned), d.normal(*shape), boxes, kink=True, size=least_size(len(boxes) * height * width * shape[-1]))


row("roi_align", roi_align, lambda d: (d.image(2, 3, 1000), None, d.integer(1, 3), d.integer(1, 3), d.choice([1.0, 0.5]), d.integer(1, 2),
                                       d.integer(0, 1)),
    [((2, 8, 9, 4), BOXES) + how for how in [(2, 3, 1.0, 2, 0), (2, 2, 0.5, 1, 1), (1, 4, 0.75, 3, 1), (3, 1, 1.0, 2, 0)]])
