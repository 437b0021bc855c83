"""CONCATENATION moves codes, as LiteRT does, and refuses what LiteRT refuses."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import concatenate
from quantlab.lab.litert import KERNELS
from tests.integer.ops.models import INT8, UINT8, one_operator

QP = QParams(scale=0.1, zero_point=3, grid=INT8)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concatenate_equals_litert(axis):
    rng = np.random.default_rng(axis % 3)
    parts = []
    for size in (3, 1, 5):
        shape = [2, 3, 4]
        shape[axis] = size
        parts.append(rng.integers(-128, 128, shape, np.int8))
    shape = np.concatenate(parts, axis).shape
    theirs = one_operator("CONCATENATION", parts, [QP] * 3, QP, shape=shape, axis=axis, activation=None)
    for dialect in KERNELS:
        y = concatenate(parts, axis=axis, part_qps=[QP] * 3, y_qp=QP, dialect=dialect)
        assert y.dtype == np.int8
        assert np.array_equal(y, theirs[dialect])


@pytest.mark.parametrize(
    "other", [QParams(scale=0.2, zero_point=3, grid=INT8), QParams(scale=0.1, zero_point=4, grid=INT8)]
)
@pytest.mark.parametrize("kernels", KERNELS)
def test_unequal_scales_are_refused_by_both(kernels, other):
    q = np.zeros((1, 3), np.int8)
    with pytest.raises(ValueError, match=r"part_qps\[1\]=.*expected equal ones"):
        concatenate([q, q], axis=1, part_qps=[QP, other], y_qp=QP, dialect=kernels)
    with pytest.raises(RuntimeError, match="CONCATENATION"):
        one_operator(
            "CONCATENATION", [q, q], [QP, other], QP, shape=(1, 6), kernel_sets=(kernels,), axis=1, activation=None
        )


def test_errors_name_what_came():
    q = np.zeros((1, 3), np.int8)
    with pytest.raises(ValueError, match="dialect='onnx'; expected one of"):
        concatenate([q], axis=1, part_qps=[QP], y_qp=QP, dialect="onnx")
    with pytest.raises(ValueError, match="0 parts and 0 part_qps; expected at least 1"):
        concatenate([], axis=0, part_qps=[], y_qp=QP, dialect="litert")
    with pytest.raises(ValueError, match="2 parts and 1 part_qps"):
        concatenate([q, q], axis=1, part_qps=[QP], y_qp=QP, dialect="litert")
    unsigned = QParams(scale=0.1, zero_point=3, grid=UINT8)
    with pytest.raises(TypeError, match=r"parts\[0\]\.dtype=int8; expected uint8"):
        concatenate([q], axis=1, part_qps=[unsigned], y_qp=unsigned, dialect="litert")
