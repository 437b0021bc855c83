"""QUANTIZE and DEQUANTIZE of LiteRT in three kernel sets: every code, ties and their neighbours, odd ends."""

import numpy as np
import pytest

from quantlab.core.affine import dequantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.integer.ops import dequantize_values, quantize_values, requantize_values
from quantlab.lab.litert import KERNELS
from tests.integer.ops.models import INT8, OTHERS, UINT8, check_equal, count_wrong, one_operator, random_qps, smallest

INT16 = Grid(n_bits=16)
ROWS = 1, 7, 8, 15, 16, 23, 271  # around the 8 and 16 values of a vector


def ties_and_neighbours(rng, shape, qp):
    """Return ``(k + 1/2) * scale`` in float32, a third one float32 lower, a third one higher; and values beyond."""
    x = ((rng.integers(-270, 270, shape) + 0.5) * np.float64(qp.scale)).astype(np.float32).reshape(-1)
    x[::3] = np.nextafter(x[::3], np.float32(np.inf))
    x[1::3] = np.nextafter(x[1::3], np.float32(-np.inf))
    x[::29] = rng.choice([-1e9, 1e9], x[::29].shape) * qp.scale
    return x.reshape(shape)


@pytest.mark.parametrize("grid", [INT8, UINT8, INT16], ids=["int8", "uint8", "int16"])
def test_quantize_equals_litert(grid):
    rng = np.random.default_rng(1)
    wrong = {}
    for trial in range(210):
        qp = random_qps(rng, 1, trial, grid=grid)[0]
        if grid == INT16:
            qp = QParams(scale=qp.scale, zero_point=0, grid=grid)
        x = ties_and_neighbours(rng, (3, ROWS[trial % 7]), qp)
        theirs = one_operator("QUANTIZE", [x], [None], qp)
        count_wrong(wrong, {d: quantize_values(x, y_qp=qp, dialect=d) for d in KERNELS}, theirs)
    check_equal(wrong)
    # XNNPACK does not compute int16
    others = [pair for pair in OTHERS if grid != INT16 or set(pair) != {"litert", "litert_ruy"}]
    assert smallest(wrong, *others) > 50


@pytest.mark.parametrize("x_grid", [INT8, UINT8], ids=["int8", "uint8"])
@pytest.mark.parametrize("y_grid", [INT8, UINT8], ids=["to int8", "to uint8"])
def test_requantize_equals_litert(x_grid, y_grid):
    rng = np.random.default_rng(2)
    codes = np.arange(x_grid.quant_min, x_grid.quant_max + 1).astype(x_grid.dtype)
    wrong = {}
    for trial in range(120):
        x_qp, y_qp = random_qps(rng, 2, trial, grid=x_grid)
        if trial % 4 == 3:
            x_qp = QParams(scale=y_qp.scale * 2.0 ** rng.integers(-9, 9), zero_point=x_qp.zero_point, grid=x_grid)
        zero_point = int(rng.integers(y_grid.quant_min, y_grid.quant_max + 1))
        y_qp = QParams(scale=y_qp.scale, zero_point=zero_point, grid=y_grid)
        x = np.concatenate([codes, rng.choice(codes, 1 + trial % 16)])
        ours = {d: requantize_values(x, x_qp=x_qp, y_qp=y_qp, dialect=d) for d in KERNELS}
        real = x_qp.scale.astype(np.float64) * (x.astype(int) - x_qp.zero_point) / y_qp.scale.astype(np.float64)
        floats = np.clip(np.rint(real) + zero_point, y_grid.quant_min, y_grid.quant_max).astype(y_grid.dtype)
        count_wrong(wrong, {**ours, "float": floats}, one_operator("QUANTIZE", [x], [x_qp], y_qp))
    check_equal(wrong)
    others = [pair for pair in OTHERS if x_grid == y_grid or set(pair) != {"litert", "litert_ruy"}]
    assert smallest(wrong, *others, *(("float", kernels) for kernels in KERNELS)) > 100


@pytest.mark.parametrize("ratio", [2.0**-8, 2.0**-8 * (1 - 2**-20), 2.0**7, 2.0**7 * (1 + 2**-20), 2.0**-8 * 1.3, 1.0])
def test_where_xnnpack_stops(ratio):
    # below 2**-8 and above 2**7 "litert" computes as "litert_ruy" does
    codes = np.arange(-128, 128).astype(np.int8)
    wrong = {}
    for zero_point in (-128, 3, 127):
        x_qp = QParams(scale=ratio, zero_point=zero_point, grid=INT8)
        y_qp = QParams(scale=1.0, zero_point=-5, grid=INT8)
        theirs = one_operator("QUANTIZE", [codes], [x_qp], y_qp)
        ours = {d: requantize_values(codes, x_qp=x_qp, y_qp=y_qp, dialect=d) for d in KERNELS}
        count_wrong(wrong, ours, theirs)
    check_equal(wrong)


@pytest.mark.parametrize("grid", [INT8, UINT8], ids=["int8", "uint8"])
def test_dequantize_equals_litert(grid):
    rng = np.random.default_rng(3)
    codes = np.arange(grid.quant_min, grid.quant_max + 1).astype(grid.dtype)
    wrong = {}
    for trial in range(60):
        qp = random_qps(rng, 1, trial, grid=grid)[0]
        q = np.concatenate([codes, rng.choice(codes, 1 + trial % 16)])
        ours = {d: dequantize_values(q, qp=qp, dialect=d) for d in KERNELS}
        count_wrong(wrong, {**ours, "core": dequantize(q, qp)}, one_operator("DEQUANTIZE", [q], [qp], None))
    check_equal(wrong)
    assert wrong["core", "litert"] == wrong["core", "litert_reference"] == 0
    assert smallest(wrong, ("core", "litert_ruy"), ("litert", "litert_ruy"), ("litert_ruy", "litert")) > 1000


def test_where_int32_ends():
    # XNNPACK saturates; the others convert to int32 first, which our functions refuse
    qp, x = QParams(scale=1.0, zero_point=-3, grid=INT8), np.array([np.inf, -np.inf, 2.0**31, -3e9], np.float32)
    theirs = one_operator("QUANTIZE", [x], [None], qp)
    assert theirs["litert"].tolist() == quantize_values(x, y_qp=qp, dialect="litert").tolist() == [127, -128, 127, -128]
    for dialect in ("litert_ruy", "litert_reference"):
        assert theirs[dialect].tolist() != theirs["litert"].tolist()
        with pytest.raises(ValueError, match=r"2\*\*31 steps of 1.0 or more, where 'litert_r"):
            quantize_values(x, y_qp=qp, dialect=dialect)
        assert quantize_values(np.float32([2.0**30]), y_qp=qp, dialect=dialect).tolist() == [127]


@pytest.mark.parametrize("dialect", KERNELS)
def test_shapes_and_no_values(dialect):
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    q = np.arange(30, dtype=np.int8).reshape(2, 3, 5)
    assert (requantize_values(q, x_qp=qp, y_qp=qp, dialect=dialect) == q).all()
    assert dequantize_values(q, qp=qp, dialect=dialect).shape == q.shape
    assert (quantize_values(dequantize(q, qp), y_qp=qp, dialect=dialect) == q).all()
    for empty in (q[:0], q[..., :0]):
        assert requantize_values(empty, x_qp=qp, y_qp=qp, dialect=dialect).shape == empty.shape
        assert dequantize_values(empty, qp=qp, dialect=dialect).shape == empty.shape
        assert quantize_values(dequantize(empty, qp), y_qp=qp, dialect=dialect).shape == empty.shape


def test_errors_name_what_came():
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    wide = QParams(scale=0.1, zero_point=0, grid=INT16)
    many = QParams(scale=[0.1], zero_point=0, grid=INT8, axis=0)
    x, q = np.zeros(3, np.float32), np.zeros(3, np.int8)
    with pytest.raises(ValueError, match="dialect='onnx'; expected one of"):
        quantize_values(x, y_qp=qp, dialect="onnx")
    with pytest.raises(TypeError, match=r"x\.dtype=float64; expected float32"):
        quantize_values(x.astype(float), y_qp=qp, dialect="litert")
    with pytest.raises(ValueError, match="NaN"):
        quantize_values(np.float32([np.nan]), y_qp=qp, dialect="litert_reference")
    with pytest.raises(ValueError, match=r"y_qp\.axis=0"):
        quantize_values(x, y_qp=many, dialect="litert")
    with pytest.raises(ValueError, match="dialect='torch'; expected one of"):
        requantize_values(q, x_qp=qp, y_qp=qp, dialect="torch")
    with pytest.raises(TypeError, match=r"x_q\.dtype=int16; expected int8 or uint8"):
        requantize_values(q.astype(np.int16), x_qp=wide, y_qp=qp, dialect="litert")
    with pytest.raises(ValueError, match=r"y_qp\.grid=Grid\(n_bits=16"):
        requantize_values(q, x_qp=qp, y_qp=wide, dialect="litert")
    with pytest.raises(ValueError, match=r"x_qp\.grid=.*signed=False.*; expected .*signed=True"):
        requantize_values(q, x_qp=QParams(scale=0.1, zero_point=0, grid=UINT8), y_qp=qp, dialect="litert")
    with pytest.raises(ValueError, match="dialect='onnx'; expected one of"):
        dequantize_values(q, qp=qp, dialect="onnx")
    with pytest.raises(ValueError, match=r"q_qp\.axis=0"):
        dequantize_values(q, qp=many, dialect="litert")
