"""ADD, SUB and MUL equal LiteRT's three kernel sets: all pairs of codes, odd shapes, ties and their neighbours."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import add, mul, sub
from quantlab.integer.ops.vectors import broadcast_runs
from quantlab.lab.litert import KERNELS
from tests.integer.ops.models import CODES, INT8, check_equal, count_wrong, one_operator, random_qps, smallest

OPERATORS = {"ADD": add, "SUB": sub, "MUL": mul}
A_ALL, B_ALL = (x.copy() for x in np.broadcast_arrays(CODES[:, None], CODES))
SHAPES = [
    ((1, 7, 5, 3), (1, 7, 5, 3)),
    ((2, 5, 7, 17), (17,)),
    ((1, 1, 1, 17), (1, 7, 5, 17)),
    ((2, 7, 5, 17), (2, 1, 1, 17)),
    ((2, 3, 5, 17), ()),
    ((1,), (2, 3, 5, 17)),
    ((2, 1, 5, 17), (1, 3, 1, 17)),
    ((2, 3, 5, 1), (2, 3, 5, 17)),
    ((1, 3, 1, 33), (2, 1, 5, 1)),
    ((2, 2, 3, 1, 19), (2, 1, 3, 2, 1)),
    ((9,), (9,)),
    ((3, 40), (3, 1)),
]


def both(operator, a, b, qps, activation=None):
    """Return our outputs by dialect, and LiteRT's by kernel set."""
    names = dict(zip(("a_qp", "b_qp", "y_qp"), qps, strict=True))
    ours = {d: OPERATORS[operator](a, b, **names, dialect=d, activation=activation) for d in KERNELS}
    return ours, one_operator(operator, (a, b), qps[:2], qps[2], activation=activation)


def float_formula(operator, a, b, qps):
    """What float64 would make of it, ties to even."""
    a, b = (qp.scale.astype(np.float64) * (q.astype(int) - qp.zero_point) for q, qp in zip((a, b), qps, strict=False))
    real = {"ADD": a + b, "SUB": a - b, "MUL": a * b}[operator]
    return np.clip(np.rint(real / np.float64(qps[2].scale)) + qps[2].zero_point, -128, 127).astype(np.int8)


@pytest.mark.parametrize("operator", OPERATORS)
def test_all_pairs_of_codes(operator):
    # 30 models of 65,536 pairs in 3 kernel sets: 5.9 million values an operator.
    rng = np.random.default_rng(1)
    wrong = {}
    for trial in range(30):
        qps = random_qps(rng, 3, trial)
        ours, theirs = both(operator, A_ALL, B_ALL, qps)
        count_wrong(wrong, {**ours, "float": float_formula(operator, A_ALL, B_ALL, qps)}, theirs)
    check_equal(wrong)
    # The check can fail. XNNPACK's product is a float formula, too, but in float32.
    assert smallest(wrong, *(("float", kernels) for kernels in KERNELS)) > (50 if operator == "MUL" else 1000)
    assert smallest(wrong, ("litert", "litert_reference"), ("litert_reference", "litert")) > 1000
    if operator == "ADD":  # vectors round the operands otherwise, which seldom shows: see below
        assert smallest(wrong, ("litert_ruy", "litert_reference"), ("litert_reference", "litert_ruy")) > 10


@pytest.mark.parametrize("operator", OPERATORS)
def test_broadcasting_with_odd_ends(operator):
    rng = np.random.default_rng(2)
    wrong, patterns = {}, {}
    for trial in range(8 * len(SHAPES)):
        a_shape, b_shape = SHAPES[trial % len(SHAPES)]
        a, b = (rng.integers(-128, 128, shape, np.int8) for shape in (a_shape, b_shape))
        qps = random_qps(rng, 3, rng.integers(3))
        ours, theirs = both(operator, a, b, qps, activation=(None, "relu", "relu6")[trial % 7 % 3])
        count_wrong(wrong, ours, theirs)
        pattern = broadcast_runs(a_shape, b_shape)[0]
        patterns[pattern] = patterns.get(pattern, 0) + 1
    check_equal(wrong)
    assert min(patterns["elementwise"], patterns["scalar"], patterns["single"]) >= 8


@pytest.mark.parametrize(("b_shape", "in_vector"), [((1, 1, 31), 16), ((800, 1, 1), 24)], ids=["vector", "scalar"])
def test_vectors_of_add_round_otherwise(b_shape, in_vector):
    # 0.05 x + 0.07 y in steps of 6 / (k + 1/2) often falls next to a tie. Of 31 values a row, vectors take 16 if two
    # vectors are added, and 24 if a vector and a scalar are.
    rng = np.random.default_rng(3)
    wrong, otherwise = {}, np.zeros(31, int)
    for _ in range(100):
        scales = 0.05, 0.07, 6 / (rng.integers(1, 230) + 0.5)
        zero_points = rng.integers(-128, 128, 3)
        qps = [QParams(scale=s, zero_point=z, grid=INT8) for s, z in zip(scales, zero_points, strict=True)]
        a, b = rng.integers(-128, 128, (800, 1, 31), np.int8), rng.integers(-128, 128, b_shape, np.int8)
        ours, theirs = both("ADD", a, b, qps)
        count_wrong(wrong, ours, theirs)
        otherwise += np.count_nonzero(theirs["litert_ruy"] != theirs["litert_reference"], axis=(0, 1))
    check_equal(wrong)
    assert otherwise[:in_vector].min() > 0
    assert otherwise[in_vector:].max() == 0


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_mark_of_six(operator):
    # y scales for which 6 falls on, or one float32 beside, the middle between two codes
    rng = np.random.default_rng(4)
    wrong = {}
    for trial in range(60):
        y_scale = np.float32(6 / (rng.integers(1, 230) + 0.5))
        y_scale = np.nextafter(y_scale, np.float32(trial % 3)) if trial % 3 != 1 else y_scale
        y_qp = QParams(scale=y_scale, zero_point=-128 + trial % 5, grid=INT8)
        a_qp = QParams(scale=0.3 if operator == "MUL" else 0.1, zero_point=-5, grid=INT8)
        a, b = A_ALL[:, ::32].copy(), B_ALL[:, ::32].copy()
        ours, theirs = both(operator, a, b, [a_qp, a_qp, y_qp], activation="relu6")
        count_wrong(wrong, ours, theirs)
    check_equal(wrong)
    assert smallest(wrong, ("litert", "litert_reference"), ("litert_reference", "litert")) > 100


# Ratios of a's and b's scales to the output's: at and beyond what XNNPACK takes, and far from each other. Where one is
# 1/2, codes at the other's zero point give ties.
RATIOS = [
    (2.0**-10, 0.5),
    (2.0**-10 * 0.99, 0.5),
    (0.5, 2.0**-14),
    (2.0**-11, 2.0**-11),
    (255.9, 1),
    (1, 256),
    (0.3, 900),
]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("ratios", RATIOS, ids=str)
def test_extreme_scales(operator, ratios):
    # from 2**8 on the vectors of litert_ruy wrap in 16 bits, and XNNPACK does not compute: our "litert" goes along
    rng = np.random.default_rng(5)
    wrong = {}
    for trial in range(3):
        y_scale = np.float32(0.1 if operator != "MUL" else 0.01)
        zero_points = rng.integers(-128, 128, 3)
        scales = np.float32(ratios[0]) * y_scale, np.float32(ratios[1]) * y_scale, y_scale
        if operator == "MUL":
            scales = np.float32(ratios[0]), y_scale * np.float32(ratios[1] * (1, 0.01, 0.3)[trial]), y_scale
        qps = [QParams(scale=s, zero_point=z, grid=INT8) for s, z in zip(scales, zero_points, strict=True)]
        count_wrong(wrong, *both(operator, A_ALL[:, :250].copy(), B_ALL[:, :250].copy(), qps))
    check_equal(wrong)


def test_where_xnnpack_stops_multiplying():
    # a * b = p, with a multiplier around 2**-16 that makes 1/2 of it in float32: XNNPACK would round that to 0,
    # fixed point to 1
    a, b = np.arange(-128, 128, dtype=np.int8), np.full(256, 127, np.int8)
    a_qp, b_qp = (QParams(scale=1.0, zero_point=-128, grid=INT8) for _ in range(2))
    wrong, otherwise = {}, 0
    for p in 255 * np.arange(105, 150):  # 2**-16 stands between 128 and 129
        y_qp = QParams(scale=np.float32(2 * p), zero_point=0, grid=INT8)
        ours, theirs = both("MUL", a, b, [a_qp, b_qp, y_qp])
        count_wrong(wrong, ours, theirs)
        floats = np.rint((a.astype(int) + 128) * np.float32(255) * (np.float32(1) / y_qp.scale))
        otherwise += np.count_nonzero(floats != theirs["litert"])
    check_equal(wrong)
    assert otherwise > 5


def test_the_mark_of_six_beyond_xnnpack():
    # "litert" computes as "litert_ruy" does, and so rounds the mark of 6 half away
    wrong = {}
    for k in range(8, 28):
        scales = 2.0**-12, 1.0, 12 / (2 * k + 1)
        qps = [QParams(scale=s, zero_point=-128, grid=INT8) for s in scales]
        count_wrong(wrong, *both("ADD", CODES, CODES, qps, activation="relu6"))
        count_wrong(wrong, *both("MUL", CODES, CODES, [qps[1], qps[1], qps[2]], activation="relu6"))
    check_equal(wrong)


def test_wrapping_is_seen():
    # 255 * 200 + 255 steps leave int16: the vectors wrap, the rest saturates
    a_qp, b_qp, y_qp = (QParams(scale=s, zero_point=-128, grid=INT8) for s in (200.0, 1.0, 1.0))
    a, b = np.full(23, 127, np.int8), np.zeros(23, np.int8)
    ours, theirs = both("ADD", a, b, [a_qp, b_qp, y_qp])
    check_equal_values = {kernels: (ours[kernels] == theirs[kernels]).all() for kernels in KERNELS}
    assert check_equal_values == dict.fromkeys(KERNELS, True)
    assert theirs["litert_ruy"].tolist() == [-128] * 16 + [127] * 7


@pytest.mark.parametrize("dialect", KERNELS)
def test_no_values(dialect):
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    empty = np.zeros((0, 3), np.int8)
    for f in OPERATORS.values():
        assert f(empty, np.ones(3, np.int8), a_qp=qp, b_qp=qp, y_qp=qp, dialect=dialect).shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dialect": "onnx"}, ValueError, "dialect='onnx'; expected one of"),
        ({"activation": "gelu"}, ValueError, "activation='gelu'; expected one of"),
        ({"b_q": np.zeros(2, np.int8)}, ValueError, r"a_q\.shape=\(3,\), b_q\.shape=\(2,\)"),
        ({"a_q": np.zeros(3, np.uint8)}, TypeError, r"a_q\.dtype=uint8; expected int8"),
        ({"b_q": np.zeros(3)}, TypeError, r"b_q\.dtype=float64; expected int8"),
        ({"y_qp": QParams(scale=1.0, zero_point=0, grid=INT8.__class__(4))}, ValueError, r"y_qp\.grid=Grid\(n_bits=4"),
        ({"b_qp": QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0)}, ValueError, r"b_qp\.axis=0; expected None"),
    ],
)
@pytest.mark.parametrize("operator", OPERATORS)
def test_errors_name_what_came(operator, change, error, message):
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    call = {"a_q": np.zeros(3, np.int8), "b_q": np.zeros(3, np.int8), "a_qp": qp, "b_qp": qp, "y_qp": qp}
    call |= {"dialect": "litert", **change}
    with pytest.raises(error, match=message):
        OPERATORS[operator](call.pop("a_q"), call.pop("b_q"), **call)


def test_scales_that_do_not_belong_together():
    x = np.zeros(3, np.int8)
    small, large = (QParams(scale=s, zero_point=0, grid=INT8) for s in (1e-30, 1e30))
    with pytest.raises(ValueError, match="ends the process"):
        add(x, x, a_qp=large, b_qp=small, y_qp=small, dialect="litert")
    with pytest.raises(ValueError, match="not a positive, finite float32"):
        mul(x, x, a_qp=small, b_qp=small, y_qp=large, dialect="litert")
