"""What a lesson says to the LiteRT interpreter, and what it hears from it."""

import numpy as np
import pytest

from quantlab import Grid, QParams
from quantlab.lab.litert import KERNELS, fully_connected_model, run

QP = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
W_Q, BIAS_Q = np.array([[1, 2], [-3, 4]], np.int8), np.array([3, -5], np.int32)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(("activation", "lowest"), [(None, -128), ("relu", 0)])
def test_a_layer_without_ties(kernels, activation, lowest):
    """Accumulators of twice an even number at M = 1/2 need no rounding, so all kernel sets agree."""
    model = fully_connected_model(
        W_Q, np.array([4, -8], np.int32), n_samples=1, x_qp=QP, w_qp=QP, y_qp=QP, activation=activation
    )
    x_q = np.array([[20, 2]], np.int8)
    want = np.maximum(np.array([[(20 + 4 + 4) // 2, (-60 + 8 - 8) // 2]]), lowest)
    assert np.array_equal(run(model, x_q, kernels=kernels), want)


def test_unknown_kernels():
    model = fully_connected_model(W_Q, BIAS_Q, n_samples=1, x_qp=QP, w_qp=QP, y_qp=QP)
    with pytest.raises(ValueError, match="kernels='xnnpack'; choose one of litert, litert_ruy, litert_reference"):
        run(model, np.zeros((1, 2), np.int8), kernels="xnnpack")


def test_the_interpreter_is_silent(capfd):
    """A notebook shows whatever native code writes to stderr."""
    model = fully_connected_model(W_Q, BIAS_Q, n_samples=1, x_qp=QP, w_qp=QP, y_qp=QP)
    run(model, np.zeros((1, 2), np.int8), kernels="litert")
    assert capfd.readouterr() == ("", "")
