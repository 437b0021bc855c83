"""Padding equals LiteRT's PAD and PADV2."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import pad
from quantlab.lab.litert import KERNELS, run
from quantlab.lab.tflite_writer import ModelWriter
from tests.integer.ops.models import INT8


@pytest.mark.parametrize("operator", ["PAD", "PADV2"])
def test_pad_equals_litert(operator):
    rng = np.random.default_rng(89)
    for trial in range(24):
        shape = tuple(int(v) for v in rng.integers(1, 6, (4, 2, 3)[trial % 3]))
        paddings = rng.integers(0, 4, (len(shape), 2), np.int32)
        x_q = rng.integers(-128, 128, shape, np.int8)
        qp = QParams(scale=0.3, zero_point=int(rng.integers(-128, 128)), grid=INT8)
        value = int(rng.integers(-128, 128)) if operator == "PADV2" else None
        ours = pad(x_q, x_qp=qp, paddings=paddings, value_q=value)
        writer = ModelWriter()
        scales = {"scale": qp.scale, "zero_point": qp.zero_point}
        inputs = [writer.tensor(shape, np.int8, **scales), writer.tensor(paddings.shape, np.int32, data=paddings)]
        if value is not None:
            inputs.append(writer.tensor((1,), np.int8, **scales, data=np.array([value])))
        model = writer.finish(
            operator, inputs=inputs, outputs=[writer.tensor(ours.shape, np.int8, **scales)], version=2
        )
        for kernels in KERNELS:
            assert (run(model, x_q, kernels=kernels) == ours).all()


def test_the_ends_of_the_codes_pad_too():
    qp = QParams(scale=0.3, zero_point=0, grid=INT8)
    for value in (-128, 127, np.int8(-128), np.array(127)):
        assert pad(np.zeros(1, np.int8), x_qp=qp, paddings=[(1, 0)], value_q=value).tolist() == [value, 0]


def test_errors_name_what_came():
    qp = QParams(scale=0.3, zero_point=0, grid=INT8)
    x_q = np.zeros((2, 3), np.int8)
    for paddings in ([(1, 1)], [(1, 1), (-1, 0)], [(1.0, 1.0), (0.0, 0.0)]):
        with pytest.raises(ValueError, match=r"paddings=.* for x_q.shape=\(2, 3\); expected 2 pairs of integers"):
            pad(x_q, x_qp=qp, paddings=paddings)
    for value in (128, -129, 1.5, [1, 2]):  # int8 would make -128, 127 and 1 of the first three
        with pytest.raises(ValueError, match=r"value_q=.*; expected an integer from -128 to 127: codes are int8"):
            pad(x_q, x_qp=qp, paddings=[(1, 1), (0, 0)], value_q=value)
    signed = QParams(scale=0.3, zero_point=-3, grid=INT8)
    with pytest.raises(ValueError, match="value_q=-3; expected an integer from 0 to 255: codes are uint8"):
        pad(x_q.astype(np.uint8), x_qp=signed, paddings=[(1, 1), (0, 0)])
    with pytest.raises(TypeError, match=r"x_q\.dtype=float64; expected an integer dtype"):
        pad(x_q * 1.0, x_qp=qp, paddings=[(1, 1), (0, 0)])
    with pytest.raises(ValueError, match=r"x_qp\.axis=1; expected None"):
        pad(x_q, x_qp=QParams(scale=np.ones(3), zero_point=0, grid=INT8, axis=1), paddings=[(1, 1), (0, 0)])
