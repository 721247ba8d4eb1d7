"""Matrix products and convolutions."""
import torch
import torch.nn.functional as F

from draw import case, channels_first, channels_last, row, three

# --- products ---


def swapped(x, yes):
    return x.transpose(-1, -2) if yes else x


def matmul(d, batch_a, batch_b, m, k, n, ta, tb):
    a = d.normal(*batch_a, *((k, m) if ta else (m, k)))
    b = d.normal(*batch_b, *((n, k) if tb else (k, n)))
    return case([ta, tb], lambda a, b: swapped(a, ta) @ swapped(b, tb), a, b)


def matrix_sizes(d, most):
    return d.fit([d.size(), d.choice([d.size(), d.size(), 100]), d.size()], most)


TRANSPOSED = [(0, 0), (1, 0), (0, 1)]
row("matmul", matmul, lambda d: ((), ()) + matrix_sizes(d, 40000) + d.choice(TRANSPOSED),
    [((), ()) + s + t for s in [(1, 1, 1), (5, 7, 3), (8, 16, 12), (33, 20, 64), (2, 100, 1)] for t in TRANSPOSED])


def batched_parameters(d):
    batch = tuple(d.choice([1, 2, 3, 5]) for _ in range(d.integer(1, 2)))
    batches = d.choice([(batch, batch), (batch, batch), (batch, ()), ((), batch), ((), ())])
    return batches + matrix_sizes(d, 8000) + (d.integer(0, 1), d.integer(0, 1))


row("matmul_batched", matmul, batched_parameters,
    [(a, b) + s + t for a, b in [((2,), (2,)), ((3,), ()), ((), (2, 2)), ((2, 3), (2, 3))]
     for s, t in [((5, 7, 3), (0, 0)), ((4, 8, 12), (1, 0)), ((17, 3, 2), (0, 1)), ((1, 5, 9), (1, 1))]] +
    [((), (), 5, 7, 3, 1, 1)])

# --- convolutions: geometry is three strides, three paddings, three dilations, groups ---


def convolve(x, w, g):
    """x [N, spatial…, Ci], w [kernel…, Ci/groups, Co]. Always as of volumes, for 1.13's conv1d and conv2d have shapes whose
    second gradient fails ("grad_weight must be contiguous")."""
    s, p, dil, groups = g
    missing = 3 - len(s)
    whole = lambda values, rest: (rest,) * missing + tuple(values)
    x = channels_first(x).contiguous().reshape(x.shape[0], x.shape[-1], *whole(x.shape[1:-1], 1))
    w = w.movedim(-1, 0).movedim(-1, 1).contiguous()
    w = w.reshape(*w.shape[:2], *whole(w.shape[2:], 1))
    y = F.conv3d(x, w, stride=whole(s, 1), padding=whole(p, 0), dilation=whole(dil, 1), groups=groups)
    return channels_last(y.reshape(*y.shape[:2], *y.shape[2 + missing:]))


def geometry(g):
    s, p, dil, groups = g
    return three(s) + three(p) + three(dil) + [groups]


def output_size(size, kernel, g):
    return [(n + 2 * p - dil * (k - 1) - 1) // s + 1 for n, k, s, p, dil in zip(size, kernel, *g[:3])]


def convolution(d, n, size, ci, co, kernel, g):
    return case(geometry(g), lambda x, w: convolve(x, w, g), d.normal(n, *size, ci), d.normal(*kernel, ci // g[3], co))


def convolution_input_gradient(d, n, size, ci, co, kernel, g):
    def function(y, w):
        x = torch.zeros(n, *size, ci, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(convolve(x, w, g), x, y, create_graph=True)[0]
    return case(geometry(g) + three(size), function, d.normal(n, *output_size(size, kernel, g), co),
                d.normal(*kernel, ci // g[3], co))


def convolution_weight_gradient(d, n, size, ci, co, kernel, g):
    def function(x, y):
        w = torch.zeros(*kernel, ci // g[3], co, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(convolve(x, w, g), w, y, create_graph=True)[0]
    return case(geometry(g) + three(kernel), function, d.normal(n, *size, ci), d.normal(n, *output_size(size, kernel, g), co))


def random_convolution(axes, grouped=False, most=2500):
    def parameters(d):
        while True:
            n, *size, ci = d.image(axes, most=most)
            co, groups = d.channels(), 1
            if grouped:
                groups = d.choice([2, 3, 4, 8, 17])
                ci, co = groups * d.choice([1, 1, 2, 3, 4]), groups * d.choice([1, 1, 2, 4, 5])
            kernel = tuple(d.integer(1, 5 if axes < 3 else 3) for _ in size)
            g = (tuple(d.integer(1, 3) for _ in size), tuple(d.integer(0, 2) for _ in size),
                 tuple(d.choice([1, 1, 2]) for _ in size), groups)
            outs = output_size(size, kernel, g)
            weight, result = ci // groups * co, co * n
            for k, o in zip(kernel, outs):
                weight, result = weight * k, result * o
            if min(outs) > 0 and weight <= 20000 and result <= 8000:
                return n, tuple(size), ci, co, kernel, g
    return parameters


def convolution_rows(suffix, axes, special, grouped=False):
    for make in (convolution, convolution_input_gradient, convolution_weight_gradient):
        row(make.__name__ + suffix, make, random_convolution(axes, grouped), special)


# n, size, ci, co, kernel, (stride, padding, dilation, groups)
convolution_rows("", 2, [
    (1, (5, 5), 1, 1, (3, 3), ((1, 1), (0, 0), (1, 1), 1)), (2, (8, 8), 3, 8, (4, 4), ((2, 2), (1, 1), (1, 1), 1)),
    (3, (7, 7), 8, 1, (7, 7), ((1, 1), (0, 0), (1, 1), 1)), (2, (1, 1), 8, 12, (1, 1), ((1, 1), (0, 0), (1, 1), 1)),
    (1, (9, 6), 5, 7, (3, 2), ((2, 3), (1, 0), (1, 1), 1)), (2, (7, 8), 4, 20, (3, 3), ((1, 1), (2, 2), (2, 2), 1)),
    (17, (6, 6), 16, 33, (4, 4), ((2, 2), (1, 1), (1, 1), 1)), (2, (10, 3), 12, 4, (5, 1), ((3, 1), (2, 0), (1, 1), 1))])
convolution_rows("_1d", 1, [
    (1, (1,), 1, 1, (1,), ((1,), (0,), (1,), 1)), (2, (17,), 3, 8, (5,), ((2,), (2,), (1,), 1)),
    (3, (33,), 4, 5, (3,), ((1,), (1,), (2,), 1)), (1, (65,), 1, 4, (7,), ((3,), (0,), (1,), 1)),
    (2, (16,), 8, 8, (3,), ((1,), (1,), (1,), 4)), (3, (9,), 8, 12, (3,), ((1,), (2,), (2,), 4))])
convolution_rows("_3d", 3, [
    (1, (1, 1, 1), 1, 1, (1, 1, 1), ((1, 1, 1), (0, 0, 0), (1, 1, 1), 1)),
    (2, (4, 5, 3), 3, 4, (3, 3, 3), ((1, 1, 1), (1, 1, 1), (1, 1, 1), 1)),
    (1, (6, 4, 5), 4, 3, (4, 2, 3), ((2, 2, 1), (1, 0, 1), (1, 1, 2), 1)),
    (2, (4, 4, 4), 4, 8, (2, 2, 2), ((2, 2, 2), (0, 0, 0), (1, 1, 1), 2)),
    (2, (5, 4, 4), 8, 4, (2, 3, 1), ((1, 2, 1), (1, 1, 0), (2, 1, 1), 2)),
    (1, (3, 4, 4), 3, 3, (1, 3, 3), ((1, 1, 1), (0, 1, 1), (1, 1, 1), 3)),
    (1, (7, 2, 2), 6, 4, (3, 2, 2), ((3, 1, 1), (2, 0, 0), (2, 1, 1), 2))])
convolution_rows("_grouped", 2, [
    (2, (5, 6), 4, 8, (3, 3), ((1, 1), (1, 1), (1, 1), 2)), (1, (8, 8), 8, 8, (3, 3), ((2, 2), (1, 1), (1, 1), 8)),
    (2, (5, 5), 3, 9, (3, 2), ((1, 1), (0, 1), (2, 1), 3)), (3, (6, 5), 5, 5, (3, 3), ((1, 1), (1, 1), (1, 1), 5)), (1, (7, 4), 17, 17, (5, 5), ((1, 1), (2, 2), (1, 1), 17)),
    (2, (4, 4), 12, 20, (1, 1), ((1, 1), (0, 0), (1, 1), 4))], grouped=True)
