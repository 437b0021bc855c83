"""SOFTMAX equals LiteRT's three kernel sets: rows of many lengths, and probabilities next to ties."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import softmax
from quantlab.lab.litert import KERNELS
from tests.integer.ops.models import INT8, check_equal, count_wrong, one_operator, smallest

Y_QP = QParams(scale=1 / 256, zero_point=-128, grid=INT8)


def compare(wrong, x, scale, beta, zero_point=0):
    x_qp = QParams(scale=scale, zero_point=zero_point, grid=INT8)
    ours = {d: softmax(x, x_qp=x_qp, y_qp=Y_QP, dialect=d, beta=beta) for d in KERNELS}
    e = np.exp(beta * np.float64(scale) * (x.astype(int) - x.max(axis=-1, keepdims=True)))
    ours["float"] = np.clip(np.rint(256 * e / e.sum(axis=-1, keepdims=True)) - 128, -128, 127).astype(np.int8)
    theirs = one_operator("SOFTMAX", [x], [x_qp], Y_QP, version=2, beta=beta)
    count_wrong(wrong, ours, theirs)


def test_softmax_equals_litert():
    rng = np.random.default_rng(1)
    wrong = {}
    for trial in range(240):
        n = (10, 400, 2, 5, 33, 1, 17)[trial % 7]
        scale = np.float32(2.0 ** rng.integers(-10, 9) if trial % 3 == 0 else np.exp(rng.uniform(-9, 3)))
        x = rng.normal(0, (10, 60, 1000)[trial % 3], (2000 // n, n))
        compare(
            wrong, np.clip(x, -128, 127).astype(np.int8), scale, (1.0, 0.5, 2.3)[trial % 3], rng.integers(-128, 128)
        )
    check_equal(wrong)


def test_what_the_reference_kernel_leaves_out():
    # one logit, and 300 that lie d codes below: next to where their exponentials stop to count
    wrong = {}
    for scale in 2.0 ** np.arange(-2, 9):
        x = np.repeat(-np.arange(128, dtype=np.int8)[:, None], 301, axis=1)
        x[:, 7] = 0
        compare(wrong, x, np.float32(scale), 1.0)
    check_equal(wrong)


def test_probabilities_next_to_ties():
    # n - 1 logits, d codes below the largest: e**(-s d) / (1 + (n - 1) e**(-s d)) is the middle between two codes
    rng = np.random.default_rng(2)
    wrong = {}
    for trial in range(300):
        n, d, beta = rng.choice([2, 3, 5, 17, 100]), int(rng.integers(1, 100)), (1.0, 0.5, 2.25)[trial % 3]
        middle = (rng.integers(1, min(120, 254 // (n - 1))) + 0.5) / 256
        e = middle / (1 - (n - 1) * middle)
        if not 0 < e < 1:
            continue
        scale = np.float32(-np.log(e) / d / beta)
        scale = (scale.view(np.int32) + rng.integers(-2, 3)).astype(np.int32).view(np.float32)
        x = np.full((20, n), 20 - d, np.int8)
        x[np.arange(20), rng.integers(0, n, 20)] = 20  # the order of the sum differs from row to row
        compare(wrong, x, scale, beta)
    check_equal(wrong)
    others = ("litert", "litert_reference"), ("litert_reference", "litert"), ("float", "litert")
    assert smallest(wrong, *others, ("float", "litert_reference")) > 300
    assert wrong["litert", "litert_ruy"] == 0


def test_sums_that_end_the_process():
    # 511 equal logits: the sum of their exponentials is just below 512
    x_qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    wrong = {}
    compare(wrong, np.zeros((1, 511), np.int8), x_qp.scale, 1.0)
    check_equal(wrong)
    many = np.zeros((1, 1000), np.int8)
    with pytest.raises(ValueError, match="row of 1000 values whose exponentials sum up to 512 or more"):
        softmax(many, x_qp=x_qp, y_qp=Y_QP, dialect="litert_reference")
    theirs = one_operator("SOFTMAX", [many], [x_qp], Y_QP, kernel_sets=("litert", "litert_ruy"), beta=1.0)
    for dialect, y in theirs.items():
        assert (softmax(many, x_qp=x_qp, y_qp=Y_QP, dialect=dialect) == y).all()


@pytest.mark.parametrize("dialect", KERNELS)
def test_shapes(dialect):
    x_qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    x = np.random.default_rng(3).integers(-128, 128, (2, 3, 5), np.int8)
    y = softmax(x, x_qp=x_qp, y_qp=Y_QP, dialect=dialect)
    assert (y[1, 2] == softmax(x[1, 2], x_qp=x_qp, y_qp=Y_QP, dialect=dialect)).all()
    assert softmax(x[:0], x_qp=x_qp, y_qp=Y_QP, dialect=dialect).shape == (0, 3, 5)
    theirs = one_operator("SOFTMAX", [x], [x_qp], Y_QP, beta=1.0)
    assert (y == theirs[dialect]).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"dialect": "torch"}, ValueError, "dialect='torch'; expected one of"),
        ({"x_q": np.zeros((2, 3))}, TypeError, r"x_q\.dtype=float64; expected int8"),
        ({"x_q": np.zeros((2, 0), np.int8)}, ValueError, r"x_q\.shape=\(2, 0\)"),
        ({"y_qp": QParams(scale=1 / 128, zero_point=-128, grid=INT8)}, ValueError, "expected scale 1 / 256"),
        ({"y_qp": QParams(scale=1 / 256, zero_point=0, grid=INT8)}, ValueError, "zero point -128"),
        ({"beta": 0.0}, ValueError, r"beta=0\.0; expected a positive"),
        ({"beta": np.nan}, ValueError, "beta=nan"),
        ({"beta": 2.0**-26, "dialect": "litert_reference"}, ValueError, "ends the process on a smaller one"),
    ],
)
def test_errors_name_what_came(change, error, message):
    call = {"x_q": np.zeros((2, 3), np.int8), "x_qp": QParams(scale=1.0, zero_point=0, grid=INT8), "y_qp": Y_QP}
    call |= {"dialect": "litert", **change}
    with pytest.raises(error, match=message):
        softmax(call.pop("x_q"), **call)
