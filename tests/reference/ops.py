#!/usr/bin/python3
"""What every operation, its gradient and the gradient of that are, for tests/ops_test.c. With Debian's python3-torch:

    tests/reference/ops.py                                     the fixed set, data/ops.safetensors: two special cases each
    tests/reference/ops.py --seed 7 --count 4 --out FILE       four random cases an operation
    tests/reference/ops.py --seed 7 --count 12 --special ...   twelve, and every special case
    tests/reference/ops.py --list                              the operations

For a case with inputs x0, x1, …: y = f(x); for random v and u, g_i = d<y,v>/dx_i and, with s = Σ<g_i, u_i>,
h_i = ds/dx_i and hv = ds/dv. i0, … (int32) and c0, … (float32) are further inputs of f, without gradients. Computed in
double from numbers that float32 has, stored as float32, channels last as in vkgan. Metadata: "caseN" is the operation
and its attributes, "kinkN" says that central differences make no sense there, "sizeN" how large y, g0, h0, g1, h1, …, hv
are taken to be at least when an error is set in proportion. Rows are in rows_*.py.
"""
import argparse
import os
import sys

import torch

import rows_index, rows_loss, rows_normalization, rows_pointwise, rows_product, rows_reduce, rows_resample, rows_shape
import safetensors
from draw import Draw, ROWS


def zeros_for_none(gradients, inputs):
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs)]


def gradients_of(value, inputs, **options):
    if not value.requires_grad or not inputs:
        return [torch.zeros_like(x) for x in inputs]
    return zeros_for_none(torch.autograd.grad(value, inputs, allow_unused=True, **options), inputs)


def results_of(function, inputs, v, us):
    """y, g0, h0, g1, h1, …, hv"""
    inputs, v = [x.detach().clone().requires_grad_() for x in inputs], v.detach().clone().requires_grad_()
    y = function(*inputs)
    gradients = gradients_of((y * v).sum(), inputs, create_graph=True)
    s = sum(((g * u).sum() for g, u in zip(gradients, us)), torch.zeros(()))
    second = gradients_of(s, inputs + [v])
    pairs = [t for pair in zip(gradients, second) for t in pair]
    return [t.detach() for t in [y] + pairs + [second[-1]]]


def sizes_of(results, case, inputs, v, us, d):
    """The terms of a sum may cancel out by chance, and its error is then that of the terms, not of what is left. So the size
    of a result is at least how far rounding all inputs would move it, over that rounding. (Beside a kink only v and u move.)"""
    small, times = 1e-6, 4 if min(t.numel() for t in results) <= 4 else 2
    n = len(inputs)
    squares = [0.0] * len(results)
    for _ in range(times):
        shaken = [t * (1 + small * (2 * d.indices(2, *t.shape) - 1)) for t in [*inputs, v, *us]]
        moved = results_of(case.function, inputs if case.kink else shaken[:n], shaken[n], shaken[n + 1:])
        squares = [s + float(((a - b) / small).square().sum()) / times for s, a, b in zip(squares, moved, results)]
    return [max(case.size, square ** 0.5) for square in squares]


def compute(case, d):
    """The tensors of a case by name, and the sizes."""
    inputs = [x.float().double().detach() for x in case.inputs]
    v = d.uniform(-1, 1, *case.function(*inputs).shape)
    us = [d.uniform(-1, 1, *x.shape) for x in inputs]
    results = results_of(case.function, inputs, v, us)
    named = {"y": results[0], "v": v, "hv": results[-1]}
    for i, x in enumerate(inputs):
        named.update({f"x{i}": x, f"g{i}": results[1 + 2 * i], f"u{i}": us[i], f"h{i}": results[2 + 2 * i]})
    named.update({f"c{i}": c for i, c in enumerate(case.consts)})
    tensors = {name: t.float().contiguous().numpy().copy() for name, t in named.items()}
    tensors.update({f"i{i}": t.int().contiguous().numpy().copy() for i, t in enumerate(case.ints)})
    return tensors, sizes_of(results, case, inputs, v, us, d)


def special_of(row, wanted):
    """The first and the last special parameters, or all."""
    return row.special if wanted else [row.special[0], row.special[-1]][:len(row.special)]


def cases_of(row, seed, count, special):
    """`count` random cases, and special ones where they are wanted or nothing else is."""
    listed = special_of(row, special) if special or not count else []
    for k in range(len(listed) + count):
        d = Draw(f"{seed}/{row.name}/{k}")
        parameters = listed[k] if k < len(listed) else row.parameters(d)
        try:
            case = row.make(d, *parameters)
            yield case, *compute(case, d)
        except Exception:
            print(f"{row.name}, case {k}: {parameters}", file=sys.stderr)
            raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--count", type=int, default=0, help="random cases an operation; 0: two special ones")
    parser.add_argument("--special", action="store_true", help="all special cases too")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "ops.safetensors"))
    parser.add_argument("--only", default="", help="operations, by comma")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(ROWS))
        return
    names = options.only.split(",") if options.only else list(ROWS)
    missing = [name for name in names if name not in ROWS]
    if missing:
        sys.exit("no row for " + ", ".join(missing))
    tensors, metadata, index = {}, {}, 0
    for name in names:
        for case, computed, sizes in cases_of(ROWS[name], options.seed, options.count, options.special):
            metadata[f"case{index}"] = " ".join([name] + [repr(a) for a in case.attributes])
            if case.kink:
                metadata[f"kink{index}"] = "1"
            if any(sizes):
                metadata[f"size{index}"] = " ".join(f"{size:.3g}" for size in sizes)
            tensors.update({f"{index}/{key}": array for key, array in computed.items()})
            index += 1
    metadata["count"] = str(index)
    safetensors.save(options.out, tensors, metadata)
    print(f"{options.out}: {index} cases of {len(names)} operations, seed {options.seed}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
