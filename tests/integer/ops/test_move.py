"""Padding equals LiteRT's PAD and PADV2."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.integer.ops import pad
from quantlab.lab.litert import KERNELS, ModelWriter, run
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


def test_errors_name_what_came():
    qp = QParams(scale=0.3, zero_point=0, grid=INT8)
    x_q = np.zeros((2, 3), np.int8)
    for paddings in ([(1, 1)], [(1, 1), (-1, 0)], [(1.0, 1.0), (0.0, 0.0)]):
        with pytest.raises(ValueError, match=r"paddings=.* for x_q.shape=\(2, 3\); expected 2 pairs of integers"):
            pad(x_q, x_qp=qp, paddings=paddings)
