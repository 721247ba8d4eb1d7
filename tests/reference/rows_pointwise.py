"""Pointwise operations."""
import torch
import torch.nn.functional as F

from draw import Draw, case, product, row

SHAPES = [((),), ((1,),), ((7,),), ((3, 5),), ((2, 3, 4, 8),), ((1, 7, 5, 3),), ((17, 12),), ((65, 1),)]
PAIRS = [((1,), (1,)), ((5, 8), (5, 8)), ((5, 8), (8,)), ((2, 3, 5), (3, 1)), ((4, 1, 12), (3, 12)), ((6, 7), (1, 1)),
         ((2, 3, 4, 8), (8,)), ((2, 3, 4, 3), (3,)), ((3, 1, 1, 4), (3, 5, 2, 4)), ((), (3, 4))]


def unary(name, function, draw, *attributes, special=SHAPES, kink=False):
    row(name, lambda d, shape: case(attributes, function, draw(d, *shape), kink=kink), lambda d: (d.shape(),), special)


def binary(name, function, draw_a, draw_b, kink=False):
    row(name, lambda d, a, b: case([], function, draw_a(d, *a), draw_b(d, *b), kink=kink), lambda d: d.pair(), PAIRS)


def whole(gap):
    """Numbers at least `gap` away from whole ones."""
    return lambda d, *shape: (d.indices(7, *shape) - 3).double() + d.uniform(gap, 1 - gap, *shape).float().double()


unary("neg", torch.neg, Draw.normal)
unary("abs", torch.abs, Draw.away)
unary("sign", torch.sign, Draw.away)
unary("square", torch.square, Draw.normal)
unary("sqrt", torch.sqrt, Draw.positive)
unary("rsqrt", torch.rsqrt, Draw.positive)
unary("exp", torch.exp, Draw.normal)
unary("ln", torch.log, Draw.positive)
unary("log1p", torch.log1p, lambda d, *s: d.uniform(-0.7, 2, *s))
unary("sin", torch.sin, lambda d, *s: d.uniform(-7, 7, *s))
unary("cos", torch.cos, lambda d, *s: d.uniform(-7, 7, *s))
unary("floor", torch.floor, whole(0.15))
unary("sigmoid", torch.sigmoid, lambda d, *s: d.wide(3, *s))
unary("softplus", F.softplus, lambda d, *s: d.wide(4, *s))
unary("log_sigmoid", F.logsigmoid, lambda d, *s: d.wide(4, *s))
unary("relu", torch.relu, Draw.away)
unary("silu", F.silu, lambda d, *s: d.wide(2, *s))
unary("gelu", F.gelu, lambda d, *s: d.wide(2, *s))
unary("erf", torch.erf, Draw.normal)
unary("erfinv", torch.erfinv, lambda d, *s: d.uniform(-0.9, 0.9, *s))


def tanh(d, shape, scale):
    """Where it is flat its slope 1 - y² is a small difference of numbers of size 1."""
    if scale <= 1:
        return case([], torch.tanh, scale * d.normal(*shape))
    return case([], torch.tanh, d.wide(scale, *shape), size=0.2 * product(shape) ** 0.5)


row("tanh", tanh, lambda d: (d.shape(), d.choice([0.125, 1, 8])), [s + (1,) for s in SHAPES] + [((9, 4), 16), ((9, 4), 1 / 64)])


def leaky_relu(d, shape, slope):
    return case([slope], lambda x: F.leaky_relu(x, slope), d.away(*shape))


def elu(d, shape, alpha):
    return case([alpha], lambda x: F.elu(x, alpha), d.away(*shape))


def clamp(d, shape, low, high):
    # values around both ends, none within 0.1 of one
    x = d.normal(*shape)
    for end in (low, high):
        x = torch.where((x - end).abs() < 0.11, x + 0.25, x)
    return case([low, high], lambda x: x.clamp(low, high), x.float().double())


def affine(d, shape, factor, offset):
    return case([factor, offset], lambda x: x * factor + offset, d.normal(*shape))


row("leaky_relu", leaky_relu, lambda d: (d.shape(), d.real(0, 0.5)), [s + (0.2,) for s in SHAPES[:4]])
row("elu", elu, lambda d: (d.shape(), d.real(0.2, 2)), [s + (1.0,) for s in SHAPES[:4]])
row("clamp", clamp, lambda d: (d.shape(), d.real(-1.5, -0.3), d.real(0.3, 1.5)), [s + (-0.5, 1.0) for s in SHAPES[:4]])
row("affine", affine, lambda d: (d.shape(), d.real(-2, 2), d.real(-2, 2)), [s + (-1.5, 0.25) for s in SHAPES[:4]])

binary("add", torch.add, Draw.normal, Draw.normal)
binary("sub", torch.sub, Draw.normal, Draw.normal)
binary("mul", torch.mul, Draw.normal, Draw.normal)
binary("div", torch.div, Draw.normal, lambda d, *s: d.positive(*s) * (d.indices(2, *s) * 2 - 1))
binary("pow", torch.pow, Draw.positive, Draw.normal)


# --- two that are compared: at least 0.1 apart, or equal where the gradient is shared ---
def compared(name, function, differentiable):
    def make(d, a, b, equal):
        if equal:
            x, y = d.ties(*a), d.ties(*b)
        else:
            x = (d.indices(21, *a) - 10).double() / 4
            y = (d.indices(21, *b) - 10).double() / 4 + 0.125
        return case([], lambda x, y: function(x, y).double(), x, y, kink=equal)
    row(name, make, lambda d: d.pair() + (d.flag(),), [p + (e,) for p in PAIRS[:6] for e in (False, True)])


compared("minimum", torch.minimum, True)
compared("maximum", torch.maximum, True)
compared("equal", torch.eq, False)
compared("less", torch.lt, False)
compared("less_equal", torch.le, False)


def where(d, condition, a, b):
    c = (d.indices(3, *condition) - 1).double()
    return case([], lambda x, y: torch.where(c != 0, x, y), d.normal(*a), d.normal(*b), consts=[c])


def where_shapes(d):
    full = d.shape(1, 4, 2000)
    return tuple(tuple(1 if d.rng.random() < 0.3 else n for n in full)[d.choice([0, 0, len(full) - 1]):] for _ in range(3))


row("where", where, where_shapes, [((1,), (1,), (1,)), ((5, 8), (5, 8), (5, 8)), ((5, 1), (8,), (5, 8)), ((3,), (2, 1), (1, 1))])


def prelu(d, shape, one):
    slope = d.uniform(0.05, 0.5, 1 if one else shape[-1])
    return case([], lambda x, w: torch.where(x > 0, x, x * w), d.away(*shape), slope)


row("prelu", prelu, lambda d: (d.shape(2, 4), d.flag()), [((5, 3), False), ((2, 3, 3, 8), False), ((4, 1), True), ((7, 5), True)])

# vkg_dtype's numbers: 2 int32, 4 float16, 5 bfloat16
HALVES = {4: torch.float16, 5: torch.bfloat16}


class Rounding(torch.autograd.Function):
    """PyTorch rounds the gradient too; ours is float32, and passes as it is."""

    @staticmethod
    def forward(context, x, dtype):
        return x.to(dtype).double()

    @staticmethod
    def backward(context, dy):
        return dy * 1.0, None


def cast(d, shape, dtype):
    if dtype == 2:
        return case([dtype], lambda x: x.detach().trunc(), whole(0.15)(d, *shape))
    return case([dtype], lambda x: Rounding.apply(x, HALVES[dtype]), d.normal(*shape), kink=True)


# an innermost dimension of whole vec4s: what every device can store
row("cast", cast, lambda d: (d.shape(1, 3, 900)[:-1] + (4 * d.integer(1, 5),), d.choice([2, 4, 5])),
    [((3, 8), 2), ((7,), 2), ((2, 3, 4), 4), ((2, 3, 4), 5)])
