"""What a lesson says to the LiteRT interpreter, and what it hears from it."""

import numpy as np
import pytest

from quantlab import Grid, QParams
from quantlab.lab.litert import KERNELS, Session, fully_connected_model, run, tensors
from quantlab.lab.tflite_writer import ModelWriter

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


class TestSeveral:
    """Samples, inputs, outputs and operators."""

    def model(self):
        writer = ModelWriter()
        a, b, total, gate = (writer.tensor((2, 3), np.int8, scale=0.5, zero_point=0) for _ in range(4))
        probability = writer.tensor((2, 3), np.int8, scale=1 / 256, zero_point=-128, name="probability")
        writer.operator("ADD", inputs=[a, b], outputs=[total], version=2, activation="relu")
        writer.operator("MUL", inputs=[total, b], outputs=[gate], version=2)
        writer.operator("LOGISTIC", inputs=[gate], outputs=[probability], version=2)
        return writer.build(inputs=[a, b], outputs=[total, probability])

    @pytest.mark.parametrize("kernels", KERNELS)
    def test_run_and_tensors(self, kernels):
        rng = np.random.default_rng(0)
        a, b = (rng.integers(-60, 60, (6, 3), dtype=np.int8) for _ in range(2))
        total, probability = run(self.model(), a, b, kernels=kernels)
        assert np.array_equal(total, np.maximum(a + b, 0))
        shown = tensors(self.model(), a[:2], b[:2], kernels=kernels)
        assert set(shown) == set(range(5))
        assert np.array_equal(shown[4], probability[:2])
        kept = Session(self.model(), kernels=kernels)
        assert all(np.array_equal(kept.run(a[:2], b[:2])[0], total[:2]) for _ in range(2))

    def test_inputs_that_do_not_fit(self):
        a = np.zeros((2, 3), np.int8)
        with pytest.raises(ValueError, match="1 inputs; the model takes 2"):
            run(self.model(), a, kernels="litert")
        with pytest.raises(ValueError, match=r"inputs of shape \(2, 3\), \(2, 4\) for a model that takes"):
            run(self.model(), a, np.zeros((2, 4), np.int8), kernels="litert")
        with pytest.raises(ValueError, match=r"inputs of shape \(3, 3\)"):
            run(self.model(), np.zeros((3, 3), np.int8), np.zeros((3, 3), np.int8), kernels="litert")
        with pytest.raises(ValueError, match="inputs hold 2 batches of the file; expected 1"):
            tensors(self.model(), np.zeros((4, 3), np.int8), np.zeros((4, 3), np.int8), kernels="litert")

    def test_an_operator_without_options(self):
        with pytest.raises(
            ValueError, match=r"LOGISTIC has no options table in the schema, so it cannot hold \['beta'\]"
        ):
            ModelWriter().operator("LOGISTIC", inputs=[0], outputs=[1], beta=1.0)
