"""LOGISTIC, HARD_SWISH, RELU and RELU6 equal LiteRT's three kernel sets on all codes."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import hard_swish, logistic, relu
from quantlab.lab.litert import KERNELS
from tests.integer.ops.models import CODES, INT8, check_equal, count_wrong, one_operator, random_qps, smallest

SIGMOID_QP = QParams(scale=1 / 256, zero_point=-128, grid=INT8)


def real_values(qp):
    return qp.scale.astype(np.float64) * (CODES.astype(int) - qp.zero_point)


def nearest(real, qp):
    """The nearest codes of reals, ties to even."""
    return np.clip(np.rint(real / np.float64(qp.scale)) + qp.zero_point, -128, 127).astype(np.int8)


def scale_next_to_a_tie(rng):
    """Return a QParams with which a code's sigmoid falls within a few float32 of the middle between two codes."""
    while True:
        middle = np.log(1 / ((rng.integers(0, 256) + 0.5) / 256) - 1)
        code, zero_point = rng.integers(-128, 128, 2)
        if code != zero_point and (scale := np.float32(middle / (zero_point - code))) > 1e-4:
            scale = (scale.view(np.int32) + rng.integers(-3, 4)).astype(np.int32).view(np.float32)
            return QParams(scale=scale, zero_point=zero_point, grid=INT8)


def test_logistic_equals_litert():
    rng = np.random.default_rng(1)
    wrong = {}
    for trial in range(500):
        x_qp = random_qps(rng, 1, trial)[0] if trial % 5 == 0 else scale_next_to_a_tie(rng)
        ours = {d: logistic(CODES, x_qp=x_qp, y_qp=SIGMOID_QP, dialect=d) for d in KERNELS}
        with np.errstate(over="ignore"):
            floats = nearest(1 / (1 + np.exp(-real_values(x_qp))), SIGMOID_QP)
        theirs = one_operator("LOGISTIC", [CODES], [x_qp], SIGMOID_QP)
        count_wrong(wrong, {**ours, "float": floats}, theirs)
    check_equal(wrong)
    pairs = [("litert", "litert_ruy"), ("litert", "litert_reference"), ("litert_ruy", "litert")]
    assert smallest(wrong, *pairs, *(("float", kernels) for kernels in KERNELS)) > 20
    assert wrong["litert_ruy", "litert_reference"] == 0


def test_logistic_with_other_outputs_in_xnnpack():
    rng = np.random.default_rng(2)
    for trial in range(60):
        x_qp, y_qp = random_qps(rng, 1, trial)[0], random_qps(rng, 1, trial + 1)[0]
        y_qp = QParams(scale=y_qp.scale * 0.03, zero_point=y_qp.zero_point, grid=INT8)
        with pytest.raises(ValueError, match="LOGISTIC of 'litert_ruy' refuses any other"):
            logistic(CODES, x_qp=x_qp, y_qp=y_qp, dialect="litert_ruy")
        theirs = one_operator("LOGISTIC", [CODES], [x_qp], y_qp, kernel_sets=("litert",))["litert"]
        assert (logistic(CODES, x_qp=x_qp, y_qp=y_qp, dialect="litert") == theirs).all()


def test_hard_swish_equals_litert():
    rng = np.random.default_rng(3)
    wrong = {}
    for trial in range(300):
        x_qp, y_qp = random_qps(rng, 2, trial % 2 * 2)
        # outputs from a hundredth to thirty times as coarse as the input
        ratio = rng.choice([0.01, 0.02, 0.1, 0.25, 0.5, 0.77, 1, 1.3, 2, 30])
        y_qp = QParams(scale=x_qp.scale * ratio, zero_point=y_qp.zero_point, grid=INT8)
        ours = {d: hard_swish(CODES, x_qp=x_qp, y_qp=y_qp, dialect=d) for d in KERNELS}
        x = real_values(x_qp)
        floats = nearest(x * np.clip(x + 3, 0, 6) / 6, y_qp)
        theirs = one_operator("HARD_SWISH", [CODES], [x_qp], y_qp, version=1)
        count_wrong(wrong, {**ours, "float": floats}, theirs)
    assert set(wrong.values()) == {0, wrong["float", "litert"]}
    check_equal(wrong)
    assert wrong["float", "litert"] > 1000


@pytest.mark.parametrize(("operator", "limit"), [("RELU", None), ("RELU6", 6)])
def test_relu_equals_litert(operator, limit):
    rng = np.random.default_rng(4)
    wrong = {}
    for trial in range(150):
        x_qp, y_qp = random_qps(rng, 2, trial)
        if trial % 2:  # ties: the output is 2, 4 ... times as coarse
            y_qp = QParams(scale=x_qp.scale * 2.0 ** rng.integers(0, 7), zero_point=y_qp.zero_point, grid=INT8)
        ours = {d: relu(CODES, x_qp=x_qp, y_qp=y_qp, dialect=d, limit=limit) for d in KERNELS}
        floats = nearest(np.clip(real_values(x_qp), 0, limit), y_qp)
        theirs = one_operator(operator, [CODES], [x_qp], y_qp)
        count_wrong(wrong, {**ours, "float": floats}, theirs)
    check_equal(wrong)
    assert wrong["float", "litert"] > 1000


@pytest.mark.parametrize("dialect", KERNELS)
def test_shapes(dialect):
    qp = QParams(scale=0.05, zero_point=3, grid=INT8)
    q = np.random.default_rng(5).integers(-128, 128, (2, 3, 5), np.int8)
    for f, y_qp in ((logistic, SIGMOID_QP), (hard_swish, qp), (relu, qp)):
        table = f(CODES, x_qp=qp, y_qp=y_qp, dialect=dialect)
        assert (f(q, x_qp=qp, y_qp=y_qp, dialect=dialect) == table[q.astype(int) + 128]).all()
        assert f(q[:0], x_qp=qp, y_qp=y_qp, dialect=dialect).shape == (0, 3, 5)
        assert f(q[1, 2, 4], x_qp=qp, y_qp=y_qp, dialect=dialect).shape == ()


@pytest.mark.parametrize("f", [logistic, hard_swish, relu])
def test_errors_name_what_came(f):
    qp, q = QParams(scale=0.05, zero_point=3, grid=INT8), np.zeros(3, np.int8)
    with pytest.raises(ValueError, match="dialect='onnx'; expected one of"):
        f(q, x_qp=qp, y_qp=qp, dialect="onnx")
    with pytest.raises(TypeError, match=r"x_q\.dtype=uint8; expected int8"):
        f(q.astype(np.uint8), x_qp=qp, y_qp=qp, dialect="litert")
    with pytest.raises(ValueError, match=r"y_qp\.axis=0; expected None"):
        f(q, x_qp=qp, y_qp=QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0), dialect="litert")


def test_what_hard_swish_and_relu_refuse():
    coarse, fine = (QParams(scale=s, zero_point=0, grid=INT8) for s in (12.8, 0.1))
    q = np.zeros(3, np.int8)
    with pytest.raises(ValueError, match="less than 128 times as coarse"):
        hard_swish(q, x_qp=coarse, y_qp=fine, dialect="litert")
    with pytest.raises(ValueError, match="limit=0; expected a positive number"):
        relu(q, x_qp=fine, y_qp=fine, dialect="litert", limit=0)
