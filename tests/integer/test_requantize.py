"""Requantization where no tool is asked: accumulators against exact rational arithmetic, and bad input."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.core.grid import Grid
from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier
from quantlab.integer.requantize import DIALECTS, Requantizer, requantize

INT8 = Grid(n_bits=8)
HALF = {"x_scale": 1.0, "w_scale": 0.5, "y_scale": 1.0, "y_zero_point": 0, "grid": INT8}


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.integers(-(2**22), 2**22), st.floats(2.0**-15, 2.0**-5, width=32), st.integers(-128, 127))
def test_every_dialect_is_within_one_step_of_the_real_product(dialect, acc, w_scale, zero_point):
    y = requantize(
        [acc], x_scale=0.5, w_scale=w_scale, y_scale=0.25, y_zero_point=zero_point, grid=INT8, dialect=dialect
    )
    exact = Fraction(acc) * Fraction(w_scale) * 2 + zero_point
    # Half a step for one rounding, 3/4 for two; float32 products and 31-bit multipliers err by less than 2**-22 of a
    # value that matters, since what lies beyond the grid is clipped.
    assert abs(int(y[0]) - min(max(exact, -128), 127)) <= Fraction(3, 4) + Fraction(1, 2**10)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_zero_becomes_the_zero_point_and_the_ends_saturate(dialect):
    acc = np.array([[-(2**24), 0, 2**24]], np.int32)
    for grid, zero_point in ((INT8, -5), (Grid(n_bits=8, signed=False), 200), (Grid(n_bits=4), 3)):
        y = requantize(acc, **{**HALF, "grid": grid, "y_zero_point": zero_point}, dialect=dialect)
        assert y.dtype == grid.dtype
        assert y.tolist() == [[grid.quant_min, zero_point, grid.quant_max]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_scale_a_channel_is_each_column_by_itself(dialect):
    rng = np.random.default_rng(5)
    acc = rng.integers(-40000, 40000, (3, 300, 6))
    w_scale = rng.uniform(0.001, 0.01, 6).astype(np.float32)
    common = {"x_scale": 0.4, "y_scale": 0.7, "y_zero_point": 3, "grid": INT8, "dialect": dialect}
    y = requantize(acc, w_scale=w_scale, **common)
    for c in range(6):
        assert (y[..., [c]] == requantize(acc[..., [c]], w_scale=w_scale[[c]], **common)).all()


def on_every_accumulator(acc, x_scale, w_scale, y_scale, *, dialect):
    """The arithmetic of a dialect, everywhere and not only next to ties."""
    x, w, y = np.float32(x_scale), np.asarray(w_scale, np.float32), np.float32(y_scale)
    if dialect == "litert":
        return np.rint(acc.astype(np.float32) * (x * w / y))
    real = np.float64(x) * w.astype(np.float64) / np.float64(y)
    if dialect == "litert_reference":
        product = acc * real
        return np.sign(product) * np.floor(np.abs(product) + 0.5)
    if dialect == "litert_ruy" and w.ndim == 0:
        real = np.float64(x * w) / np.float64(y)
    rounding = {"litert_ruy": "ruy", "litert_reference_conv": "gemmlowp"}[dialect]
    return multiply_by_quantized_multiplier(acc, *quantize_multiplier(real), rounding=rounding)


@pytest.mark.parametrize("dialect", ["litert", "litert_ruy", "litert_reference_conv", "litert_reference"])
@pytest.mark.parametrize("n_bits", [8, 16])
def test_the_shortcut_far_from_ties_changes_nothing(dialect, n_bits):
    # Multipliers from 2**-24 to 4, so that the first of two roundings keeps 24 binary digits or none; accumulators
    # at every place of the grid, at ties, up to 3 beside them, and beyond the ends.
    grid, rng, n_ties = Grid(n_bits=n_bits), np.random.default_rng(7), 0
    for trial in range(120):
        n_channels = (1, 3, 17, 256)[trial % 4]
        one = trial % 5 == 0
        w_scale = 2.0 ** rng.uniform(-2, 0, () if one else n_channels)
        if trial % 3 == 0:
            w_scale = 2.0 ** -rng.integers(0, 4, w_scale.shape) * rng.choice([1.0, 1.25, 1.5], w_scale.shape)
        scales = {"x_scale": 0.75, "w_scale": w_scale, "y_scale": 0.75 * 2.0 ** rng.integers(-2, 23)}
        real = w_scale.astype(np.float32) * 0.75 / scales["y_scale"]
        target = rng.integers(2 * grid.quant_min - 9, 2 * grid.quant_max + 9, (200, n_channels)) + rng.choice([0, 0.5])
        acc = np.rint(target / real).astype(np.int64) + rng.integers(-3, 4, target.shape)
        acc = np.clip(acc, -(2**29), 2**29)  # a multiplier below 4 shifts to the left by up to 2 bits
        n_ties += np.count_nonzero(acc * real % 1 == 0.5)
        zero_point = int(rng.integers(grid.quant_min, grid.quant_max + 1))
        expected = on_every_accumulator(acc, **scales, dialect=dialect) + zero_point
        common = {**scales, "y_zero_point": zero_point, "grid": grid, "dialect": dialect}
        clipped = np.clip(expected, grid.quant_min, grid.quant_max)
        assert (requantize(acc, **common) == clipped).all()
        step = Requantizer(n_channels=n_channels, **common, clip=(zero_point, min(zero_point + 30, grid.quant_max)))
        assert (step(acc) == np.clip(clipped, zero_point, zero_point + 30)).all()
        assert (step(acc.astype(np.float64)) == step(acc)).all()
        out = np.empty(acc.shape, grid.dtype)
        assert step(acc, out=out) is out
        assert (out == step(acc)).all()
    assert n_ties > 1000


def test_the_last_channels_of_ruy_may_round_as_gemmlowp():
    rng = np.random.default_rng(11)
    scales = {"x_scale": 1.0, "w_scale": 2.0 ** -rng.integers(4, 8, 11), "y_scale": 1.0}
    acc = rng.integers(-3000, 3000, (20_000, 11))
    common = {**scales, "y_zero_point": 5, "grid": INT8}
    y = Requantizer(n_channels=11, **common, dialect="litert_ruy", n_tail=3)(acc)
    ruy, gemmlowp = (requantize(acc, **common, dialect=d) for d in ("litert_ruy", "litert_reference_conv"))
    assert (y[:, :8] == ruy[:, :8]).all()
    assert (y[:, 8:] == gemmlowp[:, 8:]).all()
    assert (ruy != gemmlowp).any(axis=0).all()


def test_ties_of_every_dialect():
    acc = np.array([-5, -3, -1, 1, 3, 5])
    y = {d: requantize(acc, **HALF, dialect=d).tolist() for d in DIALECTS}
    even, up, away = [-2, -2, 0, 0, 2, 2], [-2, -1, 0, 1, 2, 3], [-3, -2, -1, 1, 2, 3]
    # 0.5 is 2**30 * 2**-31 with no shift: gemmlowp's only step is the high multiply, which rounds half up.
    assert y == {
        "litert": even,
        "litert_ruy": up,
        "litert_reference_conv": up,
        "litert_reference": away,
        "onnx": even,
        "torch": even,
    }
    quarter = {**HALF, "w_scale": 0.25}  # one bit to shift: 4k + 2 is a tie of the second step
    acc = np.array([-10, -6, -2, 2, 6, 10])
    assert requantize(acc, **quarter, dialect="litert_ruy").tolist() == up
    assert requantize(acc, **quarter, dialect="litert_reference_conv").tolist() == away


def test_empty_accumulators():
    assert requantize(np.zeros((0, 3), np.int32), **HALF, dialect="litert_ruy").shape == (0, 3)


def test_the_torch_bias_by_channel():
    """A bias is b / y_scale steps of the output whatever its channel's scale, rounded together with the product."""
    scales = {**HALF, "w_scale": [0.5, 0.25, 0.5]}
    y = requantize([[0, 0, 10], [2, 40, -4]], **scales, dialect="torch", bias=[1.0, -3.0, 0.25])
    assert y.tolist() == [[1, -3, 5], [2, 7, -2]]


def test_one_accumulator():
    y = requantize(np.int32(6), **HALF, dialect="litert")
    assert y == 3
    assert y.shape == ()


def test_the_torch_bias_is_one_fused_multiply_add():
    # fma(bias, 1/p, acc) with bias = p, acc = 2**24: the exact sum is 2**24 + 1 + e, halfway between two float32 but
    # for e, the error of the reciprocal. Where |e| < 2**-29, float64 drops e, and rounding once more then goes to the
    # even neighbour, 2**24, whatever the sign of e. With m = 2**-25 the two neighbours become 0 (a tie) and 1.
    p = np.random.default_rng(2).uniform(0.01, 0.02, 100_000).astype(np.float32)
    e = p.astype(np.float64) * (np.float32(1) / p).astype(np.float64) - 1  # exact: a product of two 24-bit numbers
    p, e = p[(e != 0) & (np.abs(e) < 2.0**-29)], e[(e != 0) & (np.abs(e) < 2.0**-29)]
    assert (e > 0).sum() > 100
    assert (e < 0).sum() > 100
    y = [
        requantize(
            [sign * 2**24],
            x_scale=1.0,
            w_scale=s,
            y_scale=s * 2.0**25,
            y_zero_point=0,
            grid=INT8,
            dialect="torch",
            bias=[sign * s],
        )[0]
        for s in p
        for sign in (1, -1)
    ]
    assert y == [sign * int(up) for up in e > 0 for sign in (1, -1)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dialect": "tflite"}, ValueError, "dialect='tflite'; expected one of"),
        ({"acc": np.zeros(2)}, TypeError, r"acc\.dtype=float64; expected an integer dtype"),
        ({"acc": np.array([2**31])}, ValueError, "acc reaches from 2147483648 to 2147483648"),
        ({"x_scale": 0.0}, ValueError, "x_scale=0.0; expected a positive, finite scale"),
        ({"y_scale": np.inf}, ValueError, "y_scale=inf"),
        ({"x_scale": [1.0, 2.0]}, ValueError, r"x_scale\.shape=\(2,\); expected one number"),
        ({"w_scale": [1.0, 2.0, 3.0]}, ValueError, r"w_scale\.shape=\(3,\).*acc\.shape\[-1:\]=\(2,\)"),
        ({"w_scale": 1e-30, "x_scale": 1e-30}, ValueError, "not a positive, finite float32"),
        ({"y_zero_point": 128}, ValueError, "y_zero_point=128; expected -128 to 127"),
        ({"y_zero_point": 0.0}, TypeError, "y_zero_point=0.0; expected one integer"),
        ({"bias": np.zeros(2, np.float32)}, ValueError, "bias with dialect='litert'"),
        (
            {"bias": [0.0, np.nan], "dialect": "torch"},
            ValueError,
            r"bias of shape \(2,\), 1 NaN; expected \(2,\), no NaN",
        ),
        ({"bias": [0.0], "dialect": "torch"}, ValueError, r"bias of shape \(1,\), 0 NaN; expected \(2,\)"),
        ({"acc": np.zeros((2, 0), np.int32)}, ValueError, "n_channels=0; expected 1 or more"),
    ],
)
def test_errors_name_what_came(change, error, message):
    call = {"acc": np.zeros(2, np.int32), **HALF, "dialect": "litert", **change}
    with pytest.raises(error, match=message):
        requantize(call.pop("acc"), **call)
