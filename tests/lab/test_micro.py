"""The interpreter for micro-controllers."""

import numpy as np
import pytest

from quantlab import Grid, QParams
from quantlab.lab import litert
from quantlab.lab.micro import micro_tensors, run_micro

QP = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
W_Q, BIAS_Q = np.array([[1, 2], [-3, 4]], np.int8), np.array([4, -8], np.int32)
MODEL = litert.fully_connected_model(W_Q, BIAS_Q, n_samples=1, x_qp=QP, w_qp=QP, y_qp=QP)
X = np.array([[20, 2], [-7, 9], [127, 1]], np.int8)


def test_a_layer():
    run = run_micro(MODEL, X)
    assert np.array_equal(
        run.output, np.concatenate([litert.run(MODEL, x, kernels="litert_reference") for x in X[:, None]])
    )
    assert np.array_equal(micro_tensors(MODEL, X[:1])[3], run.output[:1])


def test_the_arena_holds_what_is_alive():
    """It grows with the activations, not with the weights."""
    arena = run_micro(MODEL, X[:1]).arena_bytes
    wide = litert.fully_connected_model(np.ones((2, 4096), np.int8), BIAS_Q, n_samples=1, x_qp=QP, w_qp=QP, y_qp=QP)
    deep = litert.fully_connected_model(np.ones((2, 4096), np.int8), BIAS_Q, n_samples=2, x_qp=QP, w_qp=QP, y_qp=QP)
    one = run_micro(wide, np.zeros((1, 4096), np.int8)).arena_bytes
    two = run_micro(deep, np.zeros((2, 4096), np.int8)).arena_bytes
    assert 500 < arena < 3000
    assert 4000 < one - arena < 4300  # 4094 bytes of input more, and alignment to 16
    assert abs(two - one - 4096) <= 32


def test_nothing_is_printed(capfd):
    run_micro(MODEL, X)
    micro_tensors(MODEL, X[:1])
    assert capfd.readouterr() == ("", "")


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"x.shape=\(1, 3\) for a model that takes \(1, 2\)"):
        run_micro(MODEL, np.zeros((1, 3), np.int8))
