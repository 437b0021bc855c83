"""quantize's LiteRT dialects against LiteRT's QUANTIZE operator, on ties and their neighbours."""

import numpy as np
import pytest

from quantlab.core.affine import quantize
from quantlab.core.grid import Grid, round_half_away
from quantlab.core.qparams import QParams
from quantlab.lab.litert import KERNELS, run
from tests.integer import litert_models as litert

# ruy's kernel rounds as XNNPACK does, eight values at a time; the rest of a tensor goes through another loop, below.
DIALECTS = {"litert": "litert", "litert_ruy": "litert", "litert_reference": "litert_reference"}


def ties_and_neighbours(rng, n, scale):
    """Return ``(k + 1/2) * scale`` in float32, a third of it one float32 lower, a third one higher."""
    x = ((rng.integers(-140, 140, n) + 0.5) * np.float64(scale)).astype(np.float32)
    x[::3] = np.nextafter(x[::3], np.float32(np.inf))
    x[1::3] = np.nextafter(x[1::3], np.float32(-np.inf))
    return x


def quantizers(rng, n_trials, grid):
    for trial in range(n_trials):
        scale = np.float32(2.0 ** rng.integers(-6, 3) if trial % 5 == 0 else np.exp(rng.uniform(-6, 3)))
        zero_point = 0 if grid.n_bits == 16 else int(rng.integers(grid.quant_min, grid.quant_max + 1))
        yield QParams(scale=scale, zero_point=zero_point, grid=grid)


@pytest.mark.parametrize("grid", [Grid(n_bits=8), Grid(n_bits=8, signed=False), Grid(n_bits=16)], ids=repr)
@pytest.mark.parametrize("kernels", KERNELS)
def test_quantize_equals_litert(kernels, grid):
    rng = np.random.default_rng(11)
    n_wrong = dict.fromkeys(("torch", "onnx", "litert_reference"), 0)
    for qp in quantizers(rng, 20, grid):
        x = ties_and_neighbours(rng, 8000, qp.scale)
        model = litert.quantize_model(len(x), grid.dtype, scale=qp.scale, zero_point=qp.zero_point)
        theirs = run(model, x[None], kernels=kernels)[0]
        assert (quantize(x, qp, dialect=DIALECTS[kernels]) == theirs).all()
        for dialect in n_wrong:
            n_wrong[dialect] += np.count_nonzero(quantize(x, qp, dialect=dialect) != theirs)
    # The check can fail: division instead of the reciprocal, or the other rule for ties, is wrong in thousands.
    same = {"torch"} if kernels != "litert_reference" else {"litert_reference"}
    assert {dialect for dialect, n in n_wrong.items() if n < 1000} == same


def test_the_last_values_of_a_tensor_take_another_road_in_ruy():
    # Why no dialect is called litert_ruy: the last len % 8 values are divided in float64, ties away from zero.
    rng = np.random.default_rng(13)
    n_wrong = 0
    for qp in quantizers(rng, 500, Grid(n_bits=8)):
        x = ties_and_neighbours(rng, 15, qp.scale)
        model = litert.quantize_model(15, np.int8, scale=qp.scale, zero_point=qp.zero_point)
        theirs = run(model, x[None], kernels="litert_ruy")[0]
        q = quantize(x, qp, dialect="litert")
        assert (q[:8] == theirs[:8]).all()
        steps = round_half_away(x[8:].astype(np.float64) / np.float64(qp.scale)) + qp.zero_point
        assert (np.clip(steps, -128, 127) == theirs[8:]).all()
        n_wrong += np.count_nonzero(q[8:] != theirs[8:])
    assert n_wrong > 100
