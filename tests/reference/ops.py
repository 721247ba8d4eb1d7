#!/usr/bin/python3
"""What every operation, its gradient and the gradient of that are, for tests/ops_test.c. With Debian's python3-torch:

    tests/reference/ops.py                                     the fixed set, data/ops.safetensors: every special case
    tests/reference/ops.py --seed 7 --count 4 --out FILE       four random cases an operation
    tests/reference/ops.py --list                              the operations

For a case with inputs x0, x1, …: y = f(x); for random v and u, g_i = d<y,v>/dx_i and, with s = Σ<g_i, u_i>,
h_i = ds/dx_i and hv = ds/dv. i0, … (int32) and c0, … (float32) are further inputs of f, without gradients. Computed in
double from numbers that float32 has, stored as float32, channels last as in vkgan. Metadata: "caseN" is the operation
and its attributes, "kinkN" says that central differences make no sense there. Rows are in rows_*.py.
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


def compute(case, d):
    """The tensors of a case, by name."""
    inputs = [x.float().double().detach().clone().requires_grad_() for x in case.inputs]
    y = case.function(*inputs)
    v = d.uniform(-1, 1, *y.shape).requires_grad_()
    us = [d.uniform(-1, 1, *x.shape) for x in inputs]
    gradients = gradients_of((y * v).sum(), inputs, create_graph=True)
    s = sum(((g * u).sum() for g, u in zip(gradients, us)), torch.zeros(()))
    second = gradients_of(s, inputs + [v])
    result = {"y": y, "v": v, "hv": second[-1]}
    for i, x in enumerate(inputs):
        result.update({f"x{i}": x, f"g{i}": gradients[i], f"u{i}": us[i], f"h{i}": second[i]})
    result.update({f"c{i}": c for i, c in enumerate(case.consts)})
    tensors = {name: t.detach().float().contiguous().numpy().copy() for name, t in result.items()}
    tensors.update({f"i{i}": t.int().contiguous().numpy().copy() for i, t in enumerate(case.ints)})
    return tensors


def cases_of(row, seed, count):
    """The special cases, or `count` random ones, each with its tensors."""
    for k in range(count or len(row.special)):
        d = Draw(f"{seed}/{row.name}/{k}")
        parameters = row.parameters(d) if count else row.special[k]
        try:
            case = row.make(d, *parameters)
            yield case, compute(case, d)
        except Exception:
            print(f"{row.name}, case {k}: {parameters}", file=sys.stderr)
            raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--count", type=int, default=0, help="random cases an operation; 0: the special ones")
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
        for case, computed in cases_of(ROWS[name], options.seed, options.count):
            metadata[f"case{index}"] = " ".join([name] + [repr(a) for a in case.attributes])
            if case.kink:
                metadata[f"kink{index}"] = "1"
            tensors.update({f"{index}/{key}": array for key, array in computed.items()})
            index += 1
    metadata["count"] = str(index)
    safetensors.save(options.out, tensors, metadata)
    print(f"{options.out}: {index} cases of {len(names)} operations, seed {options.seed}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
