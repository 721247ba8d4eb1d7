"""Shapes and places: nothing is computed, elements go elsewhere."""
import torch
import torch.nn.functional as F

from draw import bits, case, row


def broadcast(d, shape, to):
    return case(to, lambda x: x.expand(*to), d.normal(*shape))


def broadcast_shapes(d):
    to = d.shape(1, 4, 3000)
    shape = tuple(1 if d.flag() else n for n in to)
    return shape[d.integer(0, len(shape) - 1):], to


row("broadcast", broadcast, broadcast_shapes, [((4, 1), (3, 4, 5)), ((8,), (6, 8)), ((1,), (65,)), ((), (2, 3))])


def sum_to(d, shape, to):
    return case(to, lambda x: x.sum_to_size(*to), d.normal(*shape))


row("sum_to", sum_to, lambda d: broadcast_shapes(d)[::-1], [((3, 5, 4), (5, 1)), ((3, 4), (3, 4)), ((65, 3), (1, 3))])


def reshape(d, shape, to):
    return case(to, lambda x: x.reshape(to), d.normal(*shape))


def reshape_shapes(d):
    factors = [d.choice([1, 2, 3, 4, 5, 7]) for _ in range(d.integer(2, 5))]
    def grouped():
        dims, order = [], list(factors)
        d.rng.shuffle(order)
        while order:
            take = d.integer(1, len(order))
            dims.append(int(torch.tensor(order[:take]).prod()))
            order = order[take:]
        return tuple(dims)
    return grouped(), grouped()


row("reshape", reshape, reshape_shapes, [((2, 3, 4), (4, 6)), ((1,), (1, 1, 1)), ((65, 3), (195,))])
row("detach", lambda d, shape: case([], lambda x: x.detach(), d.normal(*shape), kink=True), lambda d: (d.shape(),),
    [((3, 5),)])


def permute(d, shape, axes):
    return case(axes, lambda x: x.permute(*axes).contiguous(), d.normal(*shape))


def permute_parameters(d):
    shape = d.shape(1, 5)
    return shape, d.rng.sample(range(len(shape)), len(shape))


row("permute", permute, permute_parameters,
    [((7,), [0]), ((5, 8), [1, 0]), ((2, 3, 4, 8), [0, 3, 1, 2]), ((2, 8, 3, 4), [0, 2, 3, 1]), ((2, 3, 4, 5, 2), [4, 2, 0, 1, 3]),
     ((2, 2, 3, 2, 2, 2), [5, 0, 3, 1, 4, 2])])


def transpose(d, shape, a, b):
    return case([a, b], lambda x: x.transpose(a, b).contiguous(), d.normal(*shape))


def transpose_parameters(d):
    shape = d.shape(2, 4)
    return (shape, d.integer(0, len(shape) - 1), d.integer(0, len(shape) - 1))


row("transpose", transpose, transpose_parameters, [((5, 8), 0, 1), ((2, 3, 4), 0, 2), ((3, 4), 1, 1)])


def along(d, low=1, high=4, most=3000):
    shape = d.shape(low, high, most)
    return shape, d.integer(0, len(shape) - 1)


def slice_(d, shape, axis, start, length, step):
    return case([axis, start, length, step], lambda x: x.narrow(axis, start, (length - 1) * step + 1).index_select(
        axis, torch.arange(0, (length - 1) * step + 1, step)), d.normal(*shape))


def slice_parameters(d):
    shape, axis = along(d)
    start, step = d.integer(0, shape[axis] - 1), d.choice([1, 1, 2, 3, 5])
    return shape, axis, start, d.integer(1, (shape[axis] - start + step - 1) // step), step


row("slice", slice_, slice_parameters, [((7,), 0, 6, 1, 1), ((5, 8), 1, 1, 4, 2), ((2, 9, 3), 1, 2, 3, 3), ((4, 4), 0, 0, 4, 1),
                                        ((3, 65), 1, 1, 64, 1)])


def spread(d, shape, axis, spacing):
    def function(x):
        n = shape[axis]
        at = torch.arange(n) * spacing
        to = [*shape[:axis], (n - 1) * spacing + 1, *shape[axis + 1:]]
        return torch.zeros(to, dtype=torch.float64).index_add(axis, at, x)
    return case([axis, spacing], function, d.normal(*shape))


row("spread", spread, lambda d: along(d, most=1500) + (d.choice([1, 2, 3, 4]),),
    [((1,), 0, 3), ((5,), 0, 2), ((3, 4), 0, 3), ((2, 3, 8), 1, 1), ((3, 5), 1, 4)])


def concat(d, shapes, axis):
    return case([axis], lambda *x: torch.cat(x, axis), *[d.normal(*s) for s in shapes])


def concat_parameters(d):
    shape, axis = along(d, most=1200)
    return [tuple(d.size(33) if i == axis and d.flag() else n for i, n in enumerate(shape))
            for _ in range(d.integer(1, 3))], axis


row("concat", concat, concat_parameters,
    [([(1,), (1,)], 0), ([(3, 5), (3, 2)], 1), ([(3, 5), (1, 5), (2, 5)], 0), ([(2, 3, 3, 8), (2, 3, 3, 4)], 3), ([(4, 3)], 1)])


def stack(d, shape, count, axis):
    return case([axis], lambda *x: torch.stack(x, axis), *[d.normal(*shape) for _ in range(count)])


def stack_parameters(d):
    shape = d.shape(1, 3, 1200)
    return shape, d.integer(1, 3), d.integer(0, len(shape))


row("stack", stack, stack_parameters, [((5,), 2, 0), ((5,), 2, 1), ((2, 3, 4), 3, 2), ((1,), 1, 0)])


def split(d, shape, axis, parts, wanted):
    return case([axis, parts, wanted], lambda x: torch.chunk(x, parts, axis)[wanted], d.normal(*shape))


def split_parameters(d):
    shape, axis = along(d, most=2000)
    parts = d.choice([p for p in range(1, shape[axis] + 1) if shape[axis] % p == 0])
    return shape, axis, parts, d.integer(0, parts - 1)


row("split", split, split_parameters, [((6, 4), 0, 3, 1), ((5, 8), 1, 2, 1), ((3,), 0, 3, 2), ((2, 2, 12), 2, 4, 0)])


def flip(d, shape, axes):
    return case([bits(axes)], lambda x: x.flip(axes), d.normal(*shape))


def flip_parameters(d):
    shape = d.shape()
    return shape, d.axes(len(shape))


row("flip", flip, flip_parameters, [((1,), [0]), ((7,), [0]), ((5, 8), [0, 1]), ((2, 3, 4, 3), [1, 3])])


def roll(d, shape, axis, shift):
    return case([axis, shift], lambda x: x.roll(shift, axis), d.normal(*shape))


row("roll", roll, lambda d: along(d) + (d.integer(-70, 70),),
    [((7,), 0, 3), ((7,), 0, -3), ((5, 8), 1, 8), ((2, 4, 3), 1, -9), ((1, 3), 0, 1)])

# --- pad ---
MODES = ["constant", "reflect", "replicate", "circular"]


def padded_places(n, low, high, mode):
    """Where each element of the result comes from; −1: from outside."""
    places = []
    for i in range(-low, n + high):
        if 0 <= i < n:
            places.append(i)
        elif mode == 0:
            places.append(-1)
        elif mode == 1:
            i = abs(i)
            places.append(i if i < n else 2 * (n - 1) - i)
        else:
            places.append(min(max(i, 0), n - 1) if mode == 2 else i % n)
    return torch.tensor(places)


def pad(d, shape, axis, low, high, mode, value):
    def function(x):
        at = padded_places(shape[axis], low, high, mode)
        outside = (at < 0).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return torch.where(outside, torch.tensor(value, dtype=torch.float64), x.index_select(axis, at.clamp(min=0)))
    if len(shape) == 2 and axis == 1 and min(low, high) >= 0:  # PyTorch's own opinion
        x = torch.arange(shape[0] * shape[1]).double().reshape(1, *shape)
        theirs = F.pad(x, (low, high), mode=MODES[mode], **({"value": value} if mode == 0 else {}))
        assert torch.equal(function(x[0]), theirs[0]), (shape, low, high, mode)
    return case([axis, low, high, mode, value], function, d.normal(*shape))


def pad_parameters(mode):
    def parameters(d):
        shape, axis = along(d, most=1500)
        n = shape[axis]
        most = (9, n - 1, 9, n)[mode]
        low, high = (d.integer(-min(2, n // 3), most) for _ in range(2))
        return shape, axis, low, high, mode, d.real(-1, 1) if mode == 0 else 0.0
    return parameters


row("pad", pad, pad_parameters(0), [((4, 5), 1, 2, 3, 0, 0.0), ((4, 5), 1, 1, 0, 0, -2.5), ((2, 6, 3), 1, -2, 1, 0, 0.0)])
row("pad_reflect", pad, pad_parameters(1), [((4, 5), 1, 4, 4, 1, 0.0), ((2, 6, 3), 1, 2, -1, 1, 0.0), ((2, 7, 5, 8), 2, 1, 1, 1, 0.0)])
row("pad_replicate", pad, pad_parameters(2), [((4, 5), 1, 7, 6, 2, 0.0), ((1, 1), 1, 3, 3, 2, 0.0), ((3, 4), 0, -1, -1, 2, 0.0)])
row("pad_circular", pad, pad_parameters(3), [((4, 5), 1, 5, 5, 3, 0.0), ((1, 3), 0, 1, 1, 3, 0.0), ((2, 6, 3), 1, 2, -1, 3, 0.0)])
