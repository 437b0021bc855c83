"""quantize, dequantize, fake_quantize, choose_qparams against torch, ONNX Runtime and the definition."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlab import Grid, QParams, choose_qparams, dequantize, fake_quantize, quantize
from quantlab.core.dialects import DIALECTS
from quantlab.core.granularity import scale_shape
from quantlab.core.grid import round_half_away, round_half_even, round_half_up

INT8, UINT8, UINT4 = Grid(n_bits=8), Grid(n_bits=8, signed=False), Grid(n_bits=4, signed=False)


def tie_heavy(n, scale, *, seed):
    """Half the values lie on or next to (k + 1/2) * scale, where a wrong formula rounds the other way."""
    rng = np.random.default_rng(seed)
    ties = ((rng.integers(-300, 300, n // 2) + 0.5) * np.float32(scale)).astype(np.float32)
    ties[::3] = np.nextafter(ties[::3], np.float32(np.inf))
    ties[1::3] = np.nextafter(ties[1::3], np.float32(-np.inf))
    return np.concatenate([ties, rng.normal(0, 100 * scale, n - n // 2).astype(np.float32)])


def bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32)


@pytest.mark.parametrize("grid", [INT8, UINT8, UINT4, Grid(n_bits=2), Grid(n_bits=8, narrow=True)])
@pytest.mark.parametrize(("scale", "position"), [(0.1, 0.5), (0.0371, 0.1), (1.7e-5, 0.9), (23.4, 0.0)])
def test_fake_quantize_equals_torch_to_the_bit(grid, scale, position):
    x = tie_heavy(1_000_000, scale, seed=1)
    zero_point = grid.quant_min + round(position * (grid.n_levels - 1))
    want = torch.fake_quantize_per_tensor_affine(
        torch.from_numpy(x), scale, zero_point, grid.quant_min, grid.quant_max
    ).numpy()
    got = fake_quantize(x, QParams(scale=scale, zero_point=zero_point, grid=grid))
    assert np.array_equal(bits(got), bits(want))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fake_quantize_per_axis_equals_torch_to_the_bit(axis):
    rng = np.random.default_rng(2)
    x = tie_heavy(2**20, 0.05, seed=3).reshape(64, 128, 128)
    n = x.shape[axis]
    qp = QParams(
        scale=rng.uniform(0.01, 0.2, n).astype(np.float32), zero_point=rng.integers(-128, 128, n), grid=INT8, axis=axis
    )
    want = torch.fake_quantize_per_channel_affine(
        torch.from_numpy(x), torch.from_numpy(qp.scale), torch.from_numpy(qp.zero_point), axis, -128, 127
    ).numpy()
    assert np.array_equal(bits(fake_quantize(x, qp)), bits(want))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")  # deprecated, and still in use
@pytest.mark.parametrize(("scale", "zero_point"), [(0.1, 0), (0.1, 37), (0.0371, -128), (1.7e-5, 3)])
def test_native_dialect_equals_torch_quantize_per_tensor(scale, zero_point):
    x = tie_heavy(1_000_000, scale, seed=4)
    want = torch.quantize_per_tensor(torch.from_numpy(x), scale, zero_point, torch.qint8).int_repr().numpy()
    qp = QParams(scale=scale, zero_point=zero_point, grid=INT8)
    assert np.array_equal(quantize(x, qp, dialect="torch_native"), want)


def test_dialects_differ_so_that_the_comparisons_above_can_fail():
    x = tie_heavy(1_000_000, 0.1, seed=5)
    qp = QParams(scale=0.1, zero_point=37, grid=INT8)
    codes = {dialect: quantize(x, qp, dialect=dialect) for dialect in DIALECTS}
    for dialect in ("torch_native", "onnx", "litert_reference"):
        different = codes[dialect] != codes["torch"]
        assert different.mean() > 0.001
        assert np.abs(codes[dialect].astype(int) - codes["torch"])[different].max() == 1


def test_onnx_dialect_equals_onnxruntime():
    import onnxruntime as ort
    from onnx import TensorProto, helper

    x = tie_heavy(1_000_000, 0.0371, seed=6)
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])
    graph = helper.make_graph(
        [node],
        "quantize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("q", TensorProto.INT8, [None])],
        [helper.make_tensor("s", TensorProto.FLOAT, [], [0.0371]), helper.make_tensor("z", TensorProto.INT8, [], [-7])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    want = session.run(None, {"x": x})[0]
    assert np.array_equal(quantize(x, QParams(scale=0.0371, zero_point=-7, grid=INT8), dialect="onnx"), want)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("grid", "torch_dtype"), [(INT8, torch.qint8), (UINT8, torch.quint8)])
def test_choose_qparams_equals_torch_observer(grid, torch_dtype, symmetric):
    from torch.ao.quantization import MinMaxObserver

    rng = np.random.default_rng(7)
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    ranges = rng.normal(size=(200, 2)).astype(np.float32) * np.float32(10) ** rng.integers(-9, 9, (200, 1))
    for lo, hi in [(0, 0), (1, 6), (-6, -1), (0, 3), *np.sort(ranges, axis=1)]:
        observer = MinMaxObserver(dtype=torch_dtype, qscheme=scheme)
        observer(torch.tensor([lo, hi], dtype=torch.float32))
        scale, zero_point = observer.calculate_qparams()
        qp = choose_qparams(np.float32(lo), np.float32(hi), grid=grid, symmetric=symmetric)
        assert qp.scale == scale.numpy()[0]
        assert qp.zero_point == zero_point.numpy()[0]


def test_quantize_equals_the_definition_in_exact_arithmetic_away_from_ties():
    rng = np.random.default_rng(8)
    qp = QParams(scale=0.25, zero_point=5, grid=Grid(n_bits=6))  # a power of two: x / s is exact in every dialect
    x = rng.integers(-1000, 1000, 10_000).astype(np.float32) / 64
    want = np.clip(np.rint(x.astype(np.float64) / 0.25) + 5, -32, 31)
    for dialect in ("torch", "torch_native", "onnx"):
        got = quantize(x, qp, dialect=dialect)
        on_tie = (x * 8) % 2 == 1
        if dialect == "torch_native":  # it adds an odd zero point before rounding, so its ties go the other way
            assert np.array_equal(got[~on_tie], want[~on_tie])
        else:
            assert np.array_equal(got, want)


def test_rounding_rules_on_ties_and_beside_them():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, np.nextafter(np.float32(0.5), np.float32(0)), 2**23 + 1], np.float32)
    assert round_half_even(x).tolist() == [-2, -2, 0, 0, 2, 2, 0, 2**23 + 1]
    assert round_half_away(x).tolist() == [-3, -2, -1, 1, 2, 3, 0, 2**23 + 1]
    assert round_half_up(x).tolist() == [-2, -1, 0, 1, 2, 3, 0, 2**23 + 1]
    for rule in (round_half_even, round_half_away, round_half_up):
        assert rule(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
        assert np.isnan(rule(np.array([np.nan]))).all()


grids = st.builds(Grid, n_bits=st.integers(2, 16), signed=st.booleans(), narrow=st.booleans())
# Widths from 1e-3 up: a narrower range may meet torch's floor for the scale, 2**-23, and is tested by itself.
bounds = st.tuples(st.floats(-(2.0**20), 2.0**20), st.floats(2.0**-10, 2.0**20)).map(lambda p: (p[0], p[0] + p[1]))


@given(grid=grids, bounds=bounds, symmetric=st.booleans())
def test_zero_is_exact(grid, bounds, symmetric):
    qp = choose_qparams(*bounds, grid=grid, symmetric=symmetric)
    assert quantize(np.float32([0, -0.0]), qp).tolist() == [qp.zero_point] * 2
    assert bits(fake_quantize(np.float32([0, -0.0]), qp)).tolist() == [0, 0]


@given(grid=grids, bounds=bounds, fractions=hnp.arrays(np.float32, 20, elements=st.floats(0, 1, width=32)))
def test_error_is_at_most_half_a_step_inside_the_range(grid, bounds, fractions):
    qp = choose_qparams(*bounds, grid=grid)
    lo, hi = (np.float64(end - qp.zero_point) * np.float64(qp.scale) for end in (grid.quant_min, grid.quant_max))
    x = (lo + fractions * (hi - lo)).astype(np.float32)
    # Beyond s/2: x * inv and the way back round to float32, each by at most 2**-23 of |x| (three roundings).
    slack = 3 * 2.0**-23 * np.abs(x)
    error = np.abs(x.astype(np.float64) - fake_quantize(x, qp))
    assert (error <= np.float64(qp.scale) / 2 + slack).all()


@given(
    grid=grids,
    bounds=bounds,
    dialect=st.sampled_from(sorted(DIALECTS)),
    x=hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3), elements=st.floats(width=32, allow_nan=False)),
)
def test_monotone_idempotent_and_equal_to_the_round_trip(grid, bounds, dialect, x):
    qp = choose_qparams(*bounds, grid=grid)
    q = quantize(x, qp, dialect=dialect)
    x_hat = fake_quantize(x, qp, dialect=dialect)
    assert q.dtype == grid.dtype
    assert q.shape == x_hat.shape == x.shape
    assert np.array_equal(bits(x_hat), bits(dequantize(q, qp)))
    assert np.array_equal(bits(fake_quantize(x_hat, qp, dialect=dialect)), bits(x_hat))
    order = np.argsort(x.ravel())
    assert (np.diff(q.ravel()[order].astype(int)) >= 0).all()


@given(n_groups=st.integers(1, 4), group_size=st.integers(1, 5), axis=st.integers(-3, 2), seed=st.integers(0, 99))
def test_groups_equal_a_loop_over_groups(n_groups, group_size, axis, seed):
    rng = np.random.default_rng(seed)
    shape = [2, 3, 4]
    shape[axis] = n_groups * group_size
    x = rng.normal(size=shape).astype(np.float32)
    scales = rng.uniform(0.01, 0.1, scale_shape(x.shape, axis=axis, group_size=group_size)).astype(np.float32)
    zeros = rng.integers(-8, 8, scales.shape)
    grid = Grid(n_bits=4)
    got = quantize(x, QParams(scale=scales, zero_point=zeros, grid=grid, axis=axis, group_size=group_size))
    want = np.empty(x.shape, np.int8)
    for index in np.ndindex(*x.shape):
        group = list(index)
        group[axis] //= group_size
        qp = QParams(scale=scales[tuple(group)], zero_point=zeros[tuple(group)], grid=grid)
        want[index] = quantize(x[index], qp)
    assert np.array_equal(got, want)


@given(axis=st.integers(-3, 2))
def test_one_group_equals_per_axis(axis):
    x = np.random.default_rng(9).normal(size=(4, 5, 6)).astype(np.float32)
    moved = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    per_axis = choose_qparams(moved.min(1), moved.max(1), grid=INT8, axis=0)
    one_group = QParams(
        scale=per_axis.scale[:, None],
        zero_point=per_axis.zero_point[:, None],
        grid=INT8,
        axis=1,
        group_size=moved.shape[1],
    )
    want = quantize(moved, one_group)
    got = quantize(x, QParams(scale=per_axis.scale, zero_point=per_axis.zero_point, grid=INT8, axis=axis))
    assert np.array_equal(np.moveaxis(got, axis, 0).reshape(moved.shape), want)


@pytest.mark.parametrize("n_bits", range(1, 17))
@pytest.mark.parametrize("signed", [True, False])
def test_every_code_of_every_width_comes_back(n_bits, signed):
    grid = Grid(n_bits=n_bits, signed=signed)
    codes = np.arange(grid.quant_min, grid.quant_max + 1).astype(grid.dtype)
    qp = QParams(scale=0.37, zero_point=grid.quant_max, grid=grid)
    assert len(codes) == grid.n_levels == 2**n_bits
    for dialect in DIALECTS:
        assert np.array_equal(quantize(dequantize(codes, qp), qp, dialect=dialect), codes)


def test_shapes_that_trip_reshapes():
    qp = QParams(scale=0.1, zero_point=1, grid=INT8)
    assert quantize(np.float32(0.35), qp).shape == ()
    assert fake_quantize(np.zeros((0, 3), np.float32), qp).shape == (0, 3)
    per_axis = QParams(scale=np.ones(3, np.float32), zero_point=0, grid=INT8, axis=1)
    assert quantize(np.zeros((0, 3), np.float32), per_axis).shape == (0, 3)
    x = tie_heavy(6 * 8, 0.1, seed=10).reshape(6, 8)
    assert np.array_equal(fake_quantize(x[::2, ::-1], qp), fake_quantize(x, qp)[::2, ::-1])
    assert np.array_equal(fake_quantize(x.T, qp), fake_quantize(x, qp).T)
    big = tie_heavy(600_000, 0.1, seed=11)  # several chunks: the seams must not show
    assert np.array_equal(quantize(big, qp), np.concatenate([quantize(part, qp) for part in np.array_split(big, 97)]))


def test_out_is_written_and_checked():
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    x = tie_heavy(1000, 0.1, seed=12)
    want, out = fake_quantize(x, qp), x.copy()
    assert fake_quantize(out, qp, out=out) is out
    assert np.array_equal(bits(out), bits(want))
    for wrong in (np.empty(999, np.float32), np.empty(1000), np.empty((1000, 2), np.float32)[:, 0]):
        with pytest.raises(ValueError, match="C-contiguous float32"):
            fake_quantize(x, qp, out=wrong)


def test_infinities_and_huge_values_saturate_in_every_dialect():
    qp = QParams(scale=0.5, zero_point=3, grid=INT8)
    for dialect in DIALECTS:
        assert quantize([-np.inf, -1e30, 1e30, np.inf, 1e300], qp, dialect=dialect).tolist() == [
            -128,
            -128,
            127,
            127,
            127,
        ]
    assert fake_quantize([-np.inf, np.inf], qp).tolist() == [-65.5, 62.0]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_quantize_refuses_nan_wherever_it_hides_and_fake_quantize_hands_it_on(dialect):
    qp = QParams(scale=0.5, zero_point=3, grid=INT8)
    x = np.zeros(400_000, np.float32)
    for position in (0, 131_072, 399_999):
        x[:] = 0
        x[position] = np.nan
        with pytest.raises(ValueError, match="x holds 1 NaN"):
            quantize(x, qp, dialect=dialect)
        assert np.flatnonzero(np.isnan(fake_quantize(x, qp, dialect=dialect))).tolist() == [position]


def test_the_clamped_zero_point_of_a_published_course_is_caught_by_the_maximum_not_the_mean():
    x = np.float32([1, 2, 3, 4, 5, 6])
    good = choose_qparams(1, 6, grid=INT8)
    scale = np.float32(5 / 255)
    short = QParams(scale=scale, zero_point=-128, grid=INT8)
    error = {name: np.abs(x - fake_quantize(x, qp)) for name, qp in (("good", good), ("short", short))}
    assert error["good"].max() <= good.scale / 2 + 6 * 2**-23  # half a step, and the float32 rounding of values up to 6
    assert error["short"].mean() < 0.25
    assert error["short"].max() > 0.9


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Grid(n_bits=0), ValueError, r"n_bits=0 is outside 1\.\.16"),
        (lambda: Grid(n_bits=17), ValueError, "outside"),
        (lambda: Grid(n_bits=8.0), TypeError, "integer"),
        (lambda: Grid(n_bits=1, narrow=True), ValueError, "one mark"),
        (lambda: QParams(scale=0.0, zero_point=0, grid=INT8), ValueError, "scale=0.0"),
        (lambda: QParams(scale=-1.0, zero_point=0, grid=INT8), ValueError, "positive"),
        (lambda: QParams(scale=np.nan, zero_point=0, grid=INT8), ValueError, "positive"),
        (lambda: QParams(scale=1e-40, zero_point=0, grid=INT8), ValueError, "normal"),
        (lambda: QParams(scale=1e37, zero_point=0, grid=INT8), ValueError, "beyond float32"),
        (lambda: QParams(scale=1.0, zero_point=128, grid=INT8), ValueError, "zero_point=128 is outside the grid"),
        (lambda: QParams(scale=1.0, zero_point=0.5, grid=INT8), TypeError, "integer"),
        (lambda: QParams(scale=[1.0, 2.0], zero_point=0, grid=INT8), ValueError, "name the axis"),
        (lambda: QParams(scale=1.0, zero_point=0, grid=INT8, axis=0), ValueError, "one scale a slice"),
        (lambda: QParams(scale=[1.0, 2.0], zero_point=[0, 0, 0], grid=INT8, axis=0), ValueError, "make them equal"),
        (lambda: QParams(scale=1.0, zero_point=0, grid=8), TypeError, "pass a Grid"),
        (lambda: choose_qparams(2, 1, grid=INT8), ValueError, "lo=2 is greater than hi=1"),
        (lambda: choose_qparams([0, 3], [1, 2], grid=INT8, axis=0), ValueError, r"index \(.*1.*\)"),
        (lambda: choose_qparams(np.nan, 1, grid=INT8), ValueError, "lo holds nan"),
        (lambda: choose_qparams(0, np.inf, grid=INT8), ValueError, "hi holds inf"),
        (lambda: choose_qparams(-3e38, 3e38, grid=INT8), ValueError, "too wide"),
        (lambda: choose_qparams(0, 1, grid=INT8, dialect="tf"), ValueError, "dialect='tf'"),
        (lambda: choose_qparams("0", 1, grid=INT8), TypeError, "real values"),
        (lambda: quantize(np.arange(3), QParams(scale=1.0, zero_point=0, grid=INT8)), TypeError, "real values"),
        (
            lambda: quantize([1.0], QParams(scale=1.0, zero_point=0, grid=INT8), dialect="x"),
            ValueError,
            "choose one of",
        ),
        (lambda: dequantize([1.0], QParams(scale=1.0, zero_point=0, grid=INT8)), TypeError, "codes"),
        (lambda: dequantize([8], QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=4))), ValueError, r"8\.\.8"),
        (
            lambda: quantize(np.zeros((2, 3)), QParams(scale=[1.0, 1.0], zero_point=0, grid=INT8, axis=1)),
            ValueError,
            r"scale has shape \(2,\), .* needs \(3,\)",
        ),
        (
            lambda: quantize(np.zeros((2, 3)), QParams(scale=[1.0, 1.0], zero_point=0, grid=INT8, axis=2)),
            ValueError,
            "axis=2 is out of range",
        ),
        (
            lambda: scale_shape((64, 100), axis=1, group_size=48),
            ValueError,
            r"group_size=48 does not divide x.shape\[1\]",
        ),
        (lambda: scale_shape((64, 100), group_size=50), ValueError, "without axis"),
    ],
)
def test_bad_input_says_what_came_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_qparams_compare_and_print():
    qp = choose_qparams([-1.0, 0.0], [1.0, 3.0], grid=INT8, axis=0)
    assert qp == choose_qparams([-1.0, 0.0], [1.0, 3.0], grid=INT8, axis=0)
    assert qp != choose_qparams([-1.0, 0.0], [1.0, 3.5], grid=INT8, axis=0)
    assert qp != "qp"
    assert "axis=0" in repr(qp)
