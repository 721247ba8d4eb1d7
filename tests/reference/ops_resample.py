"""The cases of vkgan/resample.h: cases(case, normal) hands each to `case`. By itself this file writes
data/ops_resample.safetensors, in the form that ops.py describes. Tensors of integers are indices: they are inputs
without gradients."""
import itertools
import os

import numpy as np
import torch
import torch.nn.functional as F


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


# --- linear maps ---
def sparse_matrix(size, out):
    """The matrix that build_apply_linear_map in tests/ops_resample_test.c makes by the same formulas."""
    matrix = torch.zeros(out, size, dtype=torch.float64)
    for o in range(out):
        for t in range(o % 4):
            matrix[o, (o * 7 + t * 3) % size] += ((o * 5 + t * 11) % 13 - 6) / 4
    return matrix


def linear_map(x, axis, matrix):
    return torch.tensordot(matrix, x, ([1], [axis])).movedim(0, axis)


def linear_map_cases(case, normal):
    for shape, axis, out in [((6, 5), 0, 9), ((6, 5), 1, 3), ((3, 7, 8), 1, 12), ((2, 3, 4, 5), 2, 6), ((40,), 0, 1),
                             ((2, 3, 4, 8), 3, 5)]:
        matrix = sparse_matrix(shape[axis], out)
        case("apply_linear_map", [axis, out], lambda x, a=axis, m=matrix: linear_map(x, a, m), normal(*shape))
    for shape, axis in [((7,), 0), ((3, 5), 0), ((3, 5), 1), ((2, 300, 3), 1), ((1000,), 0), ((2, 4, 1), 2)]:
        case("cumsum", [axis], lambda x, a=axis: x.cumsum(a), normal(*shape))


# --- resizing ---
MODES = [{1: "nearest", 2: "nearest", 3: "nearest"}, {1: "linear", 2: "bilinear", 3: "trilinear"}, {2: "bicubic"}]


def interpolate(x, size, mode, align, antialias):
    options = {} if mode == 0 else {"align_corners": bool(align), "antialias": bool(antialias)}
    return channels_last(F.interpolate(channels_first(x), size=size, mode=MODES[mode][len(size)], **options))


def upfirdn2d(x, up, down, low, high, gain, taps):
    n, h, w, c = x.shape
    spread = torch.zeros(n, h, up, w, up, c, dtype=torch.float64)
    spread[:, :, 0, :, 0, :] = 1
    spread = (spread * x[:, :, None, :, None, :]).reshape(n, h * up, w * up, c)
    padded = F.pad(channels_first(spread), [low, high, low, high]).reshape(n * c, 1, -1, w * up + low + high)
    f = torch.tensor(taps, dtype=torch.float64).flip(0)
    y = F.conv2d(padded, f.outer(f)[None, None] * gain)[:, :, ::down, ::down]
    return channels_last(y.reshape(n, c, *y.shape[2:]))


def resize_cases(case, normal):
    sizes = [((2, 5, 3), (9,)), ((2, 9, 4), (5,)), ((2, 4, 6, 3), (8, 3)), ((1, 7, 5, 4), (3, 10)), ((1, 5, 1, 2), (1, 4)),
             ((1, 3, 4, 5, 2), (5, 2, 7))]
    for shape, size in sizes:
        padded = list(size) + [0] * (3 - len(size))
        for mode, align, antialias in itertools.product(range(3), range(2), range(2)):
            if len(size) not in MODES[mode] or (mode == 0 and align + antialias) or (antialias and len(size) != 2):
                continue
            case("interpolate", padded + [mode, align, antialias],
                 lambda x, s=size, m=mode, a=align, t=antialias: interpolate(x, s, m, a, t), normal(*shape))
    case("interpolate", [17, 23, 0, 0, 0, 0], lambda x: interpolate(x, (17, 23), 0, 0, 0), normal(1, 11, 29, 1))
    for shape, up, down, low, high, gain, taps in [
            ((2, 4, 5, 3), 2, 1, 2, 1, 4.0, [1, 3, 3, 1]), ((1, 8, 6, 4), 1, 2, 1, 1, 1.0, [1, 2.5, 3, 1]),
            ((1, 5, 4, 2), 3, 2, 2, 4, 0.5, [1, 2, 3, 4, 5]), ((1, 6, 6, 1), 1, 1, -1, 2, 1.0, [1, -2, 0.5]),
            ((1, 6, 7, 1), 2, 3, 0, -1, 1.0, [2])]:
        case("upfirdn2d", [up, down, low, high, gain] + taps,
             lambda x, a=(up, down, low, high, gain, taps): upfirdn2d(x, *a), normal(*shape))
    for shape, f in [((2, 3, 4, 8), 2), ((1, 2, 2, 18), 3)]:
        case("pixel_shuffle", [f], lambda x, f=f: channels_last(F.pixel_shuffle(channels_first(x), f)), normal(*shape))
    for shape, f in [((2, 4, 6, 3), 2), ((1, 3, 6, 4), 3)]:
        case("pixel_unshuffle", [f], lambda x, f=f: channels_last(F.pixel_unshuffle(channels_first(x), f)),
             normal(*shape))
    for mode, name in [(1, "reflect"), (2, "replicate"), (3, "circular")]:
        for low, high in [(2, 3), (0, 4), (1, -2)]:
            if min(low, high) >= 0:
                case("pad", [1, low, high, mode], lambda x, p=(low, high), n=name: F.pad(
                    x.movedim(1, -1), p, mode=n).movedim(-1, 1), normal(2, 5, 4))
            else:
                case("pad", [1, low, high, mode], lambda x, p=(low, high), n=name: F.pad(
                    F.pad(x.movedim(1, -1), (p[0], 0), mode=n), (0, p[1])).movedim(-1, 1), normal(2, 5, 4))
    case("pad", [0, 6, 9, 2], lambda x: F.pad(x.t()[None], (6, 9), mode="replicate")[0].t(), normal(3, 4))


# --- pooling ---
def pool(kind, x, kernel, stride, padding, exclude):
    n = len(kernel)
    if kind == "max":
        y = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1](channels_first(x), kernel, stride, padding)
    else:
        y = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1](channels_first(x), kernel, stride, padding,
                                                              count_include_pad=not exclude)
    return channels_last(y)


def pool_cases(case, normal):
    three = lambda values: list(values) + [0] * (3 - len(values))
    for shape, k, s, p in [((2, 9, 3), (3,), (2,), (1,)), ((2, 6, 8, 4), (2, 2), (2, 2), (0, 0)),
                           ((2, 7, 6, 3), (3, 3), (2, 1), (1, 1)), ((1, 5, 9, 4), (4, 5), (1, 3), (2, 0)),
                           ((1, 5, 4, 6, 2), (2, 3, 3), (2, 1, 3), (1, 1, 0))]:
        for exclude in (0, 1):
            case("avg_pool", three(k) + three(s) + three(p) + [exclude],
                 lambda x, a=(k, s, p, exclude): pool("avg", x, *a), normal(*shape))
        for draw in (normal, lambda *shape: torch.round(normal(*shape))):
            case("max_pool", three(k) + three(s) + three(p) + [0], lambda x, a=(k, s, p, 0): pool("max", x, *a),
                 draw(*shape))
    for shape, size in [((2, 7, 3), (3,)), ((2, 6, 5, 4), (3, 5)), ((2, 4, 5, 3), (1, 1)), ((1, 3, 4, 2), (5, 7)),
                        ((1, 4, 6, 5, 2), (2, 4, 3))]:
        function = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[len(size) - 1]
        case("adaptive_avg_pool", three(size), lambda x, f=function, s=size: channels_last(f(channels_first(x), s)),
             normal(*shape))


# --- sampling ---
def grid_sample(x, grid, mode, border, align):
    """Of indexing, since PyTorch's own has no second gradient; the value and the gradient are checked against it."""
    axes = grid.shape[-1]
    sizes = list(x.shape[1:-1])[::-1]
    images = torch.arange(x.shape[0]).reshape([-1] + [1] * axes)
    places = [grid[..., k] * (s - 1) / 2 + (s - 1) / 2 if align else (grid[..., k] * s + s - 1) / 2
              for k, s in enumerate(sizes)]
    if border:
        places = [p.clamp(0, s - 1) for p, s in zip(places, sizes)]
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


def check_grid_sample(x, grid, mode, border, align):
    results = []
    for function in (grid_sample, lambda x, grid, *a: channels_last(F.grid_sample(
            channels_first(x), grid, ("nearest", "bilinear")[mode], ("zeros", "border")[border], bool(align)))):
        inputs = [x.clone().requires_grad_(), grid.clone().requires_grad_()]
        y = function(*inputs, mode, border, align)
        v = torch.arange(y.numel(), dtype=torch.float64).reshape(y.shape).sin()
        gradients = torch.autograd.grad((y * v).sum(), inputs, allow_unused=True)
        results.append([y.detach()] + [torch.zeros(1) if g is None or mode == 0 and i else g
                                       for i, g in enumerate(gradients)])
    for ours, theirs in zip(*results):
        assert torch.allclose(ours, theirs, atol=1e-9), (x.shape, mode, border, align)


def affine_grid(theta, size, align):
    lines = [torch.linspace(-1, 1, s, dtype=torch.float64) if align and s > 1 else
             torch.zeros(1, dtype=torch.float64) if align else (2 * torch.arange(s, dtype=torch.float64) + 1) / s - 1
             for s in size]
    base = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1] + (torch.ones(*size, dtype=torch.float64),), -1)
    y = torch.einsum("nij,...j->n...i", theta, base)
    theirs = F.affine_grid(theta.detach(), [theta.shape[0], 1, *size], align_corners=bool(align))
    assert torch.allclose(y.detach(), theirs)
    return y


def roi_align(x, boxes, height, width, scale, samples, aligned):
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


def sample_cases(case, normal):
    def places(*shape):
        return 2.8 * torch.rand(*shape, dtype=torch.float64) - 1.4

    for x, out in [((2, 4, 5, 3), (3, 6)), ((1, 7, 3, 4), (5, 2)), ((1, 1, 6, 2), (4, 4)), ((2, 3, 4, 5, 2), (2, 3, 2))]:
        for mode, border, align in itertools.product((0, 1), repeat=3):
            inputs = normal(*x), places(x[0], *out, len(out))
            check_grid_sample(*inputs, mode, border, align)
            case("grid_sample", [mode, border, align],
                 lambda a, b, m=(mode, border, align): grid_sample(a, b, *m), *inputs)
    halves = torch.arange(-10, 11, dtype=torch.float64).reshape(1, 21, 1, 1).expand(1, 21, 2, 2) / 8
    check_grid_sample(normal(1, 5, 5, 2), halves, 0, 0, 1)
    case("grid_sample", [0, 0, 1], lambda a, b: grid_sample(a, b, 0, 0, 1), normal(1, 5, 5, 2), halves)
    for align in (0, 1):
        case("affine_grid", [4, 5, 0, align], lambda t, a=align: affine_grid(t, (4, 5), a), normal(2, 2, 3))
        case("affine_grid", [1, 3, 0, align], lambda t, a=align: affine_grid(t, (1, 3), a), normal(1, 2, 3))
        case("affine_grid", [3, 2, 4, align], lambda t, a=align: affine_grid(t, (3, 2, 4), a), normal(2, 3, 4))
    boxes = torch.tensor([[0, 1.3, 0.7, 9.1, 6.2], [1, -3.2, 2.1, 4.4, 20.3], [1, 5.1, 5.2, 5.3, 5.6],
                          [0, -9.2, -8.1, -7.7, 3.3]], dtype=torch.float64)
    for height, width, scale, samples, aligned in [(2, 3, 1.0, 2, 0), (2, 2, 0.5, 1, 1), (1, 4, 0.75, 3, 1), (3, 1, 1.0, 2, 0)]:
        case("roi_align", [height, width, scale, samples, aligned],
             lambda x, b, a=(height, width, scale, samples, aligned): roi_align(x, b, *a), normal(2, 8, 9, 4), boxes)


# --- indexing ---
def gather(a, axis, index):
    shape = [index.shape[d] if d == axis else a.shape[d] for d in range(a.dim())]
    index, size = index.expand(shape), a.shape[axis]
    return torch.gather(a, axis, index.clamp(0, size - 1)) * ((index >= 0) & (index < size))


def scatter_add(src, axis, index, size):
    index = index.expand(src.shape)
    inside = (index >= 0) & (index < size)
    shape = [size if d == axis else src.shape[d] for d in range(src.dim())]
    return torch.zeros(shape, dtype=torch.float64).scatter_add(axis, index.clamp(0, size - 1), src * inside)


def index_cases(case, normal):
    def indices(below, *shape):
        return torch.randint(0, below, shape)

    for a, index, axis in [((6, 5), (9, 5), 0), ((6, 5), (6, 3), 1), ((2, 7, 8), (2, 9, 1), 1), ((2, 7, 3), (1, 4, 3), 1),
                           ((2, 3, 5, 8), (2, 1, 6, 1), 2), ((3, 2, 5, 2, 3), (1, 2, 4, 1, 3), 2), ((50,), (70,), 0),
                           ((2, 1, 4), (2, 1, 1), 2), ((2, 3, 4), (2, 3, 8), 2)]:
        case("gather", [axis], lambda a, i, x=axis: gather(a, x, i), normal(*a), indices(a[axis], *index))
    outside = torch.tensor([[-1, 4, 3, 0, 7, -9, 2 ** 31 - 1, -2 ** 31]]).t()
    case("gather", [0], lambda a, i: gather(a, 0, i), normal(4, 8), outside)
    case("gather", [0], lambda a, i: gather(a, 0, i), normal(4, 3), outside)
    case("scatter_add", [0, 4], lambda a, i: scatter_add(a, 0, i, 4), normal(8, 3), outside)
    for src, index, axis, size in [((9, 5), (9, 5), 0, 6), ((6, 5), (6, 5), 1, 3), ((2, 9, 8), (2, 9, 1), 1, 4),
                                   ((2, 4, 3), (1, 4, 3), 1, 11), ((700,), (700,), 0, 5), ((3, 2, 4, 2, 3), (1, 2, 4, 1, 3), 2, 5)]:
        case("scatter_add", [axis, size], lambda a, i, x=axis, s=size: scatter_add(a, x, i, s), normal(*src),
             indices(size, *index))
    scales = torch.logspace(-20, 18, 39, dtype=torch.float64)[:, None]
    case("scatter_add", [0, 39], lambda a, i: scatter_add(a, 0, i, 39), normal(39, 2) * scales, torch.randperm(39)[:, None])
    for shape, axis, m in [((5, 4), 0, 8), ((5, 4), 1, 3), ((2, 6, 8), 1, 5)]:
        case("index_select", [axis], lambda a, i, x=axis: torch.index_select(a, x, i), normal(*shape),
             indices(shape[axis], m))
    for shape, index in [((10, 4), (6,)), ((7, 3), (2, 5)), ((5, 8), (3, 2, 2)), ((3, 4), (1,))]:
        case("embedding", [], lambda w, i: F.embedding(i, w), normal(*shape), indices(shape[0], *index))


def cases(case, normal):
    for family in (linear_map_cases, resize_cases, pool_cases, sample_cases, index_cases):
        family(case, normal)


def zeros_for_none(gradients, inputs):
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs)]


def compute(function, inputs):
    inputs = [x.float().double().detach().requires_grad_() if x.is_floating_point() else x for x in inputs]
    wanted = [x for x in inputs if x.is_floating_point()]
    y = function(*inputs)
    v = torch.randn_like(y).float().double().detach().requires_grad_()
    us = [torch.randn_like(x).float().double() for x in wanted]
    gradients = zeros_for_none(torch.autograd.grad((y * v).sum(), wanted, create_graph=True, allow_unused=True), wanted)
    s = sum((g * u).sum() for g, u in zip(gradients, us))
    second = zeros_for_none(torch.autograd.grad(s, wanted + [v], allow_unused=True), wanted + [v])
    result = {"y": y, "v": v, "hv": second[-1]}
    for i, x in enumerate(inputs):
        result[f"x{i}"] = x
    for i, x in enumerate(wanted):
        result.update({f"g{i}": gradients[i], f"u{i}": us[i], f"h{i}": second[i]})
    return {name: (t.detach().float() if t.is_floating_point() else t.int()).contiguous().numpy().copy()
            for name, t in result.items()}


def main():
    import safetensors
    torch.manual_seed(20261124)
    listed = []
    cases(lambda op, attributes, function, *inputs: listed.append((op, attributes, function, inputs)),
          lambda *shape: torch.randn(*shape, dtype=torch.float64))
    tensors, metadata = {}, {"count": str(len(listed))}
    for i, (op, attributes, function, inputs) in enumerate(listed):
        metadata[f"case{i}"] = " ".join([op] + [repr(float(a)) for a in attributes])
        for name, array in compute(function, inputs).items():
            tensors[f"{i}/{name}"] = np.asarray(array)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "ops_resample.safetensors")
    safetensors.save(path, tensors, metadata)
    print(f"{path}: {len(listed)} cases, torch {torch.__version__}")


if __name__ == "__main__":
    main()
