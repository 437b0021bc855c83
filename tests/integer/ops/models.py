"""Models of one operator on int8 tensors, run in each kernel set, and scales for them."""

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.lab.litert import KERNELS, run
from quantlab.lab.tflite_writer import ModelWriter

INT8, UINT8 = Grid(n_bits=8), Grid(n_bits=8, signed=False)
CODES = np.arange(-128, 128, dtype=np.int8)


def one_operator(operator, inputs, input_qps, y_qp, *, shape=None, version=2, kernel_sets=tuple(KERNELS), **options):
    """Return the outputs of an operator by kernel set; a QParams of None is a tensor of float32."""
    writer = ModelWriter()

    def tensor(shape, qp):
        if qp is None:
            return writer.tensor(shape, np.float32)
        return writer.tensor(shape, qp.grid.dtype, scale=qp.scale, zero_point=qp.zero_point)

    places = [tensor(x.shape, qp) for x, qp in zip(inputs, input_qps, strict=True)]
    shape = np.broadcast_shapes(*(x.shape for x in inputs)) if shape is None else shape
    model = writer.finish(operator, inputs=places, outputs=[tensor(shape, y_qp)], version=version, **options)
    return {kernels: run(model, *inputs, kernels=kernels) for kernels in kernel_sets}


def random_qps(rng, n, trial, *, grid=INT8):
    """Return n QParams: dyadic (ties), short decimals (next to ties: 0.05 and 0.07 over 6 / 22.5), or random ones."""
    if trial % 3 == 0:
        scales = 2.0 ** rng.integers(-6, 2, n)
    elif trial % 3 == 1:
        scales = rng.integers(1, 30, n) * 0.01
        scales[-1] = 6 / (rng.integers(1, 230) + 0.5)
    else:
        scales = np.exp(rng.uniform(-4, 1, n))
    zero_points = rng.integers(grid.quant_min, grid.quant_max, n, endpoint=True)
    return [QParams(scale=s, zero_point=z, grid=grid) for s, z in zip(scales, zero_points, strict=True)]


def count_wrong(wrong, ours, theirs):
    """Add to ``wrong[dialect, kernels]`` how many values of a dialect differ from a kernel set."""
    for kernels, y in theirs.items():
        for dialect, q in ours.items():
            assert (q.dtype, q.shape) == (y.dtype, y.shape)
            wrong[dialect, kernels] = wrong.get((dialect, kernels), 0) + np.count_nonzero(q != y)


def check_equal(wrong):
    """Every dialect equals the kernel set of its name."""
    assert {pair: n for pair, n in wrong.items() if pair[0] == pair[1] and n} == {}


def smallest(wrong, *pairs):
    """Return the smallest number of differences over pairs of dialect and kernel set."""
    return min(wrong[pair] for pair in pairs)


OTHERS = [(dialect, kernels) for dialect in KERNELS for kernels in KERNELS if dialect != kernels]
