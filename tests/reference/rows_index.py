"""Indexing. An index outside reads 0 and adds to nothing."""
import torch
import torch.nn.functional as F

from draw import Draw, case, row

OUTSIDE = torch.tensor([[-1, 4, 3, 0, 7, -9, 2 ** 31 - 1, -2 ** 31]]).t()


def gather_from(a, axis, index):
    shape = [index.shape[d] if d == axis else a.shape[d] for d in range(a.dim())]
    index, size = index.expand(shape), a.shape[axis]
    return torch.gather(a, axis, index.clamp(0, size - 1)) * ((index >= 0) & (index < size))


def scatter_into(src, axis, index, size):
    index = index.expand(src.shape)
    inside = (index >= 0) & (index < size)
    shape = [size if d == axis else src.shape[d] for d in range(src.dim())]
    return torch.zeros(shape, dtype=torch.float64).scatter_add(axis, index.clamp(0, size - 1), src * inside)


def some_outside(d, below, *shape):
    index = d.indices(below, *shape)
    return torch.where(d.indices(9, *shape) == 0, torch.tensor(d.choice([-1, below, below + 7])), index)


def gather(d, shape, index, axis, outside):
    i = OUTSIDE if outside == "all" else (some_outside if outside else Draw.indices)(d, shape[axis], *index)
    return case([axis], lambda a: gather_from(a, axis, i), d.normal(*shape), ints=[i])


def repeating(d, shape, axis, length):
    """Other dimensions are now and then 1: the same index for all."""
    return tuple(length if i == axis else 1 if d.rng.random() < 0.3 else n for i, n in enumerate(shape))


def gather_parameters(d):
    shape = d.shape(1, 4, 1500)
    axis = d.integer(0, len(shape) - 1)
    return shape, repeating(d, shape, axis, d.size(33)), axis, d.flag()


row("gather", gather, gather_parameters,
    [((6, 5), (9, 5), 0, 0), ((6, 5), (6, 3), 1, 0), ((2, 7, 8), (2, 9, 1), 1, 0), ((2, 7, 3), (1, 4, 3), 1, 0),
     ((2, 3, 5, 8), (2, 1, 6, 1), 2, 1), ((3, 2, 5, 2, 3), (1, 2, 4, 1, 3), 2, 1), ((50,), (70,), 0, 1), ((2, 3, 4), (2, 3, 8), 2, 0),
     ((4, 8), (8, 1), 0, "all"), ((4, 3), (8, 1), 0, "all")])


def scatter_add(d, shape, index, axis, size, outside):
    i = OUTSIDE if outside == "all" else (some_outside if outside else Draw.indices)(d, size, *index)
    x = d.normal(*shape)
    if outside == "scales":  # from the smallest numbers to the largest
        x = (x * torch.logspace(-20, 18, shape[0], dtype=torch.float64)[:, None]).float().double()
        i = torch.randperm(shape[0], generator=d.torch)[:, None]
    return case([axis, size], lambda x: scatter_into(x, axis, i, size), x, ints=[i], kink=outside == "scales")


def scatter_parameters(d):
    shape = d.shape(1, 4, 1500)
    axis = d.integer(0, len(shape) - 1)
    return shape, repeating(d, shape, axis, shape[axis]), axis, d.size(33), d.flag()


row("scatter_add", scatter_add, scatter_parameters,
    [((9, 5), (9, 5), 0, 6, 0), ((6, 5), (6, 5), 1, 3, 0), ((2, 9, 8), (2, 9, 1), 1, 4, 1), ((2, 4, 3), (1, 4, 3), 1, 11, 0),
     ((700,), (700,), 0, 5, 0), ((3, 2, 4, 2, 3), (1, 2, 4, 1, 3), 2, 5, 1), ((8, 3), (8, 1), 0, 4, "all"), ((39, 2), (39, 1), 0, 39, "scales")])


def index_select(d, shape, axis, m):
    i = d.indices(shape[axis], m)
    return case([axis], lambda a: torch.index_select(a, axis, i), d.normal(*shape), ints=[i])


def select_parameters(d):
    shape = d.shape(1, 4, 1500)
    return shape, d.integer(0, len(shape) - 1), d.size(33)


row("index_select", index_select, select_parameters, [((5, 4), 0, 8), ((5, 4), 1, 3), ((2, 6, 8), 1, 5), ((1,), 0, 1)])


def embedding(d, shape, index):
    i = d.indices(shape[0], *index)
    return case([], lambda w: F.embedding(i, w), d.normal(*shape), ints=[i])


row("embedding", embedding, lambda d: (d.fit((d.size(), d.channels()), 2000), d.shape(1, 3, 60)),
    [((10, 4), (6,)), ((7, 3), (2, 5)), ((5, 8), (3, 2, 2)), ((3, 4), (1,)), ((1, 1), (3,))])


def one_hot(d, index, classes):
    i = d.indices(classes, *index)
    return case([classes], lambda: F.one_hot(i, classes).double(), ints=[i])


row("one_hot", one_hot, lambda d: (d.shape(1, 3, 200), d.size()), [((1,), 1), ((6,), 10), ((2, 3), 5)])
