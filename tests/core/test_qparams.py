"""QParams and choose_qparams: extremes of float32, arrays that must not be shared, and what is refused."""

import numpy as np
import pytest

from quantlab import Grid, QParams, choose_qparams, dequantize, fake_quantize, quantize

INT8, UINT8 = Grid(n_bits=8), Grid(n_bits=8, signed=False)
ONE = QParams(scale=1.0, zero_point=0, grid=INT8)


def test_scales_reach_from_the_smallest_normal_number_to_where_the_grid_leaves_float32():
    assert QParams(scale=2.0**-126, zero_point=0, grid=INT8).scale == np.float32(2.0**-126)
    assert QParams(scale=np.nextafter(np.float32(2**120), np.float32(0)), zero_point=0, grid=INT8)
    for scale, message in [
        (2.0**-127, "not a positive normal"),
        (2.0**120, "beyond float32"),
        (1e300, r"scale=1e\+300 \(1 of 1\)"),
        (1e-300, "scale=1e-300"),
    ]:
        with pytest.raises(ValueError, match=message):
            QParams(scale=scale, zero_point=0, grid=INT8)


def test_qparams_keep_arrays_of_their_own():
    scale, zero_point = np.ones(2, np.float32), np.zeros(2, np.int32)
    qp = QParams(scale=scale, zero_point=zero_point, grid=INT8, axis=0)
    scale[0], zero_point[0] = 5, 5
    assert qp == QParams(scale=[1.0, 1.0], zero_point=0, grid=INT8, axis=0)
    qp.zero_point[0] = 1  # one number for all was given: still an array of its own, which torch may take
    assert qp.zero_point.tolist() == [1, 0]
    QParams(scale=[1.0, 1.0], zero_point=0, grid=INT8, axis=0).zero_point[0] = 1


def test_equality_sees_every_field():
    where = {"axis": 0, "group_size": 1}
    base = QParams(scale=[1.0, 2.0], zero_point=[0, 1], grid=INT8, **where)
    assert base == QParams(scale=np.float64([1, 2]), zero_point=np.int8([0, 1]), grid=INT8, **where)
    assert base != QParams(scale=[1.0, 3.0], zero_point=[0, 1], grid=INT8, **where)
    assert base != QParams(scale=[1.0, 2.0], zero_point=[0, 2], grid=INT8, **where)
    assert base != QParams(scale=[1.0, 2.0], zero_point=[0, 1], grid=UINT8, **where)
    assert base != QParams(scale=[1.0, 2.0], zero_point=[0, 1], grid=INT8, axis=-1, group_size=1)
    assert base != QParams(scale=[1.0, 2.0], zero_point=[0, 1], grid=INT8, axis=0, group_size=2)


def test_ranges_of_width_zero_and_narrow_ranges():
    assert choose_qparams(0, 0, grid=INT8).scale == np.float32(2**-23)
    assert choose_qparams(0, 1e-20, grid=INT8).scale == np.float32(2**-23)
    assert choose_qparams(0, 0, grid=INT8, dialect="onnx").scale == 1
    assert choose_qparams(0, 1e-20, grid=INT8, dialect="onnx").scale == np.float32(1e-20) / np.float32(255)
    with pytest.raises(ValueError, match="not a positive normal float32"):
        choose_qparams(0, 1e-40, grid=INT8, dialect="onnx")


@pytest.mark.parametrize("n_bits", [2, 8, 16])
@pytest.mark.parametrize("narrow", [False, True])
def test_the_symmetric_zero_point_of_an_unsigned_grid_is_a_power_of_two(n_bits, narrow):
    grid = Grid(n_bits=n_bits, signed=False, narrow=narrow)
    assert choose_qparams(-1, 3, grid=grid, symmetric=True).zero_point == 2 ** (n_bits - 1)


def test_the_zero_point_is_on_the_grid_and_its_quotient_rounds_before_the_difference():
    assert choose_qparams(-(2.0**-23) * 300, 0, grid=INT8).zero_point == 127
    assert choose_qparams(-(2.0**-23) * 3, 0, grid=INT8).zero_point == -128 + 3  # the floor: three steps of 2**-23
    # lo / scale = -0.5 is a tie: it goes to 0; -127 + 0.5 would go to -126.
    assert choose_qparams(-0.5, 253.5, grid=Grid(n_bits=8, narrow=True)).zero_point == -127
    for n_bits in range(1, 17):
        for lo in np.float32([-1e30, -0.1, -3.3333333, -7e-6]):
            assert choose_qparams(lo, 0, grid=Grid(n_bits=n_bits)).zero_point == 2 ** (n_bits - 1) - 1 or lo > -0.1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: QParams(scale=True, zero_point=0, grid=INT8), TypeError, "scale has dtype bool; pass real values"),
        (lambda: QParams(scale="0.5", zero_point=0, grid=INT8), TypeError, "scale has dtype <U3"),
        (lambda: QParams(scale=None, zero_point=0, grid=INT8), TypeError, "scale has dtype object"),
        (lambda: QParams(scale=1j, zero_point=0, grid=INT8), TypeError, "scale has dtype complex128"),
        (lambda: QParams(scale=[1, [2]], zero_point=0, grid=INT8, axis=0), ValueError, "rows of unequal lengths"),
        (lambda: QParams(scale=np.ma.ones(2), zero_point=0, grid=INT8, axis=0), TypeError, "scale is a masked array"),
        (lambda: QParams(scale=1.0, zero_point=-129, grid=INT8), ValueError, "zero_point=-129 is outside"),
        (lambda: QParams(scale=1.0, zero_point=2**70, grid=INT8), TypeError, "zero_point has dtype object"),
        (lambda: QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0.0), TypeError, "axis=0.0 is a float"),
        (lambda: QParams(scale=[1.0], zero_point=0, grid=INT8, axis="0"), TypeError, "axis='0' is a str"),
        (lambda: QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0, group_size=True), TypeError, "group_size=True"),
        (lambda: QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0, group_size=0), ValueError, "pass 1 or more"),
        (lambda: QParams(scale=1.0, zero_point=0, grid=INT8, group_size=4), ValueError, "name the axis"),
        (lambda: choose_qparams(0, 1, grid=8), TypeError, "grid=8 is a int; pass a Grid"),
        (lambda: choose_qparams(0, 1, grid=INT8, symmetric="no"), TypeError, "symmetric='no' is a str"),
        (lambda: choose_qparams([0, 0], [1, 1, 1], grid=INT8, axis=0), ValueError, r"lo has shape \(2,\), hi \(3,\)"),
        (lambda: choose_qparams(0, [1, -1], grid=INT8, axis=0), ValueError, r"lo=0 .* hi=-1 at index \(1,\); swap"),
        (lambda: choose_qparams(-1e300, 1, grid=INT8), ValueError, r"\[-1e\+300, 1\.?0?\] is too wide"),
        (lambda: quantize([[1.0], [1.0, 2.0]], ONE), ValueError, "x has rows of unequal lengths"),
        (lambda: quantize(np.ma.array([1.0]), ONE), TypeError, "x is a masked array"),
        (lambda: quantize([1.0], 0.5), TypeError, "qp is a float; pass a QParams"),
        (lambda: fake_quantize([1.0], None), TypeError, "qp is a NoneType"),
        (lambda: dequantize([1], None), TypeError, "qp is a NoneType"),
        (lambda: dequantize(np.ma.array([1]), ONE), TypeError, "q is a masked array"),
        (lambda: dequantize([-129], ONE), ValueError, "q spans -129..-129, outside"),
        (lambda: quantize([1.0], ONE, dialect=["torch"]), ValueError, "choose one of"),
        (lambda: fake_quantize([1.0], ONE, out=[0.0]), TypeError, "out is a list; pass an array"),
        (
            lambda: fake_quantize([1.0], ONE, out=np.broadcast_to(np.float32(0), 1)),
            ValueError,
            "writeable False",
        ),
    ],
)
def test_bad_input_says_what_came_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_out_may_be_x_but_not_overlap_it():
    memory = np.linspace(-50, 50, 300_001, dtype=np.float32)  # several chunks: one would overwrite what the next reads
    x, ahead = memory[:-1], memory[1:]
    for a, b in ((x, ahead), (ahead, x)):
        with pytest.raises(ValueError, match="overlaps x in part"):
            fake_quantize(a, ONE, out=b)
    rows = memory[:200_000].reshape(2, -1)
    want = fake_quantize(rows, ONE)
    assert fake_quantize(rows, ONE, out=rows) is rows
    assert np.array_equal(rows, want)


def test_the_native_dialect_takes_each_row_with_its_own_zero_point_over_many_chunks():
    x = np.random.default_rng(0).normal(0, 20, (1000, 300)).astype(np.float32)
    qp = QParams(scale=np.linspace(0.1, 1, 1000), zero_point=np.arange(1000) % 200 - 100, grid=INT8, axis=0)
    codes = np.stack([quantize(row, QParams(scale=s, zero_point=z, grid=INT8), dialect="torch_native")
                      for row, s, z in zip(x, qp.scale, qp.zero_point, strict=True)])  # fmt: skip
    assert np.array_equal(quantize(x, qp, dialect="torch_native"), codes)
    assert np.array_equal(fake_quantize(x, qp, dialect="torch_native"), dequantize(codes, qp))


def test_one_long_row_is_cut_across_its_middle():
    x = np.random.default_rng(1).normal(size=(2, 3, 140_000)).astype(np.float32)  # 140,000 columns: more than a chunk
    scale = np.float32([[[0.1]], [[0.2]]]).repeat(140_000, axis=2)  # (2, 1, 140000)
    got = quantize(x, QParams(scale=scale, zero_point=0, grid=INT8, axis=1, group_size=3))
    for part, s, q in zip(x, [0.1, 0.2], got, strict=True):
        assert np.array_equal(q, quantize(part, QParams(scale=s, zero_point=0, grid=INT8)))
