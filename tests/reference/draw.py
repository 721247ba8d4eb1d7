"""What the rows of operations are made of: a registry, seeded numbers, and shapes that are hard on kernels."""
import random
from collections import namedtuple

import torch

torch.set_num_threads(1)

# One case. attributes: numbers that the C row hands to the operation; function: inputs → result, in double.
# inputs: differentiated; ints (int32) and consts (float32): the C row sees them, no gradient is asked for.
# kink: the value jumps or bends within a small step of the inputs, or gradients stop: no central differences.
# size: gradients vanish in exact arithmetic (or nearly so), and what is left are differences of numbers of this size.
Case = namedtuple("Case", "attributes function inputs ints consts kink size")


def case(attributes, function, *inputs, ints=(), consts=(), kink=False, size=0.0):
    return Case([float(a) for a in attributes], function, list(inputs), list(ints), list(consts), kink, size)


# make(d, *parameters) → Case; parameters(d) draws them; special: those that the fixed set always holds.
Row = namedtuple("Row", "name make parameters special")
ROWS = {}


def row(name, make, parameters, special=()):
    assert name not in ROWS, name
    ROWS[name] = Row(name, make, parameters, list(special))


# Around vec4s, and just under and over the tiles of 16, 32 and 64.
SIZES = [1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]
CHANNELS = [1, 1, 3, 3, 2, 4, 5, 8, 16, 17, 31, 33, 64, 65]


class Draw:
    """Numbers of one case: they depend on nothing but the text of the key."""

    def __init__(self, key):
        self.rng = random.Random(key)
        self.torch = torch.Generator().manual_seed(self.rng.getrandbits(48))

    def integer(self, low, high):
        return self.rng.randint(low, high)

    def choice(self, values):
        return self.rng.choice(values)

    def flag(self):
        return self.rng.random() < 0.5

    def real(self, low, high):
        return float(torch.tensor(self.rng.uniform(low, high)))

    def size(self, most=65):
        return self.choice([s for s in SIZES if s <= most])

    def channels(self, most=65):
        return self.choice([c for c in CHANNELS if c <= most])

    def shape(self, low=1, high=4, most=4000):
        """A shape of low to high dimensions and at most `most` elements; the last one as likely 1 or 3 as not."""
        dims = [self.size() for _ in range(self.integer(low, high))]
        dims[-1] = self.channels()
        return self.fit(dims, most)

    def fit(self, dims, most=4000):
        dims = list(dims)
        while product(dims) > most:
            largest = dims.index(max(dims))
            dims[largest] = self.choice([s for s in SIZES if s < dims[largest]])
        return tuple(dims)

    def image(self, spatial=2, low=1, most=3000, channels=65):
        """[N, spatial…, C], spatial dimensions of at least `low`."""
        while True:
            dims = self.fit([self.choice([1, 1, 2, 3, 5])] + [max(low, self.size(17)) for _ in range(spatial)] +
                            [self.channels(channels)], most)
            if min(dims[1:-1]) >= low:
                return dims

    def axes(self, rank):
        """Some dimensions, at least one."""
        return sorted(self.rng.sample(range(rank), self.integer(1, rank)))

    def pair(self, most=4000):
        """Two shapes that broadcast."""
        a = list(self.shape(1, 4, most))
        b = [1 if self.rng.random() < 0.4 else n for n in a]
        a = [1 if n == m and self.rng.random() < 0.15 else n for n, m in zip(a, b)]
        b = b[self.choice([0, 0, self.integer(0, len(b) - 1)]):]
        return (tuple(a), tuple(b)) if self.flag() else (tuple(b), tuple(a))

    # --- tensors: double, of numbers that float32 has ---
    def normal(self, *shape):
        return rounded(torch.randn(shape, dtype=torch.float64, generator=self.torch))

    def uniform(self, low, high, *shape):
        return rounded(low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=self.torch))

    def away(self, *shape):
        """At least 0.1 away from 0."""
        x = self.normal(*shape)
        return rounded(x + 0.1 * torch.where(x < 0, -1.0, 1.0))

    def wide(self, scale, *shape):
        """Numbers of a large scale, where slopes vanish; the first one is not so large, that some slope is left."""
        x = scale * self.normal(*shape)
        x.reshape(-1)[0] = 0.5
        return rounded(x)

    def positive(self, *shape):
        return self.uniform(0.3, 2.3, *shape)

    def distinct(self, *shape):
        """No two are nearer than 0.1."""
        n = product(shape)
        order = torch.randperm(n, generator=self.torch).double()
        return rounded((order - n // 2).reshape(shape) * 0.1)

    def ties(self, *shape):
        """Whole numbers with many equal ones."""
        return torch.randint(-2, 3, shape, generator=self.torch).double()

    def indices(self, below, *shape):
        return torch.randint(0, below, shape, generator=self.torch)


def product(dims):
    n = 1
    for d in dims:
        n *= d
    return n


def rounded(x):
    return x.float().double()


def bits(axes):
    return sum(1 << a for a in axes)


def three(values):
    """As the C side reads sizes: always three."""
    return list(values) + [0] * (3 - len(values))


def channels_first(x):
    return x.movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)
